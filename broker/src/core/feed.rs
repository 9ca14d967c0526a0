//! What a session gets besides live delivery, as room appears: first what an earlier connection
//! did not finish, then retained messages, then the log from its cursor on.

use std::ops::{Bound, ControlFlow};

use tidewire_proto::delivery::{Shape, Template};
use tidewire_proto::id::{PacketId, PartitionId};
use tidewire_proto::message::Message;
use tidewire_proto::qos::Qos;
use tidewire_proto::routing::grant::{SessionKey, Target};
use tidewire_proto::routing::routes::Routes;
use tidewire_proto::session::cursor::Reading;
use tidewire_proto::session::window::{Exchange, Place, Step};
use tidewire_proto::topic::{self, TopicFilter};
use tidewire_store::rows::retained;
use tidewire_store::{Slice, Table};

use crate::core::dispatch::{Sent, Way};
use crate::core::open::{ConnId, Phase, RetainedFeed};
use crate::core::send::quality;
use crate::core::state::{Core, Deferred};
use crate::core::stored::{READ_LOG_BYTES, message_at};
use crate::metrics::DropReason;

/// Bytes of retained messages that are taken from the table in one go, and one message more.
const RETAINED_BYTES_MAX: usize = 64 * 1024;

/// A topic and the row of its retained message.
type RetainedBytes = (Box<[u8]>, Vec<u8>);

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
        // One filter can be looked up; more than one is as good as reading everything.
        let Reading { partition, from, .. } = reading;
        let only = open.subscriptions.only_one_at(partition, from);
        let only = only.and_then(|(filter, until)| Some((TopicFilter::parse(filter).ok()?, until)));
        let (filter, until) =
            only.map_or((None, u64::MAX), |(filter, until)| (Some(filter), until));
        let reading = Reading { to: reading.to.min(until), ..reading };
        self.deferred.push(Deferred::Read(id, reading, filter));
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
        let Reading { partition, from, to: limit } = reading;
        let mut next = from.max(slice.start);
        for stored in &slice.batches {
            let end = stored.base_offset + u64::from(stored.batch.last_offset_delta()) + 1;
            for record in stored.batch.records() {
                let offset = stored.base_offset + u64::from(record.offset_delta);
                if offset < next || stored.batch.is_control() {
                    continue;
                }
                if offset >= limit {
                    self.advance(id, partition, limit);
                    return true;
                }
                let place = Place { partition, offset };
                if self.feed_message(id, Message::of(&record), place) == Sent::NoRoom {
                    self.advance(id, partition, offset);
                    return false;
                }
            }
            next = next.max(end.min(limit));
        }
        // Behind the last batch there may be more that is not for this session.
        next = next.max(slice.next.min(limit));
        self.advance(id, partition, next);
        // A read that brought nothing must not be repeated for ever.
        next > from
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
        if at.1 >= open.live_since.get(at.0) {
            open.left_to_log = open.left_to_log.saturating_sub(1);
        }
        true
    }

    /// Sends again what is in flight since an earlier connection. False when room ran out.
    fn feed_resends(&mut self, id: ConnId) -> bool {
        loop {
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
                Some(exchange) => self.resend(id, packet_id, &exchange),
                // The client ended it first.
                None => (),
            }
        }
    }

    fn resend(&mut self, id: ConnId, packet_id: PacketId, exchange: &Exchange) {
        let slice = self.shared.store.read(exchange.place.partition, exchange.place.offset, 1);
        let mut template = std::mem::take(&mut self.scratch.templates.own);
        let is_written = match &slice {
            Ok(slice) => self.write_again(id, &mut template, slice, exchange),
            Err(_) => false,
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
        let target = Routes::part_of(&route, SessionKey(id.key));
        let now_ms = self.now_ms;
        let Some(open) = self.open(id) else { return false };
        let shape =
            Shape { version: open.version, qos: exchange.qos, retain: exchange.retain, dup: true };
        let ids = target.into_iter().flat_map(Target::ids);
        let written = template.write(&message, shape, ids, now_ms);
        written.is_ok() && template.len() <= open.terms.packet_bytes_max as usize
    }

    /// Sends retained messages of new subscriptions. False when room ran out.
    fn feed_retained(&mut self, id: ConnId) -> bool {
        loop {
            let Some(open) = self.open(id) else { return false };
            let Some(mut feed) = open.feeds.pop_front() else { return true };
            let is_done = self.feed_retained_page(id, &mut feed);
            if !is_done {
                let Some(open) = self.open(id) else { return false };
                open.feeds.push_front(feed);
                return false;
            }
        }
    }

    fn feed_retained_page(&mut self, id: ConnId, feed: &mut RetainedFeed) -> bool {
        loop {
            let (rows, is_last) = self.retained_rows(feed);
            for (topic, row) in rows {
                if self.feed_retained_row(id, feed, &row) == Sent::NoRoom {
                    return false;
                }
                feed.after = Some(topic);
            }
            if is_last {
                return true;
            }
        }
    }

    fn feed_retained_row(&mut self, id: ConnId, feed: &RetainedFeed, row: &[u8]) -> Sent {
        let Ok((place, batch)) = retained::decode(row) else {
            tracing::error!("a row of the retained table is damaged");
            return Sent::Skipped;
        };
        // From here on the message reaches the session as a live one.
        if place.offset >= feed.since.get(place.partition) {
            return Sent::Skipped;
        }
        let target = Target::new(SessionKey(id.key), feed.grant);
        let record = batch.records().next();
        let Some(message) = record.as_ref().and_then(Message::of) else { return Sent::Skipped };
        self.scratch.templates.used = 0;
        self.deliver(id, &target, &message, Some(place), Way::Retained)
    }

    /// Some of the rows that a feed still has to look at, those that match, and whether these are
    /// the last.
    fn retained_rows(&self, feed: &RetainedFeed) -> (Vec<RetainedBytes>, bool) {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let prefix = literal_prefix(&feed.filter).as_bytes();
        let from = match &feed.after {
            Some(after) => Bound::Excluded(&**after),
            None => Bound::Included(prefix),
        };
        let scanned =
            self.shared.store.scan(Table::Retained, from, Bound::Unbounded, &mut |key, row| {
                if !key.starts_with(prefix) {
                    return ControlFlow::Break(());
                }
                let is_match =
                    std::str::from_utf8(key).is_ok_and(|key| topic::matches(&feed.filter, key));
                if is_match {
                    bytes += key.len() + row.len();
                    rows.push((key.into(), row.to_vec()));
                }
                if bytes < RETAINED_BYTES_MAX {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
        if let Err(error) = scanned {
            tracing::error!(%error, filter = &*feed.filter, "retained messages cannot be read");
        }
        (rows, bytes < RETAINED_BYTES_MAX)
    }
}

/// The part of a filter before its first wildcard: every topic that matches begins with it.
fn literal_prefix(filter: &str) -> &str {
    let end = filter.find(['+', '#']).unwrap_or(filter.len());
    let prefix = &filter[..end];
    // `a/#` matches `a` too.
    if filter[end..].starts_with('#') { prefix.strip_suffix('/').unwrap_or(prefix) } else { prefix }
}

#[cfg(test)]
mod tests {
    use super::literal_prefix;

    #[test]
    fn every_matching_topic_begins_with_the_literal_prefix() {
        for (filter, prefix) in
            [("a/b", "a/b"), ("a/+/c", "a/"), ("a/#", "a"), ("#", ""), ("+/a", ""), ("/#", "")]
        {
            assert_eq!(literal_prefix(filter), prefix, "{filter}");
        }
    }
}
