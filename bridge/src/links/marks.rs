//! How a message says where it has been, so that it goes nowhere twice. Pure.

use tidewire_proto::message::Message;
use tidewire_proto::mqtt::Properties;

/// The user property in which each broker of ours that sent a message over a link says its name.
pub(crate) const HOP: &str = "bridge-hop";
/// No message goes over more links.
const HOPS_MAX: usize = 16;

/// Whether a message has been at the broker of this name.
#[must_use]
pub fn was_here(properties: Properties<'_>, broker: &str) -> bool {
    let (hop, broker) = (HOP.as_bytes(), broker.as_bytes());
    properties.user_bytes().any(|(name, value)| name == hop && value == broker)
}

/// Whether a message has gone far enough.
pub(crate) fn is_far_travelled(message: &Message<'_>) -> bool {
    message.user_properties().filter(|(name, _)| *name == HOP).count() >= HOPS_MAX
}

/// What stands in the log as the publisher of what a link brought.
pub(crate) fn origin(link: &str) -> String {
    format!("$bridge/{link}")
}
