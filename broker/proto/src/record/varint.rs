//! Zigzag variable-length integers as Kafka writes them. The only bit twiddling of the format.

/// The longest encoding of 64 bits.
pub(super) const VARINT_BYTES_MAX: usize = 10;

/// Small magnitudes become small numbers, whatever their sign.
pub(super) fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// How many bytes `value` takes.
pub(super) fn varint_bytes(value: i64) -> usize {
    let significant = 64 - (zigzag(value) | 1).leading_zeros();
    (significant as usize).div_ceil(7)
}

/// Write `value` at `at` in `out`; returns the position behind it.
pub(super) fn put_varint(out: &mut [u8], mut at: usize, value: i64) -> usize {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out[at] = low_byte(rest) | 0x80;
        rest >>= 7;
        at += 1;
    }
    out[at] = low_byte(rest);
    at + 1
}

/// A reader over bytes that a peer or a disk may have made up: every answer is checked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub(super) fn varint(&mut self) -> Option<i64> {
        let mut value = 0_u64;
        for index in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        None
    }

    /// A count or a length: never negative.
    pub(super) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok()
    }

    /// A length and as many bytes, or -1 for none at all.
    pub(super) fn nullable(&mut self) -> Option<Option<&'a [u8]>> {
        match self.varint()? {
            -1 => Some(None),
            length => self.take(usize::try_from(length).ok()?).map(Some),
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the low byte is what is meant")]
fn low_byte(value: u64) -> u8 {
    value as u8
}

#[cfg(test)]
mod tests {
    use super::{Cursor, VARINT_BYTES_MAX, put_varint, varint_bytes};

    #[track_caller]
    fn check(value: i64, expected: &[u8]) {
        let mut out = [0; VARINT_BYTES_MAX];
        let end = put_varint(&mut out, 0, value);
        assert_eq!(&out[..end], expected, "{value}");
        assert_eq!(varint_bytes(value), end, "{value}");
        let mut cursor = Cursor::new(expected);
        assert_eq!((cursor.varint(), cursor.rest()), (Some(value), &[][..]));
    }

    #[test]
    fn integers_travel_as_kafka_writes_them() {
        check(0, &[0]);
        check(-1, &[1]);
        check(1, &[2]);
        check(63, &[126]);
        check(64, &[0x80, 1]);
        check(-64, &[127]);
        check(300, &[0xd8, 4]);
        check(i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        check(i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    }

    #[test]
    fn an_integer_that_never_ends_is_refused() {
        assert_eq!(Cursor::new(&[0xff; 11]).varint(), None);
        assert_eq!(Cursor::new(&[0x80]).varint(), None);
    }
}
