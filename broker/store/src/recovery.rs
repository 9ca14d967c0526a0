//! From a data folder to a store that is as it was: checkpoint, then what the write-ahead log says
//! since. Changes nothing on disk before it knows that all of it makes sense.

use std::collections::HashMap;
use std::fmt;
use std::io::{ErrorKind, IoSlice};
use std::ops::{Bound, ControlFlow, Range};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::Batch;

use crate::catalog::Catalog;
use crate::clock::Stopwatch;
use crate::commit::TableChange;
use crate::disk::Disk;
use crate::engine::{Engine, FullFile, FullFiles, Pins};
use crate::error::OpenError;
use crate::folder;
use crate::frame::Entry;
use crate::mutation;
use crate::options::StoreOptions;
use crate::partition::{Placed, Refined, Segment};
use crate::resieve;
use crate::table::Table;
use crate::tables::{Checkpoint, Database, DatabaseError, Manifest, SealedRow, Tables};
use crate::wal::{Found, ReplayError, Replayed, Supply, WAL_DIR, WalFile, epoch_of, replay};
use crate::writer::Writer;

/// The smallest write-ahead log file: anything below is all header.
const WAL_FILE_BYTES_MIN: u64 = 16 << 10;
/// The largest: positions and lengths in it have 32 bits.
const WAL_FILE_BYTES_MAX: u64 = 1 << 30;

/// What opening the store found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Frames of the write-ahead log that were replayed.
    pub frames: u64,
    /// Bytes of those frames.
    pub bytes: u64,
    /// Records in them.
    pub records: u64,
    /// Table rows in them.
    pub changes: u64,
    /// A write that was under way when the store stopped, cut off: file and byte.
    pub torn: Option<(String, u64)>,
    /// How long it took.
    pub time: Duration,
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.time.as_millis();
        if self.frames == 0 {
            write!(f, "opened in {millis} ms, nothing to replay")?;
        } else {
            let Self { frames, bytes, records, changes, .. } = self;
            write!(
                f,
                "opened in {millis} ms, replayed {frames} frames ({bytes} bytes, {records} \
                 records, {changes} table rows) of the write-ahead log"
            )?;
        }
        if let Some((file, position)) = &self.torn {
            write!(f, "; cut an unfinished write off {file} at byte {position}")?;
        }
        Ok(())
    }
}

/// Commands that look whether a broker runs here have the lock for a moment.
const LOCK_TRIES: usize = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Nobody else opens the folder.
fn lock(disk: &dyn Disk) -> Result<(), OpenError> {
    for _ in 1..LOCK_TRIES {
        match disk.lock(folder::LOCK) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(error.into()),
            Ok(()) => return Ok(()),
        }
    }
    disk.lock(folder::LOCK).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => OpenError::Locked,
        _ => error.into(),
    })
}

/// Open the folder and bring everything back into memory.
pub(crate) fn recover(
    disk: Arc<dyn Disk>,
    options: StoreOptions,
) -> Result<(Arc<Engine>, Writer, RecoveryReport), OpenError> {
    let started = Stopwatch::start();
    check_options(&options)?;
    disk.create_dir("")?;
    lock(&*disk)?;
    folder::prepare(&*disk, options.wal_file_bytes)?;
    let database = Database::open(Arc::clone(&disk), options.table_cache_bytes);
    let database = database.map_err(DatabaseError::into_open_error)?;
    let (checkpoint, manifest) = database.load().map_err(DatabaseError::into_open_error)?;
    let engine = Arc::new(new_engine(disk, options, database));
    load_streams(&engine)?;
    restore_partitions(&engine, manifest)?;

    let mut rebuild = Rebuild::new(&engine);
    let recovering = Arc::clone(&engine.options.recovering);
    recovering.begin(bytes_from(&engine, checkpoint.epoch));
    let replayed = replay(&*engine.disk, checkpoint.epoch, checkpoint.next_lsn, &mut |found| {
        let files = found.file.epoch.saturating_sub(checkpoint.epoch);
        recovering.reached(files.saturating_mul(found.file.bytes).saturating_add(found.position));
        if mutation::replays_twice() {
            rebuild.take_up(&found)?;
        }
        rebuild.take_up(&found)
    })?;
    recovering.end();
    check_streams(&engine)?;
    resieve::load(&engine);
    let mut report = rebuild.report;
    report.frames = replayed.frames;
    report.bytes = replayed.bytes;
    report.torn.clone_from(&replayed.torn);
    let writer = carry_on(&engine, replayed)?;
    report.time = started.elapsed();
    Ok((engine, writer, report))
}

/// What is to be read of the write-ahead log, if its files are all of the size that they have now.
fn bytes_from(engine: &Engine, epoch: u64) -> u64 {
    let names = engine.disk.list(WAL_DIR).unwrap_or_default();
    let files = names.iter().filter_map(|name| epoch_of(name)).filter(|found| *found >= epoch);
    engine.options.wal_file_bytes.saturating_mul(files.count() as u64)
}

fn check_options(options: &StoreOptions) -> Result<(), OpenError> {
    let sizes = WAL_FILE_BYTES_MIN..=WAL_FILE_BYTES_MAX;
    if !sizes.contains(&options.wal_file_bytes) {
        let (min, max) = sizes.into_inner();
        return Err(OpenError::Option(format!("wal_file_bytes must be from {min} to {max}")));
    }
    for stream in &options.streams {
        if !crate::stream::name_is_legal(&stream.name) {
            let name = &stream.name;
            return Err(OpenError::Option(format!("a stream cannot be called {name:?}")));
        }
        if stream.partitions == 0 {
            return Err(OpenError::Option(format!("stream {} has no partitions", stream.name)));
        }
    }
    Ok(())
}

pub(crate) fn new_engine(disk: Arc<dyn Disk>, options: StoreOptions, database: Database) -> Engine {
    let live_max = (options.wal_bytes_max / options.wal_file_bytes).max(2);
    let live_max = usize::try_from(live_max).unwrap_or(usize::MAX);
    let supply = Supply::new(Arc::clone(&disk), options.wal_file_bytes, live_max, options.threads);
    Engine {
        disk,
        options,
        catalog: Catalog::default(),
        tables: Tables::new(database),
        queue: crate::queue::Queue::default(),
        supply,
        full_files: FullFiles::default(),
        archive: crate::segment::Archive::default(),
        sealer: crate::sealer::Sealer::default(),
        drafts: crate::segment::Drafts::default(),
        holds: crate::holds::Holds::default(),
        health: crate::health::HealthCell::default(),
        pins: Pins::default(),
        wal_files: RwLock::default(),
        followers: Mutex::default(),
    }
}

pub(crate) fn load_streams(engine: &Engine) -> Result<(), OpenError> {
    let mut failure = None;
    let all = (Bound::Unbounded, Bound::Unbounded);
    let scanned = engine.tables.scan(Table::Streams, all, &mut |key, value| match engine
        .catalog
        .apply(key, Some(value))
    {
        Ok(()) => ControlFlow::Continue(()),
        Err(what) => {
            failure = Some(what);
            ControlFlow::Break(())
        }
    });
    scanned.map_err(|error| OpenError::Io(error.to_string()))?;
    failure.map_or(Ok(()), |what| Err(damaged_tables(what)))
}

/// Is every row of every stream there? Rows may be ahead of the checkpoint, and so may a part of
/// those that one commit wrote: ask only when the log has been read.
pub(crate) fn check_streams(engine: &Engine) -> Result<(), OpenError> {
    let lacks = |name| Err(damaged_tables(format!("a row of stream {name} is missing")));
    engine.catalog.incomplete().map_or(Ok(()), lacks)?;
    let falls_short = |id: PartitionId| {
        let what = format!("partition {} ends before what was deleted of it", id.0);
        Err(damaged_tables(what))
    };
    engine.catalog.unreached().map_or(Ok(()), falls_short)
}

pub(crate) fn restore_partitions(engine: &Engine, manifest: Manifest) -> Result<(), OpenError> {
    let mut segments: HashMap<PartitionId, Vec<Segment>> = HashMap::new();
    let refined = |row: &SealedRow| {
        let refined = Refined { generation: row.generation, compacted: row.compacted };
        ((row.partition, row.base), refined)
    };
    let refined: HashMap<_, _> = manifest.sealed.iter().map(refined).collect();
    for row in manifest.segments {
        segments.entry(row.partition).or_default().push(Segment {
            base: row.base,
            next: row.next,
            bytes: row.bytes,
            max_timestamp: row.max_timestamp,
            sealed: row.sealed,
            refined: refined.get(&(row.partition, row.base)).copied(),
        });
    }
    for row in manifest.partitions {
        let partition = engine.catalog.partition(row.id).ok_or_else(|| {
            damaged_tables(format!("partition {} belongs to no stream", row.id.0))
        })?;
        let own = segments.remove(&row.id).unwrap_or_default();
        let reach = own.last().map_or(row.start, |last| last.next.max(row.start));
        if row.end > reach {
            let (id, end) = (row.id.0, row.end);
            let what = format!("partition {id} ends at offset {end}, its segments at {reach}");
            return Err(damaged_tables(what));
        }
        partition.restore(row.start, row.end, own);
    }
    Ok(())
}

fn damaged_tables(what: String) -> OpenError {
    OpenError::Damaged { file: "tables.redb".into(), position: 0, what }
}

/// From here on the folder changes: the log's end is made durable and the writer starts behind it.
fn carry_on(engine: &Arc<Engine>, replayed: Replayed) -> Result<Writer, OpenError> {
    engine.tables.database().release()?;
    // Nor may the name of what makes this a data folder.
    engine.disk.sync_dir("")?;
    // What we read may not be on disk yet: a crashed process does not take its writes along. And
    // where its sync failed the system would not even try again, so that it is written again.
    for frames in &replayed.unproven {
        if !mutation::trusts_what_it_reads() {
            let mut parts = [IoSlice::new(&frames.bytes)];
            frames.file.file.write_all_at(&mut parts, frames.position)?;
        }
    }
    for (file, part) in &replayed.unread {
        blank(file, part)?;
    }
    for file in &replayed.live {
        file.file.sync_data()?;
    }
    for name in &replayed.leftover {
        engine.disk.remove(name)?;
    }
    engine.disk.sync_dir(WAL_DIR)?;
    let Replayed { live, ready, spare, next_epoch, next_lsn, goes_on_at, .. } = replayed;
    engine.supply.resume(next_epoch, live.len(), ready, spare);
    engine.supply.prepare();
    let last = live.last().cloned();
    drop(live);
    let mut writer = Writer::new(Arc::clone(engine), last, goes_on_at, next_lsn);
    writer.take_ready_file();
    Ok(writer)
}

/// Write over what could not be read, and is not needed: a disk then puts a good sector there.
fn blank(file: &WalFile, part: &Range<u64>) -> Result<(), OpenError> {
    let (name, position, bytes) = (file.name(), part.start, part.end - part.start);
    tracing::warn!(
        name,
        position,
        bytes,
        "bytes behind the log's end cannot be read: written anew"
    );
    let zeros = vec![0; usize::try_from(bytes).unwrap_or_default()];
    file.file.write_all_at(&mut [IoSlice::new(&zeros)], position)?;
    Ok(file.file.sync_data()?)
}

/// Takes frames up as the writer would have published them.
pub(crate) struct Rebuild<'a> {
    engine: &'a Engine,
    file: Option<Arc<WalFile>>,
    pub(crate) report: RecoveryReport,
}

impl<'a> Rebuild<'a> {
    pub(crate) fn new(engine: &'a Engine) -> Self {
        Self { engine, file: None, report: RecoveryReport::default() }
    }

    pub(crate) fn take_up(&mut self, found: &Found<'_>) -> Result<(), String> {
        self.enter_file(found);
        for entry in found.frame.entries() {
            match entry.map_err(|_| "an entry of the frame is of an unknown kind")? {
                Entry::Append { partition, position, batch } => {
                    let position = found.position + position;
                    self.append(partition, found.file.epoch, position, batch)?;
                }
                Entry::Change { table, key, value } => self.change(table, key, value)?,
            }
        }
        Ok(())
    }

    /// A file is full when frames follow in the next.
    fn enter_file(&mut self, found: &Found<'_>) {
        if self.file.as_ref().is_some_and(|file| file.epoch == found.file.epoch) {
            return;
        }
        let engine = self.engine;
        engine.wal_files.write().insert(found.file.epoch, Arc::clone(found.file));
        if let Some(file) = self.file.replace(Arc::clone(found.file)) {
            let layer = engine.tables.freeze();
            let then = Checkpoint { epoch: found.file.epoch, next_lsn: found.frame.lsn };
            engine.full_files.push(FullFile { file, layer, then });
        }
    }

    fn append(
        &mut self,
        id: PartitionId,
        epoch: u64,
        position: u64,
        batch: &[u8],
    ) -> Result<(), String> {
        let partition = self.engine.catalog.partition(id);
        let partition = partition.ok_or_else(|| format!("there is no partition {}", id.0))?;
        let outline = Batch::outline(batch)
            .ok_or_else(|| format!("a batch for partition {} does not parse", id.0))?;
        let (_, end) = partition.bounds();
        let base = outline.base_offset;
        if base != end && !mutation::replays_twice() {
            return Err(format!("partition {} goes on at offset {base}, not {end}", id.0));
        }
        let placed = Placed {
            base,
            next: outline.next_offset,
            epoch,
            position,
            bytes: u32::try_from(batch.len()).map_err(|_| "a batch is too long".to_owned())?,
            max_timestamp: outline.max_timestamp,
        };
        self.report.records += placed.next - base;
        partition.push(placed, None);
        Ok(())
    }

    fn change(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
        if table == Table::Streams {
            self.engine.catalog.apply(key, value)?;
        }
        let change = TableChange::new(table, key.into(), value.map(Into::into));
        self.engine.tables.apply([change].into_iter());
        self.report.changes += 1;
        Ok(())
    }
}

impl From<ReplayError> for OpenError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Io(error) => error.into(),
            ReplayError::Missing(file) => Self::Missing { file },
            ReplayError::Damaged { file, position, what } => Self::Damaged { file, position, what },
        }
    }
}
