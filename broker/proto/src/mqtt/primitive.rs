//! The data types of the wire: integers, strings, binary. Never knows a packet.

use std::str;

use crate::id::PacketId;
use crate::mqtt::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::mqtt::kind::PacketKind;

/// The greatest variable byte integer, and so the greatest remaining length.
pub const VARINT_MAX: u32 = 268_435_455;

/// A variable byte integer has at most this many bytes.
const VARINT_BYTES_MAX: usize = 4;

/// Reads fields from the front of a slice; never copies, never reads past the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    /// Every body ends with its last field.
    pub(crate) fn end(self, kind: PacketKind) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(DecodeErrorKind::TrailingBytes(kind).into()) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(DecodeErrorKind::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(DecodeErrorKind::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn varint(&mut self) -> Result<u32, DecodeError> {
        match read_varint(self.rest)? {
            Some((value, bytes)) => {
                self.bytes(bytes)?;
                Ok(value)
            }
            None => Err(DecodeErrorKind::Truncated.into()),
        }
    }

    /// Bytes behind a two-byte length.
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let count = self.u16()?;
        self.bytes(usize::from(count))
    }

    /// UTF-8 behind a two-byte length, without U+0000.
    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        check_text_bytes(bytes)?;
        str::from_utf8(bytes).map_err(|_| DecodeErrorKind::NotUtf8.into())
    }

    /// A string without wildcards; it may be empty.
    pub(crate) fn topic(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        check_topic_bytes(bytes)?;
        str::from_utf8(bytes).map_err(|_| DecodeErrorKind::NotUtf8.into())
    }

    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16()?).ok_or_else(|| DecodeErrorKind::PacketIdZero.into())
    }
}

/// Reads a variable byte integer and its length in bytes; `None` when more bytes are needed.
#[inline]
pub(crate) fn read_varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    match bytes.first() {
        Some(byte) if *byte < 0x80 => Ok(Some((u32::from(*byte), 1))),
        _ => read_long_varint(bytes),
    }
}

fn read_long_varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0;
    for (at, byte) in bytes.iter().copied().take(VARINT_BYTES_MAX).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let is_padded = byte == 0 && at > 0;
            return if is_padded {
                Err(DecodeErrorKind::VarintTooLong.into())
            } else {
                Ok(Some((value, at + 1)))
            };
        }
    }
    if bytes.len() < VARINT_BYTES_MAX {
        Ok(None)
    } else {
        Err(DecodeErrorKind::VarintTooLong.into())
    }
}

/// Refuses what no topic holds.
#[inline]
pub(crate) fn check_topic_bytes(topic: &[u8]) -> Result<(), DecodeError> {
    const PLUS: u64 = u64::from_le_bytes([b'+'; 8]);
    const HASH: u64 = u64::from_le_bytes([b'#'; 8]);
    if any_word(topic, |word| zeros(word) | zeros(word ^ PLUS) | zeros(word ^ HASH)) {
        return Err(topic_fault(topic).into());
    }
    Ok(())
}

/// Refuses what no string holds.
#[inline]
fn check_text_bytes(text: &[u8]) -> Result<(), DecodeError> {
    if any_word(text, zeros) { Err(DecodeErrorKind::NullCharacter.into()) } else { Ok(()) }
}

/// Whether `marks` finds something in the bytes, shown to it eight at a time, the last eight again.
///
/// Topics are short: a search that sets up vectors would cost more than it saves.
#[inline]
fn any_word(bytes: &[u8], marks: impl Fn(u64) -> u64) -> bool {
    // Fewer than eight are filled up with a letter, which nobody looks for.
    let mut short = [b'a'; 8];
    let last = bytes.last_chunk().unwrap_or_else(|| {
        short.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
        &short
    });
    let (words, _) = bytes.as_chunks();
    let found = marks(u64::from_le_bytes(*last));
    words.iter().fold(found, |found, word| found | marks(u64::from_le_bytes(*word))) != 0
}

/// Not zero when one of the eight bytes is: only a zero byte borrows and had no high bit.
#[inline]
const fn zeros(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    word.wrapping_sub(ONES) & !word & HIGHS
}

#[cold]
fn topic_fault(topic: &[u8]) -> DecodeErrorKind {
    if topic.contains(&0) { DecodeErrorKind::NullCharacter } else { DecodeErrorKind::TopicWildcard }
}

/// The bytes that a variable byte integer takes.
pub(crate) const fn varint_bytes(value: u32) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

/// A variable byte integer in as few bytes as it needs, and how many those are.
pub(crate) fn varint(value: u32) -> Result<([u8; VARINT_BYTES_MAX], usize), EncodeError> {
    if value > VARINT_MAX {
        return Err(EncodeError::PacketTooLarge);
    }
    let count = varint_bytes(value);
    let mut bytes = [0; VARINT_BYTES_MAX];
    for (at, byte) in bytes.iter_mut().enumerate().take(count) {
        let [low, ..] = (value >> (7 * at)).to_le_bytes();
        let more = if at + 1 < count { 0x80 } else { 0 };
        *byte = low & 0x7f | more;
    }
    Ok((bytes, count))
}

/// Writes a variable byte integer.
pub(crate) fn put_varint(value: u32, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (bytes, count) = varint(value)?;
    out.extend_from_slice(bytes.get(..count).unwrap_or(&bytes));
    Ok(())
}

/// A length as variable byte integer.
pub(crate) fn put_length(length: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    put_varint(u32::try_from(length).map_err(|_| EncodeError::PacketTooLarge)?, out)
}

pub(crate) fn put_u16(value: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_u32(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Writes bytes behind a two-byte length.
pub(crate) fn put_binary(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let length = u16::try_from(bytes.len()).map_err(|_| EncodeError::FieldTooLong)?;
    put_u16(length, out);
    out.extend_from_slice(bytes);
    Ok(())
}

/// Writes a string behind a two-byte length.
pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    check_text_bytes(text.as_bytes())?;
    put_binary(text.as_bytes(), out)
}

/// Writes a topic: a string without wildcards.
pub(crate) fn put_topic(topic: &str, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    check_topic_bytes(topic.as_bytes())?;
    put_binary(topic.as_bytes(), out)
}

#[cfg(test)]
mod tests {
    use super::{
        Reader, VARINT_MAX, check_text_bytes, check_topic_bytes, put_binary, put_text, put_varint,
        read_varint, varint_bytes,
    };
    use crate::mqtt::error::{DecodeErrorKind, EncodeError};

    #[test]
    fn a_varint_has_one_form() {
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 1]),
            (2_097_151, &[0xff, 0xff, 0x7f]),
            (2_097_152, &[0x80, 0x80, 0x80, 1]),
            (VARINT_MAX, &[0xff, 0xff, 0xff, 0x7f]),
        ] {
            let mut out = Vec::new();
            assert_eq!(put_varint(value, &mut out), Ok(()));
            assert_eq!(out, bytes);
            assert_eq!(varint_bytes(value), bytes.len());
            assert_eq!(read_varint(bytes), Ok(Some((value, bytes.len()))));
            for end in 0..bytes.len() {
                assert_eq!(read_varint(&bytes[..end]), Ok(None));
            }
        }
    }

    #[test]
    fn a_padded_or_fifth_byte_is_refused() {
        for bytes in [
            &[0x80, 0][..],
            &[0x80, 0x80, 0],
            &[0xff, 0x80, 0x80, 0],
            &[0xff, 0xff, 0xff, 0xff],
            &[0x80, 0x80, 0x80, 0x80, 1],
        ] {
            let error = read_varint(bytes).expect_err("too long");
            assert_eq!(error.kind(), DecodeErrorKind::VarintTooLong, "{bytes:02x?}");
        }
        assert_eq!(put_varint(VARINT_MAX + 1, &mut Vec::new()), Err(EncodeError::PacketTooLarge));
    }

    #[track_caller]
    fn check_text(text: &[u8], expected: Result<&str, DecodeErrorKind>) {
        let mut bytes = Vec::new();
        put_binary(text, &mut bytes).expect("short");
        let read = Reader::new(&bytes).text();
        assert_eq!(read.map_err(|error| error.kind()), expected, "{text:02x?}");
    }

    #[test]
    fn a_string_is_well_formed_utf8_without_null() {
        check_text(b"", Ok(""));
        check_text("é🦀".as_bytes(), Ok("é🦀"));
        check_text(b"\xef\xbb\xbfa", Ok("\u{feff}a"));
        check_text(b"a\0b", Err(DecodeErrorKind::NullCharacter));
        check_text(b"\xed\xa0\x80", Err(DecodeErrorKind::NotUtf8));
        check_text(b"\xc0\x80", Err(DecodeErrorKind::NotUtf8));
        check_text(b"\xff", Err(DecodeErrorKind::NotUtf8));
        check_text(b"\xf4\x90\x80\x80", Err(DecodeErrorKind::NotUtf8));
    }

    #[test]
    fn a_field_longer_than_its_length_can_say_is_refused() {
        let mut out = b"xx".to_vec();
        assert_eq!(put_text(&"a".repeat(65_536), &mut out), Err(EncodeError::FieldTooLong));
        assert_eq!(out, b"xx");
        assert_eq!(put_text(&"a".repeat(65_535), &mut out), Ok(()));
    }

    #[test]
    fn a_forbidden_byte_is_found_wherever_it_stands() {
        for length in 0..40 {
            let good = vec![0xc3; length];
            assert_eq!(check_topic_bytes(&good), Ok(()));
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = good.clone();
                    bytes[at] = byte;
                    let is_topic = !matches!(byte, 0 | b'+' | b'#');
                    assert_eq!(check_topic_bytes(&bytes).is_ok(), is_topic, "{bytes:02x?}");
                    assert_eq!(check_text_bytes(&bytes).is_ok(), byte != 0, "{bytes:02x?}");
                }
            }
        }
    }

    #[test]
    fn a_length_past_the_end_takes_nothing() {
        let error = Reader::new(&[0, 5, b'a']).binary().expect_err("short");
        assert_eq!(error.kind(), DecodeErrorKind::Truncated);
    }
}
