//! QoS 1 and 2 messages on their way in: what was taken, what is being stored.

use std::collections::{HashMap, HashSet};

use crate::hash::Unseeded;
use crate::id::PacketId;

/// How far a QoS 2 exchange from the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Handed to the store, not durable: nothing is said yet.
    Storing,
    /// Durable. A repeat gets PUBREC again and is not stored again.
    Stored,
    /// PUBREL came; PUBCOMP follows when the end of the exchange is durable.
    Releasing,
}

/// What to do with a QoS 2 PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// New: store it.
    Store,
    /// A repeat of what is stored: PUBREC again.
    Repeat,
    /// A repeat of what is being stored: its PUBREC will come.
    Wait,
    /// More unacknowledged messages than we allowed.
    OverReceiveMaximum,
}

/// What to do with a PUBREL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// End the exchange, durably if the session is, then PUBCOMP.
    End,
    /// A repeat while the end is being stored: its PUBCOMP will come.
    Wait,
    /// No such exchange: PUBCOMP with "packet identifier not found".
    Unknown,
}

/// Exchanges from the client that are not complete.
#[derive(Debug)]
pub struct Receipts {
    exchanges: HashMap<PacketId, Receipt, Unseeded>,
    /// Those of an earlier connection: they take nothing from what this one may send.
    restored: HashSet<PacketId, Unseeded>,
    qos1: u16,
    receive_maximum: u16,
}

impl Receipts {
    /// Nothing on its way; at most `receive_maximum` at a time.
    #[must_use]
    pub fn new(receive_maximum: u16) -> Self {
        let (exchanges, restored) = (HashMap::default(), HashSet::default());
        Self { exchanges, restored, qos1: 0, receive_maximum }
    }

    /// Takes up an exchange that was stored before the connection was lost.
    pub fn restore(&mut self, id: PacketId) {
        self.exchanges.insert(id, Receipt::Stored);
        self.restored.insert(id);
    }

    /// A message came that says that it is no repeat, under the id of an exchange of an earlier
    /// connection: the other side has forgotten that one. Whether there was one.
    pub fn forget_restored(&mut self, id: PacketId) -> bool {
        let is_stored = self.exchanges.get(&id) == Some(&Receipt::Stored);
        let is_forgotten = is_stored && self.restored.remove(&id);
        if is_forgotten {
            self.exchanges.remove(&id);
        }
        is_forgotten
    }

    fn is_full(&self) -> bool {
        let sent_here = self.exchanges.len().saturating_sub(self.restored.len());
        sent_here + usize::from(self.qos1) >= usize::from(self.receive_maximum)
    }

    /// A QoS 1 PUBLISH came. False when it is one too many.
    #[must_use]
    pub fn on_qos1(&mut self) -> bool {
        if self.is_full() {
            return false;
        }
        self.qos1 += 1;
        true
    }

    /// PUBACK goes out.
    pub fn qos1_answered(&mut self) {
        self.qos1 = self.qos1.saturating_sub(1);
    }

    /// A QoS 2 PUBLISH came.
    pub fn on_qos2(&mut self, id: PacketId) -> Arrival {
        match self.exchanges.get(&id) {
            Some(Receipt::Storing) => Arrival::Wait,
            Some(Receipt::Stored | Receipt::Releasing) => Arrival::Repeat,
            None if self.is_full() => Arrival::OverReceiveMaximum,
            None => {
                self.exchanges.insert(id, Receipt::Storing);
                Arrival::Store
            }
        }
    }

    /// The message is durable (PUBREC goes out), or could not be stored (the exchange is over).
    pub fn on_stored(&mut self, id: PacketId, is_stored: bool) {
        if is_stored {
            self.exchanges.insert(id, Receipt::Stored);
        } else {
            self.exchanges.remove(&id);
        }
    }

    /// A PUBREL came.
    pub fn on_pubrel(&mut self, id: PacketId) -> Release {
        match self.exchanges.get(&id) {
            Some(Receipt::Stored) => {
                self.exchanges.insert(id, Receipt::Releasing);
                Release::End
            }
            Some(Receipt::Releasing) => Release::Wait,
            // PUBREL before our PUBREC: the client released what we did not confirm.
            Some(Receipt::Storing) | None => Release::Unknown,
        }
    }

    /// The end is durable (PUBCOMP goes out), or could not be stored (the client asks again).
    pub fn on_released(&mut self, id: PacketId, is_durable: bool) {
        if is_durable {
            self.exchanges.remove(&id);
            self.restored.remove(&id);
        } else {
            self.exchanges.insert(id, Receipt::Stored);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrival, Receipts, Release};
    use crate::id::PacketId;

    fn id(n: u16) -> PacketId {
        PacketId::new(n).expect("not zero")
    }

    #[test]
    fn a_repeat_is_stored_once_and_confirmed_only_when_durable() {
        let mut receipts = Receipts::new(10);
        assert_eq!(receipts.on_qos2(id(7)), Arrival::Store);
        assert_eq!(receipts.on_qos2(id(7)), Arrival::Wait);
        receipts.on_stored(id(7), true);
        assert_eq!(receipts.on_qos2(id(7)), Arrival::Repeat);
        assert_eq!(receipts.on_pubrel(id(7)), Release::End);
        assert_eq!(receipts.on_pubrel(id(7)), Release::Wait);
        receipts.on_released(id(7), true);
        assert_eq!(receipts.on_pubrel(id(7)), Release::Unknown);
        assert_eq!(receipts.on_qos2(id(7)), Arrival::Store, "after PUBCOMP the id is new");
    }

    #[test]
    fn what_could_not_be_stored_leaves_no_trace() {
        let mut receipts = Receipts::new(1);
        assert_eq!(receipts.on_qos2(id(1)), Arrival::Store);
        receipts.on_stored(id(1), false);
        assert_eq!(receipts.on_qos2(id(2)), Arrival::Store);
    }

    #[test]
    fn an_early_pubrel_does_not_disturb_what_is_being_stored() {
        let mut receipts = Receipts::new(2);
        receipts.on_qos2(id(3));
        assert_eq!(receipts.on_pubrel(id(3)), Release::Unknown);
        receipts.on_stored(id(3), true);
        assert_eq!(receipts.on_qos2(id(3)), Arrival::Repeat);
    }

    #[test]
    fn receive_maximum_counts_both_levels_and_repeats_are_free() {
        let mut receipts = Receipts::new(2);
        assert!(receipts.on_qos1());
        assert_eq!(receipts.on_qos2(id(1)), Arrival::Store);
        assert!(!receipts.on_qos1());
        assert_eq!(receipts.on_qos2(id(2)), Arrival::OverReceiveMaximum);
        assert_eq!(receipts.on_qos2(id(1)), Arrival::Wait);
        receipts.qos1_answered();
        assert_eq!(receipts.on_qos2(id(2)), Arrival::Store);
    }

    #[test]
    fn a_new_message_under_the_id_of_an_earlier_connection_is_new() {
        let mut receipts = Receipts::new(2);
        receipts.restore(id(7));
        assert_eq!(receipts.on_qos2(id(7)), Arrival::Repeat);
        assert!(receipts.forget_restored(id(7)));
        assert_eq!(receipts.on_qos2(id(7)), Arrival::Store);
        assert!(!receipts.forget_restored(id(7)), "it is of this connection now");
        assert_eq!(receipts.on_qos2(id(7)), Arrival::Wait);
    }
}
