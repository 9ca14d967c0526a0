//! What a session gets besides live delivery, as room appears: first what an earlier connection
//! did not finish, then retained messages, then the log from its cursor on.

use std::ops::ControlFlow;

use tidewire_proto::delivery::{Shape, Template};
use tidewire_proto::id::{PacketId, PartitionId};
use tidewire_proto::message::Message;
use tidewire_proto::qos::Qos;
use tidewire_proto::routing::grant::{SessionKey, Target};
use tidewire_proto::routing::routes::Routes;
use tidewire_proto::session::cursor::Reading;
use tidewire_proto::session::window::{Exchange, Place, Step};
use tidewire_proto::topic::TopicFilter;
use tidewire_store::Slice;

use crate::core::dispatch::{Sent, Way};
use crate::core::letters::Fate;
use crate::core::open::{ConnId, Phase};
use crate::core::send::quality;
use crate::core::state::{Core, Deferred};
use crate::core::stored::{READ_LOG_BYTES, begins_with, message_at, walk};
use crate::metrics::DropReason;

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

impl Core {
    /// Room may have appeared: the turn's end looks, once for all acknowledgements of the turn.
    pub(crate) fn feed_soon(&mut self, id: ConnId) {
        let Some(open) = self.open(id) else { return };
        if !std::mem::replace(&mut open.is_hungry, true) {
            self.hungry.push(id);
        }
        self.end_turn_soon();
    }

    /// Feeds all that asked for it.
    pub(crate) fn feed_hungry(&mut self) {
        for id in std::mem::take(&mut self.hungry) {
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
                Some(slice) if !self.feed_slice(id, reading, &slice) => {
                    return Need::Nothing;
                }
                Some(_) => (),
            }
        }
    }

    /// Sends what a part of the log holds for this session. False when room ran out.
    pub(crate) fn feed_slice(&mut self, id: ConnId, reading: Reading, slice: &Slice) -> bool {
        let walked = walk(reading, slice, |_, record, place| {
            match self.feed_message(id, Message::of(record), place) {
                Sent::NoRoom => ControlFlow::Break(()),
                Sent::Yes | Sent::Skipped => ControlFlow::Continue(()),
            }
        });
        self.advance(id, reading.partition, walked.next);
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
            let room = self.shared.limits.outbound_buffer_bytes_max as usize;
            let Some(conn) = self.conn(id) else { return false };
            let is_full = conn.out.len() > room;
            let Phase::Open(open) = &mut conn.phase else { return false };
            let Some(packet_id) = open.resends.front().copied() else { return true };
            let unsent = open.resends.len();
            let exchange = open.window.get(packet_id);
            let is_message = exchange.is_some_and(|exchange| exchange.step == Step::Published);
            if is_full || (is_message && !open.window.has_room_beside(unsent)) {
                return false;
            }
            open.resends.pop_front();
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
            let slice = self.shared.store.read(partition, offset, 1);
            *last = slice.ok().map(|slice| (partition, slice));
        }
        let mut template = std::mem::take(&mut self.scratch.templates.own);
        let is_written = match last {
            Some((_, slice)) => self.write_again(id, &mut template, slice, exchange),
            None => false,
        };
        match self.conn(id).filter(|_| is_written) {
            Some(conn) => {
                template.append_to(&mut conn.out, Some(packet_id));
                self.mark_dirty(id);
            }
            None => {
                // Retention took the message, the disk cannot give it back, or the client takes
                // only smaller packets now.
                let qos = quality(exchange.qos);
                self.counters.messages_dropped.add((DropReason::Retention, qos), 1);
                if let Some(group) = exchange.group {
                    self.tell_ended(id, group, exchange.place, (Fate::Done, None));
                }
                if let Some(open) = self.open(id) {
                    open.window.give_up(packet_id);
                }
                self.mark_changed(id, false);
            }
        }
        self.scratch.templates.own = template;
    }

    fn write_again(
        &mut self,
        id: ConnId,
        template: &mut Template,
        slice: &Slice,
        exchange: &Exchange,
    ) -> bool {
        let Some(message) = message_at(slice, exchange.place.offset) else { return false };
        let route = self.routes.find(&self.trie, message.topic);
        let own = Routes::part_of(&route, SessionKey(id.key));
        let now_ms = self.now_ms;
        let Some(open) = self.open(id) else { return false };
        if exchange.group.is_none() && open.is_kept_from(message.topic) {
            return false;
        }
        let shared = exchange.group.and_then(|group| open.shared_target(group, SessionKey(id.key)));
        let target = if exchange.group.is_some() { shared.as_ref() } else { own };
        let shape =
            Shape { version: open.version, qos: exchange.qos, retain: exchange.retain, dup: true };
        let ids = target.into_iter().flat_map(Target::ids);
        let written = template.write(&message, shape, ids, now_ms);
        written.is_ok() && template.len() <= open.terms.packet_bytes_max as usize
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::message::Published;
    use tidewire_proto::mqtt::Properties;
    use tidewire_proto::qos::Qos;
    use tidewire_proto::record::BatchBuilder;
    use tidewire_proto::session::cursor::Positions;
    use tidewire_proto::session::window::{Exchange, Place, Step, Window};
    use tidewire_store::rows::cursor;
    use tidewire_store::rows::session::SessionRow;
    use tidewire_store::{Append, Commit, Table, TableChange};

    use super::RESENDS_AT_A_TIME;
    use crate::core::alone::Alone;

    /// As many as may be in flight to the reader.
    const UNANSWERED: u16 = 10_000;
    const PINGREQ: u8 = 0xc0;
    const PINGRESP: [u8; 2] = [0xd0, 0];

    /// Messages in the log, and a session that has them in flight since an earlier connection.
    fn leave_unanswered(alone: &Alone, client_id: &str) {
        let partition: PartitionId = alone.store.streams()[0].partitions[0];
        let mut batch = BatchBuilder::new();
        let mut window = Window::new(UNANSWERED);
        for number in 0..u64::from(UNANSWERED) {
            let published = Published {
                topic: "a",
                payload: b"b",
                qos: Qos::AtLeastOnce,
                retain: false,
                properties: Properties::EMPTY,
                origin: None,
            };
            published.push_to(&mut batch, 0);
            let place = Place { partition, offset: number };
            let (qos, step) = (Qos::AtLeastOnce, Step::Published);
            window.begin(Exchange { place, qos, step, retain: false, group: None });
        }
        let row = |table, row| TableChange::new(table, client_id.as_bytes().into(), Some(row));
        let session = SessionRow { expiry_s: 3600, ended_ms: None, user: None };
        let changes = vec![
            row(Table::Sessions, session.encode()),
            row(Table::Cursors, cursor::encode(&window, &Positions::default())),
        ];
        let appends = vec![Append::new(partition, batch.finish())];
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
        leave_unanswered(&alone, "reader");
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
}
