//! Messages on their way to the client: packet ids and exchanges in flight, in order.
//!
//! An exchange names where its message lies in the log; it holds no payload.

use std::collections::VecDeque;

use crate::id::{GroupId, PacketId, PartitionId};
use crate::qos::Qos;

/// Packet ids are 1 to 65,535.
const IDS: u64 = 65_535;

/// Where a message lies in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// The share group that handed it out, if one did.
    pub group: Option<GroupId>,
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

/// Exchanges in the order they began. Numbers count up for ever; a packet id is a number modulo
/// 65,535, plus one.
#[derive(Debug)]
pub struct Window {
    slots: VecDeque<Option<Exchange>>,
    first: u64,
    in_flight: usize,
    limit: usize,
}

/// The packet id of the exchange with this number.
#[must_use]
pub fn packet_id(number: u64) -> PacketId {
    let id = u16::try_from(number % IDS + 1).expect("at most 65,535");
    PacketId::new(id).expect("at least 1")
}

impl Window {
    /// An empty window. `limit` is the smaller of our bound and the client's Receive Maximum.
    #[must_use]
    pub fn new(limit: u16) -> Self {
        Self { slots: VecDeque::new(), first: 0, in_flight: 0, limit: usize::from(limit) }
    }

    /// Takes up an exchange of an earlier connection; in rising order of their numbers.
    pub fn restore(&mut self, number: u64, exchange: Exchange) {
        if self.slots.is_empty() {
            self.first = number;
        }
        while self.next_number() < number {
            self.slots.push_back(None);
        }
        self.slots.push_back(Some(exchange));
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

    /// Whether a message of an earlier connection may be sent again, when this many exchanges
    /// were not yet: what a client allows at a time begins anew with each connection.
    #[must_use]
    pub fn has_room_beside(&self, unsent: usize) -> bool {
        self.in_flight.saturating_sub(unsent) < self.limit
    }

    /// The exchange with this packet id, as it stands.
    #[must_use]
    pub fn get(&self, id: PacketId) -> Option<Exchange> {
        self.slots.get(self.index(id)).copied().flatten()
    }

    /// How many exchanges are not complete.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Begins an exchange. The caller has asked [`Window::has_room`].
    pub fn begin(&mut self, exchange: Exchange) -> PacketId {
        let number = self.next_number();
        self.slots.push_back(Some(exchange));
        self.in_flight += 1;
        packet_id(number)
    }

    /// PUBACK: the exchange that it ends.
    pub fn on_puback(&mut self, id: PacketId) -> Option<Exchange> {
        self.end_if(id, |e| e.qos == Qos::AtLeastOnce)
    }

    /// PUBREC, or its refusal.
    pub fn on_pubrec(&mut self, id: PacketId, is_refused: bool) -> OnPubrec {
        let index = self.index(id);
        let Some(Some(exchange)) = self.slots.get_mut(index) else { return OnPubrec::Unknown };
        match (exchange.qos, exchange.step) {
            (Qos::AtMostOnce | Qos::AtLeastOnce, _) => OnPubrec::Unknown,
            (Qos::ExactlyOnce, Step::Published) if is_refused => {
                self.end_if(id, |_| true);
                OnPubrec::Refused
            }
            (Qos::ExactlyOnce, Step::Published) => {
                exchange.step = Step::Released;
                OnPubrec::Release
            }
            (Qos::ExactlyOnce, Step::Released) => OnPubrec::ReleaseAgain,
        }
    }

    /// PUBCOMP: true when it ends an exchange.
    pub fn on_pubcomp(&mut self, id: PacketId) -> bool {
        self.end_if(id, |e| e.step == Step::Released).is_some()
    }

    /// The other side has forgotten the exchange: it begins anew, under the same id.
    pub fn begin_again(&mut self, id: PacketId) {
        let index = self.index(id);
        if let Some(Some(exchange)) = self.slots.get_mut(index) {
            exchange.step = Step::Published;
        }
    }

    /// The number of the exchange with this packet id, if it is not over.
    #[must_use]
    pub fn number_of(&self, id: PacketId) -> Option<u64> {
        let index = self.index(id);
        self.slots.get(index).copied().flatten().map(|_| self.first + index as u64)
    }

    /// Gives up an exchange whose message can no longer be had.
    pub fn give_up(&mut self, id: PacketId) {
        self.end_if(id, |_| true);
    }

    /// Gives up what share groups handed out at QoS 1: it goes to other members when the connection
    /// ends. Answers what groups handed out and stays.
    pub fn give_up_shared(&mut self) -> Vec<(GroupId, Place)> {
        let shared: Vec<(u64, Exchange)> =
            self.exchanges().filter(|(_, exchange)| exchange.group.is_some()).collect();
        for (number, exchange) in &shared {
            if exchange.qos == Qos::AtLeastOnce {
                self.give_up(packet_id(*number));
            }
        }
        let stays = shared.into_iter().filter(|(_, it)| it.qos == Qos::ExactlyOnce);
        stays.filter_map(|(_, it)| Some((it.group?, it.place))).collect()
    }

    /// All exchanges with their numbers, in the order they began: what a resumed session sends
    /// again, and what its row holds.
    pub fn exchanges(&self) -> impl Iterator<Item = (u64, Exchange)> + '_ {
        (self.first..).zip(&self.slots).filter_map(|(number, slot)| Some((number, (*slot)?)))
    }

    fn index(&self, id: PacketId) -> usize {
        let first = self.first % IDS;
        let wanted = u64::from(id.get()) - 1;
        usize::try_from((wanted + IDS - first) % IDS).expect("less than 65,535")
    }

    fn end_if(&mut self, id: PacketId, is_due: impl Fn(&Exchange) -> bool) -> Option<Exchange> {
        let index = self.index(id);
        let ended = self.slots.get_mut(index)?.take_if(|exchange| is_due(exchange))?;
        self.in_flight -= 1;
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
        Some(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::{Exchange, OnPubrec, Place, Step, Window, packet_id};
    use crate::id::{PacketId, PartitionId};
    use crate::qos::Qos;

    fn exchange(qos: Qos, offset: u64) -> Exchange {
        let place = Place { partition: PartitionId(0), offset };
        Exchange { place, qos, step: Step::Published, retain: false, group: None }
    }

    #[test]
    fn ids_count_up_and_never_name_two_exchanges_in_flight() {
        let mut window = Window::new(u16::MAX);
        window.skip_to(65_530);
        let mut open = Vec::new();
        for n in 0..20 {
            open.push(window.begin(exchange(Qos::AtLeastOnce, n)));
        }
        assert!(open.iter().all(|id| id.get() != 0));
        let stuck = open.remove(0);
        for id in open {
            assert!(window.on_puback(id).is_some());
        }
        let mut begun = 0;
        while window.has_room() {
            let id = window.begin(exchange(Qos::AtLeastOnce, 0));
            assert_ne!(id, stuck);
            assert!(window.on_puback(id).is_some());
            begun += 1;
        }
        assert_eq!(begun, 65_535 - 20, "one stuck exchange stops the round before its own id");
        assert!(window.on_puback(stuck).is_some());
        assert!(window.has_room());
    }

    #[test]
    fn acknowledgements_end_only_their_own_kind_of_exchange() {
        let mut window = Window::new(10);
        let one = window.begin(exchange(Qos::AtLeastOnce, 0));
        let two = window.begin(exchange(Qos::ExactlyOnce, 1));
        assert_eq!(window.on_pubrec(one, false), OnPubrec::Unknown);
        assert!(window.on_puback(two).is_none());
        assert!(!window.on_pubcomp(two), "PUBCOMP before PUBREC");
        assert_eq!(window.on_pubrec(two, false), OnPubrec::Release);
        assert_eq!(window.on_pubrec(two, false), OnPubrec::ReleaseAgain);
        assert!(window.on_pubcomp(two));
        assert!(!window.on_pubcomp(two));
        assert!(window.on_puback(one).is_some());
        assert_eq!(window.in_flight(), 0);
        assert_eq!(window.on_pubrec(PacketId::new(9).expect("not zero"), false), OnPubrec::Unknown);
    }

    #[test]
    fn a_refused_qos2_message_ends_without_release() {
        let mut window = Window::new(1);
        let id = window.begin(exchange(Qos::ExactlyOnce, 0));
        assert!(!window.has_room());
        assert_eq!(window.on_pubrec(id, true), OnPubrec::Refused);
        assert!(window.has_room());
    }

    #[test]
    fn a_restored_window_goes_on_with_the_old_ids() {
        let mut window = Window::new(10);
        window.restore(5, exchange(Qos::AtLeastOnce, 50));
        window.restore(8, exchange(Qos::ExactlyOnce, 80));
        window.skip_to(20);
        let ids: Vec<u16> = window.exchanges().map(|(number, _)| packet_id(number).get()).collect();
        assert_eq!(ids, [6, 9]);
        assert_eq!(window.begin(exchange(Qos::AtLeastOnce, 1)).get(), 21);
        assert_eq!(window.in_flight(), 3);
    }
}
