//! What members ask while they are in a group: what they read, whether they still are in it, and
//! to leave. And what happens to those who are silent.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::groups::group::{Group, State};
use crate::groups::limits::Limits;
use crate::groups::member::Member;
use crate::groups::moment::Moment;
use crate::groups::out::{Out, Then};
use crate::groups::refusal::Refusal;
use crate::groups::request::{Answer, Caller, Sync, Ticket};

impl Group {
    /// The answer comes when the leader has spoken and it is durable.
    pub(super) fn sync(
        &mut self,
        (ticket, sync): (Ticket, &Sync),
        now: Moment,
        limits: &Limits,
        out: &mut Out,
    ) {
        match self.check_sync(sync, limits) {
            Ok(()) => (),
            Err(why) => return out.refuse(ticket, why),
        }
        let member = self.members.get_mut(&sync.caller.member);
        let Some(member) = member else { return out.refuse(ticket, Refusal::UnknownMember) };
        member.heard(now.steady_ms);
        if self.state == State::Stable {
            let assignment = member.assignment.clone();
            return out.answer(ticket, self.synced(assignment));
        }
        if let Some(older) = member.sync.replace(ticket) {
            out.refuse(older, Refusal::Rebalancing);
        }
        let State::Completing { until, is_writing: false } = self.state else { return };
        if sync.caller.member == self.leader {
            self.state = State::Completing { until, is_writing: true };
            self.since_ms = now.wall_ms;
            let assignments: HashMap<Arc<str>, Bytes> = sync.assignments.iter().cloned().collect();
            let row = self.stored(&assignments);
            let then = Then::Assign { generation: self.generation, assignments };
            out.store(&self.name, vec![row], then);
        }
    }

    /// How many bytes more the group would hold with what the leader says.
    pub(super) fn assigned_more(&self, sync: &Sync) -> usize {
        let is_awaited = matches!(self.state, State::Completing { is_writing: false, .. });
        if !is_awaited || sync.caller.member != self.leader || self.check(&sync.caller).is_err() {
            return 0;
        }
        let said: usize = sync.assignments.iter().map(|(_, assigned)| assigned.len()).sum();
        said.saturating_sub(self.assigned_bytes())
    }

    fn check_sync(&self, sync: &Sync, limits: &Limits) -> Result<(), Refusal> {
        self.check(&sync.caller)?;
        let differs =
            |said: &Option<Arc<str>>, is: &Arc<str>| said.as_ref().is_some_and(|said| said != is);
        match self.state {
            State::Empty => return Err(Refusal::UnknownMember),
            State::Preparing { .. } => return Err(Refusal::Rebalancing),
            State::Completing { .. } | State::Stable => (),
        }
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol, &self.protocol)
        {
            return Err(Refusal::InconsistentProtocol);
        }
        let sizes = sync.assignments.iter().map(|(member, assigned)| member.len() + assigned.len());
        match sizes.sum::<usize>() <= limits.group_bytes_max {
            true => Ok(()),
            false => Err(Refusal::InvalidRequest),
        }
    }

    fn synced(&self, assignment: Bytes) -> Answer {
        Answer::Synced {
            protocol_type: Arc::clone(&self.protocol_type),
            protocol: Arc::clone(&self.protocol),
            assignment,
        }
    }

    /// What the leader said is durable, or is not.
    pub(super) fn assigned(
        &mut self,
        generation: i32,
        mut assignments: HashMap<Arc<str>, Bytes>,
        (is_stored, now): (bool, Moment),
        out: &mut Out,
    ) {
        // They may have begun anew meanwhile.
        if self.generation != generation || !matches!(self.state, State::Completing { .. }) {
            return;
        }
        if !is_stored {
            self.release_syncs(Refusal::NotStored, now, out);
            return self.rebalance(now, out);
        }
        self.state = State::Stable;
        for member in self.members.values_mut() {
            member.assignment = assignments.remove(&member.id).unwrap_or_default();
        }
        let waiting = |member: &mut Member| Some((member.sync.take()?, member.assignment.clone()));
        let waiting: Vec<_> = self.members.values_mut().filter_map(waiting).collect();
        for (ticket, assignment) in waiting {
            out.answer(ticket, self.synced(assignment));
        }
        self.members.values_mut().for_each(|member| member.heard(now.steady_ms));
    }

    /// A member says that it lives, and hears whether it is still in step with the others.
    pub(super) fn heartbeat(&mut self, caller: &Caller, now: Moment) -> Result<(), Refusal> {
        self.check(caller)?;
        self.hear(&caller.member, now);
        match self.state {
            State::Empty => Err(Refusal::UnknownMember),
            State::Preparing { .. } => Err(Refusal::Rebalancing),
            State::Completing { .. } | State::Stable => Ok(()),
        }
    }

    /// A sign of life.
    pub(super) fn hear(&mut self, member: &Arc<str>, now: Moment) {
        if let Some(member) = self.members.get_mut(member) {
            member.heard(now.steady_ms);
        }
    }

    /// A member goes; by its id, or by the one that it gave itself.
    pub(super) fn leave(
        &mut self,
        member: &Arc<str>,
        instance: Option<&Arc<str>>,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        let known = instance.and_then(|instance| self.instances.get(instance)).cloned();
        let id = match (instance, known) {
            (Some(_), None) => return Err(Refusal::UnknownMember),
            (Some(_), Some(known)) if !member.is_empty() && known != *member => {
                return Err(Refusal::Fenced);
            }
            (Some(_), Some(known)) => known,
            (None, _) => Arc::clone(member),
        };
        if self.invited.remove(&id).is_some() {
            self.try_agree(now, out);
            return Ok(());
        }
        self.dismiss(&id, Refusal::UnknownMember, out).ok_or(Refusal::UnknownMember)?;
        self.rebalance(now, out);
        Ok(())
    }

    /// Nobody waits for this answer any more: whoever asked is as silent as the others may be.
    pub(super) fn hang_up(&mut self, ticket: Ticket, now: Moment) {
        for member in self.members.values_mut() {
            let gone = |waiting: &mut Option<Ticket>| waiting.take_if(|it| *it == ticket).is_some();
            if gone(&mut member.join) || gone(&mut member.sync) {
                return member.heard(now.steady_ms);
            }
        }
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Moment, out: &mut Out) {
        if self.readers.tick(now) {
            return self.follow_readers(now, out);
        }
        self.invited.retain(|_, invited| invited.valid_until > now.steady_ms);
        let is_lost = |member: &&Member| member.lost_at().is_some_and(|at| at <= now.steady_ms);
        let mut lost: Vec<Arc<str>> =
            self.members.values().filter(is_lost).map(|member| Arc::clone(&member.id)).collect();
        if let State::Completing { until, is_writing: false } = self.state
            && until <= now.steady_ms
        {
            let silent = self.members.values().filter(|member| member.sync.is_none());
            lost.extend(silent.map(|member| Arc::clone(&member.id)));
            if lost.is_empty() {
                // All asked, and nobody leads.
                return self.rebalance(now, out);
            }
        }
        let mut is_smaller = false;
        for id in lost {
            is_smaller |= self.dismiss(&id, Refusal::UnknownMember, out).is_some();
        }
        match is_smaller {
            true => self.rebalance(now, out),
            false => self.try_agree(now, out),
        }
    }

    /// When something is due next.
    pub(super) fn next_due(&self, now: Moment) -> Option<u64> {
        let lost = self.members.values().filter_map(Member::lost_at);
        let invitations = self.invited.values().flat_map(|invited| {
            let awaited = Some(invited.awaited_until).filter(|at| *at > now.steady_ms);
            awaited.into_iter().chain([invited.valid_until])
        });
        let of_state = match self.state {
            State::Preparing { until, not_before } if not_before > now.steady_ms => {
                Some(until.min(not_before))
            }
            State::Preparing { until, .. } | State::Completing { until, is_writing: false } => {
                Some(until)
            }
            State::Empty | State::Stable | State::Completing { .. } => None,
        };
        lost.chain(invitations).chain(of_state).chain(self.readers.next_due()).min()
    }
}
