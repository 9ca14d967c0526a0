//! The session of a claimed client id: taken up from its rows, or new.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use tidewire_proto::mqtt::{ReasonCode, Version};
use tidewire_proto::qos::Qos;
use tidewire_proto::session::alias::Aliases;
use tidewire_proto::session::cursor::Cursor;
use tidewire_proto::session::inbound::Inbound;
use tidewire_proto::session::outbound_alias::OutboundAliases;
use tidewire_proto::session::receipts::Receipts;
use tidewire_proto::session::subscription::Subscriptions;
use tidewire_proto::session::window::{Window, packet_id};
use tidewire_proto::topic::is_shared;
use tidewire_store::rows::session::SessionRow;
use tidewire_store::rows::{bounds_of, cursor, receipt, subscription};
use tidewire_store::{ReadError, Table};

use crate::core::connect::OF_ANOTHER;
use crate::core::open::{Claim, ConnId, LeftToLog, Open, Phase, Will};
use crate::core::state::Core;
use crate::core::turn::{Connack, IfRefused, Left, Waiting};
use crate::core::will::is_small;
use crate::ledger::will_bytes;
use crate::link::{PUBLISHER, Peer};
use crate::metrics::RefuseReason;

/// Tables whose rows belong to sessions, by client id and a name within it.
const OF_SESSIONS: [Table; 2] = [Table::Subscriptions, Table::Inbound];

/// Why a session was not taken up.
enum NotTaken {
    /// Its rows cannot be read.
    Unread(ReadError),
    /// One more would be too many.
    Full(RefuseReason),
    /// It belongs to another user.
    Foreign,
}

impl From<ReadError> for NotTaken {
    fn from(error: ReadError) -> Self {
        Self::Unread(error)
    }
}

/// What becomes of a session's part in share groups when its rows go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Members {
    /// The session is over.
    Leave,
    /// It lives on until its connection ends.
    Stay,
}

/// Rows of a session that are deleted in one commit, if they are small.
const ROWS_AT_ONCE: usize = 100;

impl Core {
    /// The client id is ours: open the session.
    pub(crate) fn on_claimed(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        let Phase::Claiming(claim) = std::mem::replace(&mut conn.phase, Phase::Closing) else {
            return;
        };
        if claim.is_abandoned || !claim.releases.is_empty() {
            // The client is gone, or somebody else claimed the client id meanwhile.
            self.shared.registry.release(&claim.client_id, self.owner(id));
            for done in claim.releases {
                let _ = done.send(());
            }
            return match claim.is_abandoned {
                true => {
                    if let Some(conn) = self.conn(id) {
                        // Nobody is left who would write what its link has to say.
                        conn.socket.give_up();
                    }
                    self.forget(id);
                }
                false => {
                    let words = "another connection claimed the client id at the same time";
                    let said = Some((words, claim.terms.hearing(claim.version)));
                    self.refuse(id, claim.version, ReasonCode::SERVER_BUSY, said);
                }
            };
        }
        let (client_id, version) = (Arc::clone(&claim.client_id), claim.version);
        let hearing = claim.terms.hearing(version);
        let Err(error) = self.take_up(id, *claim) else { return };
        self.shared.registry.release(&client_id, self.owner(id));
        match error {
            NotTaken::Full(limit) => {
                let words = match limit {
                    RefuseReason::Wills => "there is no room for another will",
                    _ => "there are as many sessions as may be",
                };
                let no = (ReasonCode::QUOTA_EXCEEDED, limit);
                self.refuse_counted(id, version, no, Some((words, hearing)));
            }
            NotTaken::Foreign => {
                let no = (ReasonCode::NOT_AUTHORIZED, RefuseReason::NotAuthorized);
                self.refuse_counted(id, version, no, Some((OF_ANOTHER, hearing)));
            }
            NotTaken::Unread(error) => {
                tracing::error!(%error, "a session cannot be read from the tables");
                // What was counted in for it is looked at again.
                self.visit_later(client_id);
                let said = Some(("the session cannot be read: see the broker's log", hearing));
                self.refuse(id, version, ReasonCode::UNSPECIFIED_ERROR, said);
            }
        }
    }

    fn take_up(&mut self, id: ConnId, mut claim: Claim) -> Result<(), NotTaken> {
        let is_large = |will: &Will| !is_small(&will.message, will.left_by.as_ref());
        let has_large_will = claim.will.as_deref().is_some_and(is_large);
        if has_large_will {
            // Refused or not: it goes by itself, not with what others publish.
            self.submit();
        }
        let (version, from) = (claim.version, self.next_ticket);
        let client_id = claim.client_id.clone();
        let row = self.shared.store.get(Table::Sessions, client_id.as_bytes())?;
        let old = row.and_then(|row| SessionRow::decode(&row).ok());
        let lives = old.as_ref().is_some_and(|old| !old.is_expired(self.now_ms));
        let shown: Option<Box<str>> = claim.named().map(Into::into);
        if lives && old.as_ref().is_some_and(|old| old.is_foreign_to(shown.as_deref())) {
            return Err(NotTaken::Foreign);
        }
        let is_kept = lives && !claim.clean_start;
        self.count_in(id, &claim, old.is_some()).map_err(NotTaken::Full)?;
        self.settle_claims(&client_id)?;
        let old_will = self.will_row(&client_id)?;
        if !is_kept {
            self.delete_session(&client_id)?;
        }
        let is_inside = self.conn(id).is_some_and(|conn| conn.peer == Peer::InProcess);
        let user = shown.clone().or(claim.user.take());
        let granted = self.granted_to(id, &claim);
        let mut open = self.new_session(claim);
        open.granted = granted;
        if is_kept {
            self.restore(&mut open)?;
            self.keep_claims(&mut open);
        }
        if !is_inside {
            self.auto_subscribe(&mut open, user.as_deref());
        }
        if open.is_durable() {
            let row = SessionRow { expiry_s: open.terms.expiry_s, ended_ms: None, user: shown };
            self.put_session_row(&client_id, row);
            self.keep_memberships(&open)?;
        } else if is_kept {
            // Its rows end with this connection; a crash of ours ends it too.
            self.delete_rows(&client_id, Members::Stay)?;
        }
        let shown = open.user();
        let returns = (shown.as_deref(), is_kept);
        self.change_will(&client_id, (old_will, old), returns, open.will.as_deref());
        let bytes = self.connack(version, &client_id, &open.terms, is_kept);
        let lost = self.hold_to_rules(&mut open);
        let may_be_halved = !open.is_durable() && self.next_ticket != from;
        let if_refused = match is_kept && !may_be_halved {
            true => IfRefused::Resumed,
            false => IfRefused::Over,
        };
        open.is_changed = open.is_durable();
        self.let_in(id, open);
        self.resume_pace(id, &client_id);
        self.give_up_filters(id, &lost);
        self.mark_changed(id, true);
        let connack = Connack { bytes, from, if_refused, has_large_will };
        self.submit_taken_up(id, connack);
        Ok(())
    }

    fn let_in(&mut self, id: ConnId, mut open: Open) {
        self.counters.connections_accepted += 1;
        self.shared.subscribed.put(open.client_id.as_bytes(), open.subscription_count());
        open._counted = (&*open.client_id != PUBLISHER).then(|| self.shared.clients.come());
        let Some(conn) = self.conn(id) else { return };
        conn.silence_ms_max = i64::from(open.terms.keep_alive_s) * 1500;
        (conn.newcomer, conn.named) = (None, None);
        conn.phase = Phase::Open(Box::new(open));
    }

    /// With a large will, which may be refused where rows are not, all goes at once or not at all:
    /// a client that is refused has what it had.
    fn submit_taken_up(&mut self, id: ConnId, mut connack: Connack) {
        let has_large_will = connack.has_large_will;
        if has_large_will && connack.from == self.next_ticket {
            connack.if_refused = IfRefused::Untouched;
            self.write_rows_of(id);
            self.turn.tie_rows();
        }
        self.turn.waiting.push(Waiting::Connack(id, Box::new(connack)));
        match has_large_will {
            true => self.submit(),
            false => self.end_turn_soon(),
        }
    }

    /// Counts in what the client has us keep; the error is the limit that is in the way. A session
    /// that is there, and a will no larger than the last, are always taken.
    fn count_in(&self, id: ConnId, claim: &Claim, was_there: bool) -> Result<(), RefuseReason> {
        let peer = self.conns.get(id.key as usize).map_or(Peer::InProcess, |conn| conn.peer);
        let payer = self.shared.payers.of(claim.named(), peer);
        let (sessions, wills) = (&self.shared.sessions, &self.shared.wills);
        let client_id = claim.client_id.as_bytes();
        let is_durable = claim.terms.expiry_s > 0;
        let room = match is_durable && !was_there {
            true => Some(sessions.claim(client_id, 0, payer).ok_or(RefuseReason::Sessions)?),
            false => None,
        };
        let of_will = |will: &Will| will_bytes(&claim.client_id, &will.message);
        let will_bytes = claim.will.as_deref().map(of_will);
        if will_bytes.is_some_and(|bytes| wills.claim(client_id, bytes, payer).is_none()) {
            if let Some(room) = room {
                sessions.give_back(client_id, &room);
            }
            return Err(RefuseReason::Wills);
        }
        sessions.put(client_id, is_durable.then_some(0));
        Ok(())
    }

    fn new_session(&self, claim: Claim) -> Open {
        let offer = claim.terms.offer;
        // An older client knows no bound but that of packet ids.
        let receive_max = match claim.version {
            Version::V5 => offer.receive_max,
            Version::V31 | Version::V311 => u16::MAX,
        };
        Open {
            client_id: claim.client_id,
            version: claim.version,
            since_ms: self.now_ms,
            will: claim.will,
            identity: claim.identity,
            granted: None,
            proof: None,
            aliases: OutboundAliases::new(claim.terms.alias_max),
            inbound: Inbound {
                aliases: Aliases::new(offer.alias_max),
                receipts: Receipts::new(receive_max),
            },
            window: Window::new(claim.terms.receive_max),
            cursor: Cursor::live(),
            subscriptions: Subscriptions::default(),
            resends: VecDeque::new(),
            feeds: VecDeque::new(),
            shares: BTreeMap::new(),
            parting: BTreeMap::new(),
            joining: Vec::new(),
            last_token: 0,
            seeking: 0,
            replays: (0, 0),
            last_read: 0,
            left: LeftToLog::default(),
            stalled: Vec::new(),
            held: Vec::new(),
            is_changed: false,
            _counted: None,
            written_at: None,
            is_hungry: false,
            is_urgent: false,
            is_listed: false,
            ends_at_once: false,
            leaves_rows: false,
            drops_will: false,
            is_announced: false,
            terms: claim.terms,
        }
    }

    fn restore(&self, open: &mut Open) -> Result<(), ReadError> {
        let client_id = &Arc::clone(&open.client_id);
        self.rows_of(Table::Subscriptions, client_id, &mut |key, row| {
            if let (Ok(filter), Ok(found)) =
                (subscription::filter(client_id, key), subscription::decode(row))
            {
                open.subscriptions.restore(filter, found);
            }
        })?;
        self.restore_shares(open);
        self.rows_of(Table::Inbound, client_id, &mut |key, _| {
            if let Ok(packet_id) = receipt::packet_id(client_id, key) {
                open.inbound.receipts.restore(packet_id);
            }
        })?;
        let row = self.shared.store.get(Table::Cursors, client_id.as_bytes())?;
        let row = row.and_then(|row| cursor::decode(&row).ok()).unwrap_or_default();
        for (number, exchange) in row.exchanges {
            if exchange.group.is_some() && exchange.qos == Qos::AtLeastOnce {
                // Its group hands it out again, to whom it sees fit.
                continue;
            }
            open.window.restore(number, exchange);
            open.resends.push_back(packet_id(number));
        }
        open.window.skip_to(row.next_number);
        // Shared subscriptions read with their group: alone, they leave nothing to catch up with.
        if open.subscriptions.len() > open.shares.len() {
            open.cursor = Cursor::from_positions(row.positions);
        }
        Ok(())
    }

    fn restore_shares(&self, open: &mut Open) {
        let groups_max = self.shared.share.groups_max as usize;
        let filters = open.subscriptions.iter().map(|(filter, _)| filter);
        for filter in filters.filter(|filter| is_shared(filter)) {
            let acquired = self.shared.shares.acquire(&filter.into(), &open.client_id, groups_max);
            if let Some(group) = acquired {
                open.shares.insert(filter.into(), group);
            }
        }
    }

    fn rows_of(
        &self,
        table: Table,
        client_id: &str,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), ReadError> {
        let (from, to) = bounds_of(client_id);
        self.shared.store.scan(
            table,
            Bound::Included(&from),
            Bound::Excluded(&to),
            &mut |key, row| {
                visit(key, row);
                ControlFlow::Continue(())
            },
        )
    }

    /// Puts the deletion of all rows of a session into this turn's commit, also of those that
    /// outlived its own because their deletion was refused. False, if there are none.
    pub(crate) fn delete_session(&mut self, client_id: &Arc<str>) -> Result<bool, ReadError> {
        self.delete_rows(client_id, Members::Leave)
    }

    fn delete_rows(&mut self, client_id: &Arc<str>, members: Members) -> Result<bool, ReadError> {
        let mut keys = Vec::new();
        for table in OF_SESSIONS {
            self.rows_of(table, client_id, &mut |key, _| keys.push((table, Box::from(key))))?;
        }
        for table in [Table::Sessions, Table::Cursors] {
            if self.shared.store.get(table, client_id.as_bytes())?.is_some() {
                keys.push((table, client_id.as_bytes().into()));
            }
        }
        if keys.is_empty() {
            return Ok(false);
        }
        let held = self.held_by(client_id)?;
        // It is over whatever a crash leaves of its rows.
        let over = SessionRow { expiry_s: 0, ended_ms: Some(0), user: None };
        if keys.len() > ROWS_AT_ONCE {
            self.put_session_row(client_id, over);
        }
        let mut filters = Vec::new();
        for (table, key) in keys {
            filters.extend(self.delete_member_row(client_id, table, &key));
            self.turn.put(table, key, None);
            self.submit_if_large();
        }
        if members == Members::Leave {
            self.give_up_all(client_id, true);
            // Not before it is known which of them are gone.
            self.leave_when_gone(Arc::clone(client_id), Left { by: None, filters, held });
        }
        Ok(true)
    }

    /// If the row is that of a shared subscription, that of its member goes with it, in the same
    /// commit: without the first nobody would find the other. The answer is its filter.
    fn delete_member_row(&mut self, client_id: &str, table: Table, key: &[u8]) -> Option<Box<str>> {
        if table != Table::Subscriptions {
            return None;
        }
        let filter = subscription::filter(client_id, key).ok();
        let filter = filter.filter(|filter| is_shared(filter))?;
        if let Some(group) = self.shared.shares.id_of(filter) {
            self.put_member_row(group, client_id, false);
        }
        Some(filter.into())
    }

    pub(crate) fn put_session_row(&mut self, client_id: &str, row: SessionRow) {
        let key = client_id.as_bytes().into();
        self.turn.put(Table::Sessions, key, Some(row.encode()));
    }
}

#[cfg(test)]
mod tests {

    use tidewire_proto::id::PacketId;
    use tidewire_store::rows::receipt;
    use tidewire_store::rows::session::SessionRow;
    use tidewire_store::{Commit, Table, TableChange};

    use crate::core::alone::Alone;
    use crate::core::timers::Due;
    use crate::metrics::CloseReason;

    /// Messages at QoS 2 of a session whose client has not released them.
    const RECEIPTS: u16 = 200;

    fn receipts() -> impl Iterator<Item = Box<[u8]>> {
        (1..=RECEIPTS).filter_map(PacketId::new).map(|id| receipt::key("client", id))
    }

    /// Rows of a session: its receipts, and its own if it has one.
    fn leave(alone: &Alone, session: Option<SessionRow>) {
        let row = |key, value| TableChange::new(Table::Inbound, key, Some(value));
        let mut changes: Vec<_> = receipts().map(|key| row(key, Box::default())).collect();
        let key = b"client".as_slice().into();
        let session = session.map(|row| TableChange::new(Table::Sessions, key, Some(row.encode())));
        changes.extend(session);
        alone.store.commit(Commit { appends: vec![], changes }).expect("committed");
    }

    fn receipts_left(alone: &Alone) -> usize {
        let is_there = |key: &[u8]| alone.store.get(Table::Inbound, key).expect("readable");
        receipts().filter(|key| is_there(key).is_some()).count()
    }

    fn is_looked_after_again(alone: &mut Alone) -> bool {
        let due: Vec<_> = std::iter::from_fn(|| alone.core.timers.pop(i64::MAX)).collect();
        let is_it = |due: &Due| matches!(due, Due::Will(client, _) if &**client == "client");
        due.into_iter().any(|(_, due)| is_it(&due))
    }

    #[test]
    fn a_new_session_does_not_inherit_receipts_that_have_no_session() {
        let mut alone = Alone::new(|_| ());
        leave(&alone, None);
        let id = alone.connect("client");
        alone.settle();
        let connack = alone.heard(id);
        assert_eq!((connack[0], connack[2], connack[3]), (0x20, 0, 0), "taken, as a new one");
        assert_eq!(receipts_left(&alone), 0);
    }

    #[test]
    fn receipts_without_a_session_are_deleted_when_it_is_looked_after() {
        let mut alone = Alone::new(|_| ());
        leave(&alone, None);
        alone.core.visit(&"client".into(), None);
        alone.settle();
        assert_eq!(receipts_left(&alone), 0);
    }

    #[test]
    fn a_session_is_looked_after_again_if_any_of_its_deletions_was_refused() {
        for refused in 0..3 {
            let mut alone = Alone::new(|_| ());
            leave(&alone, Some(SessionRow { expiry_s: 1, ended_ms: Some(0), user: None }));
            alone.cut_turns_at(10_000);
            let first = alone.core.next_ticket;
            alone.core.visit(&"client".into(), None);
            alone.core.submit();
            assert!(alone.core.next_ticket > first + 2, "the deletions are cut");
            if refused < 2 {
                alone.refuse(first + refused);
            }
            alone.settle();
            assert_eq!(is_looked_after_again(&mut alone), refused < 2, "{refused}");
        }
    }

    #[test]
    fn a_connect_that_is_refused_while_it_deletes_a_session_leaves_none_to_take_up() {
        for goes_before in [false, true] {
            let mut alone = Alone::new(|_| ());
            leave(&alone, Some(SessionRow { expiry_s: 1, ended_ms: Some(0), user: None }));
            alone.cut_turns_at(10_000);
            let first = alone.core.next_ticket;
            let id = alone.connect("client");
            alone.core.submit();
            assert!(alone.core.next_ticket > first + 2, "the deletions are cut");
            if goes_before {
                alone.core.close(id, CloseReason::Lost, None);
            }
            alone.refuse(first);
            alone.settle();
            let connack = alone.heard(id);
            let is_refused = (connack.first(), connack.get(3).is_some_and(|code| *code >= 0x80));
            let expected = if goes_before { (None, false) } else { (Some(&0x20), true) };
            assert_eq!(is_refused, expected);
            alone.settle();
            let row = alone.store.get(Table::Sessions, b"client").expect("readable");
            let row = row.and_then(|row| SessionRow::decode(&row).ok());
            assert!(row.is_none_or(|row| row.is_expired(alone.core.now_ms)), "{goes_before}");
        }
    }

    #[test]
    fn a_connect_that_is_refused_for_its_large_will_leaves_the_session_as_it_was() {
        let mut alone = Alone::new(|config| {
            config.store.wal_file_bytes = 64 << 10;
            config.mqtt.connect_bytes_max = 1 << 20;
        });
        alone.cut_turns_at(1 << 20);
        let session = SessionRow { expiry_s: 3600, ended_ms: Some(i64::MAX), user: None };
        leave(&alone, Some(session.clone()));
        // A file of the log cannot take this will; it could take the rows.
        let id = alone.connect_with_will("client", u16::MAX);
        for _ in 0..4 {
            alone.settle();
        }
        let connack = alone.heard(id);
        assert_eq!((connack[0], connack[3] >= 0x80), (0x20, true), "refused");
        let row = alone.store.get(Table::Sessions, b"client").expect("readable");
        assert_eq!(row.as_deref(), Some(&*session.encode()));
        assert_eq!(receipts_left(&alone), usize::from(RECEIPTS));
        assert_eq!(alone.store.get(Table::Cursors, b"client").expect("readable"), None);
    }
}
