//! Rows of the tables: what changed since the checkpoint in memory, the rest in a database on
//! disk. Never waits for that database when a row changes.

mod backend;
mod database;
mod overlay;

use std::collections::VecDeque;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use parking_lot::RwLock;

pub(crate) use database::{
    Checkpoint, Database, DatabaseError, DatabaseFailure, Manifest, NAME as DATABASE_FILE,
    PartitionRow, Rearrangement, SealedRow, SegmentRow,
};
pub(crate) use overlay::Layer;

use crate::commit::TableChange;
use crate::read::VisitRow;
use crate::table::Table;

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
        range: (Bound<&[u8]>, Bound<&[u8]>),
        visit: &mut VisitRow<'_>,
    ) -> Result<(), DatabaseError> {
        let mut changed = Layer::default();
        let snapshot = {
            let overlay = self.overlay.read();
            for layer in overlay.frozen.iter().map(Arc::as_ref).chain([&overlay.active]) {
                changed.copy_range(layer, table, range);
            }
            self.database.snapshot()?
        };
        let mut changed = changed.into_rows(table).peekable();
        let mut on_disk = |key: &[u8], value: &[u8]| {
            while let Some((before, row)) = changed.next_if(|(changed, _)| **changed < *key) {
                if let Some(row) = row {
                    visit(&before, &row)?;
                }
            }
            match changed.next_if(|(changed, _)| **changed == *key) {
                Some((_, Some(row))) => visit(key, &row),
                Some((_, None)) => ControlFlow::Continue(()),
                None => visit(key, value),
            }
        };
        if snapshot.scan(table, range, &mut on_disk)?.is_break() {
            return Ok(());
        }
        for (key, row) in changed {
            if let Some(row) = row
                && visit(&key, &row).is_break()
            {
                break;
            }
        }
        Ok(())
    }
}
