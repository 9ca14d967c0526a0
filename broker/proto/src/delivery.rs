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
