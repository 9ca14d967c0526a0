//! How far readers of the log are behind, all of a kind together. Shows nothing.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use tidewire_proto::id::PartitionId;
use tidewire_proto::session::window::Place;
use tidewire_store::rows::offset::{OffsetKey, OffsetRow};
use tidewire_store::{ReadError, Store, Table};

/// How far all of them are behind, in records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lags {
    pub(crate) readers: u64,
    pub(crate) max: u64,
    pub(crate) sum: u64,
    /// The first record of each partition that one of them has not read.
    pub(crate) unread: BTreeMap<PartitionId, u64>,
}

/// The first offset of a partition that is there, and the one behind the last.
type BoundsOf<'b> = dyn Fn(PartitionId) -> Option<(u64, u64)> + 'b;

impl Lags {
    /// A reader at these positions, and what it has of the records before them and is not over.
    pub(crate) fn add(
        &mut self,
        bounds_of: &BoundsOf<'_>,
        positions: impl Iterator<Item = (PartitionId, u64)>,
        held: impl Iterator<Item = Place>,
    ) {
        let mut behind = 0;
        for (partition, position) in positions {
            let Some((start, end)) = bounds_of(partition) else { continue };
            let first = start.max(position);
            if first < end {
                behind += end - first;
                self.note(partition, first);
            }
        }
        for Place { partition, offset } in held {
            let is_there = bounds_of(partition).is_some_and(|(start, _)| start <= offset);
            if is_there {
                behind += 1;
                self.note(partition, offset);
            }
        }
        self.readers += 1;
        self.max = self.max.max(behind);
        self.sum += behind;
    }

    /// Others of the same kind.
    pub(crate) fn merge(&mut self, others: &Self) {
        self.readers += others.readers;
        self.max = self.max.max(others.max);
        self.sum += others.sum;
        others.unread.iter().for_each(|(partition, first)| self.note(*partition, *first));
    }

    fn note(&mut self, partition: PartitionId, offset: u64) {
        let lowest = self.unread.entry(partition).or_insert(offset);
        *lowest = offset.min(*lowest);
    }
}

/// Of consumer groups that committed an offset.
pub(crate) fn consumer_groups(store: &Store) -> Result<Lags, ReadError> {
    let (streams, mut lags) = (store.streams(), Lags::default());
    let mut groups: BTreeMap<String, Vec<(PartitionId, u64)>> = BTreeMap::new();
    store.scan(Table::GroupOffsets, Bound::Unbounded, Bound::Unbounded, &mut |key, row| {
        if let (Ok(key), Ok(row)) = (OffsetKey::decode(key), OffsetRow::decode(row)) {
            let stream = streams.iter().find(|stream| stream.name == key.topic);
            let id = stream.and_then(|stream| stream.partitions.get(key.partition as usize));
            let positions = groups.entry(key.group.into()).or_default();
            positions.extend(id.map(|id| (*id, row.offset)));
        }
        ControlFlow::Continue(())
    })?;
    let bounds = |id| store.bounds(id);
    let positions = groups.into_values();
    positions.for_each(|one| lags.add(&bounds, one.into_iter(), std::iter::empty()));
    Ok(lags)
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PartitionId;

    use super::Lags;

    #[test]
    fn parts_that_were_counted_apart_are_as_if_they_were_counted_together() {
        let bounds = |partition: PartitionId| (partition.0 < 2).then_some((10, 20));
        let readers = [[(0, 0), (1, 15)], [(0, 12), (1, 20)], [(0, 11), (2, 0)]];
        let count = |readers: &[[(u32, u64); 2]]| {
            let mut lags = Lags::default();
            for positions in readers {
                let positions = positions.iter().map(|(id, at)| (PartitionId(*id), *at));
                lags.add(&bounds, positions, std::iter::empty());
            }
            lags
        };
        let together = count(&readers);
        assert_eq!((together.readers, together.max, together.sum), (3, 15, 32));
        assert_eq!(together.unread.get(&PartitionId(0)), Some(&10), "what is gone is not unread");
        let mut apart = count(&readers[..1]);
        apart.merge(&count(&readers[1..]));
        assert_eq!(apart, together);
    }
}
