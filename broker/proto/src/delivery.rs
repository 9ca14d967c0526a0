//! A message as a PUBLISH to a subscriber, encoded once for all that get the same bytes.

use crate::id::PacketId;
use crate::message::Message;
use crate::mqtt::{
    ALIAS_BYTES_MAX, EncodeError, PropertiesBuilder, PropertyId, PropertyValue, Publish,
    VARINT_MAX, Version, encode_publish_head, put_aliased,
};
use crate::qos::Qos;
use crate::session::outbound_alias::OutboundAliases;

/// What is the same for all receivers of an encoded PUBLISH but the packet id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The receiver's protocol.
    pub version: Version,
    /// The QoS it gets.
    pub qos: Qos,
    /// RETAIN.
    pub retain: bool,
    /// DUP.
    pub dup: bool,
}

/// An encoded PUBLISH with a hole for the packet id. Reused from message to message.
#[derive(Debug, Default)]
pub struct Template {
    bytes: Vec<u8>,
    id_at: Option<usize>,
    properties: PropertiesBuilder,
}

impl Template {
    /// Encodes the message. `ids` are the receiver's Subscription Identifiers.
    ///
    /// # Errors
    /// When the message cannot be put into one packet.
    pub fn write(
        &mut self,
        message: &Message<'_>,
        shape: Shape,
        ids: impl Iterator<Item = u32>,
        now_ms: i64,
    ) -> Result<(), EncodeError> {
        self.bytes.clear();
        self.properties.clear();
        if shape.version == Version::V5 {
            write_properties(&mut self.properties, message, ids, now_ms)?;
        }
        let publish = Publish {
            dup: shape.dup,
            qos: shape.qos,
            retain: shape.retain,
            topic: message.topic,
            packet_id: None,
            properties: self.properties.as_properties(),
            payload: message.payload,
        };
        let head = encode_publish_head(&publish, shape.version, &mut self.bytes)?;
        self.bytes.extend_from_slice(message.payload);
        self.id_at = head.packet_id_at;
        Ok(())
    }

    /// How long the packet is.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// As [`append_to`](Self::append_to), with a topic alias where `aliases` has one and the packet
    /// stays within `bytes_max`. `is_held`: other packets may overtake this one.
    pub fn append_aliased(
        &self,
        out: &mut Vec<u8>,
        id: Option<PacketId>,
        topic: &str,
        (aliases, is_held): (&mut OutboundAliases, bool),
        bytes_max: usize,
    ) {
        // Asked first: an alias that was given must reach the client.
        let bytes_max = bytes_max.min(VARINT_MAX as usize);
        let fits = self.bytes.len() + ALIAS_BYTES_MAX <= bytes_max;
        let Some(next) = fits.then(|| aliases.next(topic, is_held)).flatten() else {
            return self.append_to(out, id);
        };
        if put_aliased(&self.bytes, id, (next.alias, next.with_topic), out).is_err() {
            self.append_to(out, id);
        }
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends the packet with this packet id.
    pub fn append_to(&self, out: &mut Vec<u8>, id: Option<PacketId>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        if let (Some(at), Some(id)) = (self.id_at, id) {
            out[start + at..start + at + 2].copy_from_slice(&id.get().to_be_bytes());
        }
    }
}

/// Puts the properties of a message behind those in `out`, its expiry as of now; then `ids`.
///
/// # Errors
/// When a value is longer than MQTT allows; `out` may hold some of them then.
fn write_properties(
    out: &mut PropertiesBuilder,
    message: &Message<'_>,
    ids: impl Iterator<Item = u32>,
    now_ms: i64,
) -> Result<(), EncodeError> {
    copy_properties(out, message, now_ms)?;
    for id in ids {
        out.push(PropertyId::SubscriptionId, PropertyValue::Varint(id))?;
    }
    Ok(())
}

/// The message's properties as they go on, the time that is left to it counted down.
///
/// # Errors
/// When they are too long for a packet.
pub fn copy_properties(
    out: &mut PropertiesBuilder,
    message: &Message<'_>,
    now_ms: i64,
) -> Result<(), EncodeError> {
    if message.has_properties() {
        if message.is_text {
            out.push(PropertyId::PayloadFormat, PropertyValue::Byte(1))?;
        }
        if let Some(seconds) = message.seconds_left(now_ms) {
            out.push(PropertyId::MessageExpiry, PropertyValue::FourByte(seconds))?;
        }
        if let Some(text) = message.content_type {
            out.push(PropertyId::ContentType, PropertyValue::Text(text))?;
        }
        if let Some(topic) = message.response_topic {
            out.push(PropertyId::ResponseTopic, PropertyValue::Text(topic))?;
        }
        if let Some(data) = message.correlation {
            out.push(PropertyId::CorrelationData, PropertyValue::Binary(data))?;
        }
        for (name, value) in message.user_properties() {
            out.user(name, value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Shape, Template};
    use crate::as_it_came::AsItCame;
    use crate::message::Published;
    use crate::mqtt::{Framing, Packet, Properties, Publish, Version, decode, frame};
    use crate::qos::Qos;

    /// The packet of a subscriber, as it is encoded from the message.
    fn encoded(publish: &Publish<'_>, shape: Shape) -> Vec<u8> {
        let message = Published::new(publish, publish.topic, None).received(0);
        let (mut template, mut out) = (Template::default(), Vec::new());
        template.write(&message, shape, std::iter::empty(), 0).expect("fits");
        template.append_to(&mut out, None);
        out
    }

    fn read(packet: &[u8], version: Version) -> Publish<'_> {
        let Ok(Framing::Packet(found)) = frame(packet, u32::MAX) else { panic!("no packet") };
        match decode(&found, version) {
            Ok(Packet::Publish(publish)) => publish,
            other => panic!("{other:?}"),
        }
    }

    const LIVE: Shape =
        Shape { version: Version::V5, qos: Qos::AtMostOnce, retain: false, dup: false };

    #[test]
    fn what_goes_on_as_it_came_is_what_would_be_encoded() {
        for version in [Version::V5, Version::V311] {
            for bytes in [0, 1, 100, 127, 128, 20_000] {
                let payload = vec![b'x'; bytes];
                let (topic, properties) = ("plant/7", Properties::EMPTY);
                let (dup, retain, packet_id, payload) = (false, false, None, &payload[..]);
                let qos = Qos::AtMostOnce;
                let publish = Publish { dup, qos, retain, topic, packet_id, properties, payload };
                let shape = Shape { version, ..LIVE };
                let packet = encoded(&publish, shape);
                let came = AsItCame::of(&packet, &read(&packet, version), version).expect("plain");
                assert_eq!(came.packet(version), Some(&packet[..]));
                let other = if version == Version::V5 { Version::V311 } else { Version::V5 };
                assert_eq!(came.packet(other), None);
            }
        }
    }

    #[test]
    fn what_says_more_or_takes_more_than_it_must_does_not_go_on_as_it_came() {
        let goes_on = |packet: &[u8], version| {
            AsItCame::of(packet, &read(packet, version), version).is_some()
        };
        assert!(goes_on(b"\x30\x05\x00\x01a\x00b", Version::V5));
        assert!(goes_on(b"\x30\x04\x00\x01ab", Version::V311));
        for (packet, why) in [
            (&b"\x31\x05\x00\x01a\x00b"[..], "it is to be kept"),
            (b"\x30\x07\x00\x01a\x02\x01\x01b", "it has a property"),
            (b"\x30\x08\x00\x01a\x03\x23\x00\x01b", "it gives an alias"),
            (b"\x32\x07\x00\x01a\x00\x07\x00b", "it is acknowledged"),
        ] {
            assert!(!goes_on(packet, Version::V5), "{why}");
        }
    }
}
