//! Changes to tables, newest per row. Never knows whether they are on disk.

use std::array;
use std::collections::BTreeMap;
use std::ops::Bound;

use crate::commit::TableChange;
use crate::table::Table;

type Row = Option<Box<[u8]>>;
type Rows = BTreeMap<Box<[u8]>, Row>;

/// What changed between two checkpoints.
#[derive(Debug)]
pub(crate) struct Layer {
    tables: [Rows; Table::ALL.len()],
}

impl Default for Layer {
    fn default() -> Self {
        Self { tables: array::from_fn(|_| Rows::new()) }
    }
}

impl Layer {
    pub(crate) fn apply(&mut self, change: TableChange) {
        self.tables[usize::from(change.table.id())].insert(change.key, change.value);
    }

    /// The row if it changed: `Some(None)` is one that was removed.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<Option<&[u8]>> {
        self.rows(table).get(key).map(Option::as_deref)
    }

    pub(crate) fn rows(&self, table: Table) -> &Rows {
        &self.tables[usize::from(table.id())]
    }

    /// Take over what a newer layer says about a range.
    pub(super) fn copy_range(
        &mut self,
        newer: &Self,
        table: Table,
        range: (Bound<&[u8]>, Bound<&[u8]>),
    ) {
        if is_inverted(range) {
            return;
        }
        let rows = newer.rows(table).range::<[u8], _>(range);
        self.tables[usize::from(table.id())]
            .extend(rows.map(|(key, row)| (key.clone(), row.clone())));
    }

    pub(super) fn into_rows(mut self, table: Table) -> impl Iterator<Item = (Box<[u8]>, Row)> {
        std::mem::take(&mut self.tables[usize::from(table.id())]).into_iter()
    }
}

/// A range that ends before it begins holds nothing; the map would panic on it.
pub(super) fn is_inverted(range: (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match range {
        (Bound::Excluded(from), Bound::Excluded(to)) => from >= to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from > to,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}
