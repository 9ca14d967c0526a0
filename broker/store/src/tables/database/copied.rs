//! A database of what another one held at one moment, made row by row while that one goes on.
//! Never changes the other one.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::super::manifest::SealedRow;
use super::{DatabaseError, FileBackend, Handle, SEALED, SEALED_VERSION, Snapshot, TEMPORARY};
use super::{begin, fill_place, fill_rows, give_name, guarded};
use crate::disk::{Disk, OpenMode};
use crate::table::Table;

/// So much of the rows goes into one transaction. It is in memory until it is committed, and who
/// wants to break the copy off waits for one at most.
const PIECE_BYTES: usize = 1 << 20;
/// Rows come in the order of their keys: pages that are full are not looked at again.
const CACHE_BYTES: usize = 4 << 20;

/// Is told how many bytes of rows are copied since it was told last; says whether to go on.
pub(crate) type Told<'t> = &'t mut dyn FnMut(u64) -> ControlFlow<()>;

impl Snapshot {
    /// Makes a database in another folder that says the same. It has its name only when it is
    /// whole.
    pub(crate) fn copy_to(
        &self,
        disk: &dyn Disk,
        told: Told<'_>,
    ) -> Result<ControlFlow<()>, DatabaseError> {
        let file = disk.open(TEMPORARY, OpenMode::Create).map_err(DatabaseError::io)?;
        let backend = FileBackend::new(Arc::clone(&file));
        let made = guarded(|| {
            let mut builder = redb::Builder::new();
            builder.set_cache_size(CACHE_BYTES);
            builder.create_with_backend(backend).map_err(DatabaseError::new)
        })?;
        let to = Handle::new(made);
        for table in Table::ALL {
            if self.copy_table(table, to.get(), told)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        guarded(|| self.copy_place(to.get()))?;
        drop(to);
        give_name(disk, &*file).map_err(DatabaseError::io)?;
        Ok(ControlFlow::Continue(()))
    }

    fn copy_table(
        &self,
        table: Table,
        to: &redb::Database,
        told: Told<'_>,
    ) -> Result<ControlFlow<()>, DatabaseError> {
        let mut piece = Piece::default();
        let mut wrong = None;
        let mut put = |piece: &mut Piece| match piece.put(table, to) {
            Ok(bytes) => told(bytes),
            Err(error) => {
                wrong = Some(error);
                ControlFlow::Break(())
            }
        };
        let all = (Bound::Unbounded, Bound::Unbounded);
        let scanned = self.scan(table, all, &mut |key, row| {
            piece.bytes += key.len() + row.len();
            piece.rows.push((key.into(), row.into()));
            match piece.bytes < PIECE_BYTES {
                true => ControlFlow::Continue(()),
                false => put(&mut piece),
            }
        })?;
        let flow = if scanned.is_break() { scanned } else { put(&mut piece) };
        wrong.map_or(Ok(flow), Err)
    }

    fn copy_place(&self, to: &redb::Database) -> Result<(), DatabaseError> {
        let (checkpoint, manifest) = self.load()?;
        let transaction = begin(to)?;
        // A table without rows is one all the same.
        fill_rows(&transaction, &mut std::iter::empty()).map_err(DatabaseError::new)?;
        fill_place(&transaction, &manifest, checkpoint).map_err(DatabaseError::new)?;
        fill_sealed(&transaction, &manifest.sealed).map_err(DatabaseError::new)?;
        transaction.commit().map_err(DatabaseError::new)
    }
}

/// A key and its row.
type KeyAndRow = (Box<[u8]>, Box<[u8]>);

/// Rows on their way.
#[derive(Default)]
struct Piece {
    rows: Vec<KeyAndRow>,
    bytes: usize,
}

impl Piece {
    /// Writes them; how many bytes that were.
    fn put(&mut self, table: Table, to: &redb::Database) -> Result<u64, DatabaseError> {
        let Self { rows, bytes } = std::mem::take(self);
        if rows.is_empty() {
            return Ok(0);
        }
        guarded(|| {
            let transaction = begin(to)?;
            let mut rows = rows.iter().map(|(key, row)| (table, &**key, Some(&**row)));
            fill_rows(&transaction, &mut rows).map_err(DatabaseError::new)?;
            transaction.commit().map_err(DatabaseError::new)
        })?;
        Ok(bytes as u64)
    }
}

fn fill_sealed(
    transaction: &redb::WriteTransaction,
    rows: &[SealedRow],
) -> Result<(), redb::Error> {
    let mut sealed = transaction.open_table(SEALED)?;
    for row in rows {
        let value = (SEALED_VERSION, row.generation, row.compacted);
        sealed.insert((row.partition.0, row.base), value)?;
    }
    Ok(())
}
