//! DISCONNECT: the last word of either side.

use crate::mqtt::error::{DecodeError, EncodeError};
use crate::mqtt::kind::PacketKind;
use crate::mqtt::packet::tail::Tail;
use crate::mqtt::primitive::Reader;
use crate::mqtt::property::Properties;
use crate::mqtt::reason::ReasonCode;
use crate::mqtt::version::Version;

/// Nothing follows. Before MQTT 5 only a client sends it, and without a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why; success is a normal end, and the will is forgotten.
    pub reason: ReasonCode,
    /// Session expiry, server reference, reason string, user properties.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// Only a reason.
    #[must_use]
    pub const fn with_reason(reason: ReasonCode) -> Self {
        Self { reason, properties: Properties::EMPTY }
    }

    pub(crate) fn decode(body: Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        if !version.has_properties() {
            body.end(PacketKind::Disconnect)?;
        }
        let Tail { reason, properties } = Tail::decode(body, PacketKind::Disconnect)?;
        Ok(Self { reason, properties })
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !version.has_properties() {
            return Ok(());
        }
        Tail { reason: self.reason, properties: self.properties }
            .encode(PacketKind::Disconnect, out)
    }
}
