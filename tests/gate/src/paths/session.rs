//! From a PUBLISH to its acknowledgement, as a core does it in one turn: without socket and log.

use std::hint::black_box;

use tidewire_proto::id::PacketId;
use tidewire_proto::message::Published;
use tidewire_proto::mqtt::{
    Ack, Framing, Packet, Properties, Publish, Version, decode, encode, frame,
};
use tidewire_proto::qos::Qos;
use tidewire_proto::record::BatchBuilder;
use tidewire_proto::routing::placement::Placement;
use tidewire_proto::session::alias::Aliases;
use tidewire_proto::session::inbound::{Inbound, Verdict};
use tidewire_proto::session::receipts::{Receipts, Release};

use crate::round::Round;
use crate::samples::{NOW_MS, PACKET_BYTES_MAX, placement, publishes};

const VERSION: Version = Version::V311;
const COUNT: u16 = 100;
/// A core has one batch for each partition.
const PARTITIONS: usize = 4;

/// A client that publishes, seen from the broker.
struct Publishing {
    inbound: Inbound,
    placement: Placement,
    batches: [BatchBuilder; PARTITIONS],
    waiting: Vec<(Qos, PacketId)>,
    out: Vec<u8>,
}

/// Takes messages, makes them batches, and acknowledges them; at QoS 2 with PUBREL and PUBCOMP.
pub(crate) fn take(qos: Qos) -> Round {
    let inbound = Inbound { aliases: Aliases::new(0), receipts: Receipts::new(1000) };
    let mut client = Publishing {
        inbound,
        placement: placement(),
        batches: Default::default(),
        waiting: Vec::new(),
        out: Vec::new(),
    };
    let bytes = publishes(COUNT, qos, VERSION, Properties::EMPTY);
    let releases = releases(if qos == Qos::ExactlyOnce { COUNT } else { 0 });
    Box::new(move || {
        client.out.clear();
        client.hear(&bytes);
        client.become_durable();
        client.hear(&releases);
        let answers = match qos {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce => COUNT,
            Qos::ExactlyOnce => 2 * COUNT,
        };
        assert_eq!(client.out.len(), usize::from(answers) * 4, "each has its answer");
    })
}

fn releases(count: u16) -> Vec<u8> {
    let mut out = Vec::new();
    for id in (1..=count).filter_map(PacketId::new) {
        encode(&Packet::PubRel(Ack::success(id)), VERSION, &mut out).expect("a small packet");
    }
    out
}

impl Publishing {
    fn hear(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Ok(Framing::Packet(found)) = frame(&bytes[at..], PACKET_BYTES_MAX) {
            at += found.len;
            match decode(&found, VERSION) {
                Ok(Packet::Publish(publish)) => self.take(&publish),
                Ok(Packet::PubRel(ack)) => self.release(ack.packet_id),
                other => panic!("{other:?} was not sent"),
            }
        }
    }

    fn take(&mut self, publish: &Publish<'_>) {
        let Ok(Verdict::Store { topic }) = self.inbound.on_publish(publish) else {
            panic!("{publish:?} is new");
        };
        let placed = self.placement.place(topic, "device-1", publish.properties);
        let placed = placed.expect("few levels");
        let batch = &mut self.batches[placed.partition.0 as usize];
        Published::new(publish, topic, None).push_to(batch, NOW_MS);
        self.waiting.extend(publish.packet_id.map(|id| (publish.qos, id)));
    }

    fn become_durable(&mut self) {
        for batch in &mut self.batches {
            if !batch.is_empty() {
                black_box(batch.finish());
            }
        }
        for (qos, id) in self.waiting.drain(..) {
            let packet = if qos == Qos::ExactlyOnce {
                self.inbound.receipts.on_stored(id, true);
                Packet::PubRec(Ack::success(id))
            } else {
                self.inbound.receipts.qos1_answered();
                Packet::PubAck(Ack::success(id))
            };
            encode(&packet, VERSION, &mut self.out).expect("a small packet");
        }
    }

    fn release(&mut self, id: PacketId) {
        assert_eq!(self.inbound.receipts.on_pubrel(id), Release::End);
        self.inbound.receipts.on_released(id, true);
        let packet = Packet::PubComp(Ack::success(id));
        encode(&packet, VERSION, &mut self.out).expect("a small packet");
    }
}
