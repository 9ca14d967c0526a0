//! A share group: its members, what each holds unacknowledged, and what must be handed out again.
//!
//! The group's cursor is beside it, not in it. A message is *handed* to one member at a time until
//! it is over; at QoS 1 it goes to another when the member's connection is lost, at QoS 2 it stays
//! with the member's session, which alone may complete it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::hash::Unseeded;
use crate::qos::Qos;
use crate::session::window::Place;
use crate::share::strategy::{Candidate, Strategy, mark_of};

/// A member's connection; its number is used once in the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The connection's number.
    pub serial: u64,
    /// The QoS that the member's subscription grants.
    pub qos: Qos,
    /// Unacknowledged messages of this group that it may have.
    pub limit: u32,
}

#[derive(Debug)]
struct Member {
    client_id: Arc<str>,
    mark: u64,
    /// Its session outlives its connections.
    is_durable: bool,
    link: Option<Link>,
    in_flight: u32,
    /// It said that it has no room.
    is_full: bool,
}

/// A message that a member has and has not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// Whose session it is in.
    pub client_id: Arc<str>,
    /// The connection that it was handed to; 0 after a start.
    pub serial: u64,
    /// At which QoS.
    pub qos: Qos,
    /// How often it was handed out.
    pub attempts: u32,
}

/// A message that nobody gets any more, and whose dead letter is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// How often it was handed out.
    pub attempts: u32,
    /// With which reason code it was refused; `None` if nobody acknowledged it.
    pub reason: Option<u8>,
    /// The letter is on its way to the log.
    pub is_underway: bool,
}

/// Dead letters that may wait before the group hands out nothing more.
const DOOMED_MAX: usize = 1_000;

/// A list of what is handed out that has room for no more than this keeps it.
const ROOM_KEPT: usize = 64;

/// Who gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This connection.
    Member(Link),
    /// A member that has no room now.
    Wait,
    /// No member is connected.
    Nobody,
}

/// One group.
#[derive(Debug, Default)]
pub struct Group {
    strategy: Strategy,
    members: Vec<Member>,
    turn: usize,
    /// Without an order: each message comes in and goes.
    handed: HashMap<Place, Handed, Unseeded>,
    /// To be handed out again, with how often they were.
    again: BTreeMap<Place, u32>,
    /// To be put aside.
    doomed: BTreeMap<Place, Doomed>,
}

impl Group {
    /// A group without members.
    #[must_use]
    pub fn new(strategy: Strategy) -> Self {
        Self { strategy, ..Self::default() }
    }

    /// How it spreads messages.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Takes up what was stored: a member whose client is away.
    pub fn restore_member(&mut self, client_id: Arc<str>) {
        self.put_member(client_id, true, None);
    }

    /// Takes up what was stored: a message that a session still has to complete.
    pub fn restore_handed(&mut self, place: Place, handed: Handed) {
        self.handed.insert(place, handed);
    }

    /// Takes up what was stored: a message that nobody has.
    pub fn restore_again(&mut self, place: Place, attempts: u32) {
        self.again.insert(place, attempts);
    }

    /// A message is for nobody any more. It stays here until its dead letter is written; also
    /// taken up so.
    pub fn doom(&mut self, place: Place, attempts: u32, reason: Option<u8>) {
        self.again.remove(&place);
        self.doomed.insert(place, Doomed { attempts, reason, is_underway: false });
    }

    /// The dead letter of a message is on its way, or did not get through.
    pub fn set_underway(&mut self, place: Place, is_underway: bool) {
        if let Some(doomed) = self.doomed.get_mut(&place) {
            doomed.is_underway = is_underway;
        }
    }

    /// The dead letter of a message is written, or can never be.
    pub fn buried(&mut self, place: Place) {
        self.doomed.remove(&place);
    }

    /// All that waits for its dead letter.
    pub fn doomed(&self) -> impl ExactSizeIterator<Item = (&Place, &Doomed)> {
        self.doomed.iter()
    }

    /// A member is connected, or its subscription changed.
    pub fn join(&mut self, client_id: Arc<str>, is_durable: bool, link: Link) {
        self.put_member(client_id, is_durable, Some(link));
    }

    fn put_member(&mut self, client_id: Arc<str>, is_durable: bool, link: Option<Link>) {
        let serial = link.map_or(0, |link| link.serial);
        let held = |handed: &&Handed| handed.client_id == client_id && handed.serial == serial;
        let in_flight = self.handed.values().filter(held).count();
        let member = Member {
            mark: mark_of(&client_id),
            client_id,
            is_durable,
            link,
            in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
            is_full: false,
        };
        match self.members.iter().position(|old| old.client_id == member.client_id) {
            Some(at) => self.members[at] = member,
            None => self.members.push(member),
        }
    }

    /// A connection is lost. What it had at QoS 1 goes to others; what it had at QoS 2 stays with
    /// its session, if that lives on, and is over with it otherwise.
    ///
    /// `kept` is what its session really has at QoS 2: the rest never reached it, and goes to
    /// others too. `is_over`: the session ends with it, of a member or of one that unsubscribed.
    pub fn lost(&mut self, client_id: &str, serial: u64, kept: &[Place], is_over: bool) {
        let mut kept = kept.to_vec();
        kept.sort_unstable();
        let was_kept = |place: &Place| kept.binary_search(place).is_ok();
        self.take_back(serial, was_kept);
        self.unlink(serial);
        if is_over {
            // What is on its way to an earlier connection is in no session: that is heard of later.
            self.forget(client_id, was_kept);
        }
    }

    /// A message was handed to a connection that was gone already: it is in no session, and it was
    /// not an attempt.
    pub fn unreached(&mut self, place: Place, serial: u64) {
        self.unlink(serial);
        let Entry::Occupied(entry) = self.handed.entry(place) else { return };
        if entry.get().serial == serial {
            let handed = entry.remove();
            self.again.insert(place, handed.attempts.saturating_sub(1));
        }
    }

    fn unlink(&mut self, serial: u64) {
        let of_it = |member: &Member| member.link.is_some_and(|link| link.serial == serial);
        if let Some(at) = self.members.iter().position(of_it) {
            if self.members[at].is_durable {
                self.members[at].link = None;
            } else {
                self.members.remove(at);
            }
        }
    }

    /// A client unsubscribed on this connection. It completes what it has; one that came later is
    /// a member.
    pub fn leave(&mut self, client_id: &str, serial: u64) {
        let stays = |link: Link| link.serial != serial;
        self.members
            .retain(|member| &*member.client_id != client_id || member.link.is_some_and(stays));
    }

    /// A session is over, and with it what only it could complete. One that is connected is another
    /// session of the same client: its core may be faster than the one that ended the first.
    pub fn session_ended(&mut self, client_id: &str) {
        if self.link_of(client_id).is_none() {
            self.members.retain(|member| &*member.client_id != client_id);
        }
        self.forget(client_id, |_| true);
    }

    fn link_of(&self, client_id: &str) -> Option<Link> {
        let mut members = self.members.iter();
        members.find(|member| &*member.client_id == client_id).and_then(|member| member.link)
    }

    fn take_back(&mut self, serial: u64, was_kept: impl Fn(&Place) -> bool) {
        let lost = |(place, handed): &(&Place, &Handed)| {
            handed.serial == serial && (handed.qos == Qos::AtLeastOnce || !was_kept(place))
        };
        let places: Vec<Place> = self.handed.iter().filter(lost).map(|(place, _)| *place).collect();
        for place in places {
            if let Some(handed) = self.handed.remove(&place) {
                self.again.insert(place, handed.attempts);
            }
        }
    }

    /// Gives back memory that a time of many messages left. Not with each message that ends: the
    /// next ones often want it again.
    pub fn trim(&mut self) {
        let room = self.handed.capacity();
        if room > ROOM_KEPT && self.handed.len() < room / 8 {
            self.handed.shrink_to(self.handed.len() * 2);
        }
    }

    /// What a client had before its connection of now, if it has one: at QoS 1 it goes to others,
    /// at QoS 2 it is over where the session had it.
    fn forget(&mut self, client_id: &str, was_had: impl Fn(&Place) -> bool) {
        let serial = self.link_of(client_id).map(|link| link.serial);
        let again = &mut self.again;
        self.handed.retain(|place, handed| {
            if &*handed.client_id != client_id || Some(handed.serial) == serial {
                return true;
            }
            if handed.qos == Qos::AtLeastOnce {
                again.insert(*place, handed.attempts);
                return false;
            }
            !was_had(place)
        });
    }

    /// Who gets the next message. `mark` is that of its topic or publisher, as the strategy asks.
    pub fn choose(&mut self, mark: u64) -> Choice {
        if self.doomed.len() >= DOOMED_MAX {
            return Choice::Wait;
        }
        let look = |member: &Member| {
            let link = member.link?;
            let has_room = !member.is_full && member.in_flight < link.limit;
            Some(Candidate { mark: member.mark, in_flight: member.in_flight, has_room })
        };
        let Some(at) = self.strategy.choose(&self.members, look, mark, self.turn) else {
            return if self.is_served() { Choice::Wait } else { Choice::Nobody };
        };
        self.turn = at + 1;
        self.members[at].link.map_or(Choice::Nobody, Choice::Member)
    }

    /// The chosen member has the message, for the `attempts`th time that anyone does.
    pub fn hand(&mut self, place: Place, link: Link, qos: Qos, attempts: u32) {
        let Some(member) = self.member(link.serial) else { return };
        member.in_flight += 1;
        let client_id = Arc::clone(&member.client_id);
        self.again.remove(&place);
        self.handed.insert(place, Handed { client_id, serial: link.serial, qos, attempts });
    }

    /// A message is over. The answer is what was known of it; `None` when it was not with this
    /// client.
    pub fn ended(&mut self, place: Place, client_id: &str) -> Option<Handed> {
        let Entry::Occupied(entry) = self.handed.entry(place) else { return None };
        if &*entry.get().client_id != client_id {
            return None;
        }
        let handed = entry.remove();
        if let Some(member) = self.member(handed.serial) {
            member.in_flight = member.in_flight.saturating_sub(1);
        }
        Some(handed)
    }

    /// A member could not take what it was handed: it was not an attempt.
    pub fn returned(&mut self, place: Place, client_id: &str, is_full: bool) {
        let Some(handed) = self.ended(place, client_id) else { return };
        self.again.insert(place, handed.attempts.saturating_sub(1));
        if let Some(member) = self.member(handed.serial) {
            member.is_full = is_full;
        }
    }

    /// A member that had no room has some.
    pub fn has_room(&mut self, serial: u64) {
        if let Some(member) = self.member(serial) {
            member.is_full = false;
        }
    }

    /// The oldest message that must be handed out again, and how often it was.
    #[must_use]
    pub fn next_again(&self) -> Option<(Place, u32)> {
        self.again.first_key_value().map(|(place, attempts)| (*place, *attempts))
    }

    /// The message is over although nobody has it.
    pub fn give_up(&mut self, place: Place) {
        self.again.remove(&place);
    }

    /// All that is with members, in no order.
    pub fn handed(&self) -> impl ExactSizeIterator<Item = (&Place, &Handed)> {
        self.handed.iter()
    }

    /// All that waits to be handed out again.
    pub fn again(&self) -> impl ExactSizeIterator<Item = (&Place, &u32)> {
        self.again.iter()
    }

    /// Whether it has to be remembered through a restart.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.members.iter().any(|member| member.is_durable)
    }

    /// Whether nobody is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether any member is connected.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.members.iter().any(|member| member.link.is_some())
    }

    fn member(&mut self, serial: u64) -> Option<&mut Member> {
        let of_it = |member: &&mut Member| member.link.is_some_and(|link| link.serial == serial);
        self.members.iter_mut().find(of_it)
    }
}

#[cfg(test)]
mod tests;
