//! Wills: kept in a row while the client is connected, published or forgotten in the commit that
//! ends it. When a client is away, its will waits for its time.

use std::sync::Arc;

use tidewire_proto::delivery::copy_properties;
use tidewire_proto::message::{Message, Published};
use tidewire_proto::mqtt::{self, PropertiesBuilder};
use tidewire_proto::record::{Batch, BatchBuilder};
use tidewire_store::rows::delayed::{DelayedKey, DelayedRow};
use tidewire_store::rows::session::SessionRow;
use tidewire_store::rows::will::{Leaver, WillRow, WillState};
use tidewire_store::{ReadError, Table};

use crate::core::open::{Open, Will};
use crate::core::state::Core;
use crate::core::timers::Due;
use crate::core::turn::Waiting;
use crate::ledger::will_bytes;

/// What most wills are well below: a topic, and a word or two.
const SMALL_BYTES: usize = 1024;

impl Will {
    pub(crate) fn of(will: &mqtt::Will<'_>, now_ms: i64) -> Self {
        let mut batch = BatchBuilder::new();
        let message = Published {
            topic: will.topic,
            payload: will.payload,
            qos: will.qos,
            retain: will.retain,
            properties: will.properties,
            origin: None,
        };
        message.push_to(&mut batch, now_ms);
        let delay_s = will.properties.will_delay().unwrap_or(0);
        Self { delay_s, user: None, left_by: None, message: batch.finish() }
    }

    /// As it was kept.
    pub(crate) fn of_row(row: WillRow) -> Self {
        let WillRow { delay_s, user, left_by, message, .. } = row;
        Self { delay_s, user, left_by, message }
    }

    fn row(&self, state: WillState) -> WillRow {
        let (user, message) = (self.user.clone(), self.message.clone());
        WillRow { state, delay_s: self.delay_s, user, left_by: self.left_by.clone(), message }
    }
}

impl Core {
    /// The will that a client id left, if it is not settled.
    pub(crate) fn will_row(&self, client_id: &str) -> Result<Option<WillRow>, ReadError> {
        let row = self.shared.store.get(Table::Wills, client_id.as_bytes())?;
        Ok(row.and_then(|row| {
            let decoded = WillRow::decode(&row);
            decoded.inspect_err(|error| tracing::error!(client_id, %error, "a will is lost")).ok()
        }))
    }

    /// A client id connects: what it left before is settled, and what it brings is kept.
    pub(crate) fn change_will(
        &mut self,
        client_id: &Arc<str>,
        (old, session): (Option<WillRow>, Option<SessionRow>),
        (user, is_resumed): (Option<&str>, bool),
        new: Option<&Will>,
    ) {
        self.timers.forget(client_id);
        let had_one = old.is_some();
        let started_ms = self.shared.started_ms;
        let is_due = |old: &WillRow| {
            let at_ms = due_ms(old, session.as_ref(), started_ms);
            at_ms.is_some_and(|at_ms| at_ms <= self.will_clock_ms(old))
        };
        // Whoever else has the client id now, its client is not back, and cannot come.
        let is_sent = |old: &WillRow| {
            let is_foreign = old.user.is_some() && old.user.as_deref() != user;
            is_foreign || is_sent_at_return(old, is_resumed, is_due(old))
        };
        if let Some(old) = old.filter(is_sent) {
            self.publish_late_will(&Will::of_row(old), client_id);
        }
        match new {
            Some(will) => self.put_will_row(client_id, &will.row(WillState::Connected)),
            None if had_one => self.delete_will_row(client_id),
            // One that is lost was counted.
            None => self.shared.wills.put(client_id.as_bytes(), None),
        }
    }

    /// The clock that a will's time was set with: the end of a session is told by that of the wall.
    pub(crate) fn will_clock_ms(&self, will: &WillRow) -> i64 {
        match will.state {
            WillState::Waiting { .. } => self.shared.clock.now_ms(),
            WillState::Connected => self.now_ms,
        }
    }

    /// The connection ended. Nothing is promised to a client that never got its CONNACK.
    pub(crate) fn settle_will(&mut self, open: &mut Open) {
        let Some(will) = open.will.take() else { return };
        if open.drops_will || !open.is_announced {
            return self.delete_will_row(&open.client_id);
        }
        if self.stopping.is_some() {
            // We go, not the client: the next start waits for it to come back.
            return;
        }
        let wait_s = if open.ends_at_once { 0 } else { will.delay_s.min(open.terms.expiry_s) };
        if wait_s == 0 {
            self.publish_will(&will, &open.client_id);
            return;
        }
        let due_ms = self.shared.clock.in_s(wait_s);
        let state = WillState::Waiting { due_ms, by_broker: false };
        self.put_will_row(&open.client_id, &will.row(state));
        self.wait_until_due(Due::Will(Arc::clone(&open.client_id), due_ms));
    }

    /// Publishes a will, in the commit that removes its row. False when there is no room for it: it
    /// is tried again later.
    pub(crate) fn publish_will(&mut self, will: &Will, client_id: &Arc<str>) -> bool {
        let payer = will.user.as_deref().map(|user| self.shared.payers.of_user(user));
        let payer = payer.unwrap_or_default();
        // What it may live begins now.
        if self.may_send_will(client_id, will)
            && !self.publish_kept((&will.message, payer), client_id, None)
        {
            self.visit_later(Arc::clone(client_id));
            return false;
        }
        let key = client_id.as_bytes().into();
        self.turn.put_with_messages(Table::Wills, key, None);
        self.turn.waiting.push(Waiting::Will(Arc::clone(client_id)));
        true
    }

    /// Publishes a will whose client is back: before anything that the client says from now on, if
    /// there is room. If not it waits for room as a message whose time has come does, and the
    /// client does not wait for it: it may be the one whose reading makes room.
    fn publish_late_will(&mut self, will: &Will, client_id: &Arc<str>) {
        let message = &will.message;
        if !self.may_send_will(client_id, will) {
            // Its row goes with what the client brings.
            return;
        }
        let key = DelayedKey {
            due_ms: self.shared.clock.now_ms(),
            started_ms: self.shared.started_ms,
            serial: self.shared.next_serial(),
        };
        let owed =
            DelayedRow { client_id: (&**client_id).into(), message: owed(message, self.now_ms) };
        self.turn.put(Table::Wills, key.encode(), Some(owed.encode()));
        // Also where what comes in its place is refused.
        self.turn.put(Table::Wills, client_id.as_bytes().into(), None);
        let to = self.kept_partition(message, client_id);
        let comes_behind = to.is_some_and(|to| self.timers.is_refusing(to));
        let payer = will.user.as_deref().map(|user| self.shared.payers.of_user(user));
        let kept = (message, payer.unwrap_or_default());
        if !comes_behind && self.publish_kept(kept, client_id, None) {
            self.turn.put_with_messages(Table::Wills, key.encode(), None);
        }
        self.turn.waiting.push(Waiting::LateWill(key));
    }

    /// A will whose client is back was published, or waits for room.
    pub(crate) fn on_late_will(&mut self, key: DelayedKey) {
        match self.shared.store.get(Table::Wills, &key.encode()) {
            Ok(Some(row)) => {
                self.shared.delayed.add(row.len() as u64);
                let owed = DelayedRow::decode(&row).ok();
                let to = owed.and_then(|owed| self.kept_partition(&owed.message, &owed.client_id));
                self.retry_delayed(key, to);
            }
            Ok(None) => (),
            Err(error) => tracing::error!(%error, "a will cannot be read: it waits for a restart"),
        }
    }

    /// A will is published, or could not be.
    pub(crate) fn on_will_sent(&mut self, client_id: Arc<str>, is_ok: bool) {
        match is_ok {
            true => self.shared.wills.put(client_id.as_bytes(), None),
            false => self.visit_later(client_id),
        }
    }

    /// A CONNECT was refused of which some is written: what it brought is not owed to anybody.
    pub(crate) fn drop_refused_will(&mut self, client_id: &str, will: &Will) {
        let its_own = will.row(WillState::Connected).encode();
        match self.shared.store.get(Table::Wills, client_id.as_bytes()) {
            Ok(Some(row)) if *row == *its_own => self.delete_will_row(client_id),
            Ok(_) => (),
            Err(error) => tracing::error!(%error, "a will cannot be read"),
        }
    }

    fn put_will_row(&mut self, client_id: &str, row: &WillRow) {
        let bytes = will_bytes(client_id, &row.message);
        self.shared.wills.put(client_id.as_bytes(), Some(bytes));
        let key = client_id.as_bytes().into();
        match is_small(&row.message, row.left_by.as_ref()) {
            true => self.turn.put(Table::Wills, key, Some(row.encode())),
            false => self.turn.put_with_messages(Table::Wills, key, Some(row.encode())),
        }
    }

    fn delete_will_row(&mut self, client_id: &str) {
        self.shared.wills.put(client_id.as_bytes(), None);
        let key = client_id.as_bytes().into();
        self.turn.put(Table::Wills, key, None);
    }
}

/// A will that is part of its session's rows: so small that a full disk, which takes no messages,
/// takes it. Clients that leave one may then come and read.
pub(crate) fn is_small(message: &Batch, left_by: Option<&Arc<Leaver>>) -> bool {
    message.bytes().len() + left_by.map_or(0, |leaver| leaver.bytes()) <= SMALL_BYTES
}

/// A will as a message that is published now: what it may live begins.
fn owed(will: &Batch, now_ms: i64) -> Batch {
    let record = will.records().next();
    let Some(message) = record.as_ref().and_then(Message::of) else { return will.clone() };
    let mut properties = PropertiesBuilder::new();
    if copy_properties(&mut properties, &message, message.received_ms).is_err() {
        return will.clone();
    }
    let mut owed = BatchBuilder::new();
    message.published(properties.as_properties()).push_to(&mut owed, now_ms);
    owed.finish()
}

/// When a will is due, as far as its rows say: `None`, if the end of its connection is not in them.
pub(crate) fn due_ms(will: &WillRow, session: Option<&SessionRow>, started_ms: i64) -> Option<i64> {
    if let WillState::Waiting { due_ms, .. } = will.state {
        return Some(due_ms);
    }
    let session = session?;
    // Connections that an earlier run of the broker had were ended by its end.
    let ended_ms = session.ended_ms.filter(|ended_ms| *ended_ms > started_ms)?;
    Some(ended_ms.saturating_add(i64::from(will.delay_s.min(session.expiry_s)) * 1000))
}

/// Whether the return of a client comes too late for its will, which is due or not, or ends the
/// session it belongs to.
fn is_sent_at_return(will: &WillRow, is_resumed: bool, is_due: bool) -> bool {
    match will.state {
        _ if is_due => true,
        // The end of its connection could not be written.
        WillState::Connected => !is_resumed,
        // It was we who were away: a client that is back is not lost.
        WillState::Waiting { by_broker: true, .. } => false,
        WillState::Waiting { by_broker: false, .. } => !is_resumed,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidewire_proto::record::BatchBuilder;
    use tidewire_store::rows::session::SessionRow;
    use tidewire_store::rows::will::{WillRow, WillState};
    use tidewire_store::{Commit, Store, Table, TableChange};

    use crate::core::alone::Alone;
    use crate::core::timers::Due;
    use crate::payer::Payer;

    /// How many messages the log has.
    fn logged(store: &Store) -> u64 {
        let partitions = store.streams()[0].partitions.clone();
        partitions.iter().filter_map(|id| store.bounds(*id)).map(|(_, end)| end).sum()
    }

    /// The same the other way round: the end of a connection is written as the wall has it.
    #[test]
    fn a_will_that_could_not_be_sent_at_once_is_due_whatever_the_clock_of_what_waits_says() {
        let Alone { mut core, store, .. } = Alone::new(|_| ());
        let mut message = BatchBuilder::new();
        message.push(7, Some(b"gone"), Some(b"x"), &[]);
        let (state, message) = (WillState::Connected, message.finish());
        let will = WillRow { state, delay_s: 0, user: None, left_by: None, message };
        core.now_ms = core.shared.clock.now_ms() + 60_000;
        let ended_ms = Some(core.now_ms);
        let session = SessionRow { expiry_s: 3600, ended_ms, user: None };
        core.change_will(&"client".into(), (Some(will), Some(session)), (None, true), None);
        core.submit();
        store.turn();
        assert_eq!(logged(&store), 1, "it is owed");
    }

    #[test]
    fn a_will_that_waits_since_a_restart_is_not_silenced_by_another_user_with_its_client_id() {
        for (user, sent) in [(Some("ann"), 0), (Some("bob"), 1), (None, 1)] {
            let Alone { mut core, store, .. } = Alone::new(|_| ());
            let mut message = BatchBuilder::new();
            message.push(7, Some(b"alarm"), Some(b"x"), &[]);
            let due_ms = core.shared.clock.now_ms() + 3_600_000;
            let state = WillState::Waiting { due_ms, by_broker: true };
            let (of, message) = (Some("ann".into()), message.finish());
            let will = WillRow { state, delay_s: 0, user: of, left_by: None, message };
            core.change_will(&"press-7".into(), (Some(will), None), (user, false), None);
            core.submit();
            store.turn();
            assert_eq!(logged(&store), sent, "{user:?}");
        }
    }

    /// What waits is measured with a clock of its own, which the wall clock may be before.
    #[test]
    fn a_will_is_due_by_the_clock_that_its_time_was_set_with() {
        let Alone { mut core, store, .. } = Alone::new(|_| ());
        let client_id: Arc<str> = "client".into();
        let mut message = BatchBuilder::new();
        message.push(7, Some(b"gone"), Some(b"x"), &[]);
        let due_ms = core.shared.clock.now_ms() + 60_000;
        let state = WillState::Waiting { due_ms, by_broker: false };
        let message = message.finish();
        let will = WillRow { state, delay_s: 60, user: None, left_by: None, message };
        let ended_ms = Some(core.now_ms);
        let session = SessionRow { expiry_s: 3600, ended_ms, user: None };
        let row = |table, row| TableChange::new(table, client_id.as_bytes().into(), Some(row));
        let changes =
            vec![row(Table::Wills, will.encode()), row(Table::Sessions, session.encode())];
        store.commit(Commit { appends: vec![], changes }).expect("committed");
        core.now_ms = due_ms + 1;

        core.visit(&client_id, None);
        assert_eq!(core.timers.pop(i64::MAX).map(|(_, due)| due), {
            Some(Due::Will(Arc::clone(&client_id), due_ms))
        });
        core.change_will(&client_id, (Some(will), Some(session)), (None, true), None);
        core.submit();
        store.turn();
        assert_eq!(logged(&store), 0, "its client is back in time");
    }

    #[test]
    fn a_will_that_cannot_be_read_counts_no_more_when_its_client_is_back_without_one() {
        let Alone { mut core, .. } = Alone::new(|config| config.mqtt.wills_bytes_max = 10);
        core.shared.wills.put(b"client", Some(10));
        core.change_will(&"client".into(), (None, None), (None, true), None);
        assert!(core.shared.wills.claim(b"other", 10, Payer::NOBODY).is_some());
    }
}
