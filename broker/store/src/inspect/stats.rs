//! Counts what a folder holds. Never judges it.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use tidewire_proto::id::PartitionId;

use super::groups::{GroupStats, count_groups};
use super::shares::{ShareStats, count_shares};
use super::view::{LookError, View, load, names_in, stable};
use crate::disk::{Disk, OpenMode};
use crate::error::OpenError;
use crate::partition::Placed;
use crate::progress::Progress;
use crate::reader;
use crate::stream::Durability;
use crate::table::Table;
use crate::tables::DATABASE_FILE;
use crate::wal::{WAL_DIR, epoch_of};

/// Payloads are measured in at most this many places of a partition.
const SAMPLES: u64 = 64;
/// Read in each of them.
const SAMPLE_BYTES: usize = 1 << 20;

/// What a folder holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Streams in the order of their creation.
    pub streams: Vec<StreamStats>,
    /// The write-ahead log.
    pub log: LogStats,
    /// All tables.
    pub tables: Vec<TableStats>,
    /// Share groups.
    pub shares: Vec<ShareStats>,
    /// Consumer groups.
    pub groups: Vec<GroupStats>,
    /// Bytes of the database's file.
    pub database_bytes: u64,
    /// Why the write-ahead log could not be read to its end, if it could not.
    pub damage: Option<String>,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStats {
    /// Its name.
    pub name: String,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// By index.
    pub partitions: Vec<PartitionStats>,
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionStats {
    /// The first offset.
    pub from: u64,
    /// The offset behind the last record.
    pub to: u64,
    /// Bytes in segments.
    pub segment_bytes: u64,
    /// Bytes in the write-ahead log that are not in segments yet.
    pub log_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// The first record's time, in milliseconds since 1970.
    pub first_time: Option<i64>,
    /// The newest time.
    pub last_time: Option<i64>,
    /// Bytes of the batches in which payloads were measured: all, or a sample.
    pub measured_bytes: u64,
    /// Bytes of payloads in them.
    pub payload_bytes: u64,
}

/// The write-ahead log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files with commits that are not checkpointed.
    pub live_files: u64,
    /// Frames in them.
    pub frames: u64,
    /// Bytes of those.
    pub frame_bytes: u64,
    /// Records in them.
    pub records: u64,
    /// Table rows in them.
    pub changes: u64,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStats {
    /// Which.
    pub table: Table,
    /// Rows.
    pub rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// Count everything; payloads are measured in a sample of large partitions.
pub fn stats(disk: &Arc<dyn Disk>, progress: &mut dyn FnMut(Progress)) -> Result<Stats, LookError> {
    let (view, tables) = stable(disk, &mut |disk| {
        let view = load(disk, &mut |_| ())?;
        let tables = count_rows(&view)?;
        Ok((view, tables))
    })?;
    let mut stats = Stats {
        tables,
        shares: count_shares(&view)?,
        groups: count_groups(&view)?,
        log: count_log(&view)?,
        damage: view.log.as_ref().err().map(ToString::to_string),
        ..Stats::default()
    };
    let database = view.disk.open(DATABASE_FILE, OpenMode::Read).and_then(|file| file.len());
    stats.database_bytes = database.map_err(OpenError::from)?;
    let segments = segments_by_partition(&view);
    let streams = view.engine.catalog.streams();
    let total = streams.iter().map(|stream| stream.partitions.len() as u64).sum();
    let mut done = 0;
    for stream in streams.iter() {
        let mut partitions = Vec::new();
        for id in &stream.partitions {
            partitions.push(count_partition(&view, *id, segments.get(&id.0)));
            done += 1;
            progress(Progress { done, total });
        }
        let (name, durability) = (stream.name.clone(), stream.config.durability);
        stats.streams.push(StreamStats { name, durability, partitions });
    }
    Ok(stats)
}

/// Number, bytes and newest time of the segments.
type Segments = (u64, u64, i64);

fn segments_by_partition(view: &View) -> BTreeMap<u32, Segments> {
    let mut all = BTreeMap::new();
    for row in &view.manifest.segments {
        let sum: &mut Segments = all.entry(row.partition.0).or_insert((0, 0, i64::MIN));
        *sum = (sum.0 + 1, sum.1 + row.bytes, sum.2.max(row.max_timestamp));
    }
    all
}

fn count_rows(view: &View) -> Result<Vec<TableStats>, OpenError> {
    let mut counted = Vec::new();
    for table in Table::ALL {
        let mut sum = TableStats { table, rows: 0, bytes: 0 };
        let all = (Bound::Unbounded, Bound::Unbounded);
        let scanned = view.engine.tables.scan(table, all, &mut |key, value| {
            sum.rows += 1;
            sum.bytes += (key.len() + value.len()) as u64;
            ControlFlow::Continue(())
        });
        scanned.map_err(|error| OpenError::Io(error.to_string()))?;
        counted.push(sum);
    }
    Ok(counted)
}

fn count_log(view: &View) -> Result<LogStats, LookError> {
    let report = &view.report;
    let mut log = LogStats {
        live_files: view.log.as_ref().map_or(0, |log| log.live.len() as u64),
        frames: report.frames,
        frame_bytes: report.bytes,
        records: report.records,
        changes: report.changes,
        ..LogStats::default()
    };
    for name in names_in(&*view.disk, WAL_DIR).map_err(OpenError::from)? {
        if epoch_of(&name).is_none() {
            continue;
        }
        // A file may get another name at this moment; then it is counted the next time.
        let file = view.disk.open(&format!("{WAL_DIR}/{name}"), OpenMode::Read);
        if let Ok(bytes) = file.and_then(|file| file.len()) {
            log.files += 1;
            log.bytes += bytes;
        }
    }
    Ok(log)
}

fn count_partition(view: &View, id: PartitionId, segments: Option<&Segments>) -> PartitionStats {
    let Some(partition) = view.engine.catalog.partition(id) else {
        return PartitionStats::default();
    };
    let (from, to) = partition.bounds();
    let placed = partition.placed_in(u64::MAX);
    let (count, segment_bytes, newest) = segments.copied().unwrap_or((0, 0, i64::MIN));
    let newest_in_log = placed.iter().map(|one: &Placed| one.max_timestamp).max();
    let mut stats = PartitionStats {
        from,
        to,
        segment_bytes,
        log_bytes: placed.iter().map(|one| u64::from(one.bytes)).sum(),
        segments: count,
        last_time: newest_in_log.max(Some(newest).filter(|newest| *newest != i64::MIN)),
        ..PartitionStats::default()
    };
    let first = reader::read(&view.engine, id, from, 1).ok();
    let first = first.and_then(|slice| slice.batches.into_iter().next());
    stats.first_time = first.map(|stored| stored.batch.base_timestamp());
    measure(view, id, &mut stats);
    stats
}

/// Payload bytes, in places spread evenly over the partition.
fn measure(view: &View, id: PartitionId, stats: &mut PartitionStats) {
    let span = stats.to - stats.from;
    let mut next = stats.from;
    for sample in 0..SAMPLES {
        let evenly = u128::from(span) * u128::from(sample) / u128::from(SAMPLES);
        let from = next.max(stats.from + u64::try_from(evenly).unwrap_or(u64::MAX));
        if from >= stats.to {
            break;
        }
        // What cannot be read is not measured; verify is there to name it.
        let Ok(slice) = reader::read(&view.engine, id, from, SAMPLE_BYTES) else { continue };
        next = slice.next;
        for stored in slice.batches.iter().filter(|stored| !stored.batch.is_control()) {
            stats.measured_bytes += stored.batch.bytes().len() as u64;
            let Ok(batch) = stored.batch.clone().open() else { continue };
            let payloads = batch.records().filter_map(|record| record.value);
            stats.payload_bytes += payloads.map(|value| value.len() as u64).sum::<u64>();
        }
    }
}
