//! What becomes of a message that a share group gives up: counted, and put where somebody can
//! look at it. Until that is done it stays with the group.

use tidewire_proto::delivery::copy_properties;
use tidewire_proto::id::GroupId;
use tidewire_proto::message::{Message, Published};
use tidewire_proto::mqtt::{EncodeError, PropertiesBuilder, ReasonCode};
use tidewire_proto::qos::Qos;
use tidewire_proto::record::SharedRecord;
use tidewire_proto::session::window::Place;
use tidewire_proto::share::group::Doomed;
use tidewire_store::ReadError;

use crate::core::inbox::Event;
use crate::core::send::quality;
use crate::core::state::Core;
use crate::core::stored::{is_final, stored_at};
use crate::core::tellers::News;
use crate::core::timers::Due;
use crate::core::turn::Waiting;
use crate::metrics::{DropReason, Quality};

/// How long dead letters wait that find no room: at first, and at most, twice as long each time.
const WAIT_MS: i64 = 1_000;
const WAIT_MS_MAX: i64 = 60_000;
/// Dead letters that are tried again at a time.
const LETTERS_AT_A_TIME: usize = 32;

/// What became of the attempt to write a dead letter.
enum Attempt {
    /// It is in this turn's commit.
    Made,
    /// There is no room: another time.
    NoRoom,
    /// The message cannot be read now: another time.
    Unread,
    /// There will never be one.
    Never,
}

impl Core {
    /// Nobody is to get the message any more. Without a dead-letter topic it is over; with one it
    /// stays with the group until its letter is durable.
    pub(crate) fn bury(
        &mut self,
        id: GroupId,
        place: Place,
        attempts: u32,
        reason: Option<ReasonCode>,
    ) {
        let Some(group) = self.groups.of_id(id) else { return };
        let filter = group.filter.clone();
        let reason = reason.map(|reason| reason.0);
        let is_wanted = self.shared.share.dead_letter_topic.is_some();
        if is_wanted {
            group.group.doom(place, attempts, reason);
            self.groups.mark_changed(id, true);
        }
        let counted = if reason.is_some() { DropReason::Refused } else { DropReason::Attempts };
        if let Ok(Some(found)) = self.doomed_record(place)
            && let Some(message) = found.record().as_ref().and_then(Message::of)
        {
            self.counters.messages_dropped.add((counted, quality(message.qos)), 1);
            let (topic, why) = (message.topic, words(reason));
            if self.may_tell(News::GivenUp) {
                tracing::info!(filter = &*filter, topic, attempts, why, "message given up");
            }
        }
        if is_wanted && matches!(self.write_letter(id, place), Attempt::NoRoom | Attempt::Unread) {
            self.bury_later(id);
        }
    }

    /// The time of dead letters that wait has come, or that of those behind the last tried.
    pub(crate) fn bury_again(&mut self, id: GroupId) {
        let Some(group) = self.groups.of_id(id) else { return };
        group.letters.is_set = false;
        let after = group.letters.after.take();
        let is_next = |place: &Place| after.is_none_or(|after| *place > after);
        let waiting = group.group.doomed().filter(|(_, doomed)| !doomed.is_underway);
        let mut next = waiting.map(|(place, _)| *place).filter(is_next);
        let places: Vec<Place> = next.by_ref().take(LETTERS_AT_A_TIME).collect();
        let has_more = next.next().is_some();
        drop(next);
        for place in &places {
            match self.write_letter(id, *place) {
                Attempt::NoRoom => return self.bury_later(id),
                // Those behind it may be written.
                Attempt::Unread => self.set_unread(id),
                Attempt::Made | Attempt::Never => (),
            }
        }
        let Some(group) = self.groups.of_id(id) else { return };
        group.letters.after = places.last().copied().filter(|_| has_more);
        self.go_on_burying(id);
    }

    fn set_unread(&mut self, id: GroupId) {
        if let Some(group) = self.groups.of_id(id) {
            group.letters.has_unread = true;
        }
    }

    /// Letters that wait are looked at with the next that is written. Is none on its way, those
    /// behind the last tried come when others had their turn; the rest comes later.
    fn go_on_burying(&mut self, id: GroupId) {
        let Some(group) = self.groups.of_id(id) else { return };
        let is_waited_for = group.group.doomed().any(|(_, doomed)| doomed.is_underway);
        let waiting = group.group.doomed().len();
        if group.letters.after.is_none() {
            // What could not be read is not tried again with each that is written.
            let has_unread = std::mem::take(&mut group.letters.has_unread);
            if waiting > 0 && (has_unread || !is_waited_for) {
                self.bury_later(id);
            }
        } else if !is_waited_for && !std::mem::replace(&mut group.letters.is_set, true) {
            self.inbox.push(Event::Due(vec![Due::Letters(id)]));
        }
    }

    /// A dead letter is durable, or was refused.
    pub(crate) fn on_letter(&mut self, id: GroupId, place: Place, is_ok: bool) {
        let Some(group) = self.groups.of_id(id) else {
            if !is_ok {
                // Nobody is there to try it again.
                let label = (DropReason::Store, Quality::AtLeastOnce);
                self.counters.messages_dropped.add(label, 1);
            }
            return;
        };
        if !is_ok {
            group.group.set_underway(place, false);
            return self.bury_later(id);
        }
        group.group.buried(place);
        group.letters.waited_ms = 0;
        let waits = group.group.doomed().any(|(_, doomed)| !doomed.is_underway);
        let is_set = group.letters.is_set;
        self.groups.mark_changed(id, false);
        self.groups.mark_hungry(id);
        if waits && !is_set {
            self.bury_again(id);
        }
        self.end_turn_soon();
    }

    /// Dead letters of the group are tried again, after a while.
    pub(crate) fn bury_later(&mut self, id: GroupId) {
        let Some(group) = self.groups.of_id(id) else { return };
        if std::mem::replace(&mut group.letters.is_set, true) {
            return;
        }
        let wait_ms = (group.letters.waited_ms * 2).clamp(WAIT_MS, WAIT_MS_MAX);
        group.letters.waited_ms = wait_ms;
        let (filter, unwritten) = (&*group.filter, group.group.doomed().len());
        tracing::warn!(filter, unwritten, wait_ms, "dead letters wait for room");
        self.counters.dead_letters_deferred += 1;
        self.timers.set(self.shared.clock.elapsed_ms() + wait_ms, Due::Letters(id));
    }

    /// Puts a dead letter into this turn's commit, if it can be.
    fn write_letter(&mut self, id: GroupId, place: Place) -> Attempt {
        let Some(group) = self.groups.of_id(id) else { return Attempt::Never };
        let found = group.group.doomed().find(|(doomed, _)| **doomed == place);
        let Some(doomed) = found.map(|(_, doomed)| *doomed) else { return Attempt::Never };
        let filter = group.filter.clone();
        let attempt = self.try_letter(&filter, place, doomed);
        let Some(group) = self.groups.of_id(id) else { return Attempt::Never };
        match attempt {
            Attempt::Made => {
                group.group.set_underway(place, true);
                self.turn.waiting.push(Waiting::Letter(id, place));
                self.end_turn_soon();
            }
            Attempt::NoRoom | Attempt::Unread => (),
            Attempt::Never => {
                group.group.buried(place);
                self.groups.mark_changed(id, false);
                // It may have waited for this.
                self.groups.mark_hungry(id);
                self.end_turn_soon();
            }
        }
        attempt
    }

    fn try_letter(&mut self, filter: &str, place: Place, doomed: Doomed) -> Attempt {
        let Some(topic) = self.shared.share.dead_letter_topic.clone() else {
            return Attempt::Never;
        };
        let found = match self.doomed_record(place) {
            Ok(Some(found)) => found,
            Ok(None) | Err(ReadError::OutOfRange { .. }) => {
                let label = (DropReason::Retention, Quality::AtLeastOnce);
                self.counters.messages_dropped.add(label, 1);
                return Attempt::Never;
            }
            Err(error) => {
                tracing::error!(%error, "a message that was given up cannot be read");
                return if is_final(&error) { Attempt::Never } else { Attempt::Unread };
            }
        };
        let record = found.record();
        let Some(message) = record.as_ref().and_then(Message::of) else { return Attempt::Never };
        let Doomed { attempts, reason, .. } = doomed;
        let why = words(reason);
        let letter = Letter { message: &message, place, attempts, why: &why, filter };
        self.send_letter(&topic, &letter).unwrap_or_else(|error| {
            tracing::warn!(%error, topic, "a dead letter cannot be written");
            Attempt::Never
        })
    }

    fn send_letter(&mut self, topic: &str, letter: &Letter<'_>) -> Result<Attempt, EncodeError> {
        let mut properties = PropertiesBuilder::default();
        letter.write(&mut properties, self.now_ms)?;
        let published = Published {
            topic,
            payload: letter.message.payload,
            qos: letter.message.qos.max(Qos::AtLeastOnce),
            retain: false,
            properties: properties.as_properties(),
            origin: None,
        };
        let Some(placed) = self.placement.place(topic, "", published.properties) else {
            return Ok(Attempt::Never);
        };
        if self.shared.store.is_full(placed.partition) {
            return Ok(Attempt::NoRoom);
        }
        self.turn.append(&published, placed, self.now_ms);
        Ok(Attempt::Made)
    }

    fn doomed_record(&self, place: Place) -> Result<Option<SharedRecord>, ReadError> {
        let slice = self.shared.store.read(place.partition, place.offset, 1)?;
        Ok(stored_at(&slice, place.offset))
    }
}

/// Why a message was given up.
fn words(reason: Option<u8>) -> String {
    match reason {
        Some(reason) => format!("refused with 0x{reason:02X}"),
        None => "not acknowledged".into(),
    }
}

struct Letter<'a> {
    message: &'a Message<'a>,
    place: Place,
    attempts: u32,
    why: &'a str,
    filter: &'a str,
}

impl Letter<'_> {
    /// The message's own properties, then where it comes from.
    fn write(&self, out: &mut PropertiesBuilder, now_ms: i64) -> Result<(), EncodeError> {
        copy_properties(out, self.message, now_ms)?;
        let Place { partition, offset } = self.place;
        for (name, value) in [
            ("dead-letter-reason", self.why),
            ("dead-letter-count", &self.attempts.to_string()),
            ("dead-letter-topic", self.message.topic),
            ("dead-letter-group", self.filter),
            ("dead-letter-source", &format!("{}:{offset}", partition.0)),
        ] {
            out.user(name, value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::{GroupId, PartitionId};
    use tidewire_proto::record::BatchBuilder;
    use tidewire_proto::session::window::Place;
    use tidewire_store::{Append, Commit, ReadError};

    use super::LETTERS_AT_A_TIME;
    use crate::core::alone::Alone;
    use crate::core::timers::Due;

    const SUBSCRIBE_SHARED: &[u8] = b"\x00\x02\x00\x00\x0a$share/g/b\x01";

    fn group(alone: &mut Alone) -> GroupId {
        let member = alone.connect("member");
        alone.settle();
        alone.say(member, 0x82, SUBSCRIBE_SHARED);
        for _ in 0..4 {
            alone.core.end_turn();
            alone.settle();
        }
        alone.core.shared.shares.id_of("$share/g/b").expect("it has a member")
    }

    #[test]
    fn dead_letters_that_can_never_be_written_do_not_stop_those_behind_them_nor_their_group() {
        let mut alone = Alone::new(|config| config.share.dead_letter_topic = Some("dead".into()));
        let id = group(&mut alone);
        let all = 2 * LETTERS_AT_A_TIME as u64 + 1;
        // The log has no such messages.
        for offset in 0..all {
            let place = Place { partition: PartitionId(0), offset: 1_000 + offset };
            let group = alone.core.groups.of_id(id).expect("it is there");
            group.group.doom(place, 1, None);
        }
        alone.core.bury_again(id);
        let group = alone.core.groups.of_id(id).expect("it is there");
        assert!(group.is_hungry, "there is room for more");
        assert_eq!(waiting(&mut alone, id), LETTERS_AT_A_TIME + 1);
        for left in [1, 0] {
            alone.settle();
            assert_eq!(waiting(&mut alone, id), left, "the rest has its turn after others");
        }
        assert_eq!(alone.core.timers.pop(i64::MAX), None);
    }

    fn waiting(alone: &mut Alone, id: GroupId) -> usize {
        alone.core.groups.of_id(id).expect("it is there").group.doomed().len()
    }

    #[test]
    fn dead_letters_that_cannot_be_read_now_are_tried_some_at_a_time_and_those_behind_them_too() {
        let mut alone = Alone::new(|config| {
            config.share.dead_letter_topic = Some("dead".into());
            config.store.recent_bytes_max = 1;
        });
        let id = group(&mut alone);
        let partition = alone.store.streams()[0].partitions[0];
        let mut messages = BatchBuilder::new();
        messages.push(7, Some(b"b"), Some(b"x"), &[]);
        let messages = messages.finish();
        let unreadable = 2 * LETTERS_AT_A_TIME as u64;
        // The last stays in memory.
        for _ in 0..=unreadable {
            let appends = vec![Append::new(partition, messages.clone())];
            alone.store.commit(Commit { appends, changes: vec![] }).expect("committed");
        }
        alone.hide_the_log();
        assert!(matches!(alone.store.read(partition, 0, 1), Err(ReadError::Io(_))));
        // The log has no such message: its letter can never be written.
        for offset in (0..unreadable).chain([unreadable + 1_000]) {
            let group = alone.core.groups.of_id(id).expect("it is there");
            group.group.doom(Place { partition, offset }, 1, None);
        }
        let before = alone.hidden_reads();
        alone.core.bury_again(id);
        assert_eq!(alone.hidden_reads() - before, LETTERS_AT_A_TIME);
        assert_eq!(waiting(&mut alone, id), 2 * LETTERS_AT_A_TIME + 1);
        alone.settle();
        assert_eq!(waiting(&mut alone, id), 2 * LETTERS_AT_A_TIME + 1);
        alone.settle();
        assert_eq!(waiting(&mut alone, id), 2 * LETTERS_AT_A_TIME, "the last has had its turn");
        alone.settle();
        assert_eq!(alone.hidden_reads() - before, 2 * LETTERS_AT_A_TIME, "each was tried once");
        assert_eq!(alone.core.timers.pop(i64::MAX).map(|(_, due)| due), Some(Due::Letters(id)));
        assert_eq!(alone.core.timers.pop(i64::MAX), None);
    }
}
