//! A subscriber, pure: reads stamps and answers as its QoS demands. Never a socket, never a clock.

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::Packet;
use tidewire_proto::qos::Qos;

use super::stamp::Stamp;

const PUBACK: [u8; 2] = [0x40, 2];
const PUBREC: [u8; 2] = [0x50, 2];
const PUBCOMP: [u8; 2] = [0x70, 2];

/// Answers a packet; gives the stamp if it was a message of ours.
pub(crate) fn take(packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<Option<Stamp>, String> {
    match packet {
        Packet::Publish(publish) => {
            match (publish.qos, publish.packet_id) {
                (Qos::AtLeastOnce, Some(id)) => answer(PUBACK, id, out),
                (Qos::ExactlyOnce, Some(id)) => answer(PUBREC, id, out),
                _ => {}
            }
            Ok(Stamp::read(publish.payload))
        }
        Packet::PubRel(ack) => {
            answer(PUBCOMP, ack.packet_id, out);
            Ok(None)
        }
        Packet::PingResp => Ok(None),
        other => Err(format!("a subscriber got {:?}", other.kind())),
    }
}

fn answer(head: [u8; 2], id: PacketId, out: &mut Vec<u8>) {
    out.extend_from_slice(&head);
    out.extend_from_slice(&id.get().to_be_bytes());
}
