//! The offsets of a group: committed, forgotten, expired. What is read is what is durable.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidewire_store::{Table, TableChange};

use crate::groups::group::{Group, State};
use crate::groups::limits::Limits;
use crate::groups::member::Member;
use crate::groups::moment::Moment;
use crate::groups::offset::{Committed, removed};
use crate::groups::out::{Out, Then};
use crate::groups::readers::Reader;
use crate::groups::refusal::Refusal;
use crate::groups::request::{Answer, Caller, Spot, Ticket, Wanted};
use crate::subscription;

/// A group that has neither members nor offsets is kept so long.
const IDLE_MS: i64 = 600_000;
/// What members are to each other that say in Kafka's own form what they want to read.
const CONSUMERS: &str = "consumer";

/// What an offset takes besides its texts.
const SPOT_BYTES: usize = 192;

/// Rows, and what is the group's when they are durable.
type Taken = (Vec<TableChange>, Vec<(Spot, Committed)>);

impl Group {
    /// The answer comes when the offsets are durable.
    pub(super) fn commit(
        &mut self,
        (ticket, caller): (Ticket, &Caller),
        wanted: Vec<Wanted>,
        now: Moment,
        out: &mut Out,
    ) {
        if let Err(why) = self.check_commit(caller) {
            return out.refuse(ticket, why);
        }
        self.hear(&caller.member, now);
        self.set_epochs_aside(now, out);
        let (changes, offsets) = self.take_offsets(wanted, now);
        if changes.is_empty() {
            return out.answer(ticket, Answer::Done);
        }
        out.store(&self.name, changes, Then::Commit { ticket: Some(ticket), offsets });
    }

    /// The rows of offsets that are on their way to the disk from here on.
    pub(super) fn take_offsets(&mut self, wanted: Vec<Wanted>, now: Moment) -> Taken {
        let (mut changes, mut offsets) = (Vec::new(), Vec::new());
        for Wanted { spot, offset, leader_epoch, metadata } in wanted {
            let committed_ms = now.wall_ms;
            let committed = Committed { offset, leader_epoch, committed_ms, metadata };
            changes.extend(committed.stored(&self.name, &spot));
            *self.unsettled.entry(spot.clone()).or_default() += 1;
            offsets.push((spot, committed));
        }
        (changes, offsets)
    }

    /// Whoever would commit offsets with a transaction may, and lives. As by Kafka: members that
    /// wait for their leader may, and one that is behind hears so in older words, because newer
    /// ones are the end of a transactional producer.
    pub(super) fn check_alive(&mut self, caller: &Caller, now: Moment) -> Result<(), Refusal> {
        self.check_caller(caller).map_err(|why| match why {
            Refusal::StaleEpoch => Refusal::IllegalGeneration,
            other => other,
        })?;
        self.hear(&caller.member, now);
        Ok(())
    }

    fn check_commit(&self, caller: &Caller) -> Result<(), Refusal> {
        self.check_caller(caller)?;
        match self.state {
            State::Completing { .. } => Err(Refusal::Rebalancing),
            State::Empty | State::Preparing { .. } | State::Stable => Ok(()),
        }
    }

    fn check_caller(&self, caller: &Caller) -> Result<(), Refusal> {
        // A reader that was assigned its partitions by hand is nobody's member.
        let is_alone = self.members.is_empty() && self.readers.all.is_empty();
        if caller.generation < 0 && is_alone {
            return Ok(());
        }
        if !self.readers.all.is_empty() {
            let Caller { member, instance, generation } = caller;
            return self.readers.check_commit(member, instance.as_ref(), *generation);
        }
        self.check(caller)
    }

    /// Offsets are durable, or are not.
    pub(super) fn committed(&mut self, offsets: Vec<(Spot, Committed)>, is_stored: bool) {
        for (spot, committed) in offsets {
            if let Some(count) = self.unsettled.get_mut(&spot) {
                *count -= 1;
                if *count == 0 {
                    self.unsettled.remove(&spot);
                }
            }
            if is_stored {
                self.note(spot, committed);
            }
        }
    }

    /// The offset of a place from now on.
    pub(super) fn note(&mut self, spot: Spot, committed: Committed) {
        self.offset_bytes += bytes_of(&spot, &committed.metadata);
        let topic = spot.topic.len();
        if let Some(before) = self.offsets.insert(spot, committed) {
            self.offset_bytes -= SPOT_BYTES + topic + before.metadata.len();
        }
    }

    /// How many bytes more the group would hold with these.
    pub(super) fn offsets_more(&self, wanted: &[Wanted]) -> usize {
        let more = |it: &Wanted| {
            let before = self.offsets.get(&it.spot);
            let before = before.map_or(0, |before| bytes_of(&it.spot, &before.metadata));
            bytes_of(&it.spot, &it.metadata).saturating_sub(before)
        };
        wanted.iter().map(more).sum()
    }

    /// Offsets are to go. What was never committed has none.
    pub(super) fn forget(&mut self, ticket: Ticket, spots: Vec<Spot>, out: &mut Out) {
        let is_here = |it: &Spot| self.offsets.contains_key(it) || self.unsettled.contains_key(it);
        let spots: BTreeSet<Spot> = spots.into_iter().filter(is_here).collect();
        self.remove(Some(ticket), spots.into_iter().collect(), out);
    }

    fn remove(&mut self, ticket: Option<Ticket>, spots: Vec<Spot>, out: &mut Out) {
        let changes: Vec<_> = spots.iter().filter_map(|spot| removed(&self.name, spot)).collect();
        match (changes.is_empty(), ticket) {
            (true, Some(ticket)) => out.answer(ticket, Answer::Done),
            (true, None) => (),
            (false, _) => out.store(&self.name, changes, Then::Forget { ticket, spots }),
        }
    }

    /// Offsets are gone for good.
    pub(super) fn forgotten(&mut self, spots: &[Spot]) {
        for spot in spots {
            if let Some(gone) = self.offsets.remove(spot) {
                self.offset_bytes -= bytes_of(spot, &gone.metadata);
            }
        }
    }

    /// The group is to go.
    pub(super) fn end(&mut self, ticket: Option<Ticket>, out: &mut Out) {
        if self.state != State::Empty {
            return ticket.into_iter().for_each(|ticket| out.refuse(ticket, Refusal::NotEmpty));
        }
        if self.is_ending {
            return ticket.into_iter().for_each(|ticket| out.refuse(ticket, Refusal::NotStored));
        }
        self.is_ending = true;
        let spots = self.offsets.keys().chain(self.unsettled.keys());
        let offsets = spots.filter_map(|spot| removed(&self.name, spot));
        let row = TableChange::new(Table::Groups, self.name.as_bytes().into(), None);
        let changes = [row].into_iter().chain(offsets).collect();
        out.store(&self.name, changes, Then::End { ticket });
    }

    /// Has offsets and groups end whose time is over. False if nothing was ever stored of this
    /// group, and nobody asks for it any more.
    pub(super) fn expire(&mut self, now: Moment, limits: &Limits, out: &mut Out) -> bool {
        let retention_ms = i64::try_from(limits.retention_ms).unwrap_or(i64::MAX);
        let is_over = |from: i64, ms: i64| from.saturating_add(ms) <= now.wall_ms;
        // Whoever read before a restart has as long again to come back, whatever the clock says.
        let is_new = |at: u64| now.steady_ms < at.saturating_add(limits.retention_ms);
        let is_kept = self.restored_at.is_some_and(is_new);
        if self.state == State::Stable {
            if is_kept {
                return true;
            }
            let unread = self.unread(|committed_ms| is_over(committed_ms, retention_ms));
            self.remove(None, unread, out);
            return true;
        }
        let is_used = self.state != State::Empty || !self.invited.is_empty();
        if is_used || self.is_ending || !self.unsettled.is_empty() {
            return true;
        }
        let unused_since = self.unused_since();
        let expired: Vec<Spot> = self
            .offsets
            .iter()
            .filter(|(_, it)| !is_kept && is_over(unused_since.max(it.committed_ms), retention_ms))
            .map(|(spot, _)| spot.clone())
            .collect();
        let idle_over = is_over(self.since_ms, IDLE_MS);
        if expired.len() == self.offsets.len() && (idle_over || !expired.is_empty()) {
            if self.generation == 0 && expired.is_empty() {
                return false;
            }
            self.end(None, out);
        } else {
            self.remove(None, expired, out);
        }
        true
    }

    /// Offsets of topics that no member wants to read, and that were committed so long ago.
    fn unread(&self, is_over: impl Fn(i64) -> bool) -> Vec<Spot> {
        // What members say may be long: it is looked at when something could go.
        if !self.offsets.values().any(|it| is_over(it.committed_ms)) {
            return Vec::new();
        }
        let Some(topics) = self.topics() else { return Vec::new() };
        let is_unread = |(spot, it): &(&Spot, &Committed)| {
            is_over(it.committed_ms)
                && !topics.contains(&*spot.topic)
                && !self.unsettled.contains_key(spot)
        };
        self.offsets.iter().filter(is_unread).map(|(spot, _)| spot.clone()).collect()
    }

    /// What the members want to read; `None` if one of them says it in a way that we do not know.
    fn topics(&self) -> Option<BTreeSet<String>> {
        if *self.protocol_type != *CONSUMERS {
            return None;
        }
        let said = |member: &Member| subscription::topics(&member.metadata(&self.protocol));
        let named = |reader: &Reader| reader.topics.iter().map(|it| (**it).to_owned()).collect();
        let readers = self.readers.all.values().map(named);
        let each: Vec<Vec<String>> = self.members.values().map(said).chain(readers).collect();
        let all_say = each.iter().all(|topics| !topics.is_empty());
        all_say.then(|| each.into_iter().flatten().collect())
    }

    /// When its last member left; readers that are nobody's members do not leave.
    fn unused_since(&self) -> i64 {
        if self.generation == 0 { i64::MIN } else { self.since_ms }
    }

    /// The offset of one place.
    pub(super) fn offset(&self, topic: &Arc<str>, partition: u32) -> Option<&Committed> {
        self.offsets.get(&Spot { topic: Arc::clone(topic), partition })
    }
}

/// Bytes that offsets take that a group has nothing of yet.
pub(super) fn all_bytes(wanted: &[Wanted]) -> usize {
    wanted.iter().map(|it| bytes_of(&it.spot, &it.metadata)).sum()
}

fn bytes_of(spot: &Spot, metadata: &str) -> usize {
    SPOT_BYTES + spot.topic.len() + metadata.len()
}
