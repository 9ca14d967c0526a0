//! What all connections of a run write to: what arrived, how late it was, who waits for room.
//! Never a socket.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use hdrhistogram::Histogram;
use tidewire_proto::mqtt::Packet;

use super::ledger::Ledger;
use super::link::{Link, Role};
use super::publisher::Publisher;
use super::stamp::Stamp;
use super::subscriber;

/// Longer than any message waits.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// One run, seen by all its connections.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) run: u32,
    pub(crate) epoch: Instant,
    pub(crate) ledger: RefCell<Ledger>,
    /// Of the sample at hand.
    recent: RefCell<Histogram<u64>>,
    /// Of all samples before.
    latency: RefCell<Histogram<u64>>,
    /// Latency counts now.
    pub(crate) measures: Cell<bool>,
    /// Publishers go on.
    pub(crate) publishes: Cell<bool>,
    /// How many readers get each message.
    copies: u64,
    /// The publishers' connections, which hear when there is room.
    publishers: RefCell<Vec<Rc<Link>>>,
}

impl Board {
    pub(crate) fn new(run: u32, epoch: Instant, ledger: Ledger, copies: u64) -> Self {
        let latency = Histogram::new_with_max(LATENCY_NS_MAX, 3).expect("bounds that it takes");
        Self {
            run,
            epoch,
            ledger: RefCell::new(ledger),
            recent: RefCell::new(latency.clone()),
            latency: RefCell::new(latency),
            measures: Cell::new(false),
            publishes: Cell::new(true),
            copies,
            publishers: RefCell::default(),
        }
    }

    /// This connection wants to hear when its messages were delivered.
    pub(crate) fn add_publisher(&self, link: &Rc<Link>) {
        self.publishers.borrow_mut().push(Rc::clone(link));
    }

    /// Median and slowest hundredth since this was asked last, in microseconds.
    pub(crate) fn recent_latency(&self) -> Option<(f64, f64)> {
        let mut recent = self.recent.borrow_mut();
        if recent.is_empty() {
            return None;
        }
        let at = |share| recent.value_at_quantile(share) as f64 / 1e3;
        let found = (at(0.5), at(0.99));
        self.latency.borrow_mut().add(&*recent).expect("the same bounds");
        recent.reset();
        Some(found)
    }

    /// All of the run.
    pub(crate) fn all_latency(&self) -> Histogram<u64> {
        self.recent_latency();
        self.latency.borrow().clone()
    }

    fn undelivered(&self, publisher: usize, sent: u64) -> u64 {
        if self.copies == 0 {
            return 0;
        }
        sent.saturating_sub(self.ledger.borrow().delivered(publisher) / self.copies)
    }
}

/// The publishing side of a connection.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) board: Rc<Board>,
    pub(crate) publisher: Publisher,
    pub(crate) index: usize,
    pub(crate) limits: Limits,
}

/// How far a publisher goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) inflight: u64,
    pub(crate) undelivered: u64,
    /// Messages in all.
    pub(crate) messages: u64,
    /// It sends when it is told, not whenever there is room.
    pub(crate) is_paced: bool,
}

impl Role for Sender {
    fn packet(
        &mut self,
        packet: &Packet<'_>,
        _now_ns: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        self.publisher.take(packet, out)
    }

    fn turn(&mut self, now_ns: u64, out: &mut Vec<u8>) {
        if self.limits.is_paced || !self.board.publishes.get() {
            return;
        }
        let undelivered = self.board.undelivered(self.index, self.publisher.sent());
        let room = self.limits.undelivered.saturating_sub(undelivered);
        let window = self.limits.inflight.saturating_sub(self.publisher.in_flight());
        let left = self.limits.messages.saturating_sub(self.publisher.sent());
        for _ in 0..room.min(window).min(left) {
            self.publisher.send(now_ns, out);
        }
    }
}

/// The reading side of a connection.
#[derive(Debug)]
pub(crate) struct Receiver {
    board: Rc<Board>,
    index: usize,
    /// Publishers whose messages came since the last turn.
    heard: Vec<bool>,
}

impl Receiver {
    pub(crate) fn new(board: &Rc<Board>, index: usize) -> Self {
        let heard = vec![false; board.publishers.borrow().len()];
        Self { board: Rc::clone(board), index, heard }
    }

    fn note(&mut self, stamp: Stamp, now_ns: u64) {
        let publisher = usize::try_from(stamp.publisher).unwrap_or(usize::MAX);
        if stamp.run != self.board.run {
            self.board.ledger.borrow_mut().foreign += 1;
            return;
        }
        self.board.ledger.borrow_mut().note(self.index, publisher, stamp.number);
        if let Some(heard) = self.heard.get_mut(publisher) {
            *heard = true;
        }
        if self.board.measures.get() {
            let late = now_ns.saturating_sub(stamp.due_ns).max(1);
            self.board.recent.borrow_mut().saturating_record(late);
        }
    }
}

impl Role for Receiver {
    fn packet(
        &mut self,
        packet: &Packet<'_>,
        now_ns: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        if let Some(stamp) = subscriber::take(packet, out)? {
            self.note(stamp, now_ns);
        }
        Ok(())
    }

    fn turn(&mut self, _now_ns: u64, _out: &mut Vec<u8>) {
        let publishers = self.board.publishers.borrow();
        for (heard, link) in self.heard.iter_mut().zip(publishers.iter()) {
            if std::mem::take(heard) {
                link.wake();
            }
        }
    }
}
