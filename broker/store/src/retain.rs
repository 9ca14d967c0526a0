//! Does what the retention rule says: deletes whole segments, moves the partitions' starts, and
//! reports. Never decides.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tidewire_proto::id::PartitionId;

use crate::engine::Engine;
use crate::partition::Segment;
use crate::retention::{Holding, Loss, Verdict, decide};
use crate::roll::roll;
use crate::seal::rearrange;
use crate::stream::Stream;
use crate::tables::Rearrangement;

/// Growth by this part of its limit, or of what it holds, is reason to look at a stream again.
const LOOKS_PER_LIMIT: u64 = 16;

/// What retention did with a stream, and what it will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionReport {
    /// Which stream.
    pub stream: String,
    /// What it holds now.
    pub bytes: u64,
    /// What of it is kept for its readers alone.
    pub held_bytes: u64,
    /// New records are refused until readers have read more.
    pub refuses: bool,
    /// What was deleted.
    pub deleted: Vec<Deleted>,
    /// What readers will lose if all goes on as it does.
    pub forecast: Option<Forecast>,
}

/// Records that are no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Whose.
    pub partition: PartitionId,
    /// The first offset that went.
    pub from: u64,
    /// The partition's start now.
    pub to: u64,
    /// How many bytes that were.
    pub bytes: u64,
    /// Who had not read all of it.
    pub lost_to: Vec<String>,
}

/// Readers lose data unless they read more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Who.
    pub readers: Vec<String>,
    /// In how many milliseconds.
    pub in_ms: u64,
    /// What goes when, soonest first.
    pub losses: Vec<Loss>,
}

/// Apply the rule to every stream.
pub(crate) fn retain(engine: &Engine, now_ms: i64) -> Vec<RetentionReport> {
    engine.sealer.set_now(now_ms);
    engine.archive.set_now(now_ms);
    let mut refused = HashSet::new();
    let mut reports = Vec::new();
    for stream in engine.catalog.streams().iter() {
        let report = retain_stream(engine, stream, now_ms);
        if report.refuses {
            refused.extend(stream.partitions.iter().copied());
        }
        reports.push(report);
    }
    engine.holds.refuse(refused);
    reports
}

/// Did a stream that may not hold more than so much for its readers grow past that since it was
/// looked at?
pub(crate) fn is_urgent(engine: &Engine) -> bool {
    engine.catalog.streams().iter().any(|stream| {
        let limit = stream.config.retention.hold_bytes;
        if limit == u64::MAX {
            return false;
        }
        let bytes = bytes_of(engine, stream);
        let grown = engine.holds.grown(&stream.name, bytes);
        bytes > limit && grown >= (limit.max(bytes) / LOOKS_PER_LIMIT).max(1)
    })
}

fn bytes_of(engine: &Engine, stream: &Stream) -> u64 {
    let partitions = stream.partitions.iter().filter_map(|id| engine.catalog.partition(*id));
    partitions.map(|partition| partition.bytes()).sum()
}

/// Remove the segments of these partitions that lie wholly before what is to stay. What cannot be
/// removed now goes when the rule is applied the next time. A stream that was full takes records
/// again at once if this made room.
pub(crate) fn clear(engine: &Engine, ids: &[PartitionId]) {
    let mut gone = Vec::new();
    let deleted = {
        let _alone = engine.sealer.arranging();
        let ids: BTreeSet<PartitionId> = ids.iter().copied().collect();
        let lowest = engine.holds.lowest();
        let found = ids.iter().filter_map(|id| holding(engine, *id, &lowest));
        let holdings: Vec<Holding> = found.collect();
        let mut verdict = Verdict::default();
        for holding in &holdings {
            let before = holding.segments.iter().take_while(|it| it.next <= holding.start);
            verdict.delete.push(before.count());
        }
        let deleted = delete(engine, &holdings, &verdict, &mut gone);
        accept_again(engine, &ids);
        deleted
    };
    remove_files(engine, gone);
    for Deleted { partition, from, to, bytes, .. } in deleted {
        tracing::info!(partition = partition.0, from, to, bytes, "segments of deleted records");
    }
}

fn accept_again(engine: &Engine, ids: &BTreeSet<PartitionId>) {
    let places = ids.iter().filter_map(|id| engine.catalog.place_of(*id));
    let names: BTreeSet<String> = places.map(|(name, _)| name).collect();
    let streams = engine.catalog.streams();
    for stream in streams.iter().filter(|stream| names.contains(&stream.name)) {
        if engine.holds.refused(stream.partitions.iter().copied()).is_none() {
            continue;
        }
        let holdings = holdings(engine, stream);
        let now_ms = engine.sealer.now_ms();
        if !decide(&stream.config.retention, &holdings, now_ms).refuse {
            engine.holds.accept(&stream.partitions);
        }
    }
}

fn remove_files(engine: &Engine, gone: Vec<(PartitionId, Segment)>) {
    for (id, segment) in gone {
        if let Some(partition) = engine.catalog.partition(id) {
            engine.remove_segment(&partition, segment);
        }
    }
}

fn retain_stream(engine: &Engine, stream: &Stream, now_ms: i64) -> RetentionReport {
    let mut gone = Vec::new();
    let (mut deleted, forecast, verdict) = {
        // Neither the checkpoint nor sealing changes segments meanwhile.
        let _alone = engine.sealer.arranging();
        roll(engine, stream, now_ms);
        let holdings = holdings(engine, stream);
        let verdict = decide(&stream.config.retention, &holdings, now_ms);
        let forecast = forecast(engine, &holdings, &verdict);
        let deleted = delete(engine, &holdings, &verdict, &mut gone);
        (deleted, forecast, verdict)
    };
    // Perhaps not all went that should have.
    let bytes = bytes_of(engine, stream);
    engine.holds.looked_at(&stream.name, bytes);
    remove_files(engine, gone);
    for one in &mut deleted {
        one.lost_to = engine.holds.behind(one.partition, one.to);
        let Deleted { partition, from, to, bytes, lost_to } = one;
        let stream = &stream.name;
        tracing::info!(stream, partition = partition.0, from, to, bytes, ?lost_to, "deleted");
    }
    RetentionReport {
        stream: stream.name.clone(),
        bytes,
        held_bytes: verdict.held_bytes,
        refuses: verdict.refuse,
        deleted,
        forecast,
    }
}

fn holdings(engine: &Engine, stream: &Stream) -> Vec<Holding> {
    let lowest = engine.holds.lowest();
    stream.partitions.iter().filter_map(|id| holding(engine, *id, &lowest)).collect()
}

fn holding(
    engine: &Engine,
    id: PartitionId,
    lowest: &BTreeMap<PartitionId, u64>,
) -> Option<Holding> {
    let partition = engine.catalog.partition(id)?;
    let (segments, open_bytes) = partition.holding();
    let (start, end) = partition.bounds();
    let held_from = lowest.get(&id).map(|held| start.max(*held));
    Some(Holding { id, segments, open_bytes, start, end, held_from })
}

/// One transaction for the stream; only then memory, and the files last.
fn delete(
    engine: &Engine,
    holdings: &[Holding],
    verdict: &Verdict,
    gone: &mut Vec<(PartitionId, Segment)>,
) -> Vec<Deleted> {
    let mut change = Rearrangement::default();
    let mut deleted = Vec::new();
    for (holding, count) in holdings.iter().zip(&verdict.delete) {
        let segments = &holding.segments[..*count];
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else { continue };
        change.removed.extend(segments.iter().map(|segment| (holding.id, segment.base)));
        change.starts.push((holding.id, last.next));
        gone.extend(segments.iter().map(|segment| (holding.id, *segment)));
        let bytes = segments.iter().map(|segment| segment.bytes).sum();
        let (from, to) = (first.base, last.next);
        deleted.push(Deleted { partition: holding.id, from, to, bytes, lost_to: Vec::new() });
    }
    if deleted.is_empty() || !rearrange(engine, &change) {
        gone.clear();
        return Vec::new();
    }
    for (id, start) in change.starts {
        if let Some(partition) = engine.catalog.partition(id) {
            partition.start_at(start);
        }
    }
    deleted
}

fn forecast(engine: &Engine, holdings: &[Holding], verdict: &Verdict) -> Option<Forecast> {
    let in_ms = verdict.losses.first()?.in_ms;
    let mut readers: Vec<String> = Vec::new();
    for (holding, gone) in holdings.iter().zip(&verdict.delete) {
        if let Some(next) = holding.segments.get(*gone) {
            readers.extend(engine.holds.behind(holding.id, next.next));
        }
    }
    readers.sort_unstable();
    readers.dedup();
    Some(Forecast { readers, in_ms, losses: verdict.losses.clone() })
}
