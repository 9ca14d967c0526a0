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
        // At QoS 2 the member's row may not be durable before the group's is: it gets a letter. At
        // QoS 1 what rows say of it counts for nothing after a crash.
        if qos != Qos::ExactlyOnce && address.core == self.index {
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
            // Handed out, or stale.
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
mod tests {
    use tidewire_proto::id::{GroupId, PartitionId};
    use tidewire_proto::message::Published;
    use tidewire_proto::mqtt::Properties;
    use tidewire_proto::qos::Qos;
    use tidewire_proto::record::BatchBuilder;
    use tidewire_proto::session::cursor::Reading;
    use tidewire_proto::session::window::Place;
    use tidewire_store::{Append, Commit, ReadError};

    use super::LOOKS_AT_A_TIME;
    use crate::core::alone::Alone;
    use crate::core::open::ConnId;
    use crate::core::timers::Due;

    const PINGREQ: u8 = 0xc0;
    const PINGRESP: [u8; 2] = [0xd0, 0];
    const SUBSCRIBE_SHARED: &[u8] = b"\x00\x02\x00\x00\x0a$share/g/b\x01";

    /// A group with a member, and two messages in the log of which the first is not in memory.
    fn group(alone: &mut Alone) -> (GroupId, ConnId, PartitionId) {
        let member = alone.connect("member");
        alone.settle();
        alone.say(member, 0x82, SUBSCRIBE_SHARED);
        alone.rest();
        alone.heard(member);
        let id = alone.core.shared.shares.id_of("$share/g/b").expect("it has a member");
        let partition = alone.store.streams()[0].partitions[0];
        for _ in 0..2 {
            store(alone, partition, "b", 1);
        }
        (id, member, partition)
    }

    /// So many messages at once.
    fn store(alone: &Alone, partition: PartitionId, topic: &str, count: usize) {
        store_at(alone, partition, topic, count, Qos::AtLeastOnce);
    }

    fn store_at(alone: &Alone, partition: PartitionId, topic: &str, count: usize, qos: Qos) {
        let mut batch = BatchBuilder::new();
        for _ in 0..count {
            let published = Published {
                topic,
                payload: b"x",
                qos,
                retain: false,
                properties: Properties::EMPTY,
                origin: None,
            };
            published.push_to(&mut batch, 0);
        }
        let appends = vec![Append::new(partition, batch.finish())];
        alone.store.commit(Commit { appends, changes: vec![] }).expect("committed");
    }

    /// The time of all that waits has come.
    fn let_time_pass(alone: &mut Alone, id: GroupId) {
        assert_eq!(alone.core.timers.pop(i64::MAX).map(|(_, due)| due), Some(Due::Unread(id)));
        assert_eq!(alone.core.timers.pop(i64::MAX), None);
        alone.core.read_group_again(id);
    }

    #[test]
    fn what_came_back_to_a_group_and_cannot_be_read_now_is_handed_out_when_it_can() {
        let mut alone = Alone::new(|config| config.store.recent_bytes_max = 1);
        let (id, member, partition) = group(&mut alone);
        let place = Place { partition, offset: 0 };
        alone.hide_the_log();
        let group = alone.core.groups.of_id(id).expect("it is there");
        group.group.restore_again(place, 0);
        for _ in 0..3 {
            let before = alone.hidden_reads();
            alone.core.groups.mark_hungry(id);
            alone.core.feed_hungry_groups();
            assert_eq!(alone.hidden_reads() - before, 1);
            alone.core.groups.mark_hungry(id);
            alone.core.feed_hungry_groups();
            assert_eq!(alone.hidden_reads() - before, 1, "not before its time");
            let group = alone.core.groups.of_id(id).expect("it is there");
            assert_eq!(group.group.next_again(), Some((place, 0)));
            let_time_pass(&mut alone, id);
        }
        alone.show_the_log();
        alone.rest();
        assert_eq!(alone.heard(member).first(), Some(&0x32));
        let group = alone.core.groups.of_id(id).expect("it is there");
        assert_eq!(group.group.next_again(), None);
    }

    #[test]
    fn a_group_that_could_not_read_the_log_reads_it_again_after_a_while() {
        let mut alone = Alone::new(|config| config.store.recent_bytes_max = 1);
        let (id, _, partition) = group(&mut alone);
        let reading = Reading { partition, from: 0, to: 2 };
        alone.core.on_group_read(id, reading, Err(ReadError::Io("not now".into())));
        let is_hungry =
            |alone: &mut Alone| alone.core.groups.of_id(id).expect("it is there").is_hungry;
        assert!(!is_hungry(&mut alone), "not at once");
        let_time_pass(&mut alone, id);
        assert!(is_hungry(&mut alone));
    }

    #[test]
    fn many_groups_that_catch_up_at_once_leave_others_and_sessions_their_turns() {
        let (groups, messages) = (50, 10_000);
        let mut alone = Alone::new(|_| ());
        let (member, other) = (alone.connect("member"), alone.connect("other"));
        alone.settle();
        let mut ids = Vec::new();
        for number in 0..groups {
            let filter = format!("$share/g{number:02}/b");
            let body = [b"\x00\x02\x00\x00\x0c", filter.as_bytes(), b"\x01"].concat();
            alone.say(member, 0x82, &body);
            alone.rest();
            ids.push(alone.core.shared.shares.id_of(&filter).expect("it has a member"));
        }
        alone.heard(other);
        let partition = alone.store.streams()[0].partitions[0];
        store(&alone, partition, "a", messages);
        let before = alone.core.positions.clone();
        alone.core.positions.advance(partition, messages as u64);
        for id in &ids {
            alone.core.groups.of_id(*id).expect("it is there").cursor.fall_behind(&before);
            alone.core.groups.mark_hungry(*id);
        }
        alone.core.open(other).expect("it is here").cursor.fall_behind(&before);
        alone.core.feed_soon(other);
        let is_live =
            |alone: &mut Alone, id| alone.core.groups.of_id(id).expect("there").cursor.is_live();
        let mut turns = 0;
        while !ids.iter().all(|id| is_live(&mut alone, *id)) {
            turns += 1;
            assert!(turns <= groups, "they go on");
            alone.core.end_turn();
            assert!(alone.core.scratch.looks.spent() <= LOOKS_AT_A_TIME, "after {turns}");
            alone.say(other, PINGREQ, &[]);
            assert_eq!(alone.heard(other), PINGRESP, "after {turns}");
            let session = alone.core.open(other).expect("it is here");
            assert!(turns < 2 || session.cursor.is_live(), "it has its turn after theirs");
        }
        assert!(turns >= groups * messages / LOOKS_AT_A_TIME, "{turns} turns");
    }

    /// A group with a message at this QoS to hand out, and how many letters the turn leaves for
    /// members when it was fed.
    fn fed(qos: Qos) -> (Alone, GroupId, ConnId, usize) {
        let mut alone = Alone::new(|_| ());
        let member = alone.connect("member");
        alone.settle();
        alone.say(member, 0x82, b"\x00\x02\x00\x00\x0a$share/g/b\x02");
        alone.rest();
        alone.heard(member);
        let id = alone.core.shared.shares.id_of("$share/g/b").expect("it has a member");
        let partition = alone.store.streams()[0].partitions[0];
        let before = alone.core.positions.clone();
        store_at(&alone, partition, "b", 1, qos);
        alone.core.positions.advance(partition, 1);
        alone.core.groups.of_id(id).expect("it is there").cursor.fall_behind(&before);
        alone.core.groups.mark_hungry(id);
        alone.core.feed_hungry_groups();
        let letters = alone.core.post.take().map(|(_, _, members)| members.len()).sum();
        (alone, id, member, letters)
    }

    fn in_flight(alone: &mut Alone, member: ConnId) -> usize {
        alone.core.open(member).expect("it is here").window.exchanges().count()
    }

    #[test]
    fn a_member_beside_its_group_has_at_once_what_is_handed_to_it_at_qos1_and_a_letter_at_qos2() {
        let (mut alone, id, member, letters) = fed(Qos::AtLeastOnce);
        assert_eq!((letters, in_flight(&mut alone, member)), (0, 1));
        assert_eq!(alone.core.groups.of_id(id).expect("it is there").group.handed().len(), 1);
        let (mut alone, id, member, letters) = fed(Qos::ExactlyOnce);
        assert_eq!((letters, in_flight(&mut alone, member)), (1, 0), "its row may not be first");
        assert_eq!(alone.core.groups.of_id(id).expect("it is there").group.handed().len(), 1);
    }

    #[test]
    fn what_a_member_beside_its_group_acknowledged_is_over_for_the_group_at_once() {
        let (mut alone, id, member, _) = fed(Qos::AtLeastOnce);
        alone.say(member, 0x40, &[0, 1]);
        assert_eq!(in_flight(&mut alone, member), 0);
        let group = alone.core.groups.of_id(id).expect("it is there");
        assert!(group.is_hungry, "it may have more for the member");
        assert_eq!(group.group.handed().len(), 0);
        assert_eq!(group.group.again().len(), 0);
    }
}
