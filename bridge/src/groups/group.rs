//! One group: who is in it, what they agreed on, and how it comes to the next agreement. What
//! members ask for is in the files beside this one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use tidewire_store::rows::group::GroupRow;
use tidewire_store::{Table, TableChange};

use crate::groups::limits::Limits;
use crate::groups::member::{Member, common};
use crate::groups::moment::Moment;
use crate::groups::offset::Committed;
use crate::groups::out::{Out, Then};
use crate::groups::readers::Readers;
use crate::groups::refusal::Refusal;
use crate::groups::request::{Answer, Beat, Caller, Joined, Listed, Pulse, Spot};

/// So many epochs of members of the newer kind are set aside with one row.
const EPOCHS_AHEAD: i32 = 1_000;

/// How far the members are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There are none.
    Empty,
    /// They are joining.
    Preparing {
        /// Who has not joined by then is out.
        until: u64,
        /// More may come before that.
        not_before: u64,
    },
    /// They agreed on a protocol, and wait for what the leader says.
    Completing {
        /// Who has not asked by then is out.
        until: u64,
        /// The leader has spoken, and it is not durable yet.
        is_writing: bool,
    },
    /// Each knows what it reads.
    Stable,
}

/// A newcomer that was told its id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Invited {
    /// The others wait for it so long.
    pub(super) awaited_until: u64,
    /// Its id is worth something so long.
    pub(super) valid_until: u64,
}

/// A consumer group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Arc<str>,
    pub(super) state: State,
    /// Since when it is empty or stable, in milliseconds of the Unix epoch.
    pub(super) since_ms: i64,
    pub(super) generation: i32,
    pub(super) protocol_type: Arc<str>,
    pub(super) protocol: Arc<str>,
    pub(super) leader: Arc<str>,
    pub(super) members: BTreeMap<Arc<str>, Member>,
    pub(super) instances: HashMap<Arc<str>, Arc<str>>,
    pub(super) invited: BTreeMap<Arc<str>, Invited>,
    /// Members of the newer kind; never beside the others.
    pub(super) readers: Readers,
    pub(super) offsets: BTreeMap<Spot, Committed>,
    /// Bytes that they take.
    pub(super) offset_bytes: usize,
    /// Bytes that it holds, as the sum of all groups has it.
    pub(super) counted: usize,
    /// How many commits of a spot are on their way to the disk.
    pub(super) unsettled: BTreeMap<Spot, u32>,
    /// Up to here no epoch of members of the newer kind is used again after a crash; 0 before there
    /// is a row that says so.
    pub(super) epochs_until: i32,
    /// When it was read from the disk, on the clock that only rises.
    pub(super) restored_at: Option<u64>,
    /// It is being deleted.
    pub(super) is_ending: bool,
    /// When it is to be looked at next, as the agenda of all groups has it.
    pub(super) scheduled: Option<u64>,
}

impl Group {
    pub(super) fn new(name: Arc<str>, now: Moment) -> Self {
        let nothing: Arc<str> = "".into();
        Self {
            name,
            state: State::Empty,
            since_ms: now.wall_ms,
            generation: 0,
            protocol_type: Arc::clone(&nothing),
            protocol: Arc::clone(&nothing),
            leader: nothing,
            members: BTreeMap::new(),
            instances: HashMap::new(),
            invited: BTreeMap::new(),
            readers: Readers::default(),
            offsets: BTreeMap::new(),
            offset_bytes: 0,
            counted: 0,
            unsettled: BTreeMap::new(),
            epochs_until: 0,
            restored_at: None,
            is_ending: false,
            scheduled: None,
        }
    }

    /// As it was stored; its members have their whole time to be heard of.
    pub(super) fn restore(&mut self, row: GroupRow, now: Moment) {
        self.generation = i32::try_from(row.generation).unwrap_or(i32::MAX);
        self.since_ms = row.since_ms.max(now.wall_ms);
        self.protocol_type = row.protocol_type.into();
        self.protocol = row.protocol.into();
        self.leader = row.leader.into();
        for row in row.members {
            self.admit(Member::from_row(row, now.steady_ms));
        }
        self.state = if self.members.is_empty() { State::Empty } else { State::Stable };
        if self.members.is_empty() {
            // Readers that share nothing out among themselves are not in the row.
            self.protocol = "".into();
        }
    }

    /// The change that stores it, with what each member is to read.
    pub(super) fn stored(&self, assignments: &HashMap<Arc<str>, Bytes>) -> TableChange {
        let none = Bytes::new();
        let assigned = |member: &Member| member.row(assignments.get(&member.id).unwrap_or(&none));
        let generation = match self.readers.all.is_empty() {
            true => self.generation,
            false => self.epochs_until,
        };
        let row = GroupRow {
            generation: u32::try_from(generation).unwrap_or(0),
            since_ms: self.since_ms,
            protocol_type: (*self.protocol_type).to_owned(),
            protocol: (*self.protocol).to_owned(),
            leader: (*self.leader).to_owned(),
            members: self.members.values().map(assigned).collect(),
        };
        TableChange::new(Table::Groups, self.name.as_bytes().into(), Some(row.encode()))
    }

    /// What each member reads now.
    pub(super) fn assignments(&self) -> HashMap<Arc<str>, Bytes> {
        let members = self.members.values();
        members.map(|member| (Arc::clone(&member.id), member.assignment.clone())).collect()
    }

    /// A member more.
    pub(super) fn admit(&mut self, member: Member) {
        if let Some(instance) = &member.instance {
            self.instances.insert(Arc::clone(instance), Arc::clone(&member.id));
        }
        self.members.insert(Arc::clone(&member.id), member);
    }

    /// A member less; whatever it waits for, it hears why.
    pub(super) fn dismiss(&mut self, id: &str, why: Refusal, out: &mut Out) -> Option<Member> {
        let mut member = self.members.remove(id)?;
        for ticket in [member.join.take(), member.sync.take()].into_iter().flatten() {
            out.refuse(ticket, why);
        }
        if let Some(instance) = &member.instance
            && self.instances.get(instance) == Some(&member.id)
        {
            self.instances.remove(instance);
        }
        Some(member)
    }

    /// Is this a member that knows the current agreement?
    pub(super) fn check(&self, caller: &Caller) -> Result<(), Refusal> {
        self.identify(&caller.member, caller.instance.as_ref())?;
        match caller.generation == self.generation {
            true => Ok(()),
            false => Err(Refusal::IllegalGeneration),
        }
    }

    /// Is this a member?
    pub(super) fn identify(
        &self,
        member: &Arc<str>,
        instance: Option<&Arc<str>>,
    ) -> Result<(), Refusal> {
        if let Some(instance) = instance {
            match self.instances.get(instance) {
                Some(known) if known == member => (),
                Some(_) => return Err(Refusal::Fenced),
                None => return Err(Refusal::UnknownMember),
            }
        }
        match self.members.contains_key(member) {
            true => Ok(()),
            false => Err(Refusal::UnknownMember),
        }
    }

    /// The members are to agree anew; without any there is nothing to agree on.
    pub(super) fn rebalance(&mut self, now: Moment, out: &mut Out) {
        if self.members.is_empty() {
            return self.become_empty(now, out);
        }
        if !matches!(self.state, State::Preparing { .. }) {
            self.release_syncs(Refusal::Rebalancing, now, out);
            let until = now.steady_ms.saturating_add(self.patience_ms());
            self.state = State::Preparing { until, not_before: now.steady_ms };
        }
        self.try_agree(now, out);
    }

    /// Everybody who waits to hear what he reads hears why he does not.
    pub(super) fn release_syncs(&mut self, why: Refusal, now: Moment, out: &mut Out) {
        for member in self.members.values_mut() {
            if let Some(ticket) = member.sync.take() {
                out.refuse(ticket, why);
                member.heard(now.steady_ms);
            }
        }
    }

    /// The next agreement, if all are there or have had their time.
    pub(super) fn try_agree(&mut self, now: Moment, out: &mut Out) {
        let State::Preparing { until, not_before } = self.state else { return };
        if self.members.is_empty() && self.invited.is_empty() {
            return self.become_empty(now, out);
        }
        let is_late = now.steady_ms >= until;
        let awaits = |invited: &Invited| now.steady_ms < invited.awaited_until;
        let all_here = self.members.values().all(|member| member.join.is_some())
            && !self.invited.values().any(awaits);
        let is_time = all_here && now.steady_ms >= not_before;
        if !(is_late || is_time) {
            return;
        }
        // A member with an instance id keeps its place for as long as its session lasts.
        let is_out = |member: &&Member| member.join.is_none() && member.instance.is_none();
        let out_of_time: Vec<_> =
            self.members.values().filter(is_out).map(|member| Arc::clone(&member.id)).collect();
        for id in out_of_time {
            self.dismiss(&id, Refusal::UnknownMember, out);
        }
        if self.members.is_empty() {
            return self.become_empty(now, out);
        }
        if self.members.values().all(|member| member.join.is_none()) {
            let until = now.steady_ms.saturating_add(self.patience_ms());
            self.state = State::Preparing { until, not_before };
            return;
        }
        self.agree(now, out);
    }

    fn agree(&mut self, now: Moment, out: &mut Out) {
        let Some(protocol) = self.vote() else { return self.disagree(out) };
        self.protocol = protocol;
        self.count_generation();
        let is_here = |id: &Arc<str>| self.members.get(id).is_some_and(|it| it.join.is_some());
        if !is_here(&self.leader) {
            let mut here = self.members.keys().filter(|id| is_here(id));
            self.leader = here.next().cloned().unwrap_or_default();
        }
        let until = now.steady_ms.saturating_add(self.patience_ms());
        self.state = State::Completing { until, is_writing: false };
        let here: Vec<_> = self.members.keys().cloned().collect();
        for id in here {
            let joined = Answer::Joined(self.joined(&id));
            let Some(member) = self.members.get_mut(&id) else { continue };
            if let Some(ticket) = member.join.take() {
                member.heard(now.steady_ms);
                out.answer(ticket, joined);
            }
        }
    }

    /// Members that were let in one by one and yet have nothing in common: only damage does that.
    fn disagree(&mut self, out: &mut Out) {
        let all: Vec<_> = self.members.keys().cloned().collect();
        for id in all {
            self.dismiss(&id, Refusal::InconsistentProtocol, out);
        }
        self.state = State::Empty;
    }

    /// What a member hears of the current agreement.
    pub(super) fn joined(&self, id: &Arc<str>) -> Joined {
        let members = if *id == self.leader { self.listed() } else { Vec::new() };
        Joined {
            generation: self.generation,
            protocol_type: Arc::clone(&self.protocol_type),
            protocol: Arc::clone(&self.protocol),
            leader: Arc::clone(&self.leader),
            member: Arc::clone(id),
            members,
            skips: false,
        }
    }

    /// All members as the leader sees them.
    pub(super) fn listed(&self) -> Vec<Listed> {
        let listed = self.members.values().map(|member| Listed {
            member: Arc::clone(&member.id),
            instance: member.instance.clone(),
            metadata: member.metadata(&self.protocol),
        });
        listed.collect()
    }

    /// The protocol that most members like best, of those that all know.
    pub(super) fn vote(&self) -> Option<Arc<str>> {
        let common = common(self.members.values())?;
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            let first = member.protocols.iter().find(|one| common.contains(&*one.name))?;
            *votes.entry(&first.name).or_default() += 1;
        }
        let most = votes.into_iter().max_by_key(|(_, count)| *count);
        most.map(|(name, _)| Arc::clone(name))
    }

    /// The last member is gone.
    pub(super) fn become_empty(&mut self, now: Moment, out: &mut Out) {
        self.state = State::Empty;
        self.since_ms = now.wall_ms;
        self.protocol = "".into();
        self.leader = "".into();
        if self.generation > 0 {
            self.count_generation();
            self.epochs_until = 0;
            let row = self.stored(&HashMap::new());
            out.store(&self.name, vec![row], Then::Nothing);
        }
    }

    fn count_generation(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
    }

    /// How long members wait for each other: as long as the most patient.
    pub(super) fn patience_ms(&self) -> u64 {
        self.members.values().map(Member::rebalance_ms).max().unwrap_or(0).max(1)
    }

    /// A member of the newer kind says how it is. They share what a group has of generations, so
    /// that none is used twice.
    pub(super) fn beat(
        &mut self,
        beat: &Beat,
        now: Moment,
        limits: &Limits,
        out: &mut Out,
    ) -> Result<Pulse, Refusal> {
        if !self.members.is_empty() || !self.invited.is_empty() {
            return Err(Refusal::InconsistentProtocol);
        }
        self.readers.epoch = self.readers.epoch.max(self.generation);
        let pulse = self.readers.beat(beat, now, limits);
        self.follow_readers(now, out);
        pulse
    }

    /// Takes note of what became of the members of the newer kind.
    pub(super) fn follow_readers(&mut self, now: Moment, out: &mut Out) {
        if self.readers.all.is_empty() {
            if self.state == State::Stable {
                self.become_empty(now, out);
            }
            return;
        }
        self.state = State::Stable;
        self.generation = self.readers.epoch;
        self.protocol_type = "consumer".into();
        self.protocol = "uniform".into();
        self.set_epochs_aside(now, out);
    }

    /// A row, so that after a restart it is known that there were members, and no epoch is used
    /// twice. All that they commit comes to the disk after it.
    pub(super) fn set_epochs_aside(&mut self, now: Moment, out: &mut Out) {
        if self.readers.all.is_empty() || self.generation < self.epochs_until {
            return;
        }
        self.since_ms = now.wall_ms;
        self.epochs_until = self.generation.saturating_add(EPOCHS_AHEAD);
        let row = self.stored(&HashMap::new());
        out.store(&self.name, vec![row], Then::Readers);
    }

    /// Bytes that clients make it hold.
    pub(super) fn bytes(&self) -> usize {
        let invited: usize = self.invited.keys().map(|id| id.len()).sum();
        let assigned = self.assigned_bytes();
        self.member_bytes() + invited + assigned + self.readers.bytes() + self.offset_bytes
    }

    /// Bytes of what its members are assigned.
    pub(super) fn assigned_bytes(&self) -> usize {
        self.members.values().map(|member| member.assignment.len()).sum()
    }

    /// It never had members that agreed, and holds nothing that anybody would miss.
    pub(super) fn is_nothing(&self) -> bool {
        self.generation == 0 && self.is_unused() && self.members.is_empty()
    }

    /// It has a row, and neither members nor offsets.
    pub(super) fn is_unused(&self) -> bool {
        let has_offsets = !self.offsets.is_empty() || !self.unsettled.is_empty();
        self.state == State::Empty && !has_offsets && !self.is_ending
    }

    /// Bytes that its members make it hold.
    pub(super) fn member_bytes(&self) -> usize {
        self.members.values().map(Member::bytes).sum()
    }
}
