//! What several packets end with: a reason and properties, left off from the right when default.

use crate::mqtt::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::mqtt::kind::PacketKind;
use crate::mqtt::primitive::{Reader, put_length};
use crate::mqtt::property::{Properties, PropertyPlace};
use crate::mqtt::reason::ReasonCode;

/// The end of an acknowledgement, DISCONNECT or AUTH of MQTT 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail<'a> {
    pub(crate) reason: ReasonCode,
    pub(crate) properties: Properties<'a>,
}

impl<'a> Tail<'a> {
    /// What a missing tail means.
    pub(crate) const SUCCESS: Self =
        Self { reason: ReasonCode::SUCCESS, properties: Properties::EMPTY };

    /// Reads to the end of the body. AUTH may leave off both or nothing, the others the properties.
    pub(crate) fn decode(mut body: Reader<'a>, kind: PacketKind) -> Result<Self, DecodeError> {
        if body.is_empty() {
            return Ok(Self::SUCCESS);
        }
        let reason = check_reason(body.u8()?, kind)?;
        if body.is_empty() && kind != PacketKind::Auth {
            return Ok(Self { reason, properties: Properties::EMPTY });
        }
        let properties = Properties::decode(&mut body, PropertyPlace::Packet(kind))?;
        body.end(kind)?;
        Ok(Self { reason, properties })
    }

    /// Writes as little as says the same.
    pub(crate) fn encode(self, kind: PacketKind, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        check_reason(self.reason.0, kind)?;
        let is_bare = self.properties.is_empty();
        if is_bare && self.reason == ReasonCode::SUCCESS {
            return Ok(());
        }
        out.push(self.reason.0);
        if is_bare && kind != PacketKind::Auth {
            return Ok(());
        }
        put_properties(self.properties, PropertyPlace::Packet(kind), out)
    }
}

fn check_reason(code: u8, kind: PacketKind) -> Result<ReasonCode, DecodeError> {
    let reason = ReasonCode(code);
    if reason.allowed_in(kind) {
        Ok(reason)
    } else {
        Err(DecodeErrorKind::ReasonNotAllowed(code, kind).into())
    }
}

/// Writes properties behind their length, once they are known to belong there.
#[inline]
pub(crate) fn put_properties(
    properties: Properties<'_>,
    place: PropertyPlace,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if properties.is_empty() {
        out.push(0);
        return Ok(());
    }
    properties.check(place)?;
    put_length(properties.raw().len(), out)?;
    out.extend_from_slice(properties.raw());
    Ok(())
}
