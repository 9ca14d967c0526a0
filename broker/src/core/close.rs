//! How a connection ends: by the client, by us, by a lost socket, by takeover.

use std::sync::Arc;

use tidewire_proto::mqtt::{
    ConnAck, DecodeError, DecodeErrorKind, Disconnect, Packet, PacketKind, ReasonCode, Version,
};
use tidewire_proto::routing::grant::SessionKey;
use tidewire_store::rows::session::SessionRow;

use crate::core::denial::{Denial, put_with_words};
use crate::core::farewell::put_farewell;
use crate::core::inbox::Release;
use crate::core::open::{ConnId, Open, Phase};
use crate::core::send::put;
use crate::core::state::Core;
use crate::core::tellers::News;
use crate::core::turn::{Connack, IfRefused, Left, Waiting};
use crate::metrics::{CloseReason, RefuseReason};
use crate::subscribed::Count;

impl Core {
    /// DISCONNECT from the client.
    pub(crate) fn on_disconnect(&mut self, id: ConnId, disconnect: &Disconnect<'_>) {
        let Some(open) = self.open(id) else { return };
        if let Some(expiry_s) = disconnect.properties.session_expiry() {
            if open.terms.expiry_s == 0 && expiry_s != 0 {
                // A session that was to end with its connection cannot be made to live on.
                let reason = Some(ReasonCode::PROTOCOL_ERROR);
                return self.close(id, CloseReason::Protocol, reason);
            }
            let limit = self.shared.limits.session_expiry_s_max;
            if let Some(open) = self.open(id).filter(|open| open.is_durable()) {
                open.ends_at_once = expiry_s == 0;
                if !open.ends_at_once {
                    open.terms.expiry_s = expiry_s.min(limit);
                }
            }
        }
        if let Some(open) = self.open(id).filter(|_| disconnect.reason == ReasonCode::SUCCESS) {
            open.drops_will = true;
        }
        self.close(id, CloseReason::Disconnect, None);
    }

    /// A packet that cannot be understood. `first` is the first of the bytes that came with it.
    pub(crate) fn on_malformed(&mut self, id: ConnId, error: DecodeError, first: Option<u8>) {
        let reason = error.reason();
        tracing::debug!(%error, "malformed packet");
        if matches!(error.kind(), DecodeErrorKind::PacketTooLarge) {
            self.tell_of_limit(id);
        }
        match self.conn(id).map(|conn| &conn.phase) {
            Some(Phase::Fresh) => (),
            Some(Phase::Authenticating(_)) => {
                let is_sayable = reason.allowed_in(PacketKind::ConnAck);
                let reason = if is_sayable { reason } else { ReasonCode::PROTOCOL_ERROR };
                let text = error.to_string();
                let said = self.hearing_of_login(id).map(|to| (&*text, to));
                return self.refuse(id, Version::V5, reason, said);
            }
            _ => {
                let text = error.to_string();
                return self.close_saying(id, CloseReason::Protocol, Some(reason), Some(&text));
            }
        }
        match error.kind() {
            // Another protocol altogether: no answer of ours would be understood.
            DecodeErrorKind::ProtocolName => self.turn_away(id, RefuseReason::Version),
            // Each reads the form that it knows: later ones that of MQTT 5.
            DecodeErrorKind::ProtocolLevel(6..) => self.refuse(id, Version::V5, reason, None),
            DecodeErrorKind::ProtocolLevel(_) => self.refuse(id, Version::V311, reason, None),
            _ => {
                let words = other_protocol(first).map_or_else(|| error.to_string(), str::to_owned);
                self.turn_away_saying(id, RefuseReason::Malformed, Some(&words));
            }
        }
    }

    /// Whoever looks after the client must hear which setting is in its way.
    fn tell_of_limit(&mut self, id: ConnId) {
        if !self.may_tell(News::TooLarge) {
            return;
        }
        if let Some(open) = self.open(id) {
            let bytes_max = open.terms.offer.packet_bytes_max;
            tracing::warn!(
                client_id = &*open.client_id,
                bytes_max,
                "a packet is larger than mqtt.packet_bytes_max; its client is closed"
            );
        }
    }

    /// Ends a connection that was never open.
    pub(crate) fn turn_away(&mut self, id: ConnId, reason: RefuseReason) {
        self.turn_away_saying(id, reason, None);
    }

    /// The same; the log says why in these words, too.
    pub(crate) fn turn_away_saying(
        &mut self,
        id: ConnId,
        reason: RefuseReason,
        words: Option<&str>,
    ) {
        self.counters.connections_refused.add(reason, 1);
        self.tell_refused(id, reason, words);
        let Some(conn) = self.conn(id) else { return };
        conn.phase = Phase::Closing;
        conn.socket.pause(true);
        self.mark_dirty(id);
    }

    /// Ends an open connection. With a reason, an MQTT 5 client is told.
    pub(crate) fn close(&mut self, id: ConnId, cause: CloseReason, reason: Option<ReasonCode>) {
        self.close_saying(id, cause, reason, None);
    }

    fn close_saying(
        &mut self,
        id: ConnId,
        cause: CloseReason,
        reason: Option<ReasonCode>,
        text: Option<&str>,
    ) {
        let shared = Arc::clone(&self.shared);
        let reference = shared.limits.server_reference.as_deref();
        let Some(conn) = self.conn(id) else { return };
        if let Phase::Open(open) = &conn.phase {
            let may_tell = open.version == Version::V5 && open.is_announced;
            if let Some(reason) = reason.filter(|_| may_tell) {
                put_farewell(reason, text, reference, &open.terms, &mut conn.out);
            }
        }
        self.end_session(id, cause);
        if let Some(conn) = self.conn(id) {
            conn.socket.pause(true);
        }
        self.mark_dirty(id);
    }

    /// Ends a connection whose session could not be written down, and says so in its CONNACK; or
    /// only the session, if the connection has ended.
    pub(crate) fn refuse_taken_up(
        &mut self,
        id: ConnId,
        unheard: Option<Box<Open>>,
        connack: &Connack,
        no: Denial,
    ) {
        let is_heard = unheard.is_none();
        let Some(mut open) = unheard.or_else(|| self.take_open(id)) else { return };
        let (version, hearing) = (open.version, open.hearing());
        // What lies in the place of its will is that of an earlier connection, and may be owed.
        let will = open.will.take();
        open.ends_at_once |= connack.if_refused == IfRefused::Over;
        if let Some(will) = will.filter(|_| connack.if_refused == IfRefused::Over) {
            self.drop_refused_will(&open.client_id, &will);
        }
        open.leaves_rows = connack.if_refused == IfRefused::Untouched;
        // What rows the session left behind is looked up when it is gone.
        self.visit_later(Arc::clone(&open.client_id));
        self.end_open(id, *open);
        if !is_heard {
            return;
        }
        self.counters.connections_closed.add(CloseReason::Limit, 1);
        self.tell_refused(id, RefuseReason::Unavailable, Some(no.words));
        if let Some(conn) = self.conn(id) {
            put_with_words(&mut conn.out, Some(no.words), hearing, |properties, out| {
                let ack = ConnAck { session_present: false, reason: no.reason, properties };
                put(&Packet::ConnAck(ack), version, out);
            });
            conn.socket.pause(true);
        }
        self.mark_dirty(id);
    }

    fn take_open(&mut self, id: ConnId) -> Option<Box<Open>> {
        let phase = &mut self.conn(id)?.phase;
        match std::mem::replace(phase, Phase::Closing) {
            Phase::Open(open) => Some(open),
            other => {
                *phase = other;
                None
            }
        }
    }

    /// The session's part of an ending connection: will, last rows, ownership.
    pub(crate) fn end_session(&mut self, id: ConnId, cause: CloseReason) {
        if self.open(id).is_some_and(|open| !open.is_announced) {
            // Also the last that it says is written with its CONNECT.
            self.write_rows_of(id);
        }
        let Some(conn) = self.conn(id) else { return };
        match std::mem::replace(&mut conn.phase, Phase::Closing) {
            Phase::Open(open) => {
                self.counters.connections_closed.add(cause, 1);
                if open.is_announced {
                    self.note_went(id, &open, cause);
                    return self.end_open(id, *open);
                }
                self.ending.insert(id.serial, Vec::new());
                self.unheard.insert(id.serial, open);
            }
            Phase::Claiming(mut claim) => {
                // Its former owner has not let go yet: who waits behind it must wait on.
                claim.is_abandoned = true;
                conn.phase = Phase::Claiming(claim);
            }
            Phase::Fresh | Phase::Authenticating(_) | Phase::Checking(_) | Phase::Closing => (),
        }
    }

    /// The CONNECT of this session is answered, or was refused, and its connection has ended.
    pub(crate) fn end_open(&mut self, id: ConnId, mut open: Open) {
        let from = self.next_ticket;
        self.leave_pace(id, &open.client_id);
        // Before that nothing of it is there, and its place may be that of another connection.
        let filters = open.subscriptions.iter().filter(|_| open.is_announced);
        for (filter, _) in filters {
            self.trie.remove(filter, SessionKey(id.key));
        }
        self.leave_groups(id, &mut open);
        if !open.is_durable() {
            // Before CONNACK, the end of rows that it had may not be durable.
            self.give_up_all(&open.client_id, !open.is_announced);
        }
        self.settle_will(&mut open);
        if !open.leaves_rows && (!open.is_durable() || open.ends_at_once) {
            self.shared.subscribed.put(open.client_id.as_bytes(), Count::default());
        }
        if !open.leaves_rows && open.is_durable() {
            // Their rows are on their way, and may be refused.
            let filters = open.joining.drain(..).flat_map(|one| one.fresh).collect();
            let left = Left { filters, ..Left::default() };
            self.leave_when_gone(Arc::clone(&open.client_id), left);
        }
        if open.leaves_rows {
            // What is counted of it is put right when it is looked after.
        } else if open.ends_at_once {
            // Rows of this very turn cannot be found yet: it is over from now on, and they are
            // deleted when they can.
            let row = SessionRow { expiry_s: 0, ended_ms: Some(0), user: None };
            self.put_session_row(&open.client_id, row);
            self.shared.sessions.put(open.client_id.as_bytes(), None);
        } else if open.is_durable() {
            self.write_rows(&mut open);
            let (expiry_s, ended_ms) = (open.terms.expiry_s, Some(self.now_ms));
            let row = SessionRow { expiry_s, ended_ms, user: open.user() };
            self.put_session_row(&open.client_id, row);
        }
        self.ending.entry(id.serial).or_default();
        let is_over = open.ends_at_once || open.leaves_rows;
        self.turn.waiting.push(Waiting::Ended(open.client_id, id, is_over, from));
        self.end_turn_soon();
    }

    /// The last rows of a session are written: it can be taken up elsewhere.
    pub(crate) fn on_session_ended(&mut self, client_id: &str, id: ConnId) {
        self.shared.registry.release(client_id, self.owner(id));
        for done in self.ending.remove(&id.serial).unwrap_or_default() {
            let _ = done.send(());
        }
    }

    /// Another connection claimed the client id.
    pub(crate) fn on_release(&mut self, release: Release) {
        let id = release.conn;
        let is_open = match self.conn(id).map(|conn| &mut conn.phase) {
            Some(Phase::Claiming(claim)) => return claim.releases.push(release.done),
            Some(Phase::Open(_)) => true,
            _ => false,
        };
        if is_open {
            if self.may_tell(News::TakenOver) {
                tracing::info!(client_id = &*release.client_id, "session taken over");
            }
            self.close(id, CloseReason::TakenOver, Some(ReasonCode::SESSION_TAKEN_OVER));
        }
        match self.ending.get_mut(&id.serial) {
            Some(waiting) => waiting.push(release.done),
            // It has let go already.
            None => drop(release.done.send(())),
        }
    }
}

/// What a client speaks that took this port for another, by its first byte.
fn other_protocol(first: Option<u8>) -> Option<&'static str> {
    match first? {
        0x16 => Some("it speaks TLS, and this port MQTT without it"),
        b'G' | b'P' | b'H' | b'O' => Some("it speaks HTTP, and this port MQTT without WebSocket"),
        0x00 => Some("it speaks no MQTT: Kafka, perhaps"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
