//! Changes to tables, newest per row. Never knows whether they are on disk.

use std::array;
use std::collections::{BTreeMap, btree_map};
use std::iter::{self, Peekable};
use std::mem;
use std::ops::Bound;
use std::sync::Arc;

use crate::commit::TableChange;
use crate::table::Table;

type Row = Option<Box<[u8]>>;
type Rows = BTreeMap<Box<[u8]>, Row>;
/// Keys between two bounds.
pub(super) type Range<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Rows of all tables.
#[derive(Debug)]
pub(super) struct Part {
    tables: [Rows; Table::ALL.len()],
}

impl Default for Part {
    fn default() -> Self {
        Self { tables: array::from_fn(|_| Rows::new()) }
    }
}

impl Part {
    fn rows(&self, table: Table) -> &Rows {
        &self.tables[usize::from(table.id())]
    }

    fn apply(&mut self, change: TableChange) {
        self.tables[usize::from(change.table.id())].insert(change.key, change.value);
    }

    /// More rows in a range than so many?
    fn holds_over(&self, count: usize, table: Table, range: Range<'_>) -> bool {
        !is_inverted(range) && self.rows(table).range::<[u8], _>(range).nth(count).is_some()
    }

    /// Take over what a newer part says about a range.
    pub(super) fn copy_range(&mut self, newer: &Self, table: Table, range: Range<'_>) {
        if is_inverted(range) {
            return;
        }
        let rows = newer.rows(table).range::<[u8], _>(range);
        self.tables[usize::from(table.id())]
            .extend(rows.map(|(key, row)| (key.clone(), row.clone())));
    }
}

/// The newest row of each key over several parts, in the order of keys; looks no further than it
/// is asked to.
pub(super) struct Merged<'a> {
    /// Oldest first.
    parts: Vec<Peekable<btree_map::Range<'a, Box<[u8]>, Row>>>,
}

impl<'a> Merged<'a> {
    /// Of these parts, oldest first.
    pub(super) fn of(
        parts: impl Iterator<Item = &'a Part>,
        table: Table,
        range: Range<'_>,
    ) -> Self {
        let parts = parts.filter(|_| !is_inverted(range));
        Self { parts: parts.map(|p| p.rows(table).range::<[u8], _>(range).peekable()).collect() }
    }

    /// The key that comes next.
    pub(super) fn peek_key(&mut self) -> Option<&'a [u8]> {
        self.parts.iter_mut().filter_map(|part| part.peek().map(|(key, _)| &***key)).min()
    }
}

impl<'a> Iterator for Merged<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.peek_key()?;
        let mut newest = None;
        for part in &mut self.parts {
            if let Some((_, row)) = part.next_if(|(key, _)| ***key == *next) {
                newest = row.as_deref();
            }
        }
        Some((next, newest))
    }
}

/// What changed between two checkpoints.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    /// Set aside so that they can be read without a lock; oldest first, all older than `newest`.
    aside: Vec<Arc<Part>>,
    newest: Part,
}

impl Layer {
    pub(crate) fn apply(&mut self, change: TableChange) {
        self.newest.apply(change);
    }

    /// The row if it changed: `Some(None)` is one that was removed.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<Option<&[u8]>> {
        let aside = self.aside.iter().rev().map(Arc::as_ref);
        let mut parts = iter::once(&self.newest).chain(aside);
        parts.find_map(|part| part.rows(table).get(key)).map(Option::as_deref)
    }

    /// Every change that may be the newest of its row, in an order in which that one comes last.
    pub(super) fn all_rows(&self) -> impl Iterator<Item = (Table, &[u8], Option<&[u8]>)> {
        let parts = self.aside.iter().map(Arc::as_ref).chain([&self.newest]);
        parts.flat_map(|part| {
            let of_table = |table| {
                part.rows(table).iter().map(move |(key, row)| (table, &**key, row.as_deref()))
            };
            Table::ALL.into_iter().flat_map(of_table)
        })
    }

    pub(super) fn newest(&self) -> &Part {
        &self.newest
    }

    pub(super) fn newest_holds_over(&self, count: usize, table: Table, range: Range<'_>) -> bool {
        self.newest.holds_over(count, table, range)
    }

    pub(super) fn aside(&self) -> &[Arc<Part>] {
        &self.aside
    }

    /// Make all of it readable without a lock.
    pub(super) fn set_aside(&mut self) {
        self.aside.push(Arc::new(mem::take(&mut self.newest)));
    }

    /// Put one part where these were, if they are still the oldest.
    pub(super) fn replace_aside(&mut self, merged: &[Arc<Part>], by: Part) {
        let same = |(known, merged): (&Arc<Part>, &Arc<Part>)| Arc::ptr_eq(known, merged);
        if self.aside.len() >= merged.len() && self.aside.iter().zip(merged).all(same) {
            self.aside.splice(..merged.len(), [Arc::new(by)]);
        }
    }
}

/// All of them as one.
pub(super) fn merge(parts: &[Arc<Part>]) -> Part {
    let mut merged = Part::default();
    for part in parts {
        for table in Table::ALL {
            merged.copy_range(part, table, (Bound::Unbounded, Bound::Unbounded));
        }
    }
    merged
}

/// A range that ends before it begins holds nothing; the map would panic on it.
pub(super) fn is_inverted(range: Range<'_>) -> bool {
    match range {
        (Bound::Excluded(from), Bound::Excluded(to)) => from >= to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from > to,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}
