//! CONNACK: the server's first word. Never decides who may connect.

use crate::mqtt::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::mqtt::kind::PacketKind;
use crate::mqtt::packet::tail::put_properties;
use crate::mqtt::primitive::Reader;
use crate::mqtt::property::{Properties, PropertyPlace};
use crate::mqtt::reason::ReasonCode;
use crate::mqtt::version::Version;

const PLACE: PropertyPlace = PropertyPlace::Packet(PacketKind::ConnAck);

/// The answer to CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// The server goes on with a session that it has. MQTT 3.1 cannot say so.
    pub session_present: bool,
    /// MQTT 5's code in all versions; what 3.1.1 says on the wire is translated.
    pub reason: ReasonCode,
    /// What the server offers.
    pub properties: Properties<'a>,
}

impl<'a> ConnAck<'a> {
    pub(crate) fn decode(mut body: Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let flags = body.u8()?;
        let flags_max = u8::from(version != Version::V31);
        if flags > flags_max {
            return Err(DecodeErrorKind::ConnAckFlagsReserved.into());
        }
        let code = body.u8()?;
        let reason = if version.has_properties() { Some(ReasonCode(code)) } else { from_v3(code) };
        let reason = reason
            .filter(|reason| reason.allowed_in(PacketKind::ConnAck))
            .ok_or(DecodeErrorKind::ReasonNotAllowed(code, PacketKind::ConnAck))?;
        let properties = if version.has_properties() {
            Properties::decode(&mut body, PLACE)?
        } else {
            Properties::EMPTY
        };
        body.end(PacketKind::ConnAck)?;
        let connack = Self { session_present: flags == 1, reason, properties };
        connack.check()?;
        Ok(connack)
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.check()?;
        out.push(u8::from(self.session_present && version != Version::V31));
        if !version.has_properties() {
            out.push(to_v3(self.reason));
            return Ok(());
        }
        out.push(self.reason.0);
        put_properties(self.properties, PLACE, out)
    }

    fn check(&self) -> Result<(), DecodeError> {
        if !self.reason.allowed_in(PacketKind::ConnAck) {
            let kind = DecodeErrorKind::ReasonNotAllowed(self.reason.0, PacketKind::ConnAck);
            return Err(kind.into());
        }
        if self.session_present && self.reason.is_error() {
            return Err(DecodeErrorKind::SessionPresentWithError.into());
        }
        Ok(())
    }
}

/// The return codes before MQTT 5 in its words.
const fn from_v3(code: u8) -> Option<ReasonCode> {
    Some(match code {
        0 => ReasonCode::SUCCESS,
        1 => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
        2 => ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
        3 => ReasonCode::SERVER_UNAVAILABLE,
        4 => ReasonCode::BAD_USER_NAME_OR_PASSWORD,
        5 => ReasonCode::NOT_AUTHORIZED,
        _ => return None,
    })
}

/// The nearest return code; "server unavailable" for what has none.
const fn to_v3(reason: ReasonCode) -> u8 {
    match reason {
        ReasonCode::SUCCESS => 0,
        ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => 1,
        ReasonCode::CLIENT_IDENTIFIER_NOT_VALID => 2,
        ReasonCode::BAD_USER_NAME_OR_PASSWORD => 4,
        ReasonCode::NOT_AUTHORIZED | ReasonCode::BANNED | ReasonCode::BAD_AUTHENTICATION_METHOD => {
            5
        }
        _ => 3,
    }
}
