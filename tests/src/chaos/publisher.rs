//! A publisher that counts up, with many unacknowledged, and repeats what the protocol lets it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::link::{Link, Packet, Place};
use crate::wire::{self, Publish, Version, kind};

/// Unacknowledged messages at a time.
const WINDOW: usize = 16;

/// What one publisher was promised.
#[derive(Debug)]
pub struct Sent {
    /// Where it published.
    pub topic: String,
    /// At which level.
    pub qos: u8,
    /// It published 0 up to this one, this one not included.
    pub count: u32,
    /// Whether it was retained.
    pub retained: bool,
    /// How often it was connected.
    pub connections: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Published,
    Released,
}

struct Pending {
    id: u16,
    number: u32,
    step: Step,
}

/// Publishes until told to stop, then until everything is acknowledged.
pub struct Publisher {
    link: Link,
    sent: Sent,
    pending: VecDeque<Pending>,
    next_id: u16,
    /// How many it may publish.
    allowed: Arc<AtomicU32>,
}

impl Publisher {
    /// One that publishes to `topic` at `qos`, 1 or 2.
    #[must_use]
    pub fn new(place: Place, version: Version, topic: &str, qos: u8, retained: bool) -> Self {
        let link = Link::new(place, version, format!("publisher of {topic}"));
        let sent = Sent { topic: topic.into(), qos, count: 0, retained, connections: 0 };
        let allowed = Arc::new(AtomicU32::new(u32::MAX));
        Self { link, sent, pending: VecDeque::new(), next_id: 0, allowed }
    }

    /// It publishes no more than this says, which may rise.
    #[must_use]
    pub fn held_to(self, allowed: Arc<AtomicU32>) -> Self {
        Self { allowed, ..self }
    }

    /// Runs to its end.
    ///
    /// # Panics
    /// When the broker breaks the protocol.
    #[must_use]
    pub fn run(mut self, stop: &Arc<AtomicBool>) -> Sent {
        while !(stop.load(Ordering::Relaxed) && self.pending.is_empty()) {
            if !self.link.is_open() {
                self.come_back();
                continue;
            }
            while self.may_begin() && !stop.load(Ordering::Relaxed) {
                self.begin();
            }
            while let Some(packet) = self.link.packet() {
                self.take(&packet);
            }
        }
        self.sent.connections = self.link.connections;
        self.sent
    }

    fn may_begin(&self) -> bool {
        self.pending.len() < WINDOW && self.sent.count < self.allowed.load(Ordering::Relaxed)
    }

    fn begin(&mut self) {
        self.next_id = self.next_id % u16::MAX + 1;
        let pending = Pending { id: self.next_id, number: self.sent.count, step: Step::Published };
        self.sent.count += 1;
        self.publish(&pending, false);
        self.pending.push_back(pending);
    }

    fn publish(&mut self, pending: &Pending, dup: bool) {
        let payload = pending.number.to_string();
        let first = Publish::new(&self.sent.topic, &payload, self.sent.qos, pending.id);
        let message = if self.sent.retained { first.retained() } else { first };
        let message = if dup { message.again() } else { message };
        let packet = wire::publish(self.link.version(), &message);
        self.link.send(&packet);
    }

    fn come_back(&mut self) {
        let Some(is_present) = self.link.open() else { return };
        assert!(is_present || self.link.connections == 1, "the session of a publisher is gone");
        let pending = std::mem::take(&mut self.pending);
        for one in &pending {
            match one.step {
                Step::Published => self.publish(one, true),
                Step::Released => self.link.acknowledge(kind::PUBREL, one.id),
            }
        }
        self.pending = pending;
    }

    fn take(&mut self, packet: &Packet) {
        let id = packet.u16_at(0);
        let reason = packet.body.get(2).copied().unwrap_or(0);
        let is_unknown = packet.kind() == kind::PUBCOMP && reason == 0x92;
        assert!(reason < 0x80 || is_unknown, "{} is refused with {reason:x}", self.sent.topic);
        let Some(at) = self.pending.iter().position(|pending| pending.id == id) else { return };
        match packet.kind() {
            kind::PUBREC => {
                self.pending[at].step = Step::Released;
                self.link.acknowledge(kind::PUBREL, id);
            }
            _ => drop(self.pending.remove(at)),
        }
    }
}
