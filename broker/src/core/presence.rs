//! Clients that come, go and are turned away: a line in the log for each, not more often than
//! anybody would read, and messages under `$SYS`, where that is asked for. Counts nothing.

use std::sync::Arc;

use tidewire_proto::mqtt::Version;
use tidewire_proto::record::Batch;

use crate::core::inbox::Event;
use crate::core::open::{Conn, ConnId, Identity, Open, Phase};
use crate::core::state::Core;
use crate::core::tellers::News;
use crate::link::Peer;
use crate::metrics::{CloseReason, RefuseReason};
use crate::system_topics::presence::{Came, Whose, came, went};

impl Core {
    /// The CONNACK of a client is on its way.
    pub(crate) fn note_came(&mut self, id: ConnId) {
        if !self.is_of_a_client(id) {
            return;
        }
        let may_tell = self.may_tell(News::Came);
        let Some(conn) = self.conns.get(id.key as usize) else { return };
        let Phase::Open(open) = &conn.phase else { return };
        let terms = &open.terms;
        if may_tell {
            tracing::info!(
                client_id = &*open.client_id,
                user = user(open),
                peer = %conn.peer,
                listener = conn.door.listener,
                protocol = protocol(open.version),
                keep_alive_s = terms.keep_alive_s,
                expiry_s = terms.expiry_s,
                clean_start = terms.clean_start,
                will = open.will.is_some(),
                "client connected"
            );
        }
        let Some(node) = self.shared.presence.as_deref() else { return };
        let how = Came {
            keep_alive_s: terms.keep_alive_s,
            expiry_s: terms.expiry_s,
            clean_start: terms.clean_start,
        };
        self.say_to_all(came(&whose(node, conn, open), how, self.now_ms));
    }

    /// The connection of a client that had come is over.
    pub(crate) fn note_went(&mut self, id: ConnId, open: &Open, cause: CloseReason) {
        if !self.is_of_a_client(id) {
            return;
        }
        let may_tell = self.may_tell(News::Went);
        let Some(conn) = self.conns.get(id.key as usize) else { return };
        if may_tell {
            tracing::info!(
                client_id = &*open.client_id,
                user = user(open),
                peer = %conn.peer,
                listener = conn.door.listener,
                reason = cause.word(),
                connected_s = self.now_ms.saturating_sub(open.since_ms) / 1_000,
                "client disconnected"
            );
        }
        let Some(node) = self.shared.presence.as_deref() else { return };
        self.say_to_all(went(&whose(node, conn, open), cause.word(), self.now_ms));
    }

    /// A connection is not let in.
    pub(crate) fn tell_refused(&mut self, id: ConnId, reason: RefuseReason, words: Option<&str>) {
        let Some(conn) = self.conn(id) else { return };
        if conn.named.as_ref().is_some_and(|named| named.is_told) || !self.may_tell(News::Refused) {
            return;
        }
        let Some(conn) = self.conn(id) else { return };
        let named = conn.named.as_ref();
        tracing::info!(
            client_id = named.map(|named| &*named.client_id),
            user = named.and_then(|named| named.user.as_deref()),
            peer = %conn.peer,
            listener = conn.door.listener,
            reason = reason.word(),
            words,
            "connection refused"
        );
    }

    /// Parts of the program that the broker lives in are no clients.
    fn is_of_a_client(&self, id: ConnId) -> bool {
        self.conns.get(id.key as usize).is_some_and(|conn| conn.peer != Peer::InProcess)
    }

    /// Not now: a session may be in the middle of something.
    fn say_to_all(&self, batch: Option<Batch>) {
        let Some(batch) = batch else { return };
        let batches: Arc<[_]> = Arc::new([batch]);
        for inbox in &self.shared.inboxes {
            inbox.push(Event::Live(Arc::clone(&batches)));
        }
    }
}

fn whose<'a>(node: &'a str, conn: &'a Conn, open: &'a Open) -> Whose<'a> {
    Whose {
        node,
        client_id: &open.client_id,
        user: user(open),
        version: open.version,
        peer: conn.peer,
        listener: conn.door.listener,
    }
}

fn user(open: &Open) -> Option<&str> {
    open.identity.as_ref().and_then(Identity::named)
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::V31 => "3.1",
        Version::V311 => "3.1.1",
        Version::V5 => "5",
    }
}
