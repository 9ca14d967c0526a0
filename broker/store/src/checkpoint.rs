//! Moves what a full write-ahead log file holds to where it stays: batches to segments, rows to the
//! database. Runs behind the writer and never holds it up, except by not giving files back.

mod loaded;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use loaded::{loaded, pays};
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::Compression;

use crate::background;
use crate::engine::{Engine, FullFile};
use crate::partition::Segment;
use crate::resieve;
use crate::seal::good_batch_bytes;
use crate::segment::{self, Sources};
use crate::tables::{DatabaseFailure, Manifest, PartitionRow, SegmentRow};
use crate::wal::passes;

/// How often a full disk is tried again.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// Why a checkpoint did not happen.
enum Stop {
    /// No room; the same again later.
    Full(String),
    /// The disk or what is on it is broken.
    Fatal(String),
}

/// The checkpointer's thread: until closed and done, or the disk failed.
pub(crate) fn run(engine: &Engine) {
    background::step_back();
    while let Some(full) = engine.full_files.wait_first() {
        if step(engine, full) {
            continue;
        }
        if engine.health.failure().is_some() || engine.full_files.is_closed() {
            return;
        }
        engine.full_files.pause(FULL_RETRY);
    }
}

/// Checkpoint what waits, on the caller's thread.
pub(crate) fn run_pending(engine: &Engine) {
    while let Some(full) = engine.full_files.first() {
        if !step(engine, full) {
            return;
        }
    }
}

/// One file. False if it has to stay where it is.
fn step(engine: &Engine, full: Arc<FullFile>) -> bool {
    if engine.health.failure().is_some() {
        return false;
    }
    match checkpoint(engine, &full) {
        Ok(()) => {
            engine.full_files.pop();
            let file = Arc::clone(&full.file);
            // The supply uses a file again only when nobody else holds it.
            drop(full);
            engine.supply.set_stalled(false);
            engine.supply.give_back(file);
            true
        }
        Err(Stop::Full(reason)) => {
            tracing::warn!(reason, "no room for a checkpoint");
            engine.supply.set_stalled(true);
            false
        }
        Err(Stop::Fatal(reason)) => {
            let reason = engine.health.fail(&format!("checkpoint: {reason}"));
            engine.supply.fail(reason);
            false
        }
    }
}

fn checkpoint(engine: &Engine, full: &FullFile) -> Result<(), Stop> {
    let _arranging = engine.sealer.arranging();
    let epoch = full.file.epoch;
    let ahead = loaded(&full.file);
    drop_drafts(engine);
    let sift = engine.has_room_for_sieves();
    let (good_bytes, stay) = (good_batch_bytes(engine), uncompressed(engine));
    let mut manifest = Manifest::default();
    let mut moved = Vec::new();
    for partition in engine.catalog.partitions() {
        let placed = partition.placed_in(epoch);
        let Some(last) = placed.last() else { continue };
        let sources = Sources {
            disk: &*engine.disk,
            wal: if pays(&placed) { &ahead } else { &full.file },
            segment_bytes_max: engine.options.segment_bytes_max,
            sift,
            good_bytes: if stay.contains(&partition.id) { &good_bytes } else { &(0..0) },
            drafts: &engine.drafts,
        };
        let grown = segment::append(sources, &partition, &placed)?;
        let (id, start) = (partition.id, partition.segments_start());
        manifest.partitions.push(PartitionRow { id, start, end: last.next });
        manifest.segments.extend(grown.iter().map(|grown| row(id, &grown.segment)));
        moved.push((partition, grown));
    }
    engine.tables.database().advance(&full.layer, &manifest, full.then)?;
    for (partition, grown) in moved {
        let segments: Vec<Segment> = grown.iter().map(|grown| grown.segment).collect();
        partition.checkpointed(epoch, &segments);
        resieve::take_up(&partition, grown);
    }
    engine.sealer.wake();
    engine.tables.forget_oldest();
    engine.wal_files.write().remove(&epoch);
    Ok(())
}

/// The partitions whose batches are not compressed when a segment is full.
fn uncompressed(engine: &Engine) -> HashSet<PartitionId> {
    let streams = engine.catalog.streams();
    let stay = streams.iter().filter(|stream| stream.config.compression == Compression::None);
    stay.flat_map(|stream| stream.partitions.iter().copied()).collect()
}

/// Drafts of topic indexes that nobody will ask for.
fn drop_drafts(engine: &Engine) {
    engine.drafts.retain(|id, base| {
        let partition = engine.catalog.partition(id);
        let lacks_index = partition.is_some_and(|partition| partition.lacks_index(base));
        lacks_index && !engine.sealer.leaves_alone(id, base)
    });
}

fn row(partition: PartitionId, segment: &Segment) -> SegmentRow {
    SegmentRow {
        partition,
        base: segment.base,
        next: segment.next,
        bytes: segment.bytes,
        max_timestamp: segment.max_timestamp,
        sealed: segment.sealed,
    }
}

impl From<segment::AppendError> for Stop {
    fn from(error: segment::AppendError) -> Self {
        match &error {
            segment::AppendError::Io(io) if passes(io) => Self::Full(error.to_string()),
            segment::AppendError::Io(_) | segment::AppendError::Damaged { .. } => {
                Self::Fatal(error.to_string())
            }
        }
    }
}

impl From<(DatabaseFailure, crate::tables::DatabaseError)> for Stop {
    fn from((failure, error): (DatabaseFailure, crate::tables::DatabaseError)) -> Self {
        match failure {
            DatabaseFailure::Full => Self::Full(error.to_string()),
            DatabaseFailure::Fatal => Self::Fatal(error.to_string()),
        }
    }
}
