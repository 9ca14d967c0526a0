//! Streams that keep the newest record of each key: takes out of sealed segments what newer sealed
//! records replace. Offsets stay; never looks at what is not sealed.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;

use tidewire_proto::record::Record;

use crate::engine::Engine;
use crate::partition::{Partition, Refined, Segment};
use crate::seal::{mark, rewrite};
use crate::segment::{self, Recipe};
use crate::stream::Stream;

/// Keys that are remembered at a time, some 50 bytes each. Records of more keys than that stay,
/// superseded or not: those of the newest segments are remembered first.
const KEYS_MAX: usize = 4 << 20;

/// Everything that can be done now, on the caller's thread.
pub(crate) fn run_pending(engine: &Engine) {
    for stream in engine.catalog.streams().iter().filter(|stream| stream.config.compact) {
        for id in &stream.partitions {
            let Some(partition) = engine.catalog.partition(*id) else { continue };
            if let Err(error) = compact(engine, stream, &partition) {
                let folder = &partition.folder;
                tracing::warn!(folder, %error, "a partition was not compacted");
            }
        }
    }
}

fn compact(engine: &Engine, stream: &Stream, partition: &Arc<Partition>) -> io::Result<()> {
    let segments = partition.sealed_segments();
    let usable = |segment: &&Segment| {
        segment.refined.is_some() && !engine.sealer.leaves_alone(partition.id, segment.base)
    };
    let refined: Vec<Segment> = segments.iter().filter(usable).copied().collect();
    if !is_worth_it(&refined) {
        return Ok(());
    }
    let mut newest = Newest::default();
    for segment in refined.iter().rev() {
        if engine.sealer.is_closed() {
            return Ok(());
        }
        let located = engine.located(partition, segment);
        segment::visit(located, &mut |offset, record| newest.note(offset, record))?;
    }
    // Older records of a removed key must be gone before what says that it was removed.
    let mut older_are_clean = refined.len() == segments.len() && stream.layouts.len() == 1;
    for segment in &refined {
        if engine.sealer.is_closed() || engine.health.failure().is_some() {
            return Ok(());
        }
        let grace_ms = older_are_clean.then_some(engine.options.tombstone_grace_ms);
        let limit = grace_ms.map(|grace| engine.sealer.now_ms().saturating_sub_unsigned(grace));
        let keep = |offset: u64, record: &Record<'_>| newest.keeps(offset, record, limit);
        older_are_clean &= compact_one(engine, stream, partition, segment, &keep)?;
    }
    Ok(())
}

/// New segments must come to a good part of the old ones: all are read for it.
fn is_worth_it(segments: &[Segment]) -> bool {
    let compacted = |segment: &&Segment| segment.refined.is_some_and(|refined| refined.compacted);
    let (clean, new): (Vec<_>, Vec<_>) = segments.iter().partition(compacted);
    let bytes = |segments: &[&Segment]| segments.iter().map(|segment| segment.bytes).sum::<u64>();
    !new.is_empty() && bytes(&new) * 2 >= bytes(&clean)
}

/// True if the segment holds nothing more that is superseded.
fn compact_one(
    engine: &Engine,
    stream: &Stream,
    partition: &Arc<Partition>,
    segment: &Segment,
    keep: &dyn Fn(u64, &Record<'_>) -> bool,
) -> io::Result<bool> {
    let mut superseded = false;
    let located = engine.located(partition, segment);
    let is_whole = segment::visit(located, &mut |offset, record| {
        superseded |= !keep(offset, record);
    })?;
    if !is_whole {
        engine.sealer.leave_alone(partition.id, segment.base);
        return Ok(false);
    }
    if !superseded {
        let generation = segment.generation();
        let refined = Some(Refined { generation, compacted: true });
        return Ok(
            segment.refined == refined || mark(engine, partition, &Segment { refined, ..*segment })
        );
    }
    let recipe = Recipe {
        compression: stream.config.compression,
        batch_bytes: engine.options.sealed_batch_bytes,
        compacted: true,
        keep: &mut |offset, record| keep(offset, record),
        stop: engine.sealer.stop(),
    };
    Ok(rewrite(engine, partition, segment, recipe))
}

/// Where the newest record of each key is. Keys are known by two hashes with secret seeds: that
/// two of them meet does not happen.
#[derive(Default)]
struct Newest {
    seeds: [RandomState; 2],
    offsets: HashMap<[u64; 2], u64>,
}

impl Newest {
    fn hash(&self, key: &[u8]) -> [u64; 2] {
        [self.seeds[0].hash_one(key), self.seeds[1].hash_one(key)]
    }

    fn note(&mut self, offset: u64, record: &Record<'_>) {
        let Some(key) = record.key else { return };
        let hash = self.hash(key);
        let is_full = self.offsets.len() >= KEYS_MAX;
        match self.offsets.get_mut(&hash) {
            Some(newest) => *newest = offset.max(*newest),
            None if is_full => (),
            None => drop(self.offsets.insert(hash, offset)),
        }
    }

    /// A record that says that its key was removed goes when it is older than `limit`.
    fn keeps(&self, offset: u64, record: &Record<'_>, limit: Option<i64>) -> bool {
        let Some(key) = record.key else { return true };
        let Some(newest) = self.offsets.get(&self.hash(key)) else { return true };
        let outlived = limit.is_some_and(|limit| record.timestamp_ms < limit);
        *newest == offset && !(record.value.is_none() && outlived)
    }
}
