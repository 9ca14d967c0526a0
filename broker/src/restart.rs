//! What a start makes of what the last run left: sessions without a connection, wills without a
//! client, messages whose time may have come. Runs once, before anybody connects.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use tidewire_store::rows::delayed::{DelayedKey, DelayedRow};
use tidewire_store::rows::session::SessionRow;
use tidewire_store::rows::will::{WillRow, WillState};
use tidewire_store::{Commit, ReadError, Store, Table, TableChange};

use crate::core::shared::Shared;
use crate::core::timers::Due;
use crate::core::waiting_room::keeper_of;
use crate::core::will::is_small;
use crate::ledger::will_bytes;

/// Bytes of rows that are changed with one commit.
const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Ends the connections that the last run had, and says what waits: a list for each core.
pub(crate) fn take_up(shared: &Shared) -> Result<Vec<Vec<Due>>, ReadError> {
    let now_ms = shared.started_ms;
    end_sessions(shared, now_ms)?;
    let mut waiting: Vec<Vec<Due>> = shared.inboxes.iter().map(|_| Vec::new()).collect();
    let mut wait = |due, client_id: &str| {
        let core = keeper_of(client_id, shared.inboxes.len());
        if let Some(waiting) = waiting.get_mut(core) {
            waiting.push(due);
        }
    };
    let grace_ms = i64::from(shared.limits.will_grace_after_restart_s) * 1000;
    let mut changes = Changes::new(&shared.store);
    let mut wills = Vec::new();
    let (from, to) = (Bound::Unbounded, Bound::Unbounded);
    shared.store.scan(Table::Wills, from, to, &mut |key, row| {
        if let Some(key) = DelayedKey::decode(key) {
            shared.delayed.add(row.len() as u64);
            let kept = DelayedRow::decode(row);
            wait(Due::Message(key), kept.as_ref().map_or("", |row| &row.client_id));
        } else if let Some(client_id) = client_id(key) {
            wills.push(client_id);
        }
        ControlFlow::Continue(())
    })?;
    for client_id in wills {
        let Some(mut will) = will_of(&shared.store, &client_id)? else { continue };
        let bytes = will_bytes(&client_id, &will.message);
        shared.wills.put(client_id.as_bytes(), Some(bytes));
        let due_ms = due_after_restart(&shared.store, &client_id, &will, now_ms)?;
        // A client that could not come back while we were away gets the time for it.
        let due_ms = due_ms.max(now_ms + grace_ms);
        let by_broker = !matches!(will.state, WillState::Waiting { by_broker: false, .. });
        let state = WillState::Waiting { due_ms, by_broker };
        if will.state != state {
            will.state = state;
            let key = client_id.as_bytes().into();
            let change = TableChange::new(Table::Wills, key, Some(will.encode()));
            // As small ones do when their client goes.
            changes.add(if is_small(&will.message, will.left_by.as_ref()) {
                change.that_stays()
            } else {
                change
            });
        }
        wait(Due::Will(Arc::clone(&client_id), due_ms), &client_id);
    }
    changes.commit();
    Ok(waiting)
}

/// A crash of ours ended connections: their sessions have until their expiry from now on.
fn end_sessions(shared: &Shared, now_ms: i64) -> Result<(), ReadError> {
    let mut connected = Vec::new();
    let store = &shared.store;
    store.scan(Table::Sessions, Bound::Unbounded, Bound::Unbounded, &mut |key, row| {
        let session = SessionRow::decode(row);
        let user = session.as_ref().ok().and_then(|session| session.user.as_deref());
        let payer = user.map(|user| shared.payers.of_user(user)).unwrap_or_default();
        shared.sessions.put_of(key, Some(0), payer);
        if let Ok(session) = session
            && session.ended_ms.is_none()
        {
            connected.push((Box::from(key), session));
        }
        ControlFlow::Continue(())
    })?;
    let mut changes = Changes::new(store);
    for (key, session) in connected {
        let row = SessionRow { ended_ms: Some(now_ms), ..session };
        changes.add(TableChange::new(Table::Sessions, key, Some(row.encode())).that_stays());
    }
    changes.commit();
    Ok(())
}

fn client_id(key: &[u8]) -> Option<Arc<str>> {
    std::str::from_utf8(key).ok().map(Into::into)
}

fn will_of(store: &Store, client_id: &str) -> Result<Option<WillRow>, ReadError> {
    let row = store.get(Table::Wills, client_id.as_bytes())?;
    Ok(row.and_then(|row| {
        let decoded = WillRow::decode(&row);
        decoded.inspect_err(|error| tracing::error!(client_id, %error, "a will is lost")).ok()
    }))
}

/// When a will is due by its own delay; that of a lost connection counts from now.
fn due_after_restart(
    store: &Store,
    client_id: &str,
    will: &WillRow,
    now_ms: i64,
) -> Result<i64, ReadError> {
    if let WillState::Waiting { due_ms, .. } = will.state {
        return Ok(due_ms);
    }
    let row = store.get(Table::Sessions, client_id.as_bytes())?;
    let session = row.and_then(|row| SessionRow::decode(&row).ok());
    let expiry_s = session.map_or(0, |session| session.expiry_s);
    Ok(now_ms + i64::from(will.delay_s.min(expiry_s)) * 1000)
}

/// Row changes in commits of bounded size.
struct Changes<'a> {
    store: &'a Store,
    commit: Commit,
    bytes: usize,
}

impl<'a> Changes<'a> {
    fn new(store: &'a Store) -> Self {
        Self { store, commit: Commit::default(), bytes: 0 }
    }

    fn add(&mut self, change: TableChange) {
        self.bytes += change.key.len() + change.value.as_ref().map_or(0, |value| value.len());
        self.commit.changes.push(change);
        if self.bytes >= COMMIT_BYTES_MAX {
            self.commit();
        }
    }

    /// What cannot be written is as it would be after one more crash: no reason not to start.
    fn commit(&mut self) {
        self.bytes = 0;
        let commit = std::mem::take(&mut self.commit);
        if commit.changes.is_empty() {
            return;
        }
        if let Err(error) = self.store.commit(commit) {
            tracing::error!(%error, "the end of connections cannot be written");
        }
    }
}
