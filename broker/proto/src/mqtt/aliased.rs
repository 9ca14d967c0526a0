//! A PUBLISH of MQTT 5 that is there already, written once more with a topic alias. Never reads
//! its properties or payload.

use crate::id::PacketId;
use crate::mqtt::error::{DecodeError, EncodeError};
use crate::mqtt::primitive::{Reader, put_u16, put_varint, varint_bytes};
use crate::mqtt::property::PropertyId;

/// So much longer the packet can get, at most.
pub const ALIAS_BYTES_MAX: usize = 8;

const ALIAS_BYTES: u32 = 3;
const QOS_BITS: u8 = 0b110;

/// Writes `packet` behind what `out` holds, with this alias and packet identifier; without its
/// topic unless `with_topic`. It must not have an alias yet.
///
/// # Errors
/// When the bytes are no PUBLISH of MQTT 5; `out` is as it was.
pub fn put_aliased(
    packet: &[u8],
    id: Option<PacketId>,
    (alias, with_topic): (u16, bool),
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let parts = Parts::of(packet)?;
    let written = parts.put(id, alias, with_topic, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

struct Parts<'a> {
    first_byte: u8,
    topic: &'a [u8],
    properties_length: u32,
    /// Properties and payload.
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(packet: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(packet);
        let first_byte = reader.u8()?;
        reader.varint()?;
        let topic = reader.binary()?;
        if first_byte & QOS_BITS != 0 {
            reader.u16()?;
        }
        let properties_length = reader.varint()?;
        Ok(Self { first_byte, topic, properties_length, rest: reader.rest() })
    }

    fn put(
        &self,
        id: Option<PacketId>,
        alias: u16,
        with_topic: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let topic = if with_topic { self.topic } else { &[] };
        let has_id = self.first_byte & QOS_BITS != 0;
        let properties = self.properties_length + ALIAS_BYTES;
        let topic_length = u16::try_from(topic.len()).map_err(|_| EncodeError::FieldTooLong)?;
        let length = 2
            + topic.len()
            + if has_id { 2 } else { 0 }
            + varint_bytes(properties)
            + ALIAS_BYTES as usize
            + self.rest.len();
        out.push(self.first_byte);
        put_varint(u32::try_from(length).map_err(|_| EncodeError::PacketTooLarge)?, out)?;
        put_u16(topic_length, out);
        out.extend_from_slice(topic);
        if has_id {
            put_u16(id.ok_or(EncodeError::PacketIdMissing)?.get(), out);
        }
        put_varint(properties, out)?;
        out.push(PropertyId::TopicAlias.bits());
        put_u16(alias, out);
        out.extend_from_slice(self.rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIAS_BYTES_MAX, put_aliased};
    use crate::id::PacketId;
    use crate::mqtt::{
        Framing, Packet, PropertiesBuilder, Publish, Version, decode, encode, frame,
    };
    use crate::qos::Qos;

    fn check(topic: &str, user_bytes: usize, with_topic: bool, qos: Qos) {
        let mut properties = PropertiesBuilder::new();
        if user_bytes > 0 {
            properties.user("k", &"v".repeat(user_bytes)).expect("fits");
        }
        let packet_id = (qos != Qos::AtMostOnce).then(|| PacketId::new(9).expect("not zero"));
        let publish = Publish {
            dup: false,
            qos,
            retain: true,
            topic,
            packet_id,
            properties: properties.as_properties(),
            payload: b"payload",
        };
        let mut plain = Vec::new();
        encode(&Packet::Publish(publish), Version::V5, &mut plain).expect("fits");
        let mut out = b"before".to_vec();
        let id = packet_id.and_then(|_| PacketId::new(700));
        put_aliased(&plain, id, (7, with_topic), &mut out).expect("a PUBLISH");
        assert!(out.len() - 6 <= plain.len() + ALIAS_BYTES_MAX);
        let Ok(Framing::Packet(framed)) = frame(&out[6..], u32::MAX) else { panic!("no packet") };
        let Ok(Packet::Publish(read)) = decode(&framed, Version::V5) else { panic!("no PUBLISH") };
        assert_eq!(framed.len, out.len() - 6);
        assert_eq!(read.topic, if with_topic { topic } else { "" });
        assert_eq!(read.properties.topic_alias(), Some(7));
        assert_eq!(read.properties.user_properties().count(), usize::from(user_bytes > 0));
        assert_eq!((read.packet_id, read.retain, read.payload), (id, true, &b"payload"[..]));
    }

    #[test]
    fn only_topic_and_alias_differ() {
        for qos in [Qos::AtMostOnce, Qos::ExactlyOnce] {
            for with_topic in [true, false] {
                // Where lengths grow by a byte.
                for user_bytes in [0, 1, 110, 118, 119, 120, 16_370, 16_380] {
                    check("plant/7/temperature", user_bytes, with_topic, qos);
                }
                check(&"long/".repeat(2_000), 0, with_topic, qos);
            }
        }
    }

    #[test]
    fn what_is_no_publish_leaves_nothing_behind() {
        for wrong in [&[][..], &[0x30], &[0x30, 2, 0, 9], &[0x32, 5, 0, 1, b'a', 0]] {
            let mut out = vec![1];
            assert!(put_aliased(wrong, None, (1, true), &mut out).is_err());
            assert_eq!(out, [1]);
        }
    }
}
