//! Which records lie where, partition by partition. Judges none of them.

use std::collections::BTreeMap;

use super::finding::{Extent, SegmentExtent};
use super::segments::Placed;
use super::view::View;

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
