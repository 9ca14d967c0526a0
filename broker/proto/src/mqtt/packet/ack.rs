//! PUBACK, PUBREC, PUBREL and PUBCOMP: one body, four types.

use crate::id::PacketId;
use crate::mqtt::error::{DecodeError, EncodeError};
use crate::mqtt::kind::PacketKind;
use crate::mqtt::packet::tail::Tail;
use crate::mqtt::primitive::{Reader, put_u16};
use crate::mqtt::property::Properties;
use crate::mqtt::reason::ReasonCode;
use crate::mqtt::version::Version;

/// One step of a QoS 1 or QoS 2 exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The exchange.
    pub packet_id: PacketId,
    /// How it goes; before MQTT 5 always success.
    pub reason: ReasonCode,
    /// Reason string and user properties.
    pub properties: Properties<'a>,
}

impl<'a> Ack<'a> {
    /// All is well, and nothing more to say.
    #[must_use]
    pub const fn success(packet_id: PacketId) -> Self {
        Self { packet_id, reason: ReasonCode::SUCCESS, properties: Properties::EMPTY }
    }

    /// The same with another reason.
    #[must_use]
    pub const fn with_reason(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self { packet_id, reason, properties: Properties::EMPTY }
    }

    pub(crate) fn decode(
        mut body: Reader<'a>,
        kind: PacketKind,
        version: Version,
    ) -> Result<Self, DecodeError> {
        let packet_id = body.packet_id()?;
        if body.is_empty() {
            return Ok(Self::success(packet_id));
        }
        if !version.has_properties() {
            body.end(kind)?;
        }
        let Tail { reason, properties } = Tail::decode(body, kind)?;
        Ok(Self { packet_id, reason, properties })
    }

    pub(crate) fn encode(
        &self,
        kind: PacketKind,
        version: Version,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        put_u16(self.packet_id.get(), out);
        if !version.has_properties() {
            return Ok(());
        }
        Tail { reason: self.reason, properties: self.properties }.encode(kind, out)
    }
}
