//! Puts rows into the database's tables: one by one, and where many lie between two that are there
//! already, those at once. Knows nothing of what a row says.

use std::iter::Peekable;
use std::ops::Bound;

use redb::{CursorError, TableDefinition, WriteTransaction};

use crate::table::Table;

/// So many new rows one behind the other, and the next are tried at once. Doubled, up to the
/// second, while that does not pay: rows that only change are looked for one by one anyway.
const TRY_AFTER: usize = 8;
const TRY_AFTER_MAX: usize = 1024;

/// A row of a table, set or removed.
pub(super) type Row<'a> = (Table, &'a [u8], Option<&'a [u8]>);

type OpenTable<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

pub(super) fn definition(table: Table) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(table.name())
}

/// Sets and removes all of them, the later ones last.
pub(super) fn fill_rows<'a>(
    transaction: &WriteTransaction,
    rows: &mut dyn Iterator<Item = Row<'a>>,
) -> Result<(), redb::Error> {
    let mut tables = Vec::with_capacity(Table::ALL.len());
    for table in Table::ALL {
        tables.push(transaction.open_table(definition(table))?);
    }
    let mut rows = rows.peekable();
    let (mut new_in_line, mut try_after) = (0, TRY_AFTER);
    while let Some((id, key, row)) = rows.next() {
        let table = &mut tables[usize::from(id.id())];
        new_in_line = match row {
            Some(value) if table.insert(key, value)?.is_none() => new_in_line + 1,
            Some(_) => 0,
            None => {
                table.remove(key)?;
                0
            }
        };
        if new_in_line < try_after {
            continue;
        }
        let filled = fill_gap(table, (id, key), &mut rows)?;
        let pays = filled >= try_after;
        try_after = if pays { TRY_AFTER } else { TRY_AFTER_MAX.min(2 * try_after) };
        new_in_line = 0;
    }
    Ok(())
}

/// The rows that come before the one that is next in the table; says how many there were.
fn fill_gap<'a>(
    table: &mut OpenTable<'_>,
    (id, behind): (Table, &[u8]),
    rows: &mut Peekable<&mut dyn Iterator<Item = Row<'a>>>,
) -> Result<usize, redb::Error> {
    let mut cursor = table.lower_bound_mut(Bound::Excluded(behind))?;
    let mut filled = 0;
    while let Some((of, key, Some(value))) = rows.peek().copied()
        && of == id
    {
        match cursor.insert_before(key, value) {
            Ok(()) => filled += 1,
            Err(CursorError::UnorderedKey) => break,
            Err(error) => return Err(error.into()),
        }
        rows.next();
    }
    cursor.close()?;
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::{Bound, ControlFlow};

    use proptest::prelude::{Strategy, any, proptest};
    use proptest::{collection, prop_assert, prop_assert_eq};

    use super::super::{Checkpoint, Database, Layer, Manifest};
    use crate::commit::TableChange;
    use crate::disk::sim::SimDisk;
    use crate::table::Table;

    /// Rows with keys at even distances.
    #[derive(Clone, Copy, Debug)]
    struct Stretch {
        in_retained: bool,
        start: u16,
        step: u16,
        count: u16,
        bytes: u16,
        /// None is removed, or one in so many.
        removed: u16,
    }

    fn stretch() -> impl Strategy<Value = Stretch> {
        let numbers = (0_u16..5000, 1_u16..7, 0_u16..900, 0_u16..600, 0_u16..9);
        (any::<bool>(), numbers).prop_map(|(in_retained, (start, step, count, bytes, removed))| {
            Stretch { in_retained, start, step, count, bytes, removed }
        })
    }

    impl Stretch {
        fn changes(self, mark: u8) -> impl Iterator<Item = TableChange> {
            let table = if self.in_retained { Table::Retained } else { Table::Cursors };
            (0..self.count).map(move |number| {
                let key = format!("{:08}", u32::from(self.start) + u32::from(self.step * number));
                let is_removed = self.removed > 1 && number % self.removed == 0;
                let row = (!is_removed).then(|| vec![mark; self.bytes.into()].into());
                TableChange::new(table, key.into_bytes().into(), row)
            })
        }
    }

    type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

    fn rows_in(database: &Database) -> Rows {
        let (mut rows, snapshot) = (Rows::new(), database.snapshot().expect("readable"));
        for table in [Table::Cursors, Table::Retained] {
            let all = (Bound::Unbounded, Bound::Unbounded);
            let scanned = snapshot.scan(table, all, &mut |key, row| {
                rows.insert((table, key.to_vec()), row.to_vec());
                ControlFlow::Continue(())
            });
            assert!(scanned.expect("readable").is_continue());
        }
        rows
    }

    proptest! {
        /// Between rows that are there, over them, before and behind them; in one part and more.
        #[test]
        fn rows_are_the_same_whether_they_went_in_one_by_one_or_many_at_once(
            layers in collection::vec(
                collection::vec(collection::vec(stretch(), 1..4), 1..3), 1..5)
        ) {
            let disk = SimDisk::new(1);
            let mut then = Checkpoint { epoch: 1, next_lsn: 1 };
            Database::create(&*disk, then).expect("made");
            let database = Database::open(disk.clone(), 1 << 20).expect("opens");
            database.release().expect("released");
            let (mut expected, mut mark) = (Rows::new(), 0);
            for parts in layers {
                let mut layer = Layer::default();
                for part in parts {
                    for stretch in part {
                        mark += 1;
                        for change in stretch.changes(mark) {
                            let key = (change.table, change.key.to_vec());
                            match &change.value {
                                Some(row) => drop(expected.insert(key, row.to_vec())),
                                None => drop(expected.remove(&key)),
                            }
                            layer.apply(change);
                        }
                    }
                    layer.set_aside();
                }
                then.epoch += 1;
                database.advance(&layer, &Manifest::default(), then).expect("there is room");
                prop_assert_eq!(&rows_in(&database), &expected);
            }
            drop(database);
            prop_assert!(Database::is_sound(&*disk, 1 << 20).expect("readable"));
        }
    }
}
