//! What a session gets besides live delivery, as room appears: first what an earlier connection
//! did not finish, then retained messages, then the log from its cursor on.

use std::ops::ControlFlow;
use std::sync::Arc;

use tidewire_proto::delivery::{Shape, Template};
use tidewire_proto::id::{PacketId, PartitionId};
use tidewire_proto::message::Message;
use tidewire_proto::mqtt::ReasonCode;
use tidewire_proto::qos::Qos;
use tidewire_proto::routing::grant::{SessionKey, Target};
use tidewire_proto::routing::routes::Routes;
use tidewire_proto::session::cursor::Reading;
use tidewire_proto::session::window::{Exchange, Place, Step};
use tidewire_proto::topic::TopicFilter;
use tidewire_store::Slice;

use crate::core::dispatch::{Sent, Way};
use crate::core::letters::{Fate, Notice};
use crate::core::looks::{LOOKS_AT_A_TIME, LOOKS_OF_A_SEARCH};
use crate::core::open::{ConnId, Phase};
use crate::core::overflow::room_of;
use crate::core::send::quality;
use crate::core::state::{Core, Deferred};
use crate::core::stored::{READ_LOG_BYTES, begins_with, is_final, message_at, walk};
use crate::metrics::{CloseReason, DropReason};

/// Exchanges that are gone on with before others get their turn.
const RESENDS_AT_A_TIME: usize = 32;

/// What the feed must wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing left, or no room: an acknowledgement or a drained socket calls again.
    Nothing,
    /// Part of the log that is not in memory.
    Disk(Reading),
}

/// What came of writing a message once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Written,
    /// Retention took it, the disk can never give it back, or the client takes only smaller
    /// packets now.
    Lost,
    /// The client lost its right to it.
    Forbidden,
}

impl Core {
    /// Room may have appeared: the turn's end looks, once for all acknowledgements of the turn.
    pub(crate) fn feed_soon(&mut self, id: ConnId) {
        let Some(open) = self.open(id) else { return };
        if !std::mem::replace(&mut open.is_hungry, true) {
            self.hungry.push_back(id);
        }
        self.end_turn_soon();
    }

    /// Feeds those that asked for it, as far as one turn may go: the others are first in the next.
    pub(crate) fn feed_all_hungry(&mut self) {
        self.scratch.looks.begin_again();
        self.are_groups_first = !self.are_groups_first;
        if self.are_groups_first {
            self.feed_hungry_groups();
            self.feed_hungry();
        } else {
            self.feed_hungry();
            self.feed_hungry_groups();
        }
        if !self.hungry.is_empty() || !self.groups.hungry.is_empty() {
            self.end_turn_soon();
        }
    }

    fn feed_hungry(&mut self) {
        for _ in 0..self.hungry.len() {
            if self.scratch.looks.are_spent() {
                return;
            }
            let Some(id) = self.hungry.pop_front() else { return };
            if let Some(open) = self.open(id) {
                open.is_hungry = false;
            }
            self.feed(id);
        }
    }

    /// Sends what there is room for. Called whenever room may have appeared.
    pub(crate) fn feed(&mut self, id: ConnId) {
        let Need::Disk(reading) = self.feed_from_memory(id) else { return };
        let Some(open) = self.open(id) else { return };
        open.cursor.set_reading(true);
        open.last_read += 1;
        let number = open.last_read;
        // One filter can be looked up; more than one is as good as reading everything.
        let Reading { partition, from, .. } = reading;
        let only = open.subscriptions.only_one_at(partition, from);
        let only = only.and_then(|(filter, until)| Some((TopicFilter::parse(filter).ok()?, until)));
        let (filter, until) =
            only.map_or((None, u64::MAX), |(filter, until)| (Some(filter), until));
        let reading = Reading { to: reading.to.min(until), ..reading };
        self.deferred.push(Deferred::Read(id, reading, filter, number));
        self.end_turn_soon();
    }

    fn feed_from_memory(&mut self, id: ConnId) -> Need {
        if !self.feed_resends(id) || !self.feed_retained(id) {
            return Need::Nothing;
        }
        self.tell_room(id);
        loop {
            let core = &self.positions;
            let Some(conn) = self.conns.get_mut(id.key as usize) else { return Need::Nothing };
            let Phase::Open(open) = &mut conn.phase else { return Need::Nothing };
            if conn.serial != id.serial || !open.is_announced || open.seeking > 0 {
                return Need::Nothing;
            }
            if !open.window.has_room() {
                return Need::Nothing;
            }
            let Some(reading) = open.cursor.next_read(core, &self.barriers) else {
                if open.cursor.is_live() {
                    self.on_caught_up(id);
                }
                return Need::Nothing;
            };
            let Reading { partition, from, .. } = reading;
            match self.shared.store.read_recent(partition, from, READ_LOG_BYTES) {
                None => return Need::Disk(reading),
                Some(slice) if !self.feed_slice(id, reading, &slice, LOOKS_AT_A_TIME) => {
                    return Need::Nothing;
                }
                Some(_) => (),
            }
        }
    }

    /// Sends what was read from the log for this session. False when room ran out, or others are
    /// to have their turn.
    pub(crate) fn feed_read(&mut self, id: ConnId, reading: Reading, slice: &Slice) -> bool {
        let end = self.scratch.looks.end_of_read();
        self.feed_slice(id, reading, slice, end)
    }

    /// Up to where so much is spent.
    fn feed_slice(&mut self, id: ConnId, reading: Reading, slice: &Slice, end: usize) -> bool {
        let each = match self.open(id) {
            Some(open) if open.subscriptions.walks_filters() => open.subscriptions.len().max(1),
            _ => 1,
        };
        let mut is_tired = false;
        let walked = walk(reading, slice, |_, record, place| {
            is_tired = self.scratch.looks.are_beyond(end);
            if is_tired {
                return ControlFlow::Break(());
            }
            self.scratch.looks.spend(each);
            match self.feed_message(id, Message::of(record), place) {
                Sent::NoRoom => ControlFlow::Break(()),
                Sent::Yes | Sent::Skipped => ControlFlow::Continue(()),
            }
        });
        self.advance(id, reading.partition, walked.next);
        if is_tired {
            self.feed_soon(id);
        }
        walked.goes_on
    }

    fn advance(&mut self, id: ConnId, partition: PartitionId, next: u64) {
        if let Some(open) = self.open(id) {
            open.cursor.advance(partition, next);
        }
        self.mark_changed(id, false);
    }

    fn feed_message(&mut self, id: ConnId, message: Option<Message<'_>>, place: Place) -> Sent {
        let Some(message) = message else { return Sent::Skipped };
        let session = SessionKey(id.key);
        let Some(open) = self.open(id) else { return Sent::Skipped };
        let at = (place.partition, place.offset);
        let target = if message.qos == Qos::AtMostOnce && !open.subscriptions.has_replays() {
            None
        } else if message.qos == Qos::AtMostOnce {
            open.subscriptions.replay_target(session, message.topic, at)
        } else if open.subscriptions.has_beginnings() {
            open.subscriptions.target(session, message.topic, at)
        } else {
            let route = self.routes.find(&self.trie, message.topic);
            Routes::part_of(&route, session).cloned()
        };
        let Some(target) = target else { return Sent::Skipped };
        if target.qos.min(message.qos) == Qos::AtMostOnce && !self.is_owed_qos0(id, &message, at) {
            // Live or not at all.
            return Sent::Skipped;
        }
        self.scratch.templates.used = 0;
        self.deliver(id, &target, &message, Some(place), Way::Own)
    }

    /// Whether a message at QoS 0 comes from the log because a replay asked for it.
    fn is_owed_qos0(&mut self, id: ConnId, message: &Message<'_>, at: (PartitionId, u64)) -> bool {
        let session = SessionKey(id.key);
        let Some(open) = self.open(id) else { return false };
        if open.subscriptions.replay_target(session, message.topic, at).is_none() {
            return false;
        }
        let left = &mut open.left;
        // What was handed out before the replay began may be behind that place, and is not owed.
        if at.1 >= left.since.get(at.0) && message.received_ms >= left.since_ms {
            left.count = left.count.saturating_sub(1);
        }
        true
    }

    /// Sends again what is in flight since an earlier connection. False when room ran out, or
    /// others are to have their turn: the log is read for it on the core's own thread.
    fn feed_resends(&mut self, id: ConnId) -> bool {
        let mut last = None;
        for _ in 0..RESENDS_AT_A_TIME {
            let Some(conn) = self.conns.get_mut(id.key as usize) else { return false };
            if conn.serial != id.serial {
                return false;
            }
            let is_full = conn.out.len() > room_of(conn, &self.shared, self.unwritten);
            let Phase::Open(open) = &mut conn.phase else { return false };
            let Some(packet_id) = open.resends.front().copied() else { return true };
            let unsent = open.resends.len();
            let exchange = open.window.get(packet_id);
            let is_message = exchange.is_some_and(|exchange| exchange.step == Step::Published);
            if is_full || (is_message && !open.window.has_room_beside(unsent)) {
                return false;
            }
            open.resends.pop_front();
            self.scratch.looks.spend(LOOKS_OF_A_SEARCH);
            match exchange {
                Some(Exchange { step: Step::Released, .. }) => {
                    self.send_pubrel(id, packet_id, true);
                }
                Some(exchange) => self.resend(id, packet_id, &exchange, &mut last),
                // The client ended it first.
                None => (),
            }
        }
        self.feed_soon(id);
        false
    }

    /// `last` is the part of the log that was read before: most often the message is in it, too.
    fn resend(
        &mut self,
        id: ConnId,
        packet_id: PacketId,
        exchange: &Exchange,
        last: &mut Option<(PartitionId, Slice)>,
    ) {
        let Place { partition, offset } = exchange.place;
        if !last.as_ref().is_some_and(|(of, slice)| *of == partition && begins_with(slice, offset))
        {
            *last = match self.shared.store.read(partition, offset, 1) {
                Ok(slice) => Some((partition, slice)),
                Err(error) if is_final(&error) => None,
                Err(error) => {
                    // It stays in flight, and has its turn when the client is back.
                    tracing::error!(%error, ?exchange, "what is in flight cannot be read");
                    let reason = Some(ReasonCode::UNSPECIFIED_ERROR);
                    return self.close(id, CloseReason::Limit, reason);
                }
            };
        }
        let mut template = std::mem::take(&mut self.scratch.templates.own);
        let again = match last {
            Some((_, slice)) => self.write_again(id, &mut template, slice, exchange),
            None => Again::Lost,
        };
        match self.conn(id).filter(|_| again == Again::Written) {
            Some(conn) => {
                template.append_to(&mut conn.out, Some(packet_id));
                self.mark_dirty(id);
            }
            None => self.give_up_resend(id, packet_id, exchange, again),
        }
        self.scratch.templates.own = template;
    }

    fn give_up_resend(
        &mut self,
        id: ConnId,
        packet_id: PacketId,
        exchange: &Exchange,
        again: Again,
    ) {
        let reason = match again {
            Again::Forbidden => DropReason::NotAuthorized,
            Again::Lost | Again::Written => DropReason::Retention,
        };
        let Some(open) = self.open(id) else { return };
        open.window.give_up(packet_id);
        let member = Arc::clone(&open.client_id);
        match exchange.group {
            // Others of its group may have it.
            Some(group) if again == Again::Forbidden => {
                self.post.for_group(group, &member, Notice::Returned(exchange.place, false));
                self.end_turn_soon();
            }
            group => {
                self.counters.messages_dropped.add((reason, quality(exchange.qos)), 1);
                if let Some(group) = group {
                    self.tell_ended(id, group, exchange.place, (Fate::Done, None));
                }
            }
        }
        self.mark_changed(id, false);
    }

    fn write_again(
        &mut self,
        id: ConnId,
        template: &mut Template,
        slice: &Slice,
        exchange: &Exchange,
    ) -> Again {
        let Some(message) = message_at(slice, exchange.place.offset) else { return Again::Lost };
        let route = self.routes.find(&self.trie, message.topic);
        let own = Routes::part_of(&route, SessionKey(id.key));
        let now_ms = self.now_ms;
        let Some(open) = self.open(id) else { return Again::Lost };
        let is_denied = match exchange.group {
            Some(_) => open.is_no_member_for(message.topic),
            // A retained message was there at the time, however old it was.
            None if exchange.retain => open.is_denied(message.topic, None),
            None => open.is_denied(message.topic, Some(exchange.place)),
        };
        if is_denied {
            return Again::Forbidden;
        }
        let shared = exchange.group.and_then(|group| open.shared_target(group, SessionKey(id.key)));
        let target = if exchange.group.is_some() { shared.as_ref() } else { own };
        let shape =
            Shape { version: open.version, qos: exchange.qos, retain: exchange.retain, dup: true };
        let ids = target.into_iter().flat_map(Target::ids);
        let written = template.write(&message, shape, ids, now_ms);
        match written.is_ok() && template.len() <= open.terms.packet_bytes_max as usize {
            true => Again::Written,
            false => Again::Lost,
        }
    }
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
    use tidewire_proto::session::cursor::Positions;
    use tidewire_proto::session::subscription::Subscription;
    use tidewire_proto::session::window::{Exchange, Place, Step, Window};
    use tidewire_store::rows::cursor;
    use tidewire_store::rows::session::SessionRow;
    use tidewire_store::rows::subscription;
    use tidewire_store::{Append, Commit, Table, TableChange};

    use super::{LOOKS_AT_A_TIME, RESENDS_AT_A_TIME};
    use crate::core::alone::Alone;
    use crate::core::granted::Granted;
    use crate::core::letters::Notice;

    /// As many as may be in flight to the reader.
    const UNANSWERED: u16 = 10_000;
    const PINGREQ: u8 = 0xc0;
    const PINGRESP: [u8; 2] = [0xd0, 0];

    /// Messages in the log, and a session that has them in flight since an earlier connection.
    fn leave_unanswered(alone: &Alone, client_id: &str, count: u16, of: (Qos, Option<GroupId>)) {
        let (qos, group) = of;
        let partition: PartitionId = alone.store.streams()[0].partitions[0];
        let mut window = Window::new(UNANSWERED);
        for offset in 0..u64::from(count) {
            let place = Place { partition, offset };
            window.begin(Exchange { place, qos, step: Step::Published, retain: false, group });
        }
        leave_log(alone, client_id, count.into(), &window);
    }

    /// Messages in the log, and a session at their beginning.
    fn leave_log(alone: &Alone, client_id: &str, count: usize, window: &Window) {
        let partition: PartitionId = alone.store.streams()[0].partitions[0];
        let mut batch = BatchBuilder::new();
        for _ in 0..count {
            let published = Published {
                topic: "a",
                payload: b"b",
                qos: Qos::ExactlyOnce,
                retain: false,
                properties: Properties::EMPTY,
                origin: None,
            };
            published.push_to(&mut batch, 0);
        }
        let row = |table, row| TableChange::new(table, client_id.as_bytes().into(), Some(row));
        let session = SessionRow { expiry_s: 3600, ended_ms: None, user: None };
        let changes = vec![
            row(Table::Sessions, session.encode()),
            row(Table::Cursors, cursor::encode(window, &Positions::default())),
        ];
        let append = (count > 0).then(|| Append::new(partition, batch.finish()));
        let appends = append.into_iter().collect();
        alone.store.commit(Commit { appends, changes }).expect("committed");
    }

    /// How many PUBLISH there are among these short packets, each of them for the second time.
    fn resent(bytes: &[u8]) -> usize {
        let (mut rest, mut count) = (bytes, 0);
        while let [first, length, behind @ ..] = rest {
            count += usize::from(*first == 0x3a);
            rest = &behind[usize::from(*length)..];
        }
        count
    }

    #[test]
    fn a_client_with_very_much_to_be_sent_again_leaves_others_their_turns() {
        let mut alone = Alone::new(|config| config.mqtt.inflight_max = UNANSWERED);
        leave_unanswered(&alone, "reader", UNANSWERED, (Qos::AtLeastOnce, None));
        let other = alone.connect("other");
        alone.settle();
        alone.heard(other);
        let reader = alone.connect("reader");
        alone.settle();
        let mut all = 0;
        while all < usize::from(UNANSWERED) {
            let step = resent(&alone.heard(reader));
            assert!((1..=RESENDS_AT_A_TIME).contains(&step), "{step} at once, after {all}");
            all += step;
            alone.say(other, PINGREQ, &[]);
            assert_eq!(alone.heard(other), PINGRESP, "after {all}");
            alone.core.end_turn();
        }
        assert_eq!((all, resent(&alone.heard(reader))), (usize::from(UNANSWERED), 0));
    }

    /// A session that is at the beginning of a log of so many messages, none of them for it, and
    /// has so many subscriptions that were made behind its first message.
    fn leave_behind(alone: &Alone, client_id: &str, (messages, filters): (usize, usize)) {
        let partition: PartitionId = alone.store.streams()[0].partitions[0];
        let mut since = Positions::default();
        since.advance(partition, 1);
        let grant =
            Grant { qos: Qos::AtLeastOnce, no_local: false, retain_as_published: false, id: 0 };
        let subscribed = Subscription {
            grant,
            since: Some(since),
            is_replay: false,
            is_rewritten: false,
            is_exclusive: false,
        };
        let rows = (0..filters).map(|number| {
            let key = subscription::key(client_id, &format!("x/{number}"));
            let row = subscription::encode(&subscribed);
            TableChange::new(Table::Subscriptions, key, Some(row))
        });
        alone.store.commit(Commit { appends: vec![], changes: rows.collect() }).expect("kept");
        leave_log(alone, client_id, messages, &Window::new(UNANSWERED));
    }

    #[test]
    fn a_client_with_thousands_of_filters_that_catches_up_leaves_others_their_turns() {
        let (messages, filters) = (400, 1000);
        let mut alone = Alone::new(|_| ());
        leave_behind(&alone, "reader", (messages, filters));
        let partition = alone.store.streams()[0].partitions[0];
        alone.core.positions.advance(partition, messages as u64);
        let other = alone.connect("other");
        alone.settle();
        alone.heard(other);
        let reader = alone.connect("reader");
        alone.settle();
        let mut turns = 0;
        while !alone.core.open(reader).expect("it is here").cursor.is_live() {
            turns += 1;
            assert!(turns <= messages, "it goes on");
            assert!(alone.core.scratch.looks.spent() <= LOOKS_AT_A_TIME + filters, "{turns}");
            alone.say(other, PINGREQ, &[]);
            assert_eq!(alone.heard(other), PINGRESP, "after {turns}");
            alone.core.end_turn();
        }
        assert!(turns > messages * filters / LOOKS_AT_A_TIME / 2, "{turns} turns");
    }

    #[test]
    fn many_clients_that_catch_up_at_once_leave_others_their_turns() {
        let (readers, messages) = (50, 10_000);
        let mut alone = Alone::new(|_| ());
        let names: Vec<String> = (0..readers).map(|number| format!("reader-{number}")).collect();
        for (number, name) in names.iter().enumerate() {
            leave_behind(&alone, name, (if number == 0 { messages } else { 0 }, 1));
        }
        let partition = alone.store.streams()[0].partitions[0];
        alone.core.positions.advance(partition, messages as u64);
        let other = alone.connect("other");
        alone.settle();
        alone.heard(other);
        let readers: Vec<_> = names.iter().map(|name| alone.connect(name)).collect();
        alone.settle();
        let mut turns = 0;
        let is_live = |alone: &mut Alone, id| alone.core.open(id).expect("here").cursor.is_live();
        while !readers.iter().all(|id| is_live(&mut alone, *id)) {
            turns += 1;
            assert!(turns <= readers.len(), "they go on");
            assert!(alone.core.scratch.looks.spent() <= LOOKS_AT_A_TIME + 1, "after {turns}");
            alone.say(other, PINGREQ, &[]);
            assert_eq!(alone.heard(other), PINGRESP, "after {turns}");
            alone.core.end_turn();
        }
        assert!(turns >= readers.len() * messages / LOOKS_AT_A_TIME, "{turns} turns");
    }

    #[test]
    fn what_is_in_flight_and_cannot_be_read_now_stays_so_until_it_can() {
        let mut alone = Alone::new(|config| config.store.recent_bytes_max = 1);
        leave_unanswered(&alone, "reader", 2, (Qos::AtLeastOnce, None));
        // What was written last stays in memory.
        leave_unanswered(&alone, "other", 1, (Qos::AtLeastOnce, None));
        alone.hide_the_log();
        let refused = alone.connect("reader");
        alone.rest();
        assert!(alone.hidden_reads() > 0);
        let is_open = alone.core.open(refused).is_some();
        assert!(!is_open, "it is told to come again");
        alone.show_the_log();
        let reader = alone.connect("reader");
        alone.rest();
        assert_eq!(resent(&alone.heard(reader)), 2);
    }

    /// Whether a message in flight since an earlier connection is sent again under these rules, and
    /// whether it goes back to its group.
    fn resent_under(rules: &str, group: Option<GroupId>) -> (bool, bool) {
        let mut alone = Alone::new(|_| ());
        leave_unanswered(&alone, "reader", 1, (Qos::ExactlyOnce, group));
        let reader = alone.connect("reader");
        let rules = Rules::new(vec![parse_rules(rules).expect("good rules")], Wide::Refuse);
        let granted = Granted::new(rules.rights(Subject::default()), Wide::Refuse);
        alone.core.open(reader).expect("it is here").granted = Some(Box::new(granted));
        alone.core.post.take().for_each(drop);
        alone.core.feed_resends(reader);
        let is_sent = alone.heard(reader).first() == Some(&0x3c);
        let mut letters = alone.core.post.take().flat_map(|(_, to_groups, _)| to_groups);
        let is_back = letters.any(|letter| matches!(letter.what, Notice::Returned(_, false)));
        (is_sent, is_back)
    }

    #[test]
    fn what_a_client_may_not_have_any_more_is_not_sent_again_and_others_of_its_group_get_it() {
        let group = Some(GroupId(7));
        assert_eq!(resent_under("allow everyone subscribe a", None), (true, false));
        assert_eq!(resent_under("allow everyone subscribe a", group), (true, false));
        assert_eq!(resent_under("allow everyone subscribe b", None), (false, false));
        let no_member = "allow everyone subscribe a\ndeny everyone shared a";
        assert_eq!(resent_under(no_member, group), (false, true));
        assert_eq!(resent_under(no_member, None), (true, false));
    }
}
