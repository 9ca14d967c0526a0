//! A PUBLISH that is refused because a limit of ours is reached: what its client hears, and what
//! is counted. Never decides that it is refused.

use tidewire_proto::mqtt::{Publish, ReasonCode, Version};
use tidewire_proto::qos::Qos;

use crate::core::open::ConnId;
use crate::core::send::quality;
use crate::core::state::Core;
use crate::metrics::{CloseReason, DropReason};

impl Core {
    /// Does not take a PUBLISH that was judged to be new, and says why if the protocol can: before
    /// MQTT 5 an acknowledgement cannot say no, and at QoS 0 there is none.
    pub(crate) fn refuse_publish(
        &mut self,
        id: ConnId,
        publish: &Publish<'_>,
        (reason, counted): (ReasonCode, DropReason),
    ) {
        self.counters.messages_dropped.add((counted, quality(publish.qos)), 1);
        let Some(open) = self.open(id) else { return };
        let is_v5 = open.version == Version::V5;
        match (publish.qos, publish.packet_id) {
            (Qos::AtLeastOnce, Some(packet_id)) => {
                open.inbound.receipts.qos1_answered();
                if is_v5 {
                    return self.send_puback(id, packet_id, reason);
                }
            }
            (Qos::ExactlyOnce, Some(packet_id)) => {
                open.inbound.receipts.on_stored(packet_id, false);
                if is_v5 {
                    return self.send_pubrec(id, packet_id, reason);
                }
            }
            // Nothing was promised, and the next one may be taken.
            _ if reason != ReasonCode::TOPIC_NAME_INVALID => return,
            _ => (),
        }
        self.close(id, CloseReason::Limit, Some(reason));
    }
}
