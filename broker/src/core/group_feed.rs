//! How a share group hands out messages: as they become durable, or from the log when no member
//! had room or none was connected. First what must be handed out again.

use std::ops::ControlFlow;

use tidewire_proto::id::{GroupId, PartitionId};
use tidewire_proto::message::Message;
use tidewire_proto::qos::Qos;
use tidewire_proto::record::SharedRecord;
use tidewire_proto::session::cursor::Reading;
use tidewire_proto::session::window::Place;
use tidewire_proto::share::group::Choice;
use tidewire_proto::share::strategy::{Strategy, mark_of};
use tidewire_proto::topic::{self, TopicFilter};
use tidewire_store::{ReadError, Slice};

use crate::core::groups::{GroupKey, Offer};
use crate::core::letters::{Deal, Hand, ToMember};
use crate::core::looks::{LOOKS_AT_A_TIME, LOOKS_OF_A_SEARCH};
use crate::core::state::{Core, Deferred};
use crate::core::stored::{READ_LOG_BYTES, is_final, stored_at, walk};
use crate::core::timers::Due;
use crate::metrics::{DropReason, Quality};

/// How long a group waits at first when the disk does not answer it, and how long at most.
const UNREAD_WAIT_MS: i64 = 100;
const UNREAD_WAIT_MS_MAX: i64 = 5_000;

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dealt {
    Yes,
    /// No member has room, or none is connected.
    Waits(Choice),
}

impl Core {
    /// A live message for a group of this core: whether a member has it now.
    pub(crate) fn offer_to_group(&mut self, key: GroupKey, offer: &Offer<'_>) -> bool {
        let Some(group) = self.groups.get(key) else { return false };
        if offer.message.qos == Qos::AtMostOnce {
            let dealt = self.deal(key, offer, 0);
            if dealt == Dealt::Waits(Choice::Wait) {
                let slow = (DropReason::Slow, Quality::AtMostOnce);
                self.counters.messages_dropped.add(slow, 1);
            }
            return dealt == Dealt::Yes;
        }
        if !group.cursor.is_live() {
            // What it catches up with includes this message.
            return false;
        }
        let is_dealt = group.group.next_again().is_none() && self.deal(key, offer, 0) == Dealt::Yes;
        if !is_dealt {
            if let Some(group) = self.groups.get(key) {
                group.cursor.fall_behind(&self.positions);
            }
            self.groups.mark(key, true);
            self.end_turn_soon();
        }
        is_dealt
    }

    /// Hands the message to the member whose turn it is.
    fn deal(&mut self, key: GroupKey, offer: &Offer<'_>, attempts: u32) -> Dealt {
        let Some(group) = self.groups.get(key) else { return Dealt::Yes };
        let id = group.id;
        if offer.message.seconds_left(self.now_ms) == Some(0) {
            self.groups.mark(key, false);
            return Dealt::Yes;
        }
        let keeps_order = group.group.strategy().keeps_order();
        let mark = mark(group.group.strategy(), offer.message);
        let link = match group.group.choose(mark) {
            Choice::Member(link) => link,
            none => return Dealt::Waits(none),
        };
        let Some(address) = group.addresses.get(&link.serial).copied() else {
            return Dealt::Waits(Choice::Nobody);
        };
        let qos = link.qos.min(offer.message.qos);
        let place = offer.place.filter(|_| qos != Qos::AtMostOnce);
        if let Some(place) = place {
            group.group.hand(place, link, qos, attempts + 1);
            self.groups.mark(key, true);
        } else if offer.place.is_some() {
            self.groups.mark(key, false);
        }
        let hand = Hand { conn: address.conn, group: id, grant: address.grant, place };
        // At QoS 2 the member's row may not be durable before the group's is: it gets a letter, and
        // so does what must stay behind it. At QoS 1 what rows say counts for nothing after a
        // crash.
        let stays_behind = link.qos == Qos::ExactlyOnce && keeps_order && place.is_some();
        if qos != Qos::ExactlyOnce && !stays_behind && address.core == self.index {
            self.on_hand(&hand, offer.message);
        } else {
            let deal = Deal { hand, record: (offer.record)() };
            self.post.for_member(address.core, ToMember::Deal(deal));
            self.end_turn_soon();
        }
        Dealt::Yes
    }

    /// Feeds groups that may have something to hand out, as far as one turn may go.
    pub(crate) fn feed_hungry_groups(&mut self) {
        for _ in 0..self.groups.hungry.len() {
            if self.scratch.looks.are_spent() {
                return;
            }
            let Some(id) = self.groups.hungry.pop_front() else { return };
            if let Some(group) = self.groups.of_id(id) {
                group.is_hungry = false;
            }
            self.feed_group(id);
        }
    }

    fn feed_group(&mut self, id: GroupId) {
        let waits = self.groups.of_id(id).is_some_and(|group| group.unread.is_set);
        if waits || !self.feed_again(id) {
            return;
        }
        loop {
            let Some(group) = self.groups.of_id(id) else { return };
            if !group.group.is_served() {
                return;
            }
            let Some(reading) = group.cursor.next_read(&self.positions, &self.barriers) else {
                return;
            };
            let Reading { partition, from, .. } = reading;
            match self.shared.store.read_recent(partition, from, READ_LOG_BYTES) {
                Some(slice) if !self.feed_group_slice(id, reading, &slice, LOOKS_AT_A_TIME) => {
                    return;
                }
                Some(_) => (),
                None => return self.read_for_group(id, reading),
            }
        }
    }

    fn read_for_group(&mut self, id: GroupId, reading: Reading) {
        let Some(group) = self.groups.of_id(id) else { return };
        group.cursor.set_reading(true);
        let filter = TopicFilter::parse(&group.plain).ok();
        self.deferred.push(Deferred::GroupRead(id, reading, filter));
        self.end_turn_soon();
    }

    /// A part of the log came from disk.
    pub(crate) fn on_group_read(
        &mut self,
        id: GroupId,
        reading: Reading,
        slice: Result<Slice, ReadError>,
    ) {
        let Some(group) = self.groups.of_id(id) else { return };
        group.cursor.set_reading(false);
        match slice {
            Ok(slice) => {
                group.unread.waited_ms = 0;
                let end = self.scratch.looks.end_of_read();
                if self.feed_group_slice(id, reading, &slice, end) {
                    self.groups.mark_hungry(id);
                }
            }
            Err(ReadError::OutOfRange { start, .. }) if reading.from < start => {
                let (filter, offsets) = (&*group.filter, start - reading.from);
                tracing::warn!(filter, offsets, "retention took what a share group had not read");
                group.cursor.advance(reading.partition, start);
                self.groups.mark_hungry(id);
            }
            Err(error) => {
                tracing::error!(%error, ?reading, "the log cannot be read");
                self.read_group_later(id);
            }
        }
        self.end_turn_soon();
    }

    /// The group reads again after a while, and not before.
    fn read_group_later(&mut self, id: GroupId) {
        let Some(group) = self.groups.of_id(id) else { return };
        if std::mem::replace(&mut group.unread.is_set, true) {
            return;
        }
        let wait_ms = (group.unread.waited_ms * 2).clamp(UNREAD_WAIT_MS, UNREAD_WAIT_MS_MAX);
        group.unread.waited_ms = wait_ms;
        self.timers.set(self.shared.clock.elapsed_ms() + wait_ms, Due::Unread(id));
    }

    /// The time has come to read what could not be read.
    pub(crate) fn read_group_again(&mut self, id: GroupId) {
        if let Some(group) = self.groups.of_id(id) {
            group.unread.is_set = false;
        }
        self.groups.mark_hungry(id);
        self.end_turn_soon();
    }

    /// Hands out what a part of the log holds for the group, up to where so much is spent. False
    /// when it must wait, or others are to have their turn.
    fn feed_group_slice(
        &mut self,
        id: GroupId,
        reading: Reading,
        slice: &Slice,
        end: usize,
    ) -> bool {
        let Some(key) = self.groups.key_of(id) else { return false };
        let mut is_tired = false;
        let walked = walk(reading, slice, |batch, record, place| {
            is_tired = self.scratch.looks.are_beyond(end);
            if is_tired {
                return ControlFlow::Break(());
            }
            self.scratch.looks.spend(1);
            let Some(message) = Message::of(record) else { return ControlFlow::Continue(()) };
            if message.qos == Qos::AtMostOnce || !self.is_for_group(key, message.topic) {
                return ControlFlow::Continue(());
            }
            let share = || batch.share(record);
            let offer = Offer { message: &message, record: &share, place: Some(place) };
            match self.deal(key, &offer, 0) {
                Dealt::Yes => ControlFlow::Continue(()),
                Dealt::Waits(_) => ControlFlow::Break(()),
            }
        });
        self.advance_group(id, reading.partition, walked.next);
        if is_tired {
            self.feed_group_soon(id);
        }
        walked.goes_on
    }

    /// It goes on when others had their turn.
    fn feed_group_soon(&mut self, id: GroupId) {
        self.groups.mark_hungry(id);
        self.end_turn_soon();
    }

    fn is_for_group(&mut self, key: GroupKey, topic: &str) -> bool {
        self.groups.get(key).is_some_and(|group| topic::matches(&group.plain, topic))
    }

    fn advance_group(&mut self, id: GroupId, partition: PartitionId, next: u64) {
        if let Some(group) = self.groups.of_id(id) {
            group.cursor.advance(partition, next);
            self.groups.mark_changed(id, false);
        }
    }

    /// Hands out what was handed out before and came back. False when it must wait, or others are
    /// to have their turn.
    fn feed_again(&mut self, id: GroupId) -> bool {
        let attempts_max = self.shared.share.delivery_attempts_max;
        loop {
            let Some(key) = self.groups.key_of(id) else { return false };
            let Some(group) = self.groups.get(key) else { return false };
            let Some((place, attempts)) = group.group.next_again() else { return true };
            if self.scratch.looks.are_spent() {
                self.feed_group_soon(id);
                return false;
            }
            self.scratch.looks.spend(LOOKS_OF_A_SEARCH);
            if attempts_max > 0 && attempts >= attempts_max {
                group.group.give_up(place);
                self.groups.mark_changed(id, true);
                self.bury(id, place, attempts, None);
                continue;
            }
            let found = match self.shared.store.read(place.partition, place.offset, 1) {
                Ok(slice) => {
                    group.unread.waited_ms = 0;
                    stored_at(&slice, place.offset)
                }
                Err(error) if is_final(&error) => None,
                Err(error) => {
                    tracing::error!(%error, ?place, "what came back cannot be read");
                    self.read_group_later(id);
                    return false;
                }
            };
            let record = found.as_ref().and_then(SharedRecord::record);
            let message = record.as_ref().and_then(Message::of);
            let (Some(message), Some(record)) = (message, &found) else {
                self.lose_again(id, place);
                continue;
            };
            let share = || record.clone();
            let offer = Offer { message: &message, record: &share, place: Some(place) };
            if self.deal(key, &offer, attempts) != Dealt::Yes {
                return false;
            }
            // Handed out, or stale. Who could not take it says so by letter, behind this.
            if let Some(group) = self.groups.get(key) {
                group.group.give_up(place);
            }
            if attempts > 0 {
                self.counters.messages_redelivered += 1;
            }
        }
    }

    /// Retention took the message, or the disk can never give it back.
    fn lose_again(&mut self, id: GroupId, place: Place) {
        if let Some(group) = self.groups.of_id(id) {
            group.group.give_up(place);
        }
        self.groups.mark_changed(id, true);
        let lost = (DropReason::Retention, Quality::AtLeastOnce);
        self.counters.messages_dropped.add(lost, 1);
    }
}

/// What a sticky group looks at.
fn mark(strategy: Strategy, message: &Message<'_>) -> u64 {
    match strategy {
        Strategy::StickyTopic => mark_of(message.topic),
        Strategy::StickyPublisher => mark_of(message.origin.unwrap_or_default()),
        Strategy::RoundRobin | Strategy::LeastInFlight => 0,
    }
}

#[cfg(test)]
mod tests;
