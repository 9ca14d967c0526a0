//! A subscriber that notes every message once per exchange, as the protocol asks of a receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use super::link::{Link, Packet, Place};
use crate::wire::{self, Version, kind};

/// What one subscriber got: the numbers per topic, in the order of their arrival.
#[derive(Debug, Default)]
pub struct Received {
    /// By topic.
    pub by_topic: BTreeMap<String, Vec<u32>>,
    /// How many came with DUP.
    pub repeats: usize,
    /// How often it was connected.
    pub connections: usize,
}

/// Subscribes and takes everything until told to stop.
pub struct Subscriber {
    link: Link,
    filter: String,
    received: Received,
    /// QoS 2 exchanges that are not released.
    open: BTreeSet<u16>,
    /// Hears of each message that was taken: by whom, its topic and its number.
    taken: Sender<(String, String, u32)>,
    client_id: String,
}

impl Subscriber {
    /// One with this client id and filter, at QoS 2; `taken` hears of each message.
    #[must_use]
    pub fn new(
        place: Place,
        version: Version,
        (client_id, filter): (&str, &str),
        taken: Sender<(String, String, u32)>,
    ) -> Self {
        Self {
            link: Link::new(place, version, client_id.into()),
            filter: filter.into(),
            received: Received::default(),
            open: BTreeSet::new(),
            taken,
            client_id: client_id.into(),
        }
    }

    /// Connects for the first time, and comes back when the subscription stands.
    ///
    /// # Panics
    /// When it is refused.
    pub fn subscribe(&mut self) {
        while self.link.open().is_none() {}
        let packet = wire::subscribe(self.link.version(), 1, &[(&self.filter, 2)]);
        self.link.send(&packet);
        loop {
            assert!(self.link.is_open(), "the broker closed on a SUBSCRIBE");
            if let Some(packet) = self.link.packet() {
                assert_eq!(packet.kind(), kind::SUBACK);
                assert_eq!(packet.body.last(), Some(&2), "{} is refused", self.filter);
                return;
            }
        }
    }

    /// Runs to its end.
    ///
    /// # Panics
    /// When the broker breaks the protocol.
    #[must_use]
    pub fn run(mut self, stop: &Arc<AtomicBool>) -> Received {
        while !stop.load(Ordering::Relaxed) {
            if !self.link.is_open() {
                if let Some(is_present) = self.link.open() {
                    assert!(is_present, "the session of {} is gone", self.filter);
                }
                continue;
            }
            while let Some(packet) = self.link.packet() {
                self.take(&packet);
            }
        }
        self.received.connections = self.link.connections;
        self.received
    }

    fn take(&mut self, packet: &Packet) {
        match packet.kind() {
            kind::PUBLISH => self.take_message(packet),
            kind::PUBREL => {
                let id = packet.u16_at(0);
                self.open.remove(&id);
                self.link.acknowledge(kind::PUBCOMP, id);
            }
            other => panic!("a packet of kind {other} for a subscriber"),
        }
    }

    fn take_message(&mut self, packet: &Packet) {
        let topic_end = 2 + usize::from(packet.u16_at(0));
        let topic = String::from_utf8_lossy(&packet.body[2..topic_end]).into_owned();
        let id = packet.u16_at(topic_end);
        self.received.repeats += usize::from(packet.first & 0x08 != 0);
        let is_new = packet.first & 0x04 == 0 || self.open.insert(id);
        if is_new {
            let no_properties = usize::from(self.link.version() == Version::V5);
            let payload = &packet.body[topic_end + 2 + no_properties..];
            let number = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
            let number = number.expect("a number was published");
            // Nobody may be waiting.
            let _ = self.taken.send((self.client_id.clone(), topic.clone(), number));
            self.received.by_topic.entry(topic).or_default().push(number);
        }
        let answer = if packet.first & 0x04 == 0 { kind::PUBACK } else { kind::PUBREC };
        self.link.acknowledge(answer, id);
    }
}
