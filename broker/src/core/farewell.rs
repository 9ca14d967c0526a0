//! Our last word to an open connection of MQTT 5: DISCONNECT, with what helps its reader.

use tidewire_proto::mqtt::{
    Disconnect, Packet, PropertiesBuilder, PropertyId, PropertyValue, ReasonCode, Version,
};

use crate::core::open::Terms;
use crate::core::send::put;

/// Writes it behind what `out` holds: with a text for people and, at our stop, with a place to go;
/// without them if the client takes no packet of that size, and not at all if it must be.
pub(crate) fn put_farewell(
    reason: ReasonCode,
    text: Option<&str>,
    reference: Option<&str>,
    terms: &Terms,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let mut properties = PropertiesBuilder::new();
    let mut add = |id, text: Option<&str>| {
        let Some(text) = text else { return };
        if let Err(error) = properties.push(id, PropertyValue::Text(text)) {
            tracing::error!(%error, "a property of DISCONNECT cannot be sent");
        }
    };
    let mut reason = reason;
    if reason == ReasonCode::SERVER_SHUTTING_DOWN && reference.is_some() {
        reason = ReasonCode::USE_ANOTHER_SERVER;
        add(PropertyId::ServerReference, reference);
    }
    let text = text.or_else(|| explanation(reason));
    add(PropertyId::ReasonString, text.filter(|_| terms.wants_reasons));
    let told = Disconnect { reason, properties: properties.as_properties() };
    for packet in [told, Disconnect::with_reason(reason)] {
        put(&Packet::Disconnect(packet), Version::V5, out);
        if out.len() - start <= terms.packet_bytes_max as usize {
            return;
        }
        out.truncate(start);
    }
}

/// What the code alone does not say.
fn explanation(reason: ReasonCode) -> Option<&'static str> {
    Some(match reason {
        ReasonCode::KEEP_ALIVE_TIMEOUT => "nothing was heard for one and a half keep-alives",
        ReasonCode::SESSION_TAKEN_OVER => "another connection uses this client id now",
        ReasonCode::RECEIVE_MAXIMUM_EXCEEDED => {
            "more unacknowledged messages than the Receive Maximum in CONNACK allows"
        }
        ReasonCode::TOPIC_ALIAS_INVALID => {
            "a topic alias is 0 or above the Topic Alias Maximum in CONNACK"
        }
        ReasonCode::TOPIC_NAME_INVALID => {
            "a topic has too many levels, holds a wildcard, or is no valid $delayed topic"
        }
        ReasonCode::PACKET_TOO_LARGE => {
            "a packet is larger than the Maximum Packet Size in CONNACK, or an answer is larger \
             than the one in CONNECT"
        }
        ReasonCode::UNSPECIFIED_ERROR => "the broker cannot write or read its data: see its log",
        _ => return None,
    })
}
