//! A PUBLISH that is refused because a limit of ours is reached: what its client hears, and what
//! is counted. Never decides that it is refused.

use tidewire_proto::mqtt::{Publish, ReasonCode, Version};
use tidewire_proto::qos::Qos;

use crate::core::open::ConnId;
use crate::core::send::quality;
use crate::core::state::Core;
use crate::metrics::{CloseReason, DropReason};

impl Core {
    /// Ends the exchange of a PUBLISH that was judged and not taken. QoS 0 is dropped; before
    /// MQTT 5 an acknowledgement cannot say no, so the connection is closed.
    pub(crate) fn refuse_publish(&mut self, id: ConnId, publish: &Publish<'_>, why: DropReason) {
        self.counters.messages_dropped.add((why, quality(publish.qos)), 1);
        let Some(packet_id) = publish.packet_id else { return };
        let Some(open) = self.open(id) else { return };
        match publish.qos {
            Qos::ExactlyOnce => open.inbound.receipts.on_stored(packet_id, false),
            _ => open.inbound.receipts.qos1_answered(),
        }
        let reason = ReasonCode::QUOTA_EXCEEDED;
        match (open.version, publish.qos) {
            (Version::V5, Qos::ExactlyOnce) => self.send_pubrec(id, packet_id, reason),
            (Version::V5, _) => self.send_puback(id, packet_id, reason),
            _ => self.close(id, CloseReason::Limit, Some(reason)),
        }
    }
}
