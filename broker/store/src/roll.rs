//! Seals a segment before it is full, where a stream that keeps records for a time fills one too
//! slowly: what is too old goes only with its whole segment. Never deletes.

use std::io;
use std::sync::Arc;

use crate::engine::Engine;
use crate::partition::{Partition, Segment};
use crate::seal::rearrange;
use crate::segment;
use crate::stream::Stream;
use crate::tables::{Rearrangement, SegmentRow};

/// A segment spans at most this part of the time that records are kept.
const PARTS_OF_AGE: u64 = 4;

/// Seal what spans too much time. The caller keeps the checkpoint out meanwhile.
pub(crate) fn roll(engine: &Engine, stream: &Stream, now_ms: i64) {
    let Some(age_ms) = stream.config.retention.age_ms else { return };
    let oldest = now_ms.saturating_sub_unsigned(age_ms / PARTS_OF_AGE);
    for id in &stream.partitions {
        let Some(partition) = engine.catalog.partition(*id) else { continue };
        let Some(last) = partition.last_segment().filter(|last| !last.sealed) else { continue };
        if let Err(error) = roll_one(engine, &partition, &last, oldest) {
            let folder = &partition.folder;
            tracing::warn!(folder, %error, "a segment was not sealed early");
        }
    }
}

fn roll_one(
    engine: &Engine,
    partition: &Arc<Partition>,
    last: &Segment,
    oldest: i64,
) -> io::Result<()> {
    let first = segment::first_timestamp(engine.located(partition, last))?;
    if first.is_none_or(|first| first >= oldest) {
        return Ok(());
    }
    let sealed = segment::close(&*engine.disk, &partition.folder, *last)?;
    let row = SegmentRow {
        partition: partition.id,
        base: sealed.base,
        next: sealed.next,
        bytes: sealed.bytes,
        max_timestamp: sealed.max_timestamp,
        sealed: true,
    };
    if rearrange(engine, &Rearrangement { rolled: vec![row], ..Rearrangement::default() }) {
        partition.replace(sealed);
        engine.sealer.wake();
    }
    Ok(())
}
