//! Rows of the tables: what changed since the checkpoint in memory, the rest in a database on
//! disk. Never waits for that database when a row changes.

mod backend;
mod database;
mod manifest;
mod overlay;

use std::collections::VecDeque;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use parking_lot::{RwLock, RwLockUpgradableReadGuard};

pub(crate) use database::{
    Database, DatabaseError, DatabaseFailure, NAME as DATABASE_FILE, Snapshot,
};
pub(crate) use manifest::{
    Checkpoint, Manifest, PartitionRow, Rearrangement, SealedRow, SegmentRow,
};
pub(crate) use overlay::Layer;

use overlay::{Merged, Part, Range, merge};

use crate::commit::TableChange;
use crate::read::VisitRow;
use crate::table::Table;

/// So many rows at most are copied by a scan while nothing can change.
const COPIED_MAX: usize = 256;
/// So many parts at most are left for readers to look through.
const ASIDE_MAX: usize = 8;

/// All tables, readable by any thread, changed by the writer alone.
#[derive(Debug)]
pub(crate) struct Tables {
    overlay: RwLock<Overlay>,
    database: Database,
}

#[derive(Debug, Default)]
struct Overlay {
    active: Layer,
    /// Waiting for their checkpoint, oldest first.
    frozen: VecDeque<Arc<Layer>>,
}

impl Tables {
    pub(crate) fn new(database: Database) -> Self {
        Self { overlay: RwLock::default(), database }
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Apply durable changes, in order.
    pub(crate) fn apply(&self, changes: impl Iterator<Item = TableChange>) {
        let mut overlay = self.overlay.write();
        changes.for_each(|change| overlay.active.apply(change));
    }

    /// Put the changes so far aside for the checkpoint.
    pub(crate) fn freeze(&self) -> Arc<Layer> {
        let mut overlay = self.overlay.write();
        overlay.active.set_aside();
        let layer = Arc::new(std::mem::take(&mut overlay.active));
        overlay.frozen.push_back(Arc::clone(&layer));
        layer
    }

    /// The database holds the oldest frozen layer now.
    pub(crate) fn forget_oldest(&self) {
        self.overlay.write().frozen.pop_front();
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DatabaseError> {
        {
            let overlay = self.overlay.read();
            let frozen = overlay.frozen.iter().rev().map(Arc::as_ref);
            let mut layers = std::iter::once(&overlay.active).chain(frozen);
            if let Some(row) = layers.find_map(|layer| layer.get(table, key)) {
                return Ok(row.map(<[u8]>::to_vec));
            }
        }
        self.database.get(table, key)
    }

    /// Visit rows in the order of their keys, as of one moment between two commits.
    pub(crate) fn scan(
        &self,
        table: Table,
        range: Range<'_>,
        visit: &mut VisitRow<'_>,
    ) -> Result<(), DatabaseError> {
        let (newest, parts, snapshot) = match self.collect(table, range) {
            Err(error) if error.is_of_an_old_handle() => {
                self.database.settle();
                self.collect(table, range)?
            }
            collected => collected?,
        };
        self.tidy();
        let parts = parts.iter().map(Arc::as_ref).chain([&newest]);
        let mut changed = Merged::of(parts, table, range);
        let mut on_disk = |key: &[u8], value: &[u8]| {
            while changed.peek_key().is_some_and(|changed| changed < key) {
                if let Some((before, Some(row))) = changed.next() {
                    visit(before, row)?;
                }
            }
            if changed.peek_key() != Some(key) {
                return visit(key, value);
            }
            match changed.next() {
                Some((_, Some(row))) => visit(key, row),
                _ => ControlFlow::Continue(()),
            }
        };
        if self.scan_on_disk(&snapshot, table, range, &mut on_disk)?.is_break() {
            return Ok(());
        }
        for (key, row) in changed {
            if let Some(row) = row
                && visit(key, row).is_break()
            {
                break;
            }
        }
        Ok(())
    }

    /// The rows in the database. Where its handle broke in between, the new one carries on; what
    /// it holds may be one checkpoint newer, which is as new as what is merged with it.
    fn scan_on_disk(
        &self,
        snapshot: &Snapshot,
        table: Table,
        range: Range<'_>,
        visit: &mut VisitRow<'_>,
    ) -> Result<ControlFlow<()>, DatabaseError> {
        let mut last: Option<Vec<u8>> = None;
        let scanned = snapshot.scan(table, range, &mut |key, value| {
            let last = last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(key);
            visit(key, value)
        });
        match scanned {
            Err(error) if error.is_of_an_old_handle() => {
                self.database.settle();
                let from = last.as_deref().map_or(range.0, Bound::Excluded);
                self.database.snapshot()?.scan(table, (from, range.1), visit)
            }
            scanned => scanned,
        }
    }

    /// What a scan needs to know, as of one moment: a copy of the newest changes in the range, the
    /// parts before them, oldest first, and the database. The lock is held for a bounded time.
    fn collect(&self, table: Table, range: Range<'_>) -> Result<Collected, DatabaseError> {
        let overlay = self.overlay.upgradable_read();
        if overlay.active.newest_holds_over(COPIED_MAX, table, range) {
            let mut overlay = RwLockUpgradableReadGuard::upgrade(overlay);
            overlay.active.set_aside();
            return Ok((Part::default(), overlay.parts(), self.database.snapshot()?));
        }
        let mut newest = Part::default();
        newest.copy_range(overlay.active.newest(), table, range);
        Ok((newest, overlay.parts(), self.database.snapshot()?))
    }

    /// Many parts make reading slow: merge them, without the lock.
    fn tidy(&self) {
        let parts = {
            let overlay = self.overlay.read();
            if overlay.active.aside().len() < ASIDE_MAX {
                return;
            }
            overlay.active.aside().to_vec()
        };
        let merged = merge(&parts);
        self.overlay.write().active.replace_aside(&parts, merged);
    }
}

type Collected = (Part, Vec<Arc<Part>>, Snapshot);

impl Overlay {
    /// All that no longer changes, oldest first.
    fn parts(&self) -> Vec<Arc<Part>> {
        let frozen = self.frozen.iter().map(Arc::as_ref).chain([&self.active]);
        frozen.flat_map(Layer::aside).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Checkpoint, Database, Layer, Manifest, Tables};
    use crate::commit::TableChange;
    use crate::disk::sim::SimDisk;
    use crate::table::Table;
    use std::ops::{Bound, ControlFlow};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn rows_are_read_while_the_database_is_opened_again_on_a_full_disk() {
        let disk = SimDisk::new(1);
        let start = Checkpoint { epoch: 1, next_lsn: 1 };
        Database::create(&*disk, start).expect("made");
        let database = Database::open(disk.clone(), 0).expect("opens");
        database.release().expect("released");
        let mut layer = Layer::default();
        for n in 0..500_u32 {
            let key = n.to_be_bytes();
            layer.apply(TableChange::new(Table::Cursors, key[..].into(), Some([7; 90].into())));
        }
        database.advance(&layer, &Manifest::default(), start).expect("written");
        let tables = Tables::new(database);
        let read = || {
            let row = tables.get(Table::Cursors, &9_u32.to_be_bytes()).map_err(|e| e.to_string());
            let mut count = 0;
            let all = (Bound::Unbounded, Bound::Unbounded);
            let scanned = tables.scan(Table::Cursors, all, &mut |_, _| {
                count += 1;
                ControlFlow::Continue(())
            });
            (row.map(|row| row.is_some()), scanned.map(|()| count).map_err(|e| e.to_string()))
        };
        let (sender, answers) = mpsc::channel();
        thread::scope(|scope| {
            let early = tables.database.while_broken(
                &|full| disk.set_capacity(full.then(|| disk.used_bytes())),
                || {
                    scope.spawn(move || sender.send(read()).expect("somebody listens"));
                    answers.recv_timeout(Duration::from_millis(300)).ok()
                },
            );
            let late = || answers.recv_timeout(Duration::from_secs(60)).expect("it goes on");
            assert_eq!(early.unwrap_or_else(late), (Ok(true), Ok(500)));
        });
    }
}
