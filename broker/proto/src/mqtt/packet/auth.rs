//! AUTH: one step of an enhanced authentication. Never knows a method.

use crate::mqtt::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::mqtt::kind::PacketKind;
use crate::mqtt::packet::tail::Tail;
use crate::mqtt::primitive::Reader;
use crate::mqtt::property::Properties;
use crate::mqtt::reason::ReasonCode;
use crate::mqtt::version::Version;

/// A challenge or an answer to one; MQTT 5 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Done, another step, or begin again.
    pub reason: ReasonCode,
    /// Method and data, reason string, user properties.
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    pub(crate) fn decode(body: Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let Tail { reason, properties } = Tail::decode(body, PacketKind::Auth)?;
        let auth = Self { reason, properties };
        auth.check(version)?;
        Ok(auth)
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.check(version)?;
        Tail { reason: self.reason, properties: self.properties }.encode(PacketKind::Auth, out)
    }

    /// The method must be named, but for the empty body that the specification allows as well.
    fn check(&self, version: Version) -> Result<(), DecodeError> {
        if !version.has_properties() {
            return Err(DecodeErrorKind::NotInVersion(PacketKind::Auth).into());
        }
        let is_short = self.reason == ReasonCode::SUCCESS && self.properties.is_empty();
        if !is_short && self.properties.authentication_method().is_none() {
            return Err(DecodeErrorKind::AuthMethodMissing.into());
        }
        Ok(())
    }
}
