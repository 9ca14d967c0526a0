//! The bans that are in force: in memory for whoever connects, in rows for the next start. What the
//! store does not take is not in force. Never closes a connection.

use std::net::IpAddr;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ahash::AHashMap;
use parking_lot::{Mutex, RwLock};
use tidewire_store::rows::ban::BanRow;
use tidewire_store::{Commit, CommitError, Outcome, ReadError, Reply, Store, Table, TableChange};
use tokio::sync::oneshot;

use crate::address_range::AddressRange;
use crate::ban::{Ban, BanTarget};
use crate::link::Peer;

/// What became of an order.
pub(crate) type Told = oneshot::Receiver<Result<(), CommitError>>;

/// All bans in force.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    /// Nearly always there is none: then nobody takes the lock.
    some: AtomicBool,
    listed: RwLock<Listed>,
    /// Held until the store has what was changed here: it gets changes in their order.
    order: Mutex<()>,
}

#[derive(Debug, Default)]
struct Listed {
    clients: AHashMap<String, Entry>,
    ranges: AHashMap<AddressRange, Entry>,
}

/// What is known of one target.
#[derive(Debug, Default)]
struct Entry {
    in_force: Option<BanRow>,
    /// What a start would find.
    durable: Option<BanRow>,
    /// Changes whose outcome is awaited.
    pending: u32,
}

impl Entry {
    fn forbids(&self, now_ms: i64) -> bool {
        self.in_force.as_ref().is_some_and(|row| is_in_force(row, now_ms))
    }
}

/// Who is meant, and the ban; `None` lifts it.
type Change = (BanTarget, Option<BanRow>);

impl Bans {
    /// What the store holds.
    pub(crate) fn load(&self, store: &Store) -> Result<(), ReadError> {
        let (from, to) = (Bound::Unbounded, Bound::Unbounded);
        store.scan(Table::Bans, from, to, &mut |key, row| {
            match (BanTarget::of_key(key), BanRow::decode(row)) {
                (Some(target), Ok(row)) => {
                    let change = [(target, Some(row))];
                    self.begin(&change);
                    self.settle(&change, true);
                }
                _ => tracing::error!("a row of the bans is damaged"),
            }
            ControlFlow::Continue(())
        })
    }

    /// Puts a ban in force, and back out of it if the store does not take it.
    pub(crate) fn ban(self: &Arc<Self>, store: &Store, ban: &Ban) -> Told {
        let (done, told) = oneshot::channel();
        let _order = self.order.lock();
        self.submit(store, vec![(ban.target.clone(), Some(ban.row()))], Some(done));
        told
    }

    /// Lifts a ban, unless the store does not take that; `None` when there is none.
    pub(crate) fn unban(self: &Arc<Self>, store: &Store, target: &BanTarget) -> Option<Told> {
        let _order = self.order.lock();
        self.listed.read().in_force(target)?;
        let (done, told) = oneshot::channel();
        self.submit(store, vec![(target.clone(), None)], Some(done));
        Some(told)
    }

    /// Forgets those that are over.
    pub(crate) fn sweep(self: &Arc<Self>, store: &Store, now_ms: i64) {
        if !self.some.load(Ordering::Acquire) {
            return;
        }
        let _order = self.order.lock();
        let over: Vec<Change> = {
            let listed = self.listed.read();
            let over = listed.all().filter(|(_, row)| !is_in_force(row, now_ms));
            over.map(|(target, _)| (target, None)).collect()
        };
        if !over.is_empty() {
            tracing::info!(count = over.len(), "bans are over");
            self.submit(store, over, None);
        }
    }

    /// Whether this client may not connect.
    pub(crate) fn forbid(&self, client_id: &str, peer: Peer, now_ms: i64) -> bool {
        let Some(address) = peer.ip() else { return false };
        if !self.some.load(Ordering::Acquire) {
            return false;
        }
        let listed = self.listed.read();
        listed.clients.get(client_id).is_some_and(|entry| entry.forbids(now_ms))
            || listed.forbid(address, now_ms)
    }

    /// Whether nobody may come from there.
    pub(crate) fn forbid_from(&self, address: IpAddr, now_ms: i64) -> bool {
        self.some.load(Ordering::Acquire) && self.listed.read().forbid(address, now_ms)
    }

    /// All of them, those that are over left out.
    pub(crate) fn list(&self, now_ms: i64) -> Vec<Ban> {
        let listed = self.listed.read();
        let all = listed.all().filter(|(_, row)| is_in_force(row, now_ms));
        all.map(|(target, row)| Ban::of_row(target, row)).collect()
    }

    /// Changes what is in force, and has the store follow; the caller holds `order`.
    fn submit(
        self: &Arc<Self>,
        store: &Store,
        changes: Vec<Change>,
        done: Option<oneshot::Sender<Result<(), CommitError>>>,
    ) {
        self.begin(&changes);
        let rows = changes.iter().map(|(target, row)| {
            let row = row.as_ref().map(BanRow::encode);
            TableChange::new(Table::Bans, target.key(), row).that_stays()
        });
        let commit = Commit { appends: Vec::new(), changes: rows.collect() };
        let settling = Settling { bans: Arc::clone(self), changes, done: Mutex::new(done) };
        store.submit(commit, Some((0, Arc::new(settling))));
    }

    fn begin(&self, changes: &[Change]) {
        let listed = &mut *self.listed.write();
        for (target, row) in changes {
            listed.change(target, |entry| {
                entry.in_force.clone_from(row);
                entry.pending += 1;
            });
        }
        self.some.store(!listed.is_empty(), Ordering::Release);
    }

    fn settle(&self, changes: &[Change], is_durable: bool) {
        let listed = &mut *self.listed.write();
        for (target, row) in changes {
            listed.change(target, |entry| {
                entry.pending -= 1;
                if is_durable {
                    entry.durable.clone_from(row);
                }
                // A later change has its own outcome.
                if entry.pending == 0 {
                    entry.in_force.clone_from(&entry.durable);
                }
            });
        }
        self.some.store(!listed.is_empty(), Ordering::Release);
    }
}

fn is_in_force(row: &BanRow, now_ms: i64) -> bool {
    row.until_ms.is_none_or(|until| until > now_ms)
}

impl Listed {
    fn forbid(&self, address: IpAddr, now_ms: i64) -> bool {
        let mut ranges = self.ranges.iter();
        ranges.any(|(range, entry)| entry.forbids(now_ms) && range.contains(address))
    }

    fn in_force(&self, target: &BanTarget) -> Option<&BanRow> {
        let entry = match target {
            BanTarget::Client(id) => self.clients.get(id),
            BanTarget::Address(range) => self.ranges.get(range),
        };
        entry?.in_force.as_ref()
    }

    fn all(&self) -> impl Iterator<Item = (BanTarget, &BanRow)> {
        let clients = self.clients.iter();
        let clients = clients.map(|(id, entry)| (BanTarget::Client(id.clone()), entry));
        let ranges = self.ranges.iter();
        let ranges = ranges.map(|(range, entry)| (BanTarget::Address(*range), entry));
        clients.chain(ranges).filter_map(|(target, entry)| Some((target, entry.in_force.as_ref()?)))
    }

    fn change(&mut self, target: &BanTarget, change: impl FnOnce(&mut Entry)) {
        match target {
            BanTarget::Client(id) => {
                let entry = self.clients.entry(id.clone()).or_default();
                change(entry);
                if !entry.is_needed() {
                    self.clients.remove(id);
                }
            }
            BanTarget::Address(range) => {
                let entry = self.ranges.entry(*range).or_default();
                change(entry);
                if !entry.is_needed() {
                    self.ranges.remove(range);
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.ranges.is_empty()
    }
}

impl Entry {
    fn is_needed(&self) -> bool {
        self.in_force.is_some() || self.durable.is_some() || self.pending > 0
    }
}

/// Changes on their way to the disk.
struct Settling {
    bans: Arc<Bans>,
    changes: Vec<Change>,
    /// Who waits for them, if anybody does.
    done: Mutex<Option<oneshot::Sender<Result<(), CommitError>>>>,
}

impl Reply for Settling {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        // The rows stay, also of a commit that was refused and found room later.
        for Outcome { stayed, .. } in outcomes.drain(..) {
            self.bans.settle(&self.changes, stayed.is_ok());
            if let Some(done) = self.done.lock().take() {
                // Who asked may have lost interest.
                let _ = done.send(stayed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    use tempfile::TempDir;
    use tidewire_store::rows::ban::BanRow;
    use tidewire_store::{CommitError, Outcome, RealDisk, Reply, Store, StoreOptions, Table};
    use tokio::sync::oneshot;

    use super::{Ban, BanTarget, Bans, Settling};
    use crate::link::Peer;

    /// A minute after the Unix epoch.
    const MINUTE_MS: i64 = 60_000;

    fn store() -> (TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Arc::new(RealDisk::new(folder.path().join("data")));
        let (store, _) = Store::open(disk, StoreOptions::default()).expect("a store");
        (folder, store)
    }

    /// A ban of `esp` from the Unix epoch on, which is over after so long.
    fn ban_for(time: Duration) -> Ban {
        Ban { since: UNIX_EPOCH, ..Ban::client("esp") }.during(time)
    }

    fn is_forbidden(bans: &Bans, now_ms: i64) -> bool {
        bans.forbid("esp", Peer::Net("1.1.1.1:1".parse().expect("an address")), now_ms)
    }

    #[test]
    fn a_ban_holds_until_it_is_over_or_lifted() {
        let (_folder, store) = store();
        let bans = Arc::new(Bans::default());
        let peer = Peer::Net("10.7.1.1:5000".parse().unwrap());
        let range = "10.7.0.0/16".parse().unwrap();
        assert!(!is_forbidden(&bans, 0));
        let told = bans.ban(&store, &ban_for(Duration::from_secs(60)));
        assert!(told.blocking_recv().unwrap().is_ok());
        let told = bans.ban(&store, &Ban::addresses(range).because("test"));
        assert!(told.blocking_recv().unwrap().is_ok());
        assert!(is_forbidden(&bans, 0));
        assert!(bans.forbid("other", peer, 0));
        assert!(!bans.forbid("esp", Peer::InProcess, 0));
        assert_eq!(bans.list(0).len(), 2);
        assert!(!is_forbidden(&bans, MINUTE_MS));
        assert_eq!(bans.list(MINUTE_MS).len(), 1);
        let told = bans.unban(&store, &BanTarget::Address(range)).expect("it is there");
        assert!(told.blocking_recv().unwrap().is_ok());
        assert!(bans.unban(&store, &BanTarget::Client("nobody".into())).is_none());
        assert!(!bans.forbid("other", peer, 0));
    }

    #[test]
    fn a_ban_that_cannot_be_written_leaves_the_earlier_one_in_force() {
        let (_folder, store) = store();
        let bans = Arc::new(Bans::default());
        let told = bans.ban(&store, &ban_for(Duration::from_secs(60)));
        assert!(told.blocking_recv().unwrap().is_ok());
        store.shutdown().unwrap();
        let told = bans.ban(&store, &ban_for(Duration::from_secs(6000)));
        assert!(matches!(told.blocking_recv().unwrap(), Err(CommitError::Closed)));
        assert!(is_forbidden(&bans, 0) && !is_forbidden(&bans, MINUTE_MS));
        let told = bans.unban(&store, &BanTarget::Client("esp".into())).expect("it is there");
        assert!(told.blocking_recv().unwrap().is_err());
        assert!(is_forbidden(&bans, 0), "it was not lifted");
    }

    #[test]
    fn a_ban_whose_commit_was_refused_holds_where_its_row_stayed() {
        let full = CommitError::DiskFull;
        for (stayed, expected) in [(Ok(()), true), (Err(full.clone()), false)] {
            let bans = Arc::new(Bans::default());
            let changes = vec![(BanTarget::Client("esp".into()), Some(row_for(1)))];
            bans.begin(&changes);
            let (done, told) = oneshot::channel();
            let settling = Settling { bans: Arc::clone(&bans), changes, done: Some(done).into() };
            let result = Err(full.clone());
            settling.committed(&mut vec![Outcome { ticket: 0, result, stayed: stayed.clone() }]);
            assert_eq!((is_forbidden(&bans, 0), told.blocking_recv().unwrap()), (expected, stayed));
        }
    }

    #[test]
    fn of_changes_on_their_way_the_last_that_is_durable_counts() {
        let bans = Bans::default();
        let change = |secs| [(BanTarget::Client("esp".into()), Some(row_for(secs)))];
        let lifted = [(BanTarget::Client("esp".into()), None)];
        let until = |bans: &Bans| bans.list(0).first().and_then(|ban| ban.row().until_ms);
        for (outcomes, expected) in [
            ([true, true, true], None),
            ([true, true, false], Some(2_000)),
            ([true, false, false], Some(1_000)),
            ([false, false, false], None),
            ([false, true, false], Some(2_000)),
        ] {
            let changes = [&change(1)[..], &change(2), &lifted];
            changes.iter().for_each(|change| bans.begin(change));
            assert_eq!(until(&bans), None, "lifted last");
            for (change, is_durable) in changes.iter().zip(outcomes) {
                bans.settle(change, is_durable);
            }
            assert_eq!(until(&bans), expected, "{outcomes:?}");
            bans.begin(&lifted);
            bans.settle(&lifted, true);
            assert!(bans.listed.read().is_empty());
        }
    }

    fn row_for(secs: u64) -> BanRow {
        ban_for(Duration::from_secs(secs)).row()
    }

    #[test]
    fn a_ban_made_while_those_that_are_over_are_swept_stays() {
        let (_folder, store) = store();
        let bans = Arc::new(Bans::default());
        for round in 0..200 {
            let told = bans.ban(&store, &ban_for(Duration::from_secs(1)));
            assert!(told.blocking_recv().unwrap().is_ok());
            let sweeping = {
                let (bans, store) = (Arc::clone(&bans), store.clone());
                std::thread::spawn(move || bans.sweep(&store, MINUTE_MS))
            };
            let told = bans.ban(&store, &ban_for(Duration::from_secs(3600)));
            assert!(told.blocking_recv().unwrap().is_ok());
            sweeping.join().unwrap();
            // Commits are in order: behind this one the sweep's is done.
            store.commit(tidewire_store::Commit::default()).unwrap();
            assert!(is_forbidden(&bans, MINUTE_MS), "{round}");
            let row = store.get(Table::Bans, b"client:esp").unwrap();
            let row = row.unwrap_or_else(|| panic!("swept in round {round}"));
            assert_eq!(BanRow::decode(&row).unwrap(), row_for(3600));
        }
    }
}
