//! A PUBLISH that needs not be encoded anew for a subscriber. Never changes a byte of it.

use crate::mqtt::{PacketKind, Publish, Version};

/// A whole PUBLISH at QoS 0 of which a subscriber's may be the very same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsItCame<'a> {
    packet: &'a [u8],
    version: Version,
}

impl<'a> AsItCame<'a> {
    /// `packet` is what the PUBLISH was read from, and its topic is not another since. `None` if it
    /// has more than topic and payload, or more bytes than it needs.
    #[must_use]
    pub fn of(packet: &'a [u8], publish: &Publish<'_>, version: Version) -> Option<Self> {
        let is_plain = packet.first() == Some(&PacketKind::Publish.first_byte());
        let fits = publish.has_only_payload() && publish.least_bytes(version) == Some(packet.len());
        (is_plain && fits).then_some(Self { packet, version })
    }

    /// The bytes for a subscriber of that version at QoS 0, without RETAIN and Subscription
    /// Identifiers.
    #[must_use]
    pub fn packet(&self, version: Version) -> Option<&'a [u8]> {
        (version == self.version).then_some(self.packet)
    }
}
