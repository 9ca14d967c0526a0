//! A PUBLISH that is refused because a limit of ours is reached: what its client hears, and what
//! is counted. Never decides that it is refused.

use tidewire_proto::mqtt::{Publish, ReasonCode, Version};
use tidewire_proto::qos::Qos;

use crate::core::denial::Denial;
use crate::core::open::ConnId;
use crate::core::send::quality;
use crate::core::state::Core;
use crate::core::turn::{Refusal, Waiting};
use crate::link::Peer;
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
        let is_inside = self.conn(id).is_some_and(|conn| conn.peer == Peer::InProcess);
        let is_dropped =
            counted == DropReason::NotAuthorized && self.shared.access.drops_unauthorized();
        let Some(open) = self.open(id) else { return };
        match publish.packet_id {
            Some(packet_id) if open.version == Version::V5 || is_dropped => {
                // Answers keep their order: those before it may wait for the disk.
                let no = match open.version {
                    Version::V5 => Denial::of_drop(reason, counted),
                    // It cannot be said.
                    _ => Denial::new(ReasonCode::SUCCESS, ""),
                };
                let refusal = Refusal { packet_id, qos: publish.qos, no };
                self.turn.waiting.push(Waiting::Refused(id, Box::new(refusal)));
                self.end_turn_soon();
            }
            // Nothing was promised, and the next one may be taken. A program publishes all that it
            // has to say over one connection.
            None if reason != ReasonCode::TOPIC_NAME_INVALID || is_inside => (),
            _ => self.close(id, CloseReason::Limit, Some(reason)),
        }
    }

    /// The answers before it are out.
    pub(crate) fn answer_refused(&mut self, id: ConnId, refusal: Refusal) {
        let Refusal { packet_id, qos, no } = refusal;
        let Some(open) = self.open(id) else { return };
        match qos {
            Qos::ExactlyOnce => open.inbound.receipts.on_stored(packet_id, false),
            Qos::AtMostOnce | Qos::AtLeastOnce => open.inbound.receipts.qos1_answered(),
        }
        self.send_denied(id, packet_id, qos, no);
    }
}
