//! The checkpoint on disk: table rows, where segments end, and how far the write-ahead log is in
//! it. One transaction changes all three, so that they never contradict each other.

mod copied;
mod filling;

use std::io::{self, ErrorKind};
use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use redb::{ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use tidewire_proto::id::PartitionId;

use filling::{definition, fill_rows};

use super::backend::{FileBackend, Held};
use super::manifest::{Checkpoint, Manifest, PartitionRow, Rearrangement, SealedRow, SegmentRow};
use super::overlay::{Layer, is_inverted};
#[cfg(test)]
use crate::commit::TableChange;
use crate::disk::{Disk, File, OpenMode};
use crate::error::OpenError;
use crate::read::VisitRow;
use crate::table::Table;
use crate::wal::is_full;

/// Its file.
pub(crate) const NAME: &str = "tables.redb";
const TEMPORARY: &str = "tables.tmp";

/// Rows that one transaction changes at most: what it changes is in memory until it commits.
const ROWS_MAX: usize = 16 << 10;

const CHECKPOINT: TableDefinition<'_, &str, u64> = TableDefinition::new("checkpoint");
const PARTITIONS: TableDefinition<'_, u32, (u64, u64)> = TableDefinition::new("partitions");
const SEGMENTS: TableDefinition<'_, (u32, u64), (u64, u64, i64, bool)> =
    TableDefinition::new("segments");

/// What became of sealed segments: version, generation of the files, whether superseded records
/// were taken out.
const SEALED: TableDefinition<'_, (u32, u64), (u8, u32, bool)> = TableDefinition::new("sealed");
const SEALED_VERSION: u8 = 1;

/// What went wrong with the database.
#[derive(Debug, thiserror::Error)]
#[error("{NAME}: {0}")]
pub(crate) struct DatabaseError(Box<redb::Error>);

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatabaseFailure {
    /// No room; the database was opened again and stands at its last commit.
    Full,
    /// Nothing more can be believed.
    Fatal,
}

impl DatabaseError {
    fn new(error: impl Into<redb::Error>) -> Self {
        Self(Box::new(error.into()))
    }

    fn io(error: io::Error) -> Self {
        Self::new(redb::Error::Io(error))
    }

    fn is_full(&self) -> bool {
        matches!(&*self.0, redb::Error::Io(error) if is_full(error))
    }

    /// The handle is one that an earlier error left of no use: another takes its place.
    pub(crate) fn is_of_an_old_handle(&self) -> bool {
        matches!(&*self.0, redb::Error::PreviousIo | redb::Error::DatabaseClosed)
    }

    /// As a reason not to open the folder.
    pub(crate) fn into_open_error(self) -> OpenError {
        match &*self.0 {
            redb::Error::Io(error) => match error.kind() {
                ErrorKind::NotFound => OpenError::Missing { file: NAME.into() },
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof => self.into_damage(),
                _ => OpenError::Io(self.to_string()),
            },
            redb::Error::PreviousIo => OpenError::Io(self.to_string()),
            _ => self.into_damage(),
        }
    }

    fn into_damage(self) -> OpenError {
        OpenError::Damaged { file: NAME.into(), position: 0, what: self.0.to_string() }
    }
}

/// The open database.
#[derive(Debug)]
pub(crate) struct Database {
    disk: Arc<dyn Disk>,
    cache_bytes: usize,
    open: RwLock<Arc<Handle>>,
    changing: Mutex<()>,
    /// What opening wants to change in the file.
    held: (Arc<dyn File>, Arc<Held>),
}

/// The database's own handle, which writes when it is dropped.
#[derive(Debug)]
struct Handle(Option<redb::Database>);

impl Handle {
    fn new(database: redb::Database) -> Arc<Self> {
        Arc::new(Self(Some(database)))
    }

    fn get(&self) -> &redb::Database {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let database = self.0.take();
        let closed = guarded(|| {
            drop(database);
            Ok(())
        });
        if let Err(error) = closed {
            tracing::error!(%error, "the tables were not closed");
        }
    }
}

impl Database {
    /// Make a new one that stands at `checkpoint`. It has its name only when it is whole.
    pub(crate) fn create(disk: &dyn Disk, checkpoint: Checkpoint) -> Result<(), DatabaseError> {
        let file = disk.open(TEMPORARY, OpenMode::Create).map_err(DatabaseError::io)?;
        let backend = FileBackend::new(Arc::clone(&file));
        let database = redb::Builder::new()
            .set_cache_size(1 << 20)
            .create_with_backend(backend)
            .map_err(DatabaseError::new)?;
        write(&database, &Layer::default(), &Manifest::default(), checkpoint)?;
        drop(database);
        give_name(disk, &*file).map_err(DatabaseError::io)
    }

    pub(crate) fn open(disk: Arc<dyn Disk>, cache_bytes: usize) -> Result<Self, DatabaseError> {
        let file = disk.open(NAME, OpenMode::Write).map_err(DatabaseError::io)?;
        let (backend, held) = FileBackend::holding(Arc::clone(&file));
        let database = open(backend, &*file, cache_bytes)?;
        let open = RwLock::new(Handle::new(database));
        Ok(Self { disk, cache_bytes, open, changing: Mutex::new(()), held: (file, held) })
    }

    /// The folder makes sense: from here on the file may change.
    pub(crate) fn release(&self) -> io::Result<()> {
        let (file, held) = &self.held;
        held.release(&**file)
    }

    /// Is there one in the folder?
    pub(crate) fn exists(disk: &dyn Disk) -> io::Result<bool> {
        match disk.open(NAME, OpenMode::Read) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether every page that is reachable has the right checksum. Slow, and mends what it can:
    /// for a disk that keeps no changes.
    pub(crate) fn is_sound(disk: &dyn Disk, cache_bytes: usize) -> Result<bool, DatabaseError> {
        let file = disk.open(NAME, OpenMode::Write).map_err(DatabaseError::io)?;
        let mut database = open(FileBackend::new(Arc::clone(&file)), &*file, cache_bytes)?;
        let sound = guarded(|| database.check_integrity().map_err(DatabaseError::new));
        guarded(|| {
            drop(database);
            Ok(())
        })?;
        sound
    }

    /// Everything that recovery needs to know.
    pub(crate) fn load(&self) -> Result<(Checkpoint, Manifest), DatabaseError> {
        self.snapshot()?.load()
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DatabaseError> {
        let get = || self.snapshot()?.get(table, key);
        match get() {
            Err(error) if error.is_of_an_old_handle() => {
                self.settle();
                get()
            }
            row => row,
        }
    }

    /// The rows as they are now, whatever happens later. Keep it short: it pins pages.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, DatabaseError> {
        self.open.read().get().begin_read().map(Snapshot).map_err(DatabaseError::new)
    }

    /// Advance the checkpoint: rows, manifest and place in the write-ahead log, all or nothing.
    pub(crate) fn advance(
        &self,
        layer: &Layer,
        manifest: &Manifest,
        checkpoint: Checkpoint,
    ) -> Result<(), (DatabaseFailure, DatabaseError)> {
        self.change(
            |database| write(database, layer, manifest, checkpoint),
            |found, _| found == checkpoint,
        )
    }

    /// Change what sealed segments are, all or nothing.
    pub(crate) fn rearrange(
        &self,
        rearrangement: &Rearrangement,
    ) -> Result<(), (DatabaseFailure, DatabaseError)> {
        self.change(
            |database| {
                let transaction = begin(database)?;
                rearrange(&transaction, rearrangement).map_err(DatabaseError::new)?;
                transaction.commit().map_err(DatabaseError::new)
            },
            |_, found| rearrangement.is_done_in(found),
        )
    }

    /// One transaction at a time: a database that has to be opened again must not be in use. A
    /// commit that failed may be there all the same: `is_done` tells, by what is found then.
    fn change(
        &self,
        work: impl FnOnce(&redb::Database) -> Result<(), DatabaseError>,
        is_done: impl FnOnce(Checkpoint, &Manifest) -> bool,
    ) -> Result<(), (DatabaseFailure, DatabaseError)> {
        let _one = self.changing.lock();
        // The lock is for the handle alone: readers must not wait for a commit of the database.
        let current = Arc::clone(&self.open.read());
        let Err(error) = guarded(|| work(current.get())) else { return Ok(()) };
        if !error.is_full() {
            return Err((DatabaseFailure::Fatal, error));
        }
        // After an error it refuses everything; opened again, it stands at its last commit, which
        // is on disk now: opening writes and syncs the page that names it.
        let database = self.open_again().map_err(|error| (DatabaseFailure::Fatal, error))?;
        *self.open.write() = Handle::new(database);
        let (checkpoint, manifest) =
            self.load().map_err(|error| (DatabaseFailure::Fatal, error))?;
        if is_done(checkpoint, &manifest) { Ok(()) } else { Err((DatabaseFailure::Full, error)) }
    }

    /// What happens between an error for lack of room and the end of opening again.
    #[cfg(test)]
    pub(super) fn while_broken<T>(&self, set_full: &dyn Fn(bool), work: impl FnOnce() -> T) -> T {
        let _one = self.changing.lock();
        set_full(true);
        let current = Arc::clone(&self.open.read());
        let long = vec![1; 1 << 20].into();
        let mut layer = Layer::default();
        layer.apply(TableChange::new(Table::Meta, b"long"[..].into(), Some(long)));
        let start = Checkpoint { epoch: 1, next_lsn: 1 };
        let written = guarded(|| write(current.get(), &layer, &Manifest::default(), start));
        assert!(written.is_err_and(|error| error.is_full()));
        let answer = work();
        set_full(false);
        *self.open.write() = Handle::new(self.open_again().expect("there is room"));
        answer
    }

    /// Wait until whoever changes the database is done: it is the one to open it again.
    pub(super) fn settle(&self) {
        drop(self.changing.lock());
    }

    fn open_again(&self) -> Result<redb::Database, DatabaseError> {
        let file = self.disk.open(NAME, OpenMode::Write).map_err(DatabaseError::io)?;
        open(FileBackend::new(Arc::clone(&file)), &*file, self.cache_bytes)
    }
}

/// Whole and on the disk, it gets its name.
fn give_name(disk: &dyn Disk, file: &dyn File) -> io::Result<()> {
    file.sync_data()?;
    disk.rename(TEMPORARY, NAME)?;
    disk.sync_dir("")
}

type RowTable = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The rows at one moment.
pub(crate) struct Snapshot(ReadTransaction);

impl Snapshot {
    /// `None` while the file is as an earlier build left it, which did not know the table.
    fn table(&self, table: Table) -> Result<Option<RowTable>, DatabaseError> {
        match self.0.open_table(definition(table)) {
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            table => table.map(Some).map_err(DatabaseError::new),
        }
    }

    /// An earlier build has no such table.
    fn sealed(&self) -> Result<Vec<SealedRow>, DatabaseError> {
        let table = match self.0.open_table(SEALED) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            table => table.map_err(DatabaseError::new)?,
        };
        let mut rows = Vec::new();
        for row in table.iter().map_err(DatabaseError::new)? {
            let (key, row) = row.map_err(DatabaseError::new)?;
            let ((partition, base), (version, generation, compacted)) = (key.value(), row.value());
            if version != SEALED_VERSION {
                let error = format!("a row of sealed segments has version {version}");
                return Err(DatabaseError::io(io::Error::new(ErrorKind::InvalidData, error)));
            }
            let partition = PartitionId(partition);
            rows.push(SealedRow { partition, base, generation, compacted });
        }
        Ok(rows)
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, DatabaseError> {
        guarded(|| {
            let Some(table) = self.table(table)? else { return Ok(None) };
            let row = table.get(key).map_err(DatabaseError::new)?;
            Ok(row.map(|row| row.value().to_vec()))
        })
    }

    /// What the checkpoint says besides rows.
    pub(crate) fn load(&self) -> Result<(Checkpoint, Manifest), DatabaseError> {
        guarded(|| self.load_trusting())
    }

    fn load_trusting(&self) -> Result<(Checkpoint, Manifest), DatabaseError> {
        let table = self.0.open_table(CHECKPOINT).map_err(DatabaseError::new)?;
        let number = |name: &str| match table.get(name) {
            Ok(row) => row.map(|row| row.value()).ok_or_else(|| {
                let error = format!("the checkpoint has no {name}");
                DatabaseError::io(io::Error::new(ErrorKind::InvalidData, error))
            }),
            Err(error) => Err(DatabaseError::new(error)),
        };
        let checkpoint = Checkpoint { epoch: number("epoch")?, next_lsn: number("next_lsn")? };
        let mut manifest = Manifest::default();
        let table = self.0.open_table(PARTITIONS).map_err(DatabaseError::new)?;
        for row in table.iter().map_err(DatabaseError::new)? {
            let (id, row) = row.map_err(DatabaseError::new)?;
            let (start, end) = row.value();
            manifest.partitions.push(PartitionRow { id: PartitionId(id.value()), start, end });
        }
        let table = self.0.open_table(SEGMENTS).map_err(DatabaseError::new)?;
        for row in table.iter().map_err(DatabaseError::new)? {
            let (key, row) = row.map_err(DatabaseError::new)?;
            let ((partition, base), (next, bytes, max_timestamp, sealed)) =
                (key.value(), row.value());
            let partition = PartitionId(partition);
            let row = SegmentRow { partition, base, next, bytes, max_timestamp, sealed };
            manifest.segments.push(row);
        }
        manifest.sealed = self.sealed()?;
        Ok((checkpoint, manifest))
    }

    pub(crate) fn scan(
        &self,
        table: Table,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        visit: &mut VisitRow<'_>,
    ) -> Result<ControlFlow<()>, DatabaseError> {
        if is_inverted(range) {
            return Ok(ControlFlow::Continue(()));
        }
        let Some(table) = self.table(table)? else { return Ok(ControlFlow::Continue(())) };
        let mut rows = guarded(|| table.range::<&[u8]>(range).map_err(DatabaseError::new))?;
        while let Some(row) = guarded(|| rows.next().transpose().map_err(DatabaseError::new))? {
            let (key, value) = guarded(|| Ok((row.0.value(), row.1.value())))?;
            if visit(key, value).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn open(
    backend: FileBackend,
    file: &dyn File,
    cache_bytes: usize,
) -> Result<redb::Database, DatabaseError> {
    // The database would take an empty file for a new one.
    if file.len().map_err(DatabaseError::io)? == 0 {
        return Err(DatabaseError::io(io::Error::new(ErrorKind::InvalidData, "it is empty")));
    }
    guarded(|| {
        let mut builder = redb::Builder::new();
        builder.set_cache_size(cache_bytes);
        builder.create_with_backend(backend).map_err(DatabaseError::new)
    })
}

/// The database trusts its pages: a damaged one makes it panic. To us that is an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, DatabaseError>) -> Result<T, DatabaseError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let what = "a page is damaged";
        Err(DatabaseError::io(io::Error::new(ErrorKind::InvalidData, what)))
    })
}

/// Rows may be ahead of the checkpoint: replaying the log sets them to what it says last. So what
/// is too much for one transaction goes ahead in several, and the last moves the checkpoint.
fn write(
    database: &redb::Database,
    layer: &Layer,
    manifest: &Manifest,
    checkpoint: Checkpoint,
) -> Result<(), DatabaseError> {
    let mut rows = layer.all_rows().peekable();
    loop {
        let transaction = begin(database)?;
        fill_rows(&transaction, &mut rows.by_ref().take(ROWS_MAX)).map_err(DatabaseError::new)?;
        let is_last = rows.peek().is_none();
        if is_last {
            fill_place(&transaction, manifest, checkpoint).map_err(DatabaseError::new)?;
        }
        transaction.commit().map_err(DatabaseError::new)?;
        if is_last {
            return Ok(());
        }
    }
}

fn begin(database: &redb::Database) -> Result<WriteTransaction, DatabaseError> {
    let mut transaction = database.begin_write().map_err(DatabaseError::new)?;
    // Rows come from strangers, who might craft a page whose checksum fits: two phases do not
    // rely on it. It also leaves what a quick open needs.
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    Ok(transaction)
}

fn fill_place(
    transaction: &WriteTransaction,
    manifest: &Manifest,
    checkpoint: Checkpoint,
) -> Result<(), redb::Error> {
    let mut partitions = transaction.open_table(PARTITIONS)?;
    for row in &manifest.partitions {
        // Retention may have moved it on since it was looked at.
        let known = partitions.get(row.id.0)?.map_or(0, |known| known.value().0);
        partitions.insert(row.id.0, (row.start.max(known), row.end))?;
    }
    let mut segments = transaction.open_table(SEGMENTS)?;
    for row in &manifest.segments {
        insert_segment(&mut segments, row)?;
    }
    let mut place = transaction.open_table(CHECKPOINT)?;
    place.insert("epoch", checkpoint.epoch)?;
    place.insert("next_lsn", checkpoint.next_lsn)?;
    Ok(())
}

fn insert_segment(
    segments: &mut redb::Table<'_, (u32, u64), (u64, u64, i64, bool)>,
    row: &SegmentRow,
) -> Result<(), redb::Error> {
    let value = (row.next, row.bytes, row.max_timestamp, row.sealed);
    segments.insert((row.partition.0, row.base), value)?;
    Ok(())
}

fn rearrange(
    transaction: &WriteTransaction,
    rearrangement: &Rearrangement,
) -> Result<(), redb::Error> {
    let mut segments = transaction.open_table(SEGMENTS)?;
    let mut sealed = transaction.open_table(SEALED)?;
    for segment in &rearrangement.rolled {
        insert_segment(&mut segments, segment)?;
    }
    for (segment, row) in &rearrangement.replaced {
        insert_segment(&mut segments, segment)?;
        let value = (SEALED_VERSION, row.generation, row.compacted);
        sealed.insert((row.partition.0, row.base), value)?;
    }
    for (partition, base) in &rearrangement.removed {
        segments.remove((partition.0, *base))?;
        sealed.remove((partition.0, *base))?;
    }
    let mut partitions = transaction.open_table(PARTITIONS)?;
    for (partition, start) in &rearrangement.starts {
        let known = partitions.get(partition.0)?.map_or((0, 0), |known| known.value());
        partitions.insert(partition.0, (known.0.max(*start), known.1))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Checkpoint, Database, DatabaseError, DatabaseFailure, Layer, Manifest};
    use super::{PartitionRow, Rearrangement};
    use crate::commit::TableChange;
    use crate::disk::sim::{Fault, SimDisk};
    use crate::table::Table;
    use std::sync::Arc;
    use tidewire_proto::id::PartitionId;

    const START: Checkpoint = Checkpoint { epoch: 1, next_lsn: 1 };
    const THEN: Checkpoint = Checkpoint { epoch: 2, next_lsn: 9 };

    fn made(disk: &Arc<SimDisk>) -> Database {
        Database::create(&**disk, START).expect("made");
        let database = Database::open(disk.clone(), 1 << 20).expect("opens");
        database.release().expect("released");
        database
    }

    fn rows(bytes: usize) -> Layer {
        let mut layer = Layer::default();
        let row = Some(vec![7; bytes].into());
        layer.apply(TableChange::new(Table::Cursors, b"row"[..].into(), row));
        layer
    }

    type Answer = Result<(), (DatabaseFailure, DatabaseError)>;

    /// Whichever sync fails for lack of room: the answer says what is there.
    fn check(change: fn(&Database) -> Answer, is_done: fn(&Database) -> bool) {
        let (mut done, mut refused) = (0, 0);
        for after in 0..6 {
            let disk = SimDisk::new(after);
            let database = made(&disk);
            disk.fail_once(Fault::FullSync, after);
            let answer = change(&database);
            assert_eq!(answer.is_ok(), is_done(&database), "sync {after}");
            if disk.faults_met() > 0 {
                *(if answer.is_ok() { &mut done } else { &mut refused }) += 1;
            }
        }
        assert!(done > 0 && refused > 0, "{done} done, {refused} refused");
    }

    #[test]
    fn a_checkpoint_that_is_found_after_its_sync_failed_has_happened() {
        let advance = |database: &Database| {
            let start = PartitionRow { id: PartitionId(0), start: 0, end: 0 };
            let manifest = Manifest { partitions: vec![start], ..Manifest::default() };
            database.advance(&rows(100), &manifest, THEN)
        };
        check(advance, |database| database.load().expect("readable").0 == THEN);
    }

    #[test]
    fn a_rearrangement_that_is_found_after_its_sync_failed_has_happened() {
        let rearrange = |database: &Database| {
            let starts = vec![(PartitionId(0), 5)];
            database.rearrange(&Rearrangement { starts, ..Rearrangement::default() })
        };
        check(rearrange, |database| !database.load().expect("readable").1.partitions.is_empty());
    }

    #[test]
    fn a_quota_that_is_used_up_is_a_full_disk_to_the_tables() {
        let disk = SimDisk::new(1);
        let database = made(&disk);
        disk.set_quota(Some(disk.used_bytes()));
        let refused = database.advance(&rows(1 << 20), &Manifest::default(), THEN);
        assert_eq!(refused.expect_err("no room").0, DatabaseFailure::Full);
        disk.set_quota(None);
        database.advance(&rows(1 << 20), &Manifest::default(), THEN).expect("there is room");
    }
}
