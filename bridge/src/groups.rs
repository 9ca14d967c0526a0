//! Consumer groups, pure: requests and moments in, answers and rows out. Never waits, never reads
//! a clock, never knows a connection. docs/decisions/0012-consumer-groups.md says how and why.

mod described;
mod group;
mod join;
mod limits;
mod member;
mod membership;
mod moment;
mod offset;
mod offsets;
mod out;
mod readers;
mod refusal;
mod request;
mod shares;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use tidewire_store::TableChange;
use tidewire_store::rows::group::GroupRow;
use tidewire_store::rows::offset::OffsetRow;

pub use described::{Described, DescribedMember, DescribedReader, Phase};
pub use limits::Limits;
pub use moment::Moment;
pub use offset::Committed;
pub use out::Effect;
pub use refusal::Refusal;
pub use request::{
    Answer, Beat, Caller, Join, Joined, Listed, Protocol, Pulse, Spot, Sync, Ticket, Wanted,
};

use group::{Group, State};
use member::bytes_of;
use offsets::all_bytes;
use out::{Out, Then};
use readers::Readers;

/// What names of share groups begin with: those are nobody else's.
const SHARED: &str = "$share/";

/// All groups.
#[derive(Debug, Default)]
pub struct Groups {
    limits: Limits,
    all: HashMap<Arc<str>, Group>,
    /// When each is to be looked at, soonest first.
    agenda: BTreeSet<(u64, Arc<str>)>,
    /// Bytes that they all hold.
    held: usize,
    out: Out,
}

impl Groups {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// What may be held, and how long things take.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A group as it was stored. Before anything else happens.
    pub fn restore(&mut self, name: &str, row: GroupRow, now: Moment) {
        let group = self.found_or_made(&name.into(), now);
        group.restored_at = Some(now.steady_ms);
        group.restore(row, now);
        self.reschedule(name, now);
    }

    /// An offset as it was stored. Before anything else happens.
    pub fn restore_offset(&mut self, name: &str, spot: Spot, row: OffsetRow, now: Moment) {
        let group = self.found_or_made(&name.into(), now);
        group.restored_at = Some(now.steady_ms);
        group.note(spot, Committed::from_row(row));
        self.reschedule(name, now);
    }

    /// Somebody joins. The answer comes when the members agree.
    pub fn join(&mut self, name: &Arc<str>, ticket: Ticket, join: &Join, now: Moment) {
        if let Err(why) = self.check_join(name, join, now) {
            return self.out.refuse(ticket, why);
        }
        let limits = self.limits;
        self.found_or_made(name, now);
        self.with(name, now, |group, out| group.join((ticket, join), now, &limits, out));
    }

    /// A member asks what it reads. The answer comes when the leader has said it.
    pub fn sync(&mut self, name: &Arc<str>, ticket: Ticket, sync: &Sync, now: Moment) {
        let limits = self.limits;
        let more = self.all.get(name).map_or(0, |group| group.assigned_more(sync));
        if more > 0 && !self.has_room(more) {
            return self.out.refuse(ticket, Refusal::Full);
        }
        let asked =
            self.with(name, now, |group, out| group.sync((ticket, sync), now, &limits, out));
        if asked.is_none() {
            self.out.refuse(ticket, Refusal::UnknownMember);
        }
    }

    /// A member lives.
    ///
    /// # Errors
    /// When it is not in the group, or is to join again.
    pub fn heartbeat(
        &mut self,
        name: &Arc<str>,
        caller: &Caller,
        now: Moment,
    ) -> Result<(), Refusal> {
        // Only ever moves what is due further away: the agenda may stay as it is.
        let group = self.all.get_mut(name).ok_or(Refusal::UnknownMember)?;
        group.heartbeat(caller, now)
    }

    /// A member of the newer kind says how it is, and hears what it is to read.
    ///
    /// # Errors
    /// When it is not in the group, or is to join again.
    pub fn beat(&mut self, name: &Arc<str>, beat: &Beat, now: Moment) -> Result<Pulse, Refusal> {
        self.check_name(name)?;
        let (limits, is_new) = (self.limits, !self.all.contains_key(name));
        let ids = [Some(&beat.client_id), Some(&beat.member), beat.instance.as_ref()];
        if ids.into_iter().flatten().any(|id| id.len() > limits.id_bytes_max) {
            return Err(Refusal::InvalidRequest);
        }
        if is_new && beat.epoch != 0 {
            return Err(Refusal::UnknownMember);
        }
        let (before, after) = self.all.get(name).map_or_else(
            || Readers::default().bytes_with(beat),
            |group| group.readers.bytes_with(beat),
        );
        let more = after.saturating_sub(before);
        // Who says nothing new stays, and who wants to leave does.
        let is_larger = beat.epoch >= 0 && more > 0;
        if is_larger && (after > limits.group_bytes_max || !self.has_room(more)) {
            return Err(Refusal::Full);
        }
        if is_new {
            self.make_place(now)?;
        }
        if self.found_or_made(name, now).is_ending {
            return Err(Refusal::NotStored);
        }
        let pulse = self.with(name, now, |group, out| group.beat(beat, now, &limits, out));
        pulse.unwrap_or(Err(Refusal::UnknownGroup))
    }

    /// A member goes.
    ///
    /// # Errors
    /// When it is not in the group.
    pub fn leave(
        &mut self,
        name: &Arc<str>,
        member: &Arc<str>,
        instance: Option<&Arc<str>>,
        now: Moment,
    ) -> Result<(), Refusal> {
        let left = self.with(name, now, |group, out| group.leave(member, instance, now, out));
        left.unwrap_or(Err(Refusal::UnknownMember))
    }

    /// Offsets to commit. The answer comes when they are durable.
    pub fn commit(
        &mut self,
        name: &Arc<str>,
        (ticket, caller): (Ticket, &Caller),
        wanted: Vec<Wanted>,
        now: Moment,
    ) {
        let checked = self.check_room(name, &wanted);
        if let Err(why) = checked.and_then(|()| self.check_commit(name, caller, now)) {
            return self.out.refuse(ticket, why);
        }
        if wanted.is_empty() && !self.all.contains_key(name) {
            // No group is made for nothing.
            return self.out.answer(ticket, Answer::Done);
        }
        self.found_or_made(name, now);
        self.with(name, now, |group, out| group.commit((ticket, caller), wanted, now, out));
    }

    /// Whether offsets may be the group's when a transaction is committed; whoever asks lives.
    ///
    /// # Errors
    /// When the group would not take them now.
    pub fn check_offsets(
        &mut self,
        name: &Arc<str>,
        caller: &Caller,
        wanted: &[Wanted],
        now: Moment,
    ) -> Result<(), Refusal> {
        self.check_room(name, wanted)?;
        // Older clients do not say which member they are.
        let is_nobody = caller.generation < 0 && caller.member.is_empty();
        match self.check_commit(name, caller, now) {
            Ok(()) if is_nobody && caller.instance.is_none() => Ok(()),
            Ok(()) => {
                let checked = self.with(name, now, |group, _| group.check_alive(caller, now));
                checked.unwrap_or(Ok(()))
            }
            Err(why) => Err(why),
        }
    }

    /// Offsets that were checked are in a commit with these changes. What became of it is to be
    /// told with this number.
    pub fn take_offsets(
        &mut self,
        name: &Arc<str>,
        wanted: Vec<Wanted>,
        now: Moment,
    ) -> (u64, Vec<TableChange>) {
        self.found_or_made(name, now);
        let taken = self.with(name, now, |group, _| group.take_offsets(wanted, now));
        let (changes, offsets) = taken.unwrap_or_default();
        (self.out.outside(name, Then::Commit { ticket: None, offsets }), changes)
    }

    /// Whether the group's end is on its way to the disk.
    #[must_use]
    pub fn is_ending(&self, name: &str) -> bool {
        self.all.get(name).is_some_and(|group| group.is_ending)
    }

    /// Offsets to forget. The answer comes when that is durable.
    pub fn forget(&mut self, name: &Arc<str>, ticket: Ticket, spots: Vec<Spot>, now: Moment) {
        if self.with(name, now, |group, out| group.forget(ticket, spots, out)).is_none() {
            self.out.refuse(ticket, Refusal::UnknownGroup);
        }
    }

    /// A group to forget, with its offsets. The answer comes when that is durable.
    pub fn end(&mut self, name: &Arc<str>, ticket: Ticket, now: Moment) {
        if self.with(name, now, |group, out| group.end(Some(ticket), out)).is_none() {
            self.out.refuse(ticket, Refusal::UnknownGroup);
        }
    }

    /// Nobody waits for this answer any more.
    pub fn hang_up(&mut self, name: &Arc<str>, ticket: Ticket, now: Moment) {
        self.with(name, now, |group, _| group.hang_up(ticket, now));
    }

    /// What became of a write. To be told in the order in which the store did them.
    pub fn stored(&mut self, write: u64, is_stored: bool, now: Moment) {
        let Some(pending) = self.out.settle(write) else { return };
        let name = pending.group;
        let outcome = |done: Answer| match is_stored {
            true => done,
            false => Answer::Refused(Refusal::NotStored),
        };
        match pending.then {
            Then::Assign { generation, assignments } => {
                self.with(&name, now, |group, out| {
                    group.assigned(generation, assignments, (is_stored, now), out);
                });
            }
            Then::Commit { ticket, offsets } => {
                self.with(&name, now, |group, _| group.committed(offsets, is_stored));
                ticket.into_iter().for_each(|it| self.out.answer(it, outcome(Answer::Done)));
            }
            Then::Tell { ticket, answer } => self.out.answer(ticket, outcome(answer)),
            Then::Forget { ticket, spots } => {
                if is_stored {
                    self.with(&name, now, |group, _| group.forgotten(&spots));
                }
                ticket.into_iter().for_each(|it| self.out.answer(it, outcome(Answer::Done)));
            }
            Then::End { ticket } => {
                self.ended(&name, is_stored);
                ticket.into_iter().for_each(|it| self.out.answer(it, outcome(Answer::Done)));
            }
            Then::Readers if !is_stored => {
                self.with(&name, now, |group, _| group.epochs_until = 0);
            }
            Then::Readers | Then::Nothing => (),
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Moment) {
        while let Some((at, name)) = self.agenda.first().cloned()
            && at <= now.steady_ms
        {
            self.agenda.pop_first();
            if let Some(group) = self.all.get_mut(&name) {
                group.scheduled = None;
            }
            self.with(&name, now, |group, out| group.tick(now, out));
        }
    }

    /// When something is due next.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// Ends groups and offsets whose time is over. Looks at all of them: now and then.
    pub fn expire(&mut self, now: Moment) {
        let Self { all, limits, out, .. } = self;
        all.retain(|_, group| group.expire(now, limits, out));
    }

    /// What is to be done, in this order.
    #[must_use]
    pub fn take_effects(&mut self) -> Vec<Effect> {
        self.out.take()
    }

    /// What a group committed for a partition.
    #[must_use]
    pub fn offset(&self, name: &str, topic: &Arc<str>, partition: u32) -> Option<&Committed> {
        self.all.get(name)?.offset(topic, partition)
    }

    /// All that a group committed.
    pub fn offsets(&self, name: &str) -> impl Iterator<Item = (&Spot, &Committed)> {
        self.all.get(name).into_iter().flat_map(|group| &group.offsets)
    }

    /// The names of all groups.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.all.keys()
    }

    /// A group as others see it.
    #[must_use]
    pub fn describe(&self, name: &str) -> Option<Described> {
        let described = self.summary(name)?;
        let group = self.all.get(name)?;
        let members = group.members.values().map(|member| DescribedMember {
            id: Arc::clone(&member.id),
            instance: member.instance.clone(),
            client_id: Arc::clone(&member.client_id),
            host: Arc::clone(&member.host),
            metadata: member.metadata(&group.protocol),
            assignment: member.assignment.clone(),
        });
        let readers = group.readers.all.iter().map(|(id, reader)| DescribedMember {
            id: Arc::clone(id),
            instance: reader.instance.clone(),
            client_id: Arc::clone(&reader.client_id),
            host: Arc::clone(&reader.host),
            metadata: Bytes::new(),
            assignment: assignment(&reader.told),
        });
        Some(Described { members: members.chain(readers).collect(), ..described })
    }

    /// The epoch and the members of a group whose members are of the newer kind.
    #[must_use]
    pub fn readers(&self, name: &str) -> Option<(i32, Vec<DescribedReader>)> {
        let readers = &self.all.get(name)?.readers;
        let described = readers.all.iter().map(|(id, reader)| DescribedReader {
            id: Arc::clone(id),
            instance: reader.instance.clone(),
            client_id: Arc::clone(&reader.client_id),
            host: Arc::clone(&reader.host),
            epoch: reader.epoch,
            topics: reader.topics.clone(),
            told: reader.told.clone(),
            target: reader.target.clone(),
        });
        (!readers.all.is_empty()).then(|| (readers.epoch, described.collect()))
    }

    /// The same without its members.
    #[must_use]
    pub fn summary(&self, name: &str) -> Option<Described> {
        let group = self.all.get(name)?;
        Some(Described {
            name: Arc::clone(&group.name),
            phase: match group.state {
                State::Empty => Phase::Empty,
                State::Preparing { .. } => Phase::PreparingRebalance,
                State::Completing { .. } => Phase::CompletingRebalance,
                State::Stable => Phase::Stable,
            },
            kind: if group.readers.all.is_empty() { "classic" } else { "consumer" },
            generation: group.generation,
            protocol_type: Arc::clone(&group.protocol_type),
            protocol: Arc::clone(&group.protocol),
            members: Vec::new(),
        })
    }

    fn check_join(&mut self, name: &str, join: &Join, now: Moment) -> Result<(), Refusal> {
        let Limits { session_ms_min, session_ms_max, id_bytes_max, .. } = self.limits;
        self.check_name(name)?;
        let ids = [&join.client_id, &join.member, &join.protocol_type];
        let ids = ids.map(Some).into_iter().chain([join.instance.as_ref()]);
        let is_long = ids.flatten().any(|id| id.len() > id_bytes_max);
        if is_long || join.protocols.len() > self.limits.protocols_max {
            return Err(Refusal::InvalidRequest);
        }
        let session_ms = u32::try_from(join.session_ms).unwrap_or(0);
        if !(session_ms_min..=session_ms_max).contains(&session_ms) {
            return Err(Refusal::InvalidSessionTimeout);
        }
        let group = self.all.get(name);
        let known = group.and_then(|group| group.known(join));
        let own = known.map_or(0, |member| bytes_of(&member.protocols));
        // Who says no more than before stays.
        let more = bytes_of(&join.protocols).saturating_sub(own);
        if (known.is_none() || more > 0) && !self.has_room(more) {
            return Err(Refusal::Full);
        }
        match group {
            Some(group) if group.is_ending => Err(Refusal::NotStored),
            Some(_) => Ok(()),
            None if !join.member.is_empty() => Err(Refusal::UnknownMember),
            None => self.make_place(now),
        }
    }

    fn check_commit(&mut self, name: &str, caller: &Caller, now: Moment) -> Result<(), Refusal> {
        self.check_name(name)?;
        match self.all.get(name) {
            Some(group) if group.is_ending => Err(Refusal::NotStored),
            Some(_) => Ok(()),
            None if caller.generation >= 0 => Err(Refusal::IllegalGeneration),
            None => self.make_place(now),
        }
    }

    /// Place for one group more: those that hold nothing make room, or begin to.
    fn make_place(&mut self, now: Moment) -> Result<(), Refusal> {
        if self.all.len() < self.limits.groups_max {
            return Ok(());
        }
        let nothing = self.all.values().filter(|group| group.is_nothing());
        let nothing: Vec<_> = nothing.map(|group| Arc::clone(&group.name)).collect();
        nothing.iter().for_each(|name| self.drop_group(name));
        if self.all.len() < self.limits.groups_max {
            return Ok(());
        }
        if self.all.values().any(|group| group.is_ending) {
            return Err(Refusal::NotStored);
        }
        let unused = self.all.values().filter(|group| group.is_unused());
        let oldest = unused.min_by_key(|group| group.since_ms).map(|group| Arc::clone(&group.name));
        let Some(oldest) = oldest else { return Err(Refusal::Full) };
        self.with(&oldest, now, |group, out| group.end(None, out));
        // Once that is stored there is place.
        Err(Refusal::NotStored)
    }

    fn drop_group(&mut self, name: &Arc<str>) {
        let Some(group) = self.all.remove(name) else { return };
        if let Some(at) = group.scheduled {
            self.agenda.remove(&(at, Arc::clone(name)));
        }
        self.held = self.held.saturating_sub(group.counted);
    }

    /// Whether these offsets fit. Whoever has an offset of a place can always move it.
    fn check_room(&self, name: &str, wanted: &[Wanted]) -> Result<(), Refusal> {
        let group = self.all.get(name);
        let more = group.map_or_else(|| all_bytes(wanted), |it| it.offsets_more(wanted));
        if more == 0 || self.has_room(more) {
            return Ok(());
        }
        match wanted.iter().any(|one| !one.metadata.is_empty()) {
            true => Err(Refusal::MetadataTooLarge),
            false => Err(Refusal::NoRoom),
        }
    }

    /// Whether all groups together may hold so much more.
    fn has_room(&self, bytes: usize) -> bool {
        self.held.saturating_add(bytes) <= self.limits.bytes_max
    }

    /// Whether a group may have that name.
    ///
    /// # Errors
    /// When it may not.
    pub fn check_name(&self, name: &str) -> Result<(), Refusal> {
        let is_legal =
            !name.is_empty() && name.len() <= self.limits.id_bytes_max && !name.starts_with(SHARED);
        if is_legal { Ok(()) } else { Err(Refusal::InvalidGroupId) }
    }

    fn found_or_made(&mut self, name: &Arc<str>, now: Moment) -> &mut Group {
        let make = || Group::new(Arc::clone(name), now);
        self.all.entry(Arc::clone(name)).or_insert_with(make)
    }

    fn ended(&mut self, name: &Arc<str>, is_stored: bool) {
        // What was made anew under the name is another group.
        let Some(group) = self.all.get_mut(name).filter(|group| group.is_ending) else { return };
        group.is_ending = false;
        if is_stored {
            self.drop_group(name);
        }
    }

    /// Lets something happen to a group, if there is one, and looks when it is due then.
    fn with<T>(
        &mut self,
        name: &str,
        now: Moment,
        happen: impl FnOnce(&mut Group, &mut Out) -> T,
    ) -> Option<T> {
        let happened = happen(self.all.get_mut(name)?, &mut self.out);
        self.reschedule(name, now);
        Some(happened)
    }

    fn reschedule(&mut self, name: &str, now: Moment) {
        let Some(group) = self.all.get_mut(name) else { return };
        let bytes = group.bytes();
        self.held = (self.held + bytes).saturating_sub(group.counted);
        group.counted = bytes;
        let due = group.next_due(now);
        if due == group.scheduled {
            return;
        }
        if let Some(at) = group.scheduled {
            self.agenda.remove(&(at, Arc::clone(&group.name)));
        }
        group.scheduled = due;
        if let Some(at) = due {
            self.agenda.insert((at, Arc::clone(&group.name)));
        }
    }
}

/// In the form in which members of the older kind assign to each other: what tools understand.
fn assignment(spots: &BTreeSet<Spot>) -> Bytes {
    let mut by_topic: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for spot in spots {
        by_topic.entry(&spot.topic).or_default().push(spot.partition);
    }
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_u32(u32::try_from(by_topic.len()).unwrap_or(0));
    for (topic, partitions) in by_topic {
        bytes.put_u16(u16::try_from(topic.len()).unwrap_or(0));
        bytes.put_slice(topic.as_bytes());
        bytes.put_u32(u32::try_from(partitions.len()).unwrap_or(0));
        partitions.into_iter().for_each(|partition| bytes.put_u32(partition));
    }
    bytes.put_i32(-1);
    bytes.freeze()
}
