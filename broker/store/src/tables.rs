//! Rows of the tables: what changed since the checkpoint in memory, the rest in a database on
//! disk. Never waits for that database when a row changes.

mod backend;
mod database;
mod overlay;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockUpgradableReadGuard};

pub(crate) use database::{
    Checkpoint, Database, DatabaseError, DatabaseFailure, Manifest, NAME as DATABASE_FILE,
    PartitionRow, Rearrangement, SealedRow, SegmentRow,
};
pub(crate) use overlay::Layer;

use database::Snapshot;
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
        let (newest, parts, snapshot) = self.collect(table, range)?;
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
        if snapshot.scan(table, range, &mut on_disk)?.is_break() {
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
