//! How far consumer groups are behind, all together. Shows nothing.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use tidewire_proto::id::PartitionId;
use tidewire_store::rows::offset::{OffsetKey, OffsetRow};
use tidewire_store::{ReadError, Store, Table};

/// How far all of them are behind, in records.
#[derive(Default)]
pub(crate) struct Lags {
    pub(crate) readers: u64,
    pub(crate) max: u64,
    pub(crate) sum: u64,
}

impl Lags {
    /// Counts one reader more in.
    fn add(&mut self, store: &Store, positions: impl Iterator<Item = (PartitionId, u64)>) {
        let behind = positions.filter_map(|(partition, position)| {
            let (start, end) = store.bounds(partition)?;
            Some(end.saturating_sub(start.max(position)))
        });
        let behind: u64 = behind.sum();
        self.readers += 1;
        self.max = self.max.max(behind);
        self.sum += behind;
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
    groups.into_values().for_each(|positions| lags.add(store, positions.into_iter()));
    Ok(lags)
}
