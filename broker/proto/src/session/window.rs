//! Messages on their way to the client: packet ids and exchanges in flight, in order.
//!
//! An exchange names where its message lies in the log; it holds no payload.

use std::collections::VecDeque;

use crate::id::{PacketId, PartitionId};
use crate::qos::Qos;

/// Packet ids are 1 to 65,535.
const IDS: u64 = 65_535;

/// Where a message lies in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset there.
    pub offset: u64,
}

/// How far an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// PUBLISH is (being) sent; PUBACK or PUBREC is awaited.
    Published,
    /// PUBREC came; PUBREL is (being) sent; PUBCOMP is awaited.
    Released,
}

/// One message in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Where the message lies.
    pub place: Place,
    /// 1 or 2.
    pub qos: Qos,
    /// How far it is.
    pub step: Step,
    /// Whether RETAIN is set in what is sent.
    pub retain: bool,
}

/// A change of the durable rows that mirror the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// The exchange is to be kept under its number.
    Put(u64, Exchange),
    /// The exchange of this number is over.
    Delete(u64),
}

/// What a PUBREC leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPubrec {
    /// First time: store the step, then PUBREL.
    Release,
    /// A repeat: PUBREL again.
    ReleaseAgain,
    /// The client refused the message: the exchange is over.
    Refused,
    /// No such exchange: PUBREL with "packet identifier not found".
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    exchange: Exchange,
    /// A durable row exists (or is on its way) and says the same.
    is_mirrored: bool,
    /// A durable row exists (or is on its way).
    has_row: bool,
}

/// Exchanges in the order they began. Numbers count up for ever; a packet id is a number modulo
/// 65,535, plus one.
#[derive(Debug)]
pub struct Window {
    slots: VecDeque<Option<Slot>>,
    first: u64,
    in_flight: usize,
    limit: usize,
    deleted_rows: Vec<u64>,
    keeps_rows: bool,
}

/// The packet id of the exchange with this number.
#[must_use]
pub fn packet_id(number: u64) -> PacketId {
    let id = u16::try_from(number % IDS + 1).expect("at most 65,535");
    PacketId::new(id).expect("at least 1")
}

impl Window {
    /// An empty window. `limit` is the smaller of our bound and the client's Receive Maximum;
    /// `keeps_rows` says whether a durable mirror is wanted.
    #[must_use]
    pub fn new(first: u64, limit: u16, keeps_rows: bool) -> Self {
        Self {
            slots: VecDeque::new(),
            first,
            in_flight: 0,
            limit: usize::from(limit),
            deleted_rows: Vec::new(),
            keeps_rows,
        }
    }

    /// Takes up exchanges from durable rows, in rising order of their numbers.
    pub fn restore(&mut self, number: u64, exchange: Exchange) {
        if self.slots.is_empty() {
            self.first = number;
        }
        while self.next_number() < number {
            self.slots.push_back(None);
        }
        self.slots.push_back(Some(Slot { exchange, is_mirrored: true, has_row: true }));
        self.in_flight += 1;
    }

    /// Numbers from here on are free; called after [`Window::restore`] with the stored mark.
    pub fn skip_to(&mut self, number: u64) {
        if self.slots.is_empty() {
            self.first = self.first.max(number);
        }
        while self.next_number() < number {
            self.slots.push_back(None);
        }
    }

    /// The client announced another Receive Maximum (a new connection).
    pub fn set_limit(&mut self, limit: u16) {
        self.limit = usize::from(limit);
    }

    /// The number the next exchange gets.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Whether another message may be sent now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.in_flight < self.limit && (self.slots.len() as u64) < IDS
    }

    /// How many exchanges are not complete.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Begins an exchange. The caller has asked [`Window::has_room`].
    pub fn begin(&mut self, exchange: Exchange) -> PacketId {
        let number = self.next_number();
        self.slots.push_back(Some(Slot { exchange, is_mirrored: false, has_row: false }));
        self.in_flight += 1;
        packet_id(number)
    }

    /// PUBACK: true when it ends an exchange.
    pub fn on_puback(&mut self, id: PacketId) -> bool {
        self.end_if(id, |e| e.qos == Qos::AtLeastOnce)
    }

    /// PUBREC, or its refusal.
    pub fn on_pubrec(&mut self, id: PacketId, is_refused: bool) -> OnPubrec {
        let Some(slot) = self.slot_mut(id) else { return OnPubrec::Unknown };
        if slot.exchange.qos != Qos::ExactlyOnce {
            return OnPubrec::Unknown;
        }
        match slot.exchange.step {
            Step::Published if is_refused => {
                self.end_if(id, |_| true);
                OnPubrec::Refused
            }
            Step::Published => {
                slot.exchange.step = Step::Released;
                slot.is_mirrored = false;
                OnPubrec::Release
            }
            Step::Released => OnPubrec::ReleaseAgain,
        }
    }

    /// PUBCOMP: true when it ends an exchange.
    pub fn on_pubcomp(&mut self, id: PacketId) -> bool {
        self.end_if(id, |e| e.step == Step::Released)
    }

    /// Gives up an exchange whose message can no longer be had.
    pub fn give_up(&mut self, id: PacketId) {
        self.end_if(id, |_| true);
    }

    /// All exchanges in the order they began: what a resumed session sends again.
    pub fn exchanges(&self) -> impl Iterator<Item = (PacketId, Exchange)> + '_ {
        (self.first..)
            .zip(&self.slots)
            .filter_map(|(number, slot)| slot.map(|slot| (packet_id(number), slot.exchange)))
    }

    /// What changed since the last call, for the durable mirror.
    pub fn take_changes(&mut self, mut change: impl FnMut(RowChange)) {
        for number in self.deleted_rows.drain(..) {
            change(RowChange::Delete(number));
        }
        if !self.keeps_rows {
            return;
        }
        for (number, slot) in (self.first..).zip(&mut self.slots) {
            if let Some(slot) = slot.as_mut().filter(|slot| !slot.is_mirrored) {
                slot.is_mirrored = true;
                slot.has_row = true;
                change(RowChange::Put(number, slot.exchange));
            }
        }
    }

    fn index(&self, id: PacketId) -> usize {
        let first = self.first % IDS;
        let wanted = u64::from(id.get()) - 1;
        usize::try_from((wanted + IDS - first) % IDS).expect("less than 65,535")
    }

    fn slot_mut(&mut self, id: PacketId) -> Option<&mut Slot> {
        let index = self.index(id);
        self.slots.get_mut(index)?.as_mut()
    }

    fn end_if(&mut self, id: PacketId, is_due: impl Fn(&Exchange) -> bool) -> bool {
        let index = self.index(id);
        let number = self.first + index as u64;
        let Some(place) = self.slots.get_mut(index) else { return false };
        let Some(slot) = place.filter(|slot| is_due(&slot.exchange)) else { return false };
        *place = None;
        self.in_flight -= 1;
        if slot.has_row {
            self.deleted_rows.push(number);
        }
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Exchange, OnPubrec, Place, RowChange, Step, Window};
    use crate::id::{PacketId, PartitionId};
    use crate::qos::Qos;

    fn exchange(qos: Qos, offset: u64) -> Exchange {
        let place = Place { partition: PartitionId(0), offset };
        Exchange { place, qos, step: Step::Published, retain: false }
    }

    fn changes(window: &mut Window) -> Vec<RowChange> {
        let mut found = Vec::new();
        window.take_changes(|change| found.push(change));
        found
    }

    #[test]
    fn ids_count_up_and_never_name_two_exchanges_in_flight() {
        let mut window = Window::new(65_530, u16::MAX, false);
        let mut open = Vec::new();
        for n in 0..20 {
            open.push(window.begin(exchange(Qos::AtLeastOnce, n)));
        }
        assert!(open.iter().all(|id| id.get() != 0));
        let stuck = open.remove(0);
        for id in open {
            assert!(window.on_puback(id));
        }
        let mut begun = 0;
        while window.has_room() {
            let id = window.begin(exchange(Qos::AtLeastOnce, 0));
            assert_ne!(id, stuck);
            assert!(window.on_puback(id));
            begun += 1;
        }
        assert_eq!(begun, 65_535 - 20, "one stuck exchange stops the round before its own id");
        assert!(window.on_puback(stuck));
        assert!(window.has_room());
    }

    #[test]
    fn acknowledgements_end_only_their_own_kind_of_exchange() {
        let mut window = Window::new(0, 10, false);
        let one = window.begin(exchange(Qos::AtLeastOnce, 0));
        let two = window.begin(exchange(Qos::ExactlyOnce, 1));
        assert_eq!(window.on_pubrec(one, false), OnPubrec::Unknown);
        assert!(!window.on_puback(two));
        assert!(!window.on_pubcomp(two), "PUBCOMP before PUBREC");
        assert_eq!(window.on_pubrec(two, false), OnPubrec::Release);
        assert_eq!(window.on_pubrec(two, false), OnPubrec::ReleaseAgain);
        assert!(window.on_pubcomp(two));
        assert!(!window.on_pubcomp(two));
        assert!(window.on_puback(one));
        assert_eq!(window.in_flight(), 0);
        assert_eq!(window.on_pubrec(PacketId::new(9).expect("not zero"), false), OnPubrec::Unknown);
    }

    #[test]
    fn a_refused_qos2_message_ends_without_release() {
        let mut window = Window::new(0, 1, false);
        let id = window.begin(exchange(Qos::ExactlyOnce, 0));
        assert!(!window.has_room());
        assert_eq!(window.on_pubrec(id, true), OnPubrec::Refused);
        assert!(window.has_room());
    }

    #[test]
    fn rows_mirror_what_is_in_flight_and_skip_what_ended_in_between() {
        let mut window = Window::new(0, 10, true);
        let quick = window.begin(exchange(Qos::AtLeastOnce, 0));
        let slow = window.begin(exchange(Qos::ExactlyOnce, 1));
        assert!(window.on_puback(quick));
        assert_eq!(changes(&mut window), [RowChange::Put(1, exchange(Qos::ExactlyOnce, 1))]);
        assert_eq!(changes(&mut window), []);
        window.on_pubrec(slow, false);
        let released = Exchange { step: Step::Released, ..exchange(Qos::ExactlyOnce, 1) };
        assert_eq!(changes(&mut window), [RowChange::Put(1, released)]);
        window.on_pubcomp(slow);
        assert_eq!(changes(&mut window), [RowChange::Delete(1)]);
    }

    #[test]
    fn a_restored_window_goes_on_with_the_old_ids() {
        let mut window = Window::new(0, 10, true);
        window.restore(5, exchange(Qos::AtLeastOnce, 50));
        window.restore(8, exchange(Qos::ExactlyOnce, 80));
        window.skip_to(20);
        let ids: Vec<u16> = window.exchanges().map(|(id, _)| id.get()).collect();
        assert_eq!(ids, [6, 9]);
        assert_eq!(window.begin(exchange(Qos::AtLeastOnce, 1)).get(), 21);
        assert_eq!(changes(&mut window).len(), 1, "restored rows are already there");
    }
}
