//! Puts rows into the database's tables: one by one, and where many lie between two that are there
//! already, those at once. Knows nothing of what a row says.

use std::iter::Peekable;
use std::ops::Bound;

use redb::{CursorError, TableDefinition, WriteTransaction};

use crate::table::Table;

/// After so many new rows in line those behind them are tried at once. To try costs a search in the
/// tree and a copy of a leaf.
const TRY_AFTER: usize = 8;
/// The number above is doubled, up to this, each time it does not pay.
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
        let pays = filled >= TRY_AFTER;
        try_after = if pays { TRY_AFTER } else { TRY_AFTER_MAX.min(2 * try_after) };
        new_in_line = 0;
    }
    Ok(())
}

/// Puts rows between the one before and the one that is next in the table, up to a row that does
/// not lie there, one that is removed, or another table's; says how many there were.
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
    use std::sync::Arc;

    use proptest::prelude::{Strategy, any, proptest};
    use proptest::{collection, prop_assert, prop_assert_eq};

    use super::super::{Checkpoint, Database, DatabaseFailure, Layer, Manifest, ROWS_MAX, begin};
    use super::{Row, TRY_AFTER, definition, fill_gap, fill_rows};
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

    fn made(disk: &Arc<SimDisk>) -> (Database, Checkpoint) {
        let then = Checkpoint { epoch: 1, next_lsn: 1 };
        Database::create(&**disk, then).expect("made");
        let database = Database::open(disk.clone(), 1 << 20).expect("opens");
        database.release().expect("released");
        (database, then)
    }

    fn row(key: &str, bytes: usize) -> TableChange {
        TableChange::new(Table::Retained, key.as_bytes().into(), Some(vec![7; bytes].into()))
    }

    /// Two rows that lie far from each other, and between them so many that they take several
    /// transactions, and a cursor has to put them down before its end.
    fn neighbours_and_crowd() -> (Layer, Layer) {
        let (mut neighbours, mut crowd) = (Layer::default(), Layer::default());
        for key in ["a", "c"] {
            neighbours.apply(row(key, 10));
        }
        (0..2 * ROWS_MAX + 5).for_each(|number| crowd.apply(row(&format!("b{number:08}"), 100)));
        (neighbours, crowd)
    }

    #[test]
    fn rows_beyond_one_transaction_and_one_buffer_of_the_database_are_all_there() {
        let disk = SimDisk::new(1);
        let (database, mut then) = made(&disk);
        let (neighbours, crowd) = neighbours_and_crowd();
        for layer in [&neighbours, &crowd] {
            then.epoch += 1;
            database.advance(layer, &Manifest::default(), then).expect("there is room");
        }
        assert_eq!(rows_in(&database).len(), 2 + 2 * ROWS_MAX + 5);
        drop(database);
        assert!(Database::is_sound(&*disk, 1 << 20).expect("readable"));
    }

    #[test]
    fn a_full_disk_amid_rows_that_go_in_at_once_leaves_the_checkpoint_where_it_was() {
        let (neighbours, crowd) = neighbours_and_crowd();
        let mut refused = 0;
        for room in (0..6 << 20).step_by(700 << 10) {
            let disk = SimDisk::new(1);
            let (database, start) = made(&disk);
            let before = Checkpoint { epoch: start.epoch + 1, ..start };
            let after = Checkpoint { epoch: start.epoch + 2, ..start };
            database.advance(&neighbours, &Manifest::default(), before).expect("there is room");
            disk.set_quota(Some(disk.used_bytes() + room));
            match database.advance(&crowd, &Manifest::default(), after) {
                Ok(()) => assert_eq!(database.load().expect("readable").0, after),
                Err((failure, _)) => {
                    refused += 1;
                    assert_eq!(failure, DatabaseFailure::Full);
                    assert_eq!(database.load().expect("readable").0, before);
                }
            }
            disk.set_quota(None);
            database.advance(&crowd, &Manifest::default(), after).expect("there is room");
            assert_eq!(rows_in(&database).len(), 2 + 2 * ROWS_MAX + 5);
            drop(database);
            assert!(Database::is_sound(&*disk, 1 << 20).expect("readable"));
        }
        assert!(refused > 3, "{refused}");
    }

    #[test]
    fn rows_go_in_at_once_up_to_one_that_is_there() {
        let disk = SimDisk::new(1);
        let (database, _) = made(&disk);
        let handle = Arc::clone(&database.open.read());
        let transaction = begin(handle.get()).expect("begins");
        let keys: Vec<String> = (0..100).map(|number| format!("{number:03}")).collect();
        let set = |key: &'static str| (Table::Retained, key.as_bytes(), Some(&b"x"[..]));
        fill_rows(&transaction, &mut [set("000"), set("050")].into_iter()).expect("filled");
        let mut table = transaction.open_table(definition(Table::Retained)).expect("there");
        let mut rows = keys.iter().map(|key| (Table::Retained, key.as_bytes(), Some(&b"y"[..])));
        let rows: &mut dyn Iterator<Item = Row<'_>> = &mut rows;
        let mut rows = rows.peekable();
        rows.next();
        let filled = fill_gap(&mut table, (Table::Retained, b"000"), &mut rows);
        assert_eq!(filled.expect("filled"), 49);
        assert_eq!(rows.next().map(|(_, key, _)| key), Some(&b"050"[..]));
        let filled = fill_gap(&mut table, (Table::Retained, b"050"), &mut rows);
        assert_eq!(filled.expect("filled"), 49);
        assert!(49 > TRY_AFTER && rows.next().is_none());
    }

    proptest! {
        /// Between rows that are there, over them, before and behind them; in one part and more.
        #[test]
        fn rows_are_the_same_whether_they_went_in_one_by_one_or_many_at_once(
            layers in collection::vec(
                collection::vec(collection::vec(stretch(), 1..4), 1..3), 1..5)
        ) {
            let disk = SimDisk::new(1);
            let (database, mut then) = made(&disk);
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
