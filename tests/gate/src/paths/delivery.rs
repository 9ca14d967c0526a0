//! From a durable batch to the bytes of subscribers, and their acknowledgements: without sockets.

use std::iter;

use tidewire_proto::delivery::{Shape, Template};
use tidewire_proto::id::{PacketId, PartitionId};
use tidewire_proto::message::Message;
use tidewire_proto::mqtt::{Ack, Framing, Packet, Properties, Version, decode, encode, frame};
use tidewire_proto::qos::Qos;
use tidewire_proto::record::{Batch, Record};
use tidewire_proto::routing::grant::SessionKey;
use tidewire_proto::routing::routes::Routes;
use tidewire_proto::routing::trie::Trie;
use tidewire_proto::session::window::{Exchange, OnPubrec, Place, Step, Window};

use crate::round::Round;
use crate::samples::{NOW_MS, PACKET_BYTES_MAX, batch, grant, properties};

const COUNT: u16 = 100;
const SUBSCRIBERS: usize = 200;

/// A subscriber, seen from the broker.
struct Reading {
    version: Version,
    window: Window,
    template: Template,
    out: Vec<u8>,
    acks: Vec<u8>,
}

/// One subscriber of everything.
pub(crate) fn one(qos: Qos) -> Round {
    let batch = batch(COUNT, qos, Properties::EMPTY);
    subscriber(batch, Version::V311)
}

/// One that speaks MQTT 5, of messages that have properties.
pub(crate) fn with_properties() -> Round {
    let batch = batch(COUNT, Qos::AtLeastOnce, properties().as_properties());
    subscriber(batch, Version::V5)
}

/// One message to many: encoded once.
pub(crate) fn fan_out() -> Round {
    let batch = batch(1, Qos::AtMostOnce, Properties::EMPTY);
    let mut readers: Vec<Vec<u8>> = vec![Vec::new(); SUBSCRIBERS];
    let mut template = Template::default();
    Box::new(move || {
        let record = batch.records().next().expect("one record");
        let message = Message::of(&record).expect("one of ours");
        let shape = shape(Version::V311, message.qos);
        template.write(&message, shape, iter::empty(), NOW_MS).expect("fits");
        for reader in &mut readers {
            reader.clear();
            template.append_to(reader, None);
        }
    })
}

fn shape(version: Version, qos: Qos) -> Shape {
    Shape { version, qos, retain: false, dup: false }
}

fn subscriber(batch: Batch, version: Version) -> Round {
    let mut reader = Reading {
        version,
        window: Window::new(1000),
        template: Template::default(),
        out: Vec::new(),
        acks: Vec::new(),
    };
    let (mut trie, mut routes) = (Trie::default(), Routes::default());
    trie.insert("#", SessionKey(1), grant(Qos::ExactlyOnce));
    Box::new(move || {
        reader.out.clear();
        reader.acks.clear();
        for record in batch.records() {
            reader.deliver(&record, &trie, &mut routes);
        }
        while reader.acknowledge() {}
        assert!(!reader.out.is_empty() && reader.window.in_flight() == 0, "all is over");
    })
}

impl Reading {
    fn deliver(&mut self, record: &Record<'_>, trie: &Trie, routes: &mut Routes) {
        let message = Message::of(record).expect("one of ours");
        let route = routes.find(trie, message.topic);
        for target in route.iter() {
            let qos = target.qos.min(message.qos);
            self.template
                .write(&message, shape(self.version, qos), target.ids(), NOW_MS)
                .expect("it fits");
            let id = (qos != Qos::AtMostOnce).then(|| self.begin(qos, record.offset_delta));
            self.template.append_to(&mut self.out, id);
        }
    }

    fn begin(&mut self, qos: Qos, offset: u32) -> PacketId {
        assert!(self.window.has_room(), "all of the round before are acknowledged");
        let place = Place { partition: PartitionId(0), offset: offset.into() };
        let (step, retain, group) = (Step::Published, false, None);
        let id = self.window.begin(Exchange { place, qos, step, retain, group });
        let answer = match qos {
            Qos::ExactlyOnce => Packet::PubRec(Ack::success(id)),
            Qos::AtMostOnce | Qos::AtLeastOnce => Packet::PubAck(Ack::success(id)),
        };
        encode(&answer, self.version, &mut self.acks).expect("a small packet");
        id
    }

    /// Hears what the subscriber answers. False when it had nothing to say.
    fn acknowledge(&mut self) -> bool {
        let acks = std::mem::take(&mut self.acks);
        let mut at = 0;
        while let Ok(Framing::Packet(found)) = frame(&acks[at..], PACKET_BYTES_MAX) {
            at += found.len;
            match decode(&found, self.version) {
                Ok(Packet::PubAck(ack)) => assert!(self.window.on_puback(ack.packet_id).is_some()),
                Ok(Packet::PubComp(ack)) => assert!(self.window.on_pubcomp(ack.packet_id)),
                Ok(Packet::PubRec(ack)) => self.release(ack.packet_id),
                other => panic!("{other:?} was not sent"),
            }
        }
        at > 0
    }

    fn release(&mut self, id: PacketId) {
        assert_eq!(self.window.on_pubrec(id, false), OnPubrec::Release);
        let release = Packet::PubRel(Ack::success(id));
        encode(&release, self.version, &mut self.out).expect("a small packet");
        let answer = Packet::PubComp(Ack::success(id));
        encode(&answer, self.version, &mut self.acks).expect("a small packet");
    }
}
