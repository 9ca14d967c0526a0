//! Which records lie where, partition by partition. Judges none of them.

use std::collections::BTreeMap;

use super::segments::Placed;
use super::view::View;

/// A partition: its offsets, and the segments that they lie in. What lies behind the last of them
/// is in the write-ahead log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its stream.
    pub stream: String,
    /// Which partition of the stream, from 0 on.
    pub partition: usize,
    /// The first offset.
    pub from: u64,
    /// The offset behind the last record.
    pub to: u64,
    /// In the order of their offsets.
    pub segments: Vec<SegmentExtent>,
}

/// A segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentExtent {
    /// The first offset.
    pub from: u64,
    /// The offset behind the last record.
    pub to: u64,
    /// Bytes that count.
    pub bytes: u64,
    /// Takes no more.
    pub sealed: bool,
}

/// All partitions, in the order of streams.
pub(super) fn extents(view: &View, placed: &[Placed]) -> Vec<Extent> {
    let mut by_partition: BTreeMap<u32, Vec<SegmentExtent>> = BTreeMap::new();
    for Placed { partition, segment, .. } in placed {
        let (from, to) = (segment.base, segment.next);
        let extent = SegmentExtent { from, to, bytes: segment.bytes, sealed: segment.sealed };
        by_partition.entry(partition.0).or_default().push(extent);
    }
    let mut all = Vec::new();
    for stream in view.engine.catalog.streams().iter() {
        for (partition, id) in stream.partitions.iter().enumerate() {
            let Some(known) = view.engine.catalog.partition(*id) else { continue };
            let (from, to) = known.bounds();
            let mut segments = by_partition.remove(&id.0).unwrap_or_default();
            segments.sort_by_key(|segment| segment.from);
            all.push(Extent { stream: stream.name.clone(), partition, from, to, segments });
        }
    }
    all
}
