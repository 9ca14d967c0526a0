//! From what members say that they read to partitions that exist. Knows no group.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_store::Stream;

use crate::groups::Spot;
use crate::subscription;

/// The partition at this place, if there is one.
pub(crate) fn place_of(streams: &[Stream], spot: &Spot) -> Option<PartitionId> {
    let stream = streams.iter().find(|stream| *stream.name == *spot.topic)?;
    stream.partitions.get(spot.partition as usize).copied()
}

/// What a member was assigned: each partition once, if it exists.
pub(crate) fn assigned(said: &[u8], streams: &[Stream]) -> BTreeSet<Spot> {
    let mut spots = BTreeSet::new();
    for (topic, partitions) in subscription::partitions(said) {
        let Some(stream) = streams.iter().find(|stream| stream.name == topic) else { continue };
        let topic: Arc<str> = topic.into();
        let exists = |it: &u32| (*it as usize) < stream.partitions.len();
        let spot = |partition| Spot { topic: Arc::clone(&topic), partition };
        spots.extend(partitions.into_iter().filter(exists).map(spot));
    }
    spots
}
