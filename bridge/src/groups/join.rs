//! Joining a group: newcomers, members that come back, and instances that take their own place.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::groups::group::{Group, Invited, State};
use crate::groups::limits::Limits;
use crate::groups::member::{Member, bytes_of, common};
use crate::groups::moment::Moment;
use crate::groups::out::{Out, Then};
use crate::groups::refusal::Refusal;
use crate::groups::request::{Answer, Join, Ticket};

/// How somebody comes to the group.
enum Arrival {
    /// With an id that was given but a moment ago, or that it gets now.
    New(Arc<str>),
    /// It is to come back with its id.
    Unnamed,
    /// An instance that was here under that id, and knows of nothing.
    Restarted(Arc<str>),
    /// A member.
    Again,
}

impl Group {
    /// The answer comes when the members agree.
    pub(super) fn join(
        &mut self,
        (ticket, join): (Ticket, &Join),
        now: Moment,
        limits: &Limits,
        out: &mut Out,
    ) {
        match self.receive(join, limits) {
            Ok(Arrival::New(id)) => self.welcome(id, (ticket, join), now, limits, out),
            Ok(Arrival::Unnamed) => {
                let wait = |ms: u64| now.steady_ms.saturating_add(ms);
                let session_ms = u64::try_from(join.session_ms).unwrap_or(0);
                let invited = Invited {
                    awaited_until: wait(session_ms.min(u64::from(limits.invitation_ms))),
                    valid_until: wait(session_ms),
                };
                self.invited.insert(Arc::clone(&join.fresh), invited);
                out.answer(ticket, Answer::ComeBack(Arc::clone(&join.fresh)));
            }
            Ok(Arrival::Restarted(old)) => self.replace(&old, (ticket, join), now, out),
            Ok(Arrival::Again) => self.rejoin((ticket, join), now, out),
            Err(why) => out.refuse(ticket, why),
        }
    }

    fn receive(&self, join: &Join, limits: &Limits) -> Result<Arrival, Refusal> {
        if !self.readers.all.is_empty() {
            return Err(Refusal::InconsistentProtocol);
        }
        let known = join.instance.as_ref().and_then(|instance| self.instances.get(instance));
        let arrival = match (join.member.is_empty(), &join.instance) {
            (true, Some(_)) => match known {
                Some(old) => Arrival::Restarted(Arc::clone(old)),
                None => Arrival::New(Arc::clone(&join.fresh)),
            },
            (true, None) if join.comes_back => Arrival::Unnamed,
            (true, None) => Arrival::New(Arc::clone(&join.fresh)),
            (false, None) if self.invited.contains_key(&join.member) => {
                Arrival::New(Arc::clone(&join.member))
            }
            (false, instance) => {
                self.identify(&join.member, instance.as_ref())?;
                Arrival::Again
            }
        };
        self.check_protocols(join, known)?;
        let is_more = matches!(arrival, Arrival::New(_) | Arrival::Unnamed);
        let room = self.members.len() + self.invited.len() < limits.members_max;
        let is_counted = self.invited.contains_key(&join.member);
        let own = self.known(join).map_or(0, |member| bytes_of(&member.protocols));
        let bytes = self.member_bytes() - own + bytes_of(&join.protocols);
        if (is_more && !room && !is_counted) || bytes > limits.group_bytes_max {
            return Err(Refusal::Full);
        }
        Ok(arrival)
    }

    /// The member that joins again, or whose place is taken.
    pub(super) fn known(&self, join: &Join) -> Option<&Member> {
        let of_instance = join.instance.as_ref().and_then(|it| self.instances.get(it));
        self.members.get(of_instance.unwrap_or(&join.member))
    }

    /// Whether all others could agree with it.
    fn check_protocols(&self, join: &Join, replaced: Option<&Arc<str>>) -> Result<(), Refusal> {
        let is_self = |id: &Arc<str>| *id == join.member || Some(id) == replaced;
        let others = common(self.members.values().filter(|it| !is_self(&it.id)));
        let same_type = others.is_none() || join.protocol_type == self.protocol_type;
        let mut names = join.protocols.iter().map(|one| &*one.name);
        let has_common = names.any(|it| others.as_ref().is_none_or(|known| known.contains(it)));
        match has_common && same_type && !join.protocol_type.is_empty() {
            true => Ok(()),
            false => Err(Refusal::InconsistentProtocol),
        }
    }

    fn welcome(
        &mut self,
        id: Arc<str>,
        (ticket, join): (Ticket, &Join),
        now: Moment,
        limits: &Limits,
        out: &mut Out,
    ) {
        self.invited.remove(&id);
        if self.members.is_empty() {
            self.protocol_type = Arc::clone(&join.protocol_type);
        }
        let mut member = Member::new(id, join, now.steady_ms);
        member.join = Some(ticket);
        self.admit(member);
        let delayed = now.steady_ms.saturating_add(u64::from(limits.initial_delay_ms));
        match self.state {
            State::Empty => {
                let until = now.steady_ms.saturating_add(self.patience_ms());
                self.state = State::Preparing { until, not_before: delayed.min(until) };
            }
            // More came while they waited for more.
            State::Preparing { until, not_before } if not_before > now.steady_ms => {
                self.state = State::Preparing { until, not_before: delayed.min(until) };
            }
            _ => (),
        }
        self.rebalance(now, out);
    }

    /// A member joins once more: because it was told to, or did not hear, or has changed.
    fn rejoin(&mut self, (ticket, join): (Ticket, &Join), now: Moment, out: &mut Out) {
        let is_leader = join.member == self.leader;
        let joined = self.joined(&join.member);
        let Some(member) = self.members.get_mut(&join.member) else {
            return out.refuse(ticket, Refusal::UnknownMember);
        };
        let is_same = member.protocols == join.protocols;
        member.describe(join, now.steady_ms);
        let knows_enough = match self.state {
            State::Completing { .. } => is_same,
            // A leader joins a stable group to share out anew.
            State::Stable => is_same && !is_leader,
            State::Empty | State::Preparing { .. } => false,
        };
        if knows_enough {
            return out.answer(ticket, Answer::Joined(joined));
        }
        if let Some(older) = member.join.replace(ticket) {
            out.refuse(older, Refusal::Rebalancing);
        }
        self.rebalance(now, out);
    }

    /// An instance started again: what was its own is its own, under a new id.
    fn replace(&mut self, old: &str, (ticket, join): (Ticket, &Join), now: Moment, out: &mut Out) {
        let old_leader = Arc::clone(&self.leader);
        let Some(replaced) = self.dismiss(old, Refusal::Fenced, out) else {
            return out.refuse(ticket, Refusal::UnknownMember);
        };
        let id = Arc::clone(&join.fresh);
        let mut member = Member::new(Arc::clone(&id), join, now.steady_ms);
        member.assignment = replaced.assignment;
        self.admit(member);
        if *old_leader == *old {
            self.leader = Arc::clone(&id);
        }
        if self.state == State::Stable && self.vote().as_ref() == Some(&self.protocol) {
            let mut joined = self.joined(&id);
            joined.skips = join.may_skip && id == self.leader;
            if !join.may_skip {
                // It would share out what nobody waits for if it heard that it leads.
                joined.members = Vec::new();
                joined.leader = old_leader;
            }
            let then = Then::Tell { ticket, answer: Answer::Joined(joined) };
            let assignments: HashMap<Arc<str>, Bytes> = self.assignments();
            return out.store(&self.name, vec![self.stored(&assignments)], then);
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.join = Some(ticket);
        }
        self.rebalance(now, out);
    }
}
