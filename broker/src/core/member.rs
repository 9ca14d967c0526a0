//! A session's part in share groups: it joins, gets messages, says how they ended, and leaves.

use std::sync::Arc;

use tidewire_proto::id::GroupId;
use tidewire_proto::message::Message;
use tidewire_proto::mqtt::{Ack, ReasonCode};
use tidewire_proto::qos::Qos;
use tidewire_proto::routing::grant::{Grant, SessionKey, Target};
use tidewire_proto::session::window::{Place, Step};
use tidewire_store::rows::share::{Key, MEMBER_ROW};
use tidewire_store::rows::{cursor, subscription};
use tidewire_store::{CommitError, ReadError, Table};

use crate::core::denial::FilterDenial;
use crate::core::dispatch::{Sent, Way};
use crate::core::letters::{Address, Confirm, Deal, Fate, Hand, Join, Notice, ToMember, core_of};
use crate::core::open::{ConnId, Joining, Made, Open, Phase};
use crate::core::state::{Core, open_of};
use crate::core::turn::{Left, Waiting};
use crate::metrics::{CloseReason, DropReason, FilterFault, Quality};

impl Core {
    pub(crate) fn on_member_letters(&mut self, letters: Vec<ToMember>) {
        for letter in letters {
            match letter {
                ToMember::Joined(id, token, is_ok) => self.on_joined(id, token, is_ok),
                ToMember::Deal(deal) => self.on_deal(&deal),
                ToMember::Confirmed(confirm) => {
                    let Confirm { conn, packet_id, is_refused, .. } = confirm;
                    self.after_pubrec(conn, packet_id, is_refused);
                }
            }
        }
    }

    /// A SUBSCRIBE names a share group. The answer to it waits until the group knows the member.
    pub(crate) fn subscribe_shared(
        &mut self,
        id: ConnId,
        filter: &str,
        grant: Grant,
        made: &mut Made,
    ) -> Result<(), FilterDenial> {
        let full = FilterDenial::new(FilterFault::Groups, "there are as many groups as may be");
        let groups_max = self.shared.share.groups_max as usize;
        let name: Arc<str> = filter.into();
        let known = self.open(id).and_then(|open| open.shares.get(filter).copied());
        let has = self.open(id).map_or(0, |open| open.shares.len());
        if known.is_none() && has >= self.shared.share.groups_per_session_max as usize {
            let words = "the session is a member of as many groups as it may be";
            return Err(FilterDenial::new(FilterFault::SessionGroups, words));
        }
        let Some(client_id) = self.open(id).map(|open| Arc::clone(&open.client_id)) else {
            return Ok(());
        };
        let acquire = || self.shared.shares.acquire(&name, &client_id, groups_max);
        let group = known.or_else(acquire).ok_or(full)?;
        let Some(open) = self.open(id) else { return Ok(()) };
        if open.shares.insert(filter.into(), group).is_none() {
            made.fresh.push(filter.into());
        }
        made.joins += 1;
        if open.is_durable() {
            self.put_member_row(group, &client_id, true);
        }
        self.join(id, group, name, grant, Some(made.token));
        Ok(())
    }

    /// Groups of a session that was taken up again.
    pub(crate) fn join_groups(&mut self, id: ConnId) {
        let Some(open) = self.open(id) else { return };
        let mut groups = Vec::new();
        for (filter, group) in &open.shares {
            if let Some(subscription) = open.subscriptions.get(filter) {
                groups.push((Arc::<str>::from(&**filter), *group, subscription.grant));
            }
        }
        for (filter, group, grant) in groups {
            self.join(id, group, filter, grant, None);
        }
    }

    fn join(
        &mut self,
        id: ConnId,
        group: GroupId,
        filter: Arc<str>,
        grant: Grant,
        token: Option<u32>,
    ) {
        let core = self.index;
        let Some(open) = self.open(id) else { return };
        let (member, is_durable) = (Arc::clone(&open.client_id), open.is_durable());
        let limit = u32::from(open.terms.receive_max);
        let address = Address { core, conn: id, grant };
        let join = Join { filter, is_durable, address, limit, token };
        self.post.for_group(group, &member, Notice::Join(join));
        self.end_turn_soon();
    }

    /// One of those that a SUBSCRIBE waits for has done its part durably, or could not.
    pub(crate) fn on_joined(&mut self, id: ConnId, token: u32, is_ok: bool) {
        let Some(open) = self.open(id) else { return };
        let Some(at) = open.joining.iter().position(|one| one.token == token) else { return };
        if !is_ok {
            let refused = open.joining.remove(at);
            let others = std::mem::take(&mut open.joining);
            return self.on_not_joined(id, refused, &others);
        }
        open.joining[at].left -= 1;
        if open.joining[at].left > 0 {
            return;
        }
        let done = open.joining.remove(at);
        self.on_subscribed(id, done.suback, &Ok(()));
    }

    /// Some row of a SUBSCRIBE was refused. Its groups were told of a member that is none: its
    /// session finds no subscription when it comes back, and nobody else would end it.
    fn on_not_joined(&mut self, id: ConnId, refused: Joining, others: &[Joining]) {
        for filter in refused.fresh.iter().chain(others.iter().flat_map(|one| &one.fresh)) {
            self.unsubscribe(id, filter);
        }
        self.on_subscribed(id, refused.suback, &Err(CommitError::DiskFull));
    }

    /// The session gives up a shared subscription.
    pub(crate) fn unsubscribe_shared(&mut self, id: ConnId, filter: &str) {
        let Some(open) = self.open(id) else { return };
        let Some(group) = open.shares.remove(filter) else { return };
        let client_id = Arc::clone(&open.client_id);
        if open.is_durable() {
            open.parting.insert(filter.into(), group);
            self.put_member_row(group, &client_id, false);
            // A row that stays would bring it back without its group.
            let left = Left { by: Some(id), filters: vec![filter.into()], held: Vec::new() };
            return self.leave_when_gone(client_id, left);
        }
        self.shared.shares.release(filter, &client_id);
        self.post.for_group(group, &client_id, Notice::Leave(id.serial));
    }

    /// A session is taken up that lives on: its groups outlive the next crash with it as a member,
    /// also those that have another number now.
    pub(crate) fn keep_memberships(&mut self, open: &Open) -> Result<(), ReadError> {
        for group in open.shares.values() {
            let key = Key::Member(*group, &open.client_id).encode();
            if self.shared.store.get(Table::Shares, &key)?.is_none() {
                self.put_member_row(*group, &open.client_id, true);
            }
        }
        Ok(())
    }

    pub(crate) fn put_member_row(&mut self, group: GroupId, client_id: &str, is_member: bool) {
        let key = Key::Member(group, client_id).encode();
        let row = is_member.then(|| MEMBER_ROW.into());
        self.turn.put(Table::Shares, key, row);
    }

    fn on_deal(&mut self, deal: &Deal) {
        let record = deal.record.record();
        if let Some(message) = record.as_ref().and_then(Message::of) {
            self.on_hand(&deal.hand, &message);
        }
    }

    /// A message of a group for a member of this core.
    pub(crate) fn on_hand(&mut self, hand: &Hand, message: &Message<'_>) {
        let Some(open) = self.open(hand.conn) else { return self.tell_unreached(hand) };
        if open.is_no_member_for(message.topic) {
            return self.withhold(hand);
        }
        let is_ready = open.is_announced && open.resends.is_empty();
        let sent = if is_ready {
            self.scratch.templates.used = 0;
            let target = Target::new(SessionKey(hand.conn.key), hand.grant);
            self.deliver(hand.conn, &target, message, hand.place, Way::Group(hand.group))
        } else {
            Sent::NoRoom
        };
        match (sent, hand.place) {
            (Sent::Yes, _) | (Sent::Skipped, None) => (),
            (Sent::NoRoom, None) => {
                let slow = (DropReason::Slow, Quality::AtMostOnce);
                self.counters.messages_dropped.add(slow, 1);
            }
            (Sent::Skipped, Some(place)) => {
                self.tell_ended(hand.conn, hand.group, place, (Fate::Done, None));
            }
            (Sent::NoRoom, Some(place)) => self.give_back(hand.conn, hand.group, place),
        }
    }

    /// The connection is gone. The group may hear nothing else of the message: who unsubscribed
    /// before is no member for whom the end of a connection would say it.
    fn tell_unreached(&mut self, hand: &Hand) {
        let Some(place) = hand.place else { return };
        let nobody: Arc<str> = "".into();
        self.post.for_group(hand.group, &nobody, Notice::Unreached(place, hand.conn.serial));
        self.end_turn_soon();
    }

    /// The session lost its right, and the group has not heard yet that it leaves.
    fn withhold(&mut self, hand: &Hand) {
        let Some(place) = hand.place else {
            let denied = (DropReason::NotAuthorized, Quality::AtMostOnce);
            return self.counters.messages_dropped.add(denied, 1);
        };
        let Some(open) = self.open(hand.conn) else { return };
        let member = Arc::clone(&open.client_id);
        // Like one without room it is handed nothing else; it leaves before it has any.
        self.post.for_group(hand.group, &member, Notice::Returned(place, true));
        self.end_turn_soon();
    }

    fn give_back(&mut self, id: ConnId, group: GroupId, place: Place) {
        let Some(open) = self.open(id) else { return };
        if !open.stalled.contains(&group) {
            open.stalled.push(group);
        }
        let member = Arc::clone(&open.client_id);
        self.post.for_group(group, &member, Notice::Returned(place, true));
        self.end_turn_soon();
    }

    /// Groups whose message found no room hear that there is some.
    pub(crate) fn tell_room(&mut self, id: ConnId) {
        let room = self.shared.limits.outbound_buffer_bytes_max as usize;
        let Some(conn) = self.conn(id).filter(|conn| conn.out.len() <= room) else { return };
        let Phase::Open(open) = &mut conn.phase else { return };
        if open.stalled.is_empty() || !open.window.has_room() || open.held.len() > room {
            return;
        }
        let (groups, member) = (std::mem::take(&mut open.stalled), Arc::clone(&open.client_id));
        for group in groups {
            self.post.for_group(group, &member, Notice::Room(id.serial));
        }
        self.end_turn_soon();
    }

    /// A member says how a message ended.
    pub(crate) fn tell_ended(
        &mut self,
        id: ConnId,
        group: GroupId,
        place: Place,
        (fate, confirm): (Fate, Option<Confirm>),
    ) {
        let is_here = core_of(group, self.shared.inboxes.len()) == self.index;
        self.end_turn_soon();
        let Some(open) = open_of(&mut self.conns, id) else { return };
        if is_here && fate == Fate::Done && confirm.is_none() {
            self.groups.end(group, place, &open.client_id);
        } else {
            let ended = Notice::Ended(place, fate, confirm);
            self.post.for_group(group, &open.client_id, ended);
        }
    }

    /// PUBREC for a message of a share group. True when the rest of it must wait: a session that
    /// lives on forgets the message only after the group has written down that it is over, or
    /// a crash in between would hand it out once more.
    pub(crate) fn tell_received(&mut self, id: ConnId, ack: &Ack<'_>) -> bool {
        let core = self.index;
        let Some(open) = self.open(id) else { return false };
        let Some(exchange) = open.window.get(ack.packet_id) else { return false };
        let is_due = exchange.qos == Qos::ExactlyOnce && exchange.step == Step::Published;
        let Some(group) = exchange.group.filter(|_| is_due) else { return false };
        let is_refused = ack.reason.is_error();
        let confirm = Confirm { core, conn: id, packet_id: ack.packet_id, is_refused };
        let must_wait = open.is_durable();
        let told = (fate(ack.reason), must_wait.then_some(confirm));
        self.tell_ended(id, group, exchange.place, told);
        must_wait
    }

    /// The connection ends: what it has at QoS 1 goes to other members.
    pub(crate) fn leave_groups(&mut self, id: ConnId, open: &mut Open) {
        // Also those that it left: what it has of them ends, or goes to others, as well.
        let exchanges = open.window.exchanges();
        let mut groups: Vec<GroupId> = exchanges.filter_map(|(_, it)| it.group).collect();
        let kept = open.window.give_up_shared();
        // Before CONNACK, the end of rows that it had may not be durable.
        let is_over = (!open.is_durable() && open.is_announced) || open.ends_at_once;
        groups.extend(open.shares.values());
        groups.extend(open.parting.values());
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            let of_it = kept.iter().filter(|(of, _)| *of == group);
            let kept = of_it.map(|(_, place)| *place).collect();
            let lost = Notice::Lost(id.serial, kept, is_over);
            self.post.for_group(group, &open.client_id, lost);
        }
        open.is_changed = true;
        if open.is_durable() {
            return;
        }
        let client_id = Arc::clone(&open.client_id);
        if !open.is_announced {
            // It was taken up to end with its connection, and what it had may be there still.
            let filters = open.shares.keys().cloned().collect();
            return self.leave_when_gone(client_id, Left { by: None, filters, held: kept });
        }
        for filter in open.shares.keys() {
            self.shared.shares.release(filter, &client_id);
        }
    }

    /// The rows of these are to go with this turn's commit, or are gone.
    pub(crate) fn leave_when_gone(&mut self, client_id: Arc<str>, left: Left) {
        if !left.filters.is_empty() || !left.held.is_empty() {
            self.turn.waiting.push(Waiting::Left(client_id, Box::new(left)));
        }
    }

    /// Rows of shared subscriptions were to be deleted. Where they are, the session has no part in
    /// the group any more, nor anything for itself. A commit may have been refused: where they are
    /// not, it has what it had.
    pub(crate) fn leave_if_gone(&mut self, client_id: &Arc<str>, left: &Left) {
        for filter in &left.filters {
            if left.by.is_some_and(|id| self.has_subscribed_again(id, filter)) {
                continue;
            }
            let key = subscription::key(client_id, filter);
            match self.shared.store.get(Table::Subscriptions, &key) {
                Ok(None) => self.leave_group(client_id, filter, left.by),
                Ok(Some(_)) => self.stay_in_group(left.by),
                Err(error) => tracing::error!(%error, "a subscription cannot be read"),
            }
        }
        if !left.held.is_empty() {
            self.end_if_gone(client_id, &left.held);
        }
    }

    fn has_subscribed_again(&mut self, id: ConnId, filter: &str) -> bool {
        self.open(id).is_some_and(|open| open.shares.contains_key(filter))
    }

    fn leave_group(&mut self, client_id: &Arc<str>, filter: &str, by: Option<ConnId>) {
        if let Some(open) = by.and_then(|id| self.open(id)) {
            open.parting.remove(filter);
        }
        if let Some(group) = self.shared.shares.release(filter, client_id) {
            let notice = by.map_or(Notice::SessionEnded, |id| Notice::Leave(id.serial));
            self.post.for_group(group, client_id, notice);
            self.end_turn_soon();
        }
    }

    /// The row of a subscription that was given up is still there, and its session a member. Its
    /// connection, which is none to its own mind, must not go on.
    fn stay_in_group(&mut self, by: Option<ConnId>) {
        let open = by.and_then(|id| Some((id, self.open(id)?.is_announced)));
        // What is not announced hears of it in its CONNACK.
        if let Some((id, true)) = open {
            self.close(id, CloseReason::Limit, Some(ReasonCode::UNSPECIFIED_ERROR));
        }
    }

    /// A session was to end. What its row does not name any more nobody can complete: it is over.
    fn end_if_gone(&mut self, client_id: &Arc<str>, held: &[(GroupId, Place)]) {
        let still = match self.held_by(client_id) {
            Ok(still) => still,
            Err(error) => return tracing::error!(%error, "a session cannot be read"),
        };
        for (group, place) in held.iter().filter(|one| !still.contains(one)) {
            let ended = Notice::Ended(*place, Fate::Done, None);
            self.post.for_group(*group, client_id, ended);
        }
        self.end_turn_soon();
    }

    /// Messages at QoS 2 of share groups that the row of a session names.
    pub(crate) fn held_by(&self, client_id: &str) -> Result<Vec<(GroupId, Place)>, ReadError> {
        let row = self.shared.store.get(Table::Cursors, client_id.as_bytes())?;
        let row = row.and_then(|row| cursor::decode(&row).ok()).unwrap_or_default();
        let exchanges = row.exchanges.into_iter().map(|(_, exchange)| exchange);
        let held = exchanges.filter(|exchange| exchange.qos == Qos::ExactlyOnce);
        Ok(held.filter_map(|exchange| Some((exchange.group?, exchange.place))).collect())
    }
}

/// What a reason code says about a message.
pub(crate) fn fate(reason: ReasonCode) -> Fate {
    if reason.is_error() { Fate::Refused(reason) } else { Fate::Done }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::access::{Rules, Subject, Wide, parse_rules};
    use tidewire_proto::id::{GroupId, PartitionId};
    use tidewire_proto::message::Published;
    use tidewire_proto::mqtt::Properties;
    use tidewire_proto::qos::Qos;
    use tidewire_proto::record::BatchBuilder;
    use tidewire_proto::routing::grant::Grant;
    use tidewire_proto::session::window::Place;

    use crate::core::alone::Alone;
    use crate::core::granted::Granted;
    use crate::core::letters::{Deal, Hand, Notice};

    /// What comes of a message of a group under these rules: whether it is sent, and whether it
    /// goes back.
    fn dealt_under(rules: &str, qos: Qos) -> (bool, bool) {
        let mut alone = Alone::new(|_| ());
        let member = alone.connect("member");
        alone.settle();
        alone.heard(member);
        let rules = Rules::new(vec![parse_rules(rules).expect("good rules")], Wide::Refuse);
        let granted = Granted::new(rules.rights(Subject::default()), Wide::Refuse);
        alone.core.open(member).expect("it is here").granted = Some(Box::new(granted));
        alone.core.post.take().for_each(drop);
        let mut batch = BatchBuilder::new();
        let properties = Properties::EMPTY;
        let (topic, payload, retain) = ("a", b"b", false);
        Published { topic, payload, qos, retain, properties, origin: None }.push_to(&mut batch, 0);
        let batch = batch.finish();
        let record = batch.records().next().map(|record| batch.share(&record));
        let place = Place { partition: PartitionId(0), offset: 0 };
        let hand = Hand {
            conn: member,
            group: GroupId(7),
            grant: Grant { qos, no_local: false, retain_as_published: false, id: 0 },
            place: (qos != Qos::AtMostOnce).then_some(place),
        };
        alone.core.on_deal(&Deal { hand, record: record.expect("just written") });
        let is_back = {
            let mut letters = alone.core.post.take().flat_map(|(_, to_groups, _)| to_groups);
            letters.any(|letter| matches!(letter.what, Notice::Returned(..)))
        };
        alone.rest();
        (!alone.heard(member).is_empty(), is_back)
    }

    #[test]
    fn a_member_that_lost_its_right_is_sent_nothing_before_its_group_has_heard_of_it() {
        for (qos, is_back) in [(Qos::AtMostOnce, false), (Qos::AtLeastOnce, true)] {
            let all = "allow everyone subscribe,shared a";
            assert_eq!(dealt_under(all, qos), (true, false), "{qos:?}");
            let lost = "allow everyone subscribe a\ndeny everyone shared a";
            assert_eq!(dealt_under(lost, qos), (false, is_back), "{qos:?}");
        }
    }
}
