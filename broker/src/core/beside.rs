//! What a packet says beside what it is for: its user properties, which have a limit. Keeps
//! nothing of them.

use tidewire_proto::mqtt::{Packet, Properties};

/// The shortest user property: its identifier, and the lengths of two texts.
const LEAST_BYTES: usize = 5;

/// Whether there are more user properties than there may be.
pub(crate) fn has_too_many(properties: Properties<'_>, max: u32) -> bool {
    let max = max as usize;
    // Most packets have no room for so many: they are not counted.
    properties.raw().len() / LEAST_BYTES > max && properties.user_properties().nth(max).is_some()
}

/// The properties of a packet of a client that is in. A PUBLISH looks after its own: it can be
/// refused by itself.
pub(crate) fn properties_of<'a>(packet: &Packet<'a>) -> Properties<'a> {
    match packet {
        Packet::Subscribe(subscribe) => subscribe.properties,
        Packet::Unsubscribe(unsubscribe) => unsubscribe.properties,
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            ack.properties
        }
        Packet::Disconnect(disconnect) => disconnect.properties,
        Packet::Auth(auth) => auth.properties,
        _ => Properties::EMPTY,
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::mqtt::{PropertiesBuilder, PropertyId, PropertyValue};

    use super::has_too_many;

    #[test]
    fn user_properties_are_counted_and_others_are_not() {
        let mut properties = PropertiesBuilder::new();
        let subject = "s".repeat(100);
        let pairs = PropertyValue::Text(&subject);
        properties.push(PropertyId::ReasonString, pairs).expect("valid");
        for (count, expected) in [(1, false), (2, false), (3, true)] {
            let pair = PropertyValue::Pair("a", "");
            properties.push(PropertyId::UserProperty, pair).expect("valid");
            assert_eq!(has_too_many(properties.as_properties(), 2), expected, "{count}");
        }
    }
}
