//! What other threads report: outcomes of commits, and what became durable.

use std::sync::Arc;
use std::time::Instant;

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{ReasonCode, Version};
use tidewire_proto::qos::Qos;
use tidewire_proto::routing::grant::SessionKey;
use tidewire_proto::session::cursor::Reading;
use tidewire_store::{CommitError, Outcome, ReadError, Slice};

use crate::core::denial::Denial;
use crate::core::inbox::Event;
use crate::core::letters::ToMember;
use crate::core::open::{Conn, ConnId, Phase, Suback};
use crate::core::send::quality;
use crate::core::state::{Core, Handed};
use crate::core::turn::{Connack, Member, Ticket, Waiting};
use crate::metrics::{CloseReason, DropReason, Quality};

type Committed = Result<(), CommitError>;

impl Core {
    /// Handles everything but new connections, which need a task of their own.
    pub(crate) fn on_event(&mut self, event: Event) {
        match event {
            Event::Outcomes(outcomes) => self.on_outcomes(outcomes),
            Event::Durable(appended) => self.on_durable(&appended),
            Event::Live(batches) => self.on_live(&batches),
            Event::Release(release) => self.on_release(release),
            Event::ToGroups(letters) => self.on_group_letters(letters),
            Event::ToMembers(letters) => self.on_member_letters(letters),
            Event::Due(more) => {
                more.into_iter().for_each(|due| self.wait_until_due(due));
                self.on_due();
            }
            Event::Visit(client_ids, done) => {
                self.visit_all(&client_ids);
                let _ = done.send(());
            }
            Event::Expel(order, done) => drop(done.send(self.expel(&order))),
            Event::EndAway(client_id, order) => self.end_away(&client_id, order),
            Event::Asked(asked) => self.on_asked(asked),
            Event::System(edition, news) => {
                self.on_edition(&edition);
                news.into_iter().for_each(|news| self.on_live(&news));
            }
            Event::Rules(from) => self.on_rules(from),
            Event::Checked(id, verdict) => self.on_checked(id, verdict),
            Event::Stop(done) => self.stop(done),
            #[cfg(test)]
            Event::Panic => panic!("a test asked for it"),
            Event::Accepted(_) | Event::Look => (),
        }
    }

    fn on_outcomes(&mut self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            // Nearly always the first: outcomes come in the order of commits.
            let of_it = |handed: &Handed| handed.ticket == outcome.ticket;
            let Some(index) = self.commits.iter().position(of_it) else { continue };
            let Some(Handed { waiting, at, .. }) = self.commits.remove(index) else { continue };
            self.time_acknowledgements(&waiting, at);
            self.unsettled.settle(outcome.ticket);
            let (result, stayed) = (outcome.result.map(|_| ()), outcome.stayed);
            if stayed.is_err() {
                self.last_refused = Some(outcome.ticket);
            }
            for one in waiting {
                let of_it = if one.needs_messages() { &result } else { &stayed };
                self.on_waited(one, of_it);
            }
            if stayed.is_err() {
                self.write_all_rows_again();
            }
        }
        self.resume_paused();
    }

    /// How long publishers waited for the disk.
    fn time_acknowledgements(&self, waiting: &[Waiting], at: Instant) {
        let (mut once, mut exactly_once) = (0, 0);
        for one in waiting {
            match one {
                Waiting::Puback(..) => once += 1,
                Waiting::Pubrec(..) => exactly_once += 1,
                _ => (),
            }
        }
        if once + exactly_once > 0 {
            let (times, took) = (&self.shared.metrics.publish_ack_seconds, at.elapsed());
            times.record_many(Quality::AtLeastOnce, took.as_secs_f64(), once);
            times.record_many(Quality::ExactlyOnce, took.as_secs_f64(), exactly_once);
        }
    }

    fn on_waited(&mut self, waiting: Waiting, result: &Committed) {
        match waiting {
            Waiting::Puback(id, packet_id) => {
                if let Some(open) = self.open(id) {
                    open.inbound.receipts.qos1_answered();
                }
                match result {
                    Ok(()) => self.send_puback(id, packet_id),
                    Err(error) => self.deny(id, packet_id, Qos::AtLeastOnce, error),
                }
            }
            Waiting::Pubrec(id, packet_id) => {
                if let Some(open) = self.open(id) {
                    open.inbound.receipts.on_stored(packet_id, result.is_ok());
                }
                match result {
                    Ok(()) => self.send_pubrec(id, packet_id),
                    Err(error) => self.deny(id, packet_id, Qos::ExactlyOnce, error),
                }
            }
            Waiting::Pubcomp(id, packet_id) => self.on_released(id, packet_id, result),
            Waiting::Refused(id, refusal) => self.answer_refused(id, *refusal),
            Waiting::Send(id, bytes) => self.send_held(id, &bytes, result),
            Waiting::Suback(id, suback) => self.on_subscribed(id, *suback, result),
            Waiting::Joining(id, token, from) => {
                self.on_joined(id, token, self.all_since(from, result).is_ok());
            }
            Waiting::Member(_, member) => {
                let Member { core, conn, token } = *member;
                let joined = ToMember::Joined(conn, token, result.is_ok());
                self.post.for_member(core, joined);
                self.end_turn_soon();
            }
            Waiting::Connack(id, connack) => {
                let result = self.all_since(connack.from, result);
                self.on_taken_up(id, &connack, &result);
            }
            Waiting::Retained(claims) => {
                self.shared.retained.settle(&claims, &self.shared.store, result.is_ok());
            }
            // What is not durable is not free.
            Waiting::Freed(all) if result.is_ok() => self.free_all(&all),
            Waiting::Freed(_) => (),
            Waiting::Left(client_id, left) => self.leave_if_gone(&client_id, &left),
            Waiting::Ended(client_id, id, is_over, from) => {
                let is_ok = self.all_since(from, result).is_ok();
                self.on_rows_ended(&client_id, id, is_over, is_ok);
            }
            Waiting::Will(client_id) => self.on_will_sent(client_id, result.is_ok()),
            Waiting::LateWill(key) => self.on_late_will(key),
            Waiting::Letter(id, place) => self.on_letter(id, place, result.is_ok()),
            Waiting::DelayedTaken(taken) => self.on_delayed_taken(&taken, result.is_ok()),
            Waiting::DelayedSent(key, bytes, to) => {
                self.on_delayed_sent(key, bytes, to, result.is_ok());
            }
        }
    }

    fn on_released(&mut self, id: ConnId, packet_id: PacketId, result: &Committed) {
        if let Some(open) = self.open(id) {
            open.inbound.receipts.on_released(packet_id, result.is_ok());
        }
        match result {
            Ok(()) => self.send_pubcomp(id, packet_id, ReasonCode::SUCCESS),
            // PUBCOMP cannot say no, and the client asks again on a new connection only.
            Err(_) => self.close(id, CloseReason::Limit, Some(ReasonCode::UNSPECIFIED_ERROR)),
        }
    }

    /// What became of rows that are in all commits from that one to this.
    fn all_since(&self, from: Ticket, result: &Committed) -> Committed {
        let is_refused = self.last_refused.is_some_and(|ticket| ticket >= from);
        if is_refused { result.clone().and(Err(CommitError::DiskFull)) } else { result.clone() }
    }

    pub(crate) fn on_subscribed(
        &mut self,
        id: ConnId,
        suback: Suback,
        result: &Result<(), CommitError>,
    ) {
        self.visit_if_failed(id, result);
        self.send_held(id, &suback.bytes, result);
        if let Some(open) = self.open(id) {
            open.seeking -= suback.replays;
            open.take_feeds(suback.feeds);
        }
        // SUBACK is not to wait for what follows it: that may be much.
        self.write_out(id);
        self.feed(id);
    }

    fn on_taken_up(&mut self, id: ConnId, connack: &Connack, result: &Committed) {
        let unheard = self.unheard.remove(&id.serial);
        match (result, unheard) {
            (Err(error), unheard) => {
                self.refuse_taken_up(id, unheard, connack, Denial::of_commit(error));
            }
            (Ok(()), Some(open)) => self.end_open(id, *open),
            (Ok(()), None) => {
                self.send_held(id, &connack.bytes, result);
                self.on_opened(id);
            }
        }
    }

    /// What rows the session left behind is looked up when it is gone.
    fn visit_if_failed(&mut self, id: ConnId, result: &Committed) {
        if let (Err(_), Some(open)) = (result, self.open(id)) {
            let client_id = Arc::clone(&open.client_id);
            self.visit_later(client_id);
        }
    }

    /// The last rows of a session are written, or could not be.
    fn on_rows_ended(&mut self, client_id: &Arc<str>, id: ConnId, is_over: bool, is_ok: bool) {
        self.on_session_ended(client_id, id);
        if !is_ok {
            self.visit_later(Arc::clone(client_id));
        } else if is_over {
            self.visit(client_id, None);
        }
    }

    /// A publisher hears that its message was not stored.
    fn deny(&mut self, id: ConnId, packet_id: PacketId, qos: Qos, error: &CommitError) {
        self.counters.messages_dropped.add((DropReason::Store, quality(qos)), 1);
        let no = Denial::of_commit(error);
        match self.open(id).map(|open| open.version) {
            Some(Version::V5) => self.send_denied(id, packet_id, qos, no),
            // Before MQTT 5 an acknowledgement cannot say no.
            _ => self.close(id, CloseReason::Limit, Some(no.reason)),
        }
    }

    fn send_held(&mut self, id: ConnId, bytes: &[u8], result: &Committed) {
        if result.is_err() {
            return self.close(id, CloseReason::Limit, Some(ReasonCode::UNSPECIFIED_ERROR));
        }
        // After DISCONNECT nothing may follow.
        let is_open = |conn: &&mut Conn| matches!(conn.phase, Phase::Open(_));
        if let Some(conn) = self.conn(id).filter(is_open) {
            conn.out.extend_from_slice(bytes);
            self.mark_dirty(id);
        }
    }

    /// CONNACK is on its way: what waited for it may follow.
    fn on_opened(&mut self, id: ConnId) {
        let now_ms = self.uptime_ms;
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return };
        let Phase::Open(open) = &mut conn.phase else { return };
        if conn.serial != id.serial {
            return;
        }
        open.is_announced = true;
        // Not before: a message at QoS 0 would overtake CONNACK.
        for (filter, subscription) in open.subscriptions.iter() {
            if !open.shares.contains_key(filter) {
                self.trie.insert(filter, SessionKey(id.key), subscription.grant);
            }
        }
        conn.heard_ms = now_ms;
        conn.socket.pause(false);
        self.note_came(id);
        self.join_groups(id);
        self.on_waiting_bytes(id);
        self.feed(id);
    }

    /// A part of the log came from disk.
    pub(crate) fn on_read(
        &mut self,
        id: ConnId,
        number: u64,
        reading: Reading,
        slice: Result<Slice, ReadError>,
    ) {
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return };
        let Phase::Open(open) = &mut conn.phase else { return };
        if conn.serial != id.serial || open.last_read != number {
            // The session went elsewhere meanwhile, for a replay.
            return;
        }
        open.cursor.set_reading(false);
        match slice {
            Ok(slice) => {
                if self.feed_read(id, reading, &slice) {
                    self.feed(id);
                }
            }
            Err(ReadError::OutOfRange { start, .. }) if reading.from < start => {
                tracing::warn!(
                    client_id = &*open.client_id,
                    partition = reading.partition.0,
                    offsets = start - reading.from,
                    "retention took what a session had not read"
                );
                open.cursor.advance(reading.partition, start);
                self.feed(id);
            }
            Err(error) => {
                tracing::error!(%error, ?reading, "the log cannot be read");
                self.close(id, CloseReason::Limit, Some(ReasonCode::UNSPECIFIED_ERROR));
            }
        }
    }
}
