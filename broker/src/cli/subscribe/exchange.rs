//! What a receiver answers to messages, and which it has seen. Knows no socket.

use std::collections::BTreeSet;

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{Ack, Packet, Publish};
use tidewire_proto::qos::Qos;

/// The exchanges of QoS 2 that are not over.
#[derive(Debug, Default)]
pub(crate) struct Exchanges {
    open: BTreeSet<PacketId>,
}

impl Exchanges {
    /// Whether it is new, and what is answered.
    pub(crate) fn came(&mut self, message: &Publish<'_>) -> (bool, Option<Packet<'static>>) {
        match (message.qos, message.packet_id) {
            (Qos::AtLeastOnce, Some(id)) => (true, Some(Packet::PubAck(Ack::success(id)))),
            (Qos::ExactlyOnce, Some(id)) => {
                (self.open.insert(id), Some(Packet::PubRec(Ack::success(id))))
            }
            _ => (true, None),
        }
    }

    /// What is answered to a PUBREL.
    pub(crate) fn released(&mut self, id: PacketId) -> Packet<'static> {
        self.open.remove(&id);
        Packet::PubComp(Ack::success(id))
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::mqtt::Properties;

    use super::{Ack, Exchanges, Packet, PacketId, Publish, Qos};

    #[test]
    fn a_repeat_at_qos_2_is_not_new_until_it_was_released() {
        let id = PacketId::MIN;
        let message = Publish {
            dup: false,
            qos: Qos::ExactlyOnce,
            retain: false,
            topic: "a",
            packet_id: Some(id),
            properties: Properties::EMPTY,
            payload: b"",
        };
        let mut exchanges = Exchanges::default();
        let received = Some(Packet::PubRec(Ack::success(id)));
        assert_eq!(exchanges.came(&message), (true, received));
        assert_eq!(exchanges.came(&message), (false, received));
        assert_eq!(exchanges.released(id), Packet::PubComp(Ack::success(id)));
        assert_eq!(exchanges.came(&message), (true, received));
    }
}
