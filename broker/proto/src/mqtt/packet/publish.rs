//! PUBLISH: a message on its way, in either direction. Never resolves an alias.

use crate::id::PacketId;
use crate::mqtt::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::mqtt::kind::PacketKind;
use crate::mqtt::packet::tail::put_properties;
use crate::mqtt::primitive::{Reader, VARINT_MAX, put_topic, put_u16, put_varint, varint_bytes};
use crate::mqtt::property::{Properties, PropertyPlace};
use crate::mqtt::version::Version;
use crate::qos::Qos;

/// What a head holds besides topic and properties, at most: type, lengths, packet identifier.
const HEAD_BYTES_EXTRA: usize = 1 + 4 + 2 + 2 + 4;

const PLACE: PropertyPlace = PropertyPlace::Packet(PacketKind::Publish);

/// A message. Subscription identifiers are taken here: only a client must not send them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// It may have been sent before; never with QoS 0.
    pub dup: bool,
    /// The promise for this one hop.
    pub qos: Qos,
    /// To be kept for later subscribers, or was.
    pub retain: bool,
    /// Without wildcards; empty only in MQTT 5 with a topic alias.
    pub topic: &'a str,
    /// Names the exchange; `None` with QoS 0.
    pub packet_id: Option<PacketId>,
    /// None before MQTT 5.
    pub properties: Properties<'a>,
    /// Any bytes.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    #[inline]
    pub(crate) fn decode(
        first_byte: u8,
        mut body: Reader<'a>,
        version: Version,
    ) -> Result<Self, DecodeError> {
        let qos = Qos::from_bits(first_byte >> 1 & 0b11).ok_or(DecodeErrorKind::QosReserved)?;
        let topic = body.topic()?;
        let packet_id = match qos {
            Qos::AtMostOnce => None,
            Qos::AtLeastOnce | Qos::ExactlyOnce => Some(body.packet_id()?),
        };
        let properties = if version.has_properties() {
            Properties::decode(&mut body, PLACE)?
        } else {
            Properties::EMPTY
        };
        if topic.is_empty() && properties.topic_alias().is_none() {
            return Err(DecodeErrorKind::TopicEmpty.into());
        }
        Ok(Self {
            dup: first_byte & 0b1000 != 0,
            qos,
            retain: first_byte & 1 != 0,
            topic,
            packet_id,
            properties,
            payload: body.rest(),
        })
    }

    /// Whether it says nothing beside its payload.
    pub(crate) fn has_only_payload(&self) -> bool {
        self.packet_id.is_none() && self.properties.is_empty() && !self.topic.is_empty()
    }

    /// How long the packet is at least. `None` if it cannot be one.
    pub(crate) fn least_bytes(&self, version: Version) -> Option<usize> {
        let length = self.remaining_length(self.properties, version).ok()?;
        Some(1 + varint_bytes(length) + length as usize)
    }

    /// Type and flags.
    fn first_byte(&self) -> u8 {
        PacketKind::Publish.first_byte()
            | u8::from(self.dup) << 3
            | self.qos.bits() << 1
            | u8::from(self.retain)
    }

    /// Writes all but the payload, which is counted. Returns where the packet identifier stands.
    #[inline]
    pub(crate) fn encode_head(
        &self,
        version: Version,
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, EncodeError> {
        let properties = if version.has_properties() { self.properties } else { Properties::EMPTY };
        if self.dup && self.qos == Qos::AtMostOnce {
            return Err(DecodeErrorKind::DupWithoutQos.into());
        }
        if self.topic.is_empty() && properties.topic_alias().is_none() {
            return Err(DecodeErrorKind::TopicEmpty.into());
        }
        let length = self.remaining_length(properties, version)?;
        out.reserve(HEAD_BYTES_EXTRA + self.topic.len() + properties.raw().len());
        out.push(self.first_byte());
        put_varint(length, out)?;
        put_topic(self.topic, out)?;
        let packet_id_at = (self.qos != Qos::AtMostOnce).then_some(out.len());
        if packet_id_at.is_some() {
            put_u16(self.packet_id.map_or(0, PacketId::get), out);
        }
        if version.has_properties() {
            put_properties(properties, PLACE, out)?;
        }
        Ok(packet_id_at)
    }

    fn remaining_length(
        &self,
        properties: Properties<'_>,
        version: Version,
    ) -> Result<u32, EncodeError> {
        let topic_bytes = 2 + self.topic.len();
        let packet_id_bytes = if self.qos == Qos::AtMostOnce { 0 } else { 2 };
        let property_bytes = properties.raw().len();
        let length_bytes = match u32::try_from(property_bytes) {
            Ok(bytes) if version.has_properties() => varint_bytes(bytes),
            _ => 0,
        };
        let length =
            topic_bytes + packet_id_bytes + length_bytes + property_bytes + self.payload.len();
        u32::try_from(length)
            .ok()
            .filter(|length| *length <= VARINT_MAX)
            .ok_or(EncodeError::PacketTooLarge)
    }
}
