//! SUBACK and UNSUBACK: one code per filter. Never grants anything itself.

use crate::id::PacketId;
use crate::mqtt::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::mqtt::kind::PacketKind;
use crate::mqtt::packet::tail::put_properties;
use crate::mqtt::primitive::{Reader, put_u16};
use crate::mqtt::property::{Properties, PropertyPlace};
use crate::mqtt::reason::ReasonCode;
use crate::mqtt::version::Version;

/// The answer to SUBSCRIBE or UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// The packet that is answered.
    pub packet_id: PacketId,
    /// Reason string and user properties.
    pub properties: Properties<'a>,
    /// One [`ReasonCode`] per filter, in order. UNSUBACK has none before MQTT 5.
    pub codes: &'a [u8],
}

/// UNSUBACK is shaped as SUBACK.
pub type UnsubAck<'a> = SubAck<'a>;

impl<'a> SubAck<'a> {
    pub(crate) fn decode(
        mut body: Reader<'a>,
        kind: PacketKind,
        version: Version,
    ) -> Result<Self, DecodeError> {
        let packet_id = body.packet_id()?;
        let properties = if version.has_properties() {
            Properties::decode(&mut body, PropertyPlace::Packet(kind))?
        } else {
            Properties::EMPTY
        };
        if !has_codes(kind, version) {
            body.end(kind)?;
        }
        let codes = body.rest();
        check_codes(codes, kind, version)?;
        Ok(Self { packet_id, properties, codes })
    }

    pub(crate) fn encode(
        &self,
        kind: PacketKind,
        version: Version,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        put_u16(self.packet_id.get(), out);
        if version.has_properties() {
            check_codes(self.codes, kind, version)?;
            put_properties(self.properties, PropertyPlace::Packet(kind), out)?;
            out.extend_from_slice(self.codes);
        } else if has_codes(kind, version) {
            let start = out.len();
            out.extend(self.codes.iter().map(|code| before_v5(ReasonCode(*code)).0));
            check_codes(out.get(start..).unwrap_or_default(), kind, version)?;
        }
        Ok(())
    }
}

fn has_codes(kind: PacketKind, version: Version) -> bool {
    kind == PacketKind::SubAck || version.has_properties()
}

/// MQTT 3.1.1 knows one failure; we say it to 3.1 as well rather than grant what is not.
const fn before_v5(code: ReasonCode) -> ReasonCode {
    if code.is_error() { ReasonCode::UNSPECIFIED_ERROR } else { code }
}

fn check_codes(codes: &[u8], kind: PacketKind, version: Version) -> Result<(), DecodeError> {
    if codes.is_empty() && has_codes(kind, version) {
        return Err(DecodeErrorKind::NoReasonCodes(kind).into());
    }
    let is_known = |code: u8| {
        let reason = ReasonCode(code);
        reason.allowed_in(kind) && (version.has_properties() || before_v5(reason) == reason)
    };
    match codes.iter().find(|code| !is_known(**code)) {
        Some(code) => Err(DecodeErrorKind::ReasonNotAllowed(*code, kind).into()),
        None => Ok(()),
    }
}
