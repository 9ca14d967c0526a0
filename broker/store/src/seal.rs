//! What happens to a segment once it is full, in a thread of its own: it is written anew and
//! changes places with the old one in one transaction. Never holds up the writer or the
//! checkpoint.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use tidewire_proto::record::Compression;

use crate::engine::Engine;
use crate::partition::{Partition, Segment};
use crate::segment::{self, Recipe, Rewritten};
use crate::stream::Stream;
use crate::tables::{DatabaseFailure, Rearrangement, SealedRow, SegmentRow};
use crate::wal::passes;

/// Remove what an earlier run left behind.
pub(crate) fn sweep(engine: &Engine) {
    for partition in engine.catalog.partitions() {
        if let Err(error) = segment::sweep(&*engine.disk, &partition) {
            let folder = &partition.folder;
            tracing::warn!(folder, %error, "leftover files stay behind");
        }
    }
}

/// Everything that can be done now, on the caller's thread.
pub(crate) fn run_pending(engine: &Engine) {
    for stream in engine.catalog.streams().iter() {
        for id in &stream.partitions {
            let Some(partition) = engine.catalog.partition(*id) else { continue };
            for segment in partition.sealed_segments() {
                if engine.sealer.is_closed() || engine.health.failure().is_some() {
                    return;
                }
                let is_new = segment.refined.is_none();
                if is_new && !engine.sealer.leaves_alone(*id, segment.base) {
                    refine(engine, stream, &partition, &segment);
                }
            }
        }
    }
}

/// Batches of this share of the size that they would get are large enough: headers are a
/// hundredth of them, and who wants a single record has less to read.
const ENOUGH_SHARE: usize = 8;
/// Batches of so many times that size are too large for who wants a single record.
const TOO_LARGE: usize = 2;

fn refine(engine: &Engine, stream: &Stream, partition: &Arc<Partition>, segment: &Segment) {
    if has_good_batches(engine, stream, partition, segment) {
        enrich(engine, partition, segment);
        return;
    }
    let recipe = Recipe {
        compression: stream.config.compression,
        batch_bytes: engine.options.sealed_batch_bytes,
        compacted: false,
        keep: &mut |_, _| true,
        stop: engine.sealer.stop(),
    };
    rewrite(engine, partition, segment, recipe);
}

/// How long batches are that stay as they are where nothing is to be compressed.
pub(crate) fn good_batch_bytes(engine: &Engine) -> Range<usize> {
    let wanted = engine.options.sealed_batch_bytes;
    wanted / ENOUGH_SHARE..wanted * TOO_LARGE
}

/// Is there nothing to gain by writing it anew?
fn has_good_batches(
    engine: &Engine,
    stream: &Stream,
    partition: &Partition,
    segment: &Segment,
) -> bool {
    let good = good_batch_bytes(engine);
    stream.config.compression == Compression::None
        && matches!(
            segment::usual_batch_bytes(engine.located(partition, segment)),
            Ok(Some(lengths)) if lengths.iter().all(|bytes| good.contains(bytes))
        )
}

/// Give one segment its topic index and leave its batches where they are.
fn enrich(engine: &Engine, partition: &Arc<Partition>, segment: &Segment) {
    let (located, stop) = (engine.located(partition, segment), engine.sealer.stop());
    let made = segment::enrich(located, &engine.drafts, stop);
    let Some(with_index) = outcome(engine, partition, segment, made) else { return };
    if mark(engine, partition, &with_index) {
        segment::remove_sieves(&*engine.disk, partition, segment);
    } else if !partition.has(segment) {
        // Retention was faster, and did not know of the index.
        segment::remove(&*engine.disk, partition, segment);
    }
}

/// Write one segment anew and let it take its place. False if it stays as it is.
pub(crate) fn rewrite(
    engine: &Engine,
    partition: &Arc<Partition>,
    segment: &Segment,
    recipe: Recipe<'_>,
) -> bool {
    let made = segment::rewrite(engine.located(partition, segment), recipe);
    let new = outcome(engine, partition, segment, made);
    new.is_some_and(|new| swap(engine, partition, segment, new))
}

/// What a segment becomes, if it does not stay as it is.
fn outcome(
    engine: &Engine,
    partition: &Partition,
    segment: &Segment,
    made: io::Result<Rewritten>,
) -> Option<Segment> {
    let (folder, base) = (&partition.folder, segment.base);
    match made {
        Ok(Rewritten::Done(new)) => return Some(new),
        Ok(Rewritten::Stopped) => (),
        Ok(Rewritten::Damaged) => engine.sealer.leave_alone(partition.id, base),
        Err(error) if passes(&error) => {
            tracing::warn!(folder, base, %error, "a segment cannot be written anew now");
        }
        Err(error) => {
            tracing::error!(folder, base, %error, "a segment stays as it is");
            engine.sealer.leave_alone(partition.id, base);
        }
    }
    None
}

fn swap(engine: &Engine, partition: &Arc<Partition>, old: &Segment, new: Segment) -> bool {
    let _arranging = engine.sealer.arranging();
    if !partition.has(old) {
        // Retention was faster.
        segment::remove(&*engine.disk, partition, &new);
        return false;
    }
    if !note(engine, partition, &new) {
        // A commit that failed may still be found by the next start: the files of both must stay
        // until it is known which of them a row names.
        return false;
    }
    partition.replace(new);
    engine.remove_segment(partition, *old);
    true
}

/// Note what became of a segment whose files stay. False if it is as it was.
pub(crate) fn mark(engine: &Engine, partition: &Arc<Partition>, segment: &Segment) -> bool {
    let _arranging = engine.sealer.arranging();
    let marked = partition.has(segment) && note(engine, partition, segment);
    if marked {
        partition.replace(*segment);
    }
    marked
}

fn note(engine: &Engine, partition: &Partition, segment: &Segment) -> bool {
    let Some(refined) = segment.refined else { return false };
    let row = SegmentRow {
        partition: partition.id,
        base: segment.base,
        next: segment.next,
        bytes: segment.bytes,
        max_timestamp: segment.max_timestamp,
        sealed: true,
    };
    let sealed = SealedRow {
        partition: partition.id,
        base: segment.base,
        generation: refined.generation,
        compacted: refined.compacted,
    };
    rearrange(engine, &Rearrangement { replaced: vec![(row, sealed)], ..Rearrangement::default() })
}

/// Change the manifest. False if it is as it was.
pub(crate) fn rearrange(engine: &Engine, change: &Rearrangement) -> bool {
    match engine.tables.database().rearrange(change) {
        Ok(()) => return true,
        Err((DatabaseFailure::Full, error)) => {
            tracing::warn!(%error, "no room to note a change of segments");
        }
        Err((DatabaseFailure::Fatal, error)) => {
            let reason = engine.health.fail(&format!("segments: {error}"));
            engine.supply.fail(reason);
        }
    }
    false
}
