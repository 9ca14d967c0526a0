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
use crate::core::letters::{Deal, ToMember};
use crate::core::state::{Core, Deferred};
use crate::core::stored::{READ_LOG_BYTES, stored_at, walk};
use crate::metrics::{DropReason, Quality};

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dealt {
    Yes,
    /// No member has room, or none is connected.
    Waits(Choice),
}

impl Core {
    /// A live message for a group of this core.
    pub(crate) fn offer_to_group(&mut self, key: GroupKey, offer: &Offer<'_>) {
        let Some(group) = self.groups.get(key) else { return };
        let id = group.id;
        if offer.message.qos == Qos::AtMostOnce {
            if let Dealt::Waits(Choice::Wait) = self.deal(id, offer, 0) {
                let slow = (DropReason::Slow, Quality::AtMostOnce);
                self.counters.messages_dropped.add(slow, 1);
            }
            return;
        }
        if !group.cursor.is_live() {
            // What it catches up with includes this message.
            return;
        }
        if group.group.next_again().is_some() || self.deal(id, offer, 0) != Dealt::Yes {
            if let Some(group) = self.groups.get(key) {
                group.cursor.fall_behind(&self.positions);
            }
            self.groups.mark_changed(id, true);
            self.end_turn_soon();
        }
    }

    /// Hands the message to the member whose turn it is.
    fn deal(&mut self, id: GroupId, offer: &Offer<'_>, attempts: u32) -> Dealt {
        let Some(group) = self.groups.of_id(id) else { return Dealt::Yes };
        if offer.message.seconds_left(self.now_ms) == Some(0) {
            self.groups.mark_changed(id, false);
            return Dealt::Yes;
        }
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
            self.groups.mark_changed(id, true);
        } else if offer.place.is_some() {
            self.groups.mark_changed(id, false);
        }
        let deal = Deal {
            conn: address.conn,
            group: id,
            grant: address.grant,
            place,
            record: offer.record.clone(),
        };
        self.post.for_member(address.core, ToMember::Deal(deal));
        self.end_turn_soon();
        Dealt::Yes
    }

    /// Feeds all groups that may have something to hand out.
    pub(crate) fn feed_hungry_groups(&mut self) {
        for id in std::mem::take(&mut self.groups.hungry) {
            if let Some(group) = self.groups.of_id(id) {
                group.is_hungry = false;
            }
            self.feed_group(id);
        }
    }

    fn feed_group(&mut self, id: GroupId) {
        if !self.feed_again(id) {
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
                Some(slice) if !self.feed_group_slice(id, reading, &slice) => return,
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
                if self.feed_group_slice(id, reading, &slice) {
                    self.groups.mark_hungry(id);
                }
            }
            Err(ReadError::OutOfRange { start, .. }) if reading.from < start => {
                let (filter, offsets) = (&*group.filter, start - reading.from);
                tracing::warn!(filter, offsets, "retention took what a share group had not read");
                group.cursor.advance(reading.partition, start);
                self.groups.mark_hungry(id);
            }
            Err(error) => tracing::error!(%error, ?reading, "the log cannot be read"),
        }
        self.end_turn_soon();
    }

    /// Hands out what a part of the log holds for the group. False when it must wait.
    fn feed_group_slice(&mut self, id: GroupId, reading: Reading, slice: &Slice) -> bool {
        let walked = walk(reading, slice, |batch, record, place| {
            let Some(message) = Message::of(record) else { return ControlFlow::Continue(()) };
            if message.qos == Qos::AtMostOnce || !self.is_for_group(id, message.topic) {
                return ControlFlow::Continue(());
            }
            let record = batch.share(record);
            match self.deal(id, &Offer { message: &message, record, place: Some(place) }, 0) {
                Dealt::Yes => ControlFlow::Continue(()),
                Dealt::Waits(_) => ControlFlow::Break(()),
            }
        });
        self.advance_group(id, reading.partition, walked.next);
        walked.goes_on
    }

    fn is_for_group(&mut self, id: GroupId, topic: &str) -> bool {
        self.groups.of_id(id).is_some_and(|group| topic::matches(&group.plain, topic))
    }

    fn advance_group(&mut self, id: GroupId, partition: PartitionId, next: u64) {
        if let Some(group) = self.groups.of_id(id) {
            group.cursor.advance(partition, next);
            self.groups.mark_changed(id, false);
        }
    }

    /// Hands out what was handed out before and came back. False when it must wait.
    fn feed_again(&mut self, id: GroupId) -> bool {
        let attempts_max = self.shared.share.delivery_attempts_max;
        loop {
            let Some(group) = self.groups.of_id(id) else { return false };
            let Some((place, attempts)) = group.group.next_again() else { return true };
            if attempts_max > 0 && attempts >= attempts_max {
                group.group.give_up(place);
                self.groups.mark_changed(id, true);
                self.bury(id, place, attempts, None);
                continue;
            }
            let slice = self.shared.store.read(place.partition, place.offset, 1);
            let found = slice.ok().and_then(|slice| stored_at(&slice, place.offset));
            let record = found.as_ref().and_then(SharedRecord::record);
            let message = record.as_ref().and_then(Message::of);
            let (Some(message), Some(record)) = (message, &found) else {
                self.lose_again(id, place);
                continue;
            };
            let offer = Offer { message: &message, record: record.clone(), place: Some(place) };
            if self.deal(id, &offer, attempts) != Dealt::Yes {
                return false;
            }
            // Handed out, or stale.
            if let Some(group) = self.groups.of_id(id) {
                group.group.give_up(place);
            }
            if attempts > 0 {
                self.counters.messages_redelivered += 1;
            }
        }
    }

    /// Retention took the message, or the disk cannot give it back.
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
