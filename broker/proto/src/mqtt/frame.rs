//! Where a packet ends. Never looks into a body; consumes nothing.

use crate::mqtt::error::{DecodeError, DecodeErrorKind};
use crate::mqtt::kind::PacketKind;
use crate::mqtt::primitive::read_varint;
use crate::qos::Qos;

/// One whole packet at the front of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Type and flags, already checked.
    pub first_byte: u8,
    /// What stands behind the remaining length.
    pub body: &'a [u8],
    /// The bytes of the whole packet: consume this many.
    pub len: usize,
}

/// What stands at the front of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing<'a> {
    /// A whole packet.
    Packet(Frame<'a>),
    /// The beginning of one.
    NeedMore {
        /// The bytes that the buffer must hold before it is worth asking again. The peer chose
        /// this number: grow with what arrives, not with what it announces.
        at_least: usize,
    },
}

/// Finds the first packet in `buf`, whose whole size may be `packet_bytes_max`.
///
/// What is wrong with the header is said as soon as its bytes are there.
///
/// # Errors
/// Type 0, wrong flags, a remaining length that is malformed, or one beyond the limit.
#[inline]
pub fn frame(buf: &[u8], packet_bytes_max: u32) -> Result<Framing<'_>, DecodeError> {
    const SHORTEST: usize = 2;
    let Some((&first_byte, rest)) = buf.split_first() else {
        return Ok(Framing::NeedMore { at_least: SHORTEST });
    };
    check_first_byte(first_byte)?;
    let Some((length, length_bytes)) = read_varint(rest)? else {
        return Ok(Framing::NeedMore { at_least: buf.len() + 1 });
    };
    let header = 1 + length_bytes;
    let fits = usize::try_from(length).ok().map(|length| header + length);
    let len = fits.filter(|len| u32::try_from(*len).is_ok_and(|len| len <= packet_bytes_max));
    let len = len.ok_or(DecodeErrorKind::PacketTooLarge)?;
    match buf.get(header..len) {
        Some(body) => Ok(Framing::Packet(Frame { first_byte, body, len })),
        None => Ok(Framing::NeedMore { at_least: len }),
    }
}

/// Checks type and flags as far as they do not depend on the version.
#[inline]
pub(crate) fn check_first_byte(first_byte: u8) -> Result<PacketKind, DecodeError> {
    match FIRST_BYTES.get(usize::from(first_byte)) {
        Some(Ok(kind)) => Ok(*kind),
        Some(Err(fault)) => Err((*fault).into()),
        None => Err(DecodeErrorKind::ReservedPacketType.into()),
    }
}

/// The answer for each first byte, worked out when this is compiled.
static FIRST_BYTES: [Result<PacketKind, DecodeErrorKind>; 256] = {
    let mut answers = [Err(DecodeErrorKind::ReservedPacketType); 256];
    let mut first_byte = 0;
    while first_byte < u8::MAX {
        answers[first_byte as usize] = judge_first_byte(first_byte);
        first_byte += 1;
    }
    answers[first_byte as usize] = judge_first_byte(first_byte);
    answers
};

const fn judge_first_byte(first_byte: u8) -> Result<PacketKind, DecodeErrorKind> {
    const DUP: u8 = 0b1000;
    let Some(kind) = PacketKind::of(first_byte) else {
        return Err(DecodeErrorKind::ReservedPacketType);
    };
    let fixed = kind.first_byte();
    match (kind, Qos::from_bits(first_byte >> 1 & 0b11)) {
        (PacketKind::Publish, None) => Err(DecodeErrorKind::QosReserved),
        (PacketKind::Publish, Some(Qos::AtMostOnce)) if first_byte & DUP != 0 => {
            Err(DecodeErrorKind::DupWithoutQos)
        }
        (PacketKind::Publish, Some(_)) => Ok(kind),
        _ if first_byte == fixed => Ok(kind),
        // MQTT 3.1 lets a client repeat SUBSCRIBE, UNSUBSCRIBE and PUBREL with DUP set.
        (PacketKind::Subscribe | PacketKind::Unsubscribe | PacketKind::PubRel, _)
            if first_byte == fixed | DUP =>
        {
            Ok(kind)
        }
        _ => Err(DecodeErrorKind::ReservedFlags(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Frame, Framing, frame};
    use crate::mqtt::error::DecodeErrorKind;

    #[track_caller]
    fn check_error(buf: &[u8], expected: DecodeErrorKind) {
        assert_eq!(frame(buf, 1000).map_err(|error| error.kind()), Err(expected), "{buf:02x?}");
    }

    #[test]
    fn a_whole_packet_is_found_before_other_bytes() {
        let found = frame(&[0xc0, 0, 0xff], 1000);
        assert_eq!(found, Ok(Framing::Packet(Frame { first_byte: 0xc0, body: &[], len: 2 })));
        let mut buf = vec![0x30, 0x80, 0x01];
        buf.resize(3 + 128 + 5, 7);
        let body = &buf[3..131];
        let expected = Framing::Packet(Frame { first_byte: 0x30, body, len: 131 });
        assert_eq!(frame(&buf, 131), Ok(expected));
    }

    #[test]
    fn a_part_asks_for_more_and_says_how_much() {
        for (buf, at_least) in [
            (&[][..], 2),
            (&[0x30], 2),
            (&[0x30, 0x80], 3),
            (&[0x30, 0x80, 0x80], 4),
            (&[0x30, 0x80, 0x01], 131),
            (&[0x30, 5, 1, 2], 7),
        ] {
            assert_eq!(frame(buf, 1000), Ok(Framing::NeedMore { at_least }), "{buf:02x?}");
        }
    }

    #[test]
    fn a_length_bomb_is_refused_by_its_header() {
        check_error(&[0x10, 0xff, 0xff, 0xff, 0x7f], DecodeErrorKind::PacketTooLarge);
        check_error(&[0x10, 0xff, 0xff, 0xff, 0xff], DecodeErrorKind::VarintTooLong);
        check_error(&[0xc0, 0x80, 0x00], DecodeErrorKind::VarintTooLong);
        assert!(frame(&[0x30, 100], 102).is_ok());
        assert!(frame(&[0x30, 100], 101).is_err());
        assert!(frame(&[0x10, 0xff, 0xff, 0xff, 0x7f], u32::MAX).is_ok());
    }

    #[test]
    fn the_first_byte_is_checked_alone() {
        use crate::mqtt::kind::PacketKind;
        check_error(&[0x00], DecodeErrorKind::ReservedPacketType);
        check_error(&[0x0f], DecodeErrorKind::ReservedPacketType);
        check_error(&[0x36], DecodeErrorKind::QosReserved);
        check_error(&[0x38], DecodeErrorKind::DupWithoutQos);
        for kind in PacketKind::ALL.into_iter().filter(|kind| *kind != PacketKind::Publish) {
            let right = kind.first_byte();
            for first_byte in right & 0xf0..=right | 0x0f {
                let is_right = first_byte == right || (right & 2 != 0 && first_byte == right | 8);
                assert_eq!(frame(&[first_byte], 1000).is_ok(), is_right, "{first_byte:02x}");
            }
        }
    }
}
