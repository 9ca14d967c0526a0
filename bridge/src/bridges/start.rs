//! From where a bridge reads: what its row says, and what it does not. Reads the store; moves
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use tidewire_proto::id::PartitionId;
use tidewire_store::{ReadError, Store, Stream};

use crate::bridges::order::To;
use crate::bridges::scope::Scope;

/// Where a bridge begins that has no position yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With what comes from now on.
    #[default]
    Latest,
    /// With all that there is.
    Earliest,
}

impl Start {
    fn to(self) -> To {
        match self {
            Self::Latest => To::Latest,
            Self::Earliest => To::Earliest,
        }
    }
}

/// Where it reads on: as its row says. A partition that a stream got since is read from its
/// beginning; a stream that it did not read before from `start` on.
pub(crate) fn positions(
    store: &Store,
    scope: &Scope,
    known: &[(PartitionId, u64)],
    start: Start,
) -> Result<Vec<(PartitionId, u64)>, ReadError> {
    let known: BTreeMap<PartitionId, u64> = known.iter().copied().collect();
    let mut positions = Vec::new();
    for stream in read_by(scope, &store.streams()) {
        // Who reads all streams has read this one from its first moment on.
        let was_read = stream.partitions.iter().any(|id| known.contains_key(id))
            || (scope.streams.is_empty() && !known.is_empty());
        for id in &stream.partitions {
            let offset = match known.get(id) {
                Some(offset) => *offset,
                None if was_read => 0,
                None => place(store, *id, &start.to())?,
            };
            positions.push((*id, offset));
        }
    }
    Ok(positions)
}

/// Where an order leads. `None`: it names a partition that is not read.
pub(crate) fn moved(
    store: &Store,
    scope: &Scope,
    known: &[(PartitionId, u64)],
    to: &To,
) -> Result<Option<Vec<(PartitionId, u64)>>, ReadError> {
    let mut positions: BTreeMap<PartitionId, u64> = known.iter().copied().collect();
    let streams = store.streams();
    if let To::Offset { stream, partition, offset } = to {
        let Some(id) = find(scope, &streams, stream, *partition) else { return Ok(None) };
        let (from, end) = store.bounds(id).unwrap_or_default();
        positions.insert(id, (*offset).clamp(from, end));
        return Ok(Some(positions.into_iter().collect()));
    }
    let read: BTreeSet<PartitionId> = scope.partitions(&streams).into_iter().collect();
    for id in read {
        positions.insert(id, place(store, id, to)?);
    }
    Ok(Some(positions.into_iter().collect()))
}

/// A partition that is read, by its stream and its index.
pub(crate) fn find(
    scope: &Scope,
    streams: &[Stream],
    stream: &str,
    index: u32,
) -> Option<PartitionId> {
    let stream = read_by(scope, streams).find(|known| known.name == stream)?;
    stream.partitions.get(index as usize).copied()
}

fn read_by<'a>(scope: &'a Scope, streams: &'a [Stream]) -> impl Iterator<Item = &'a Stream> {
    streams.iter().filter(|stream| scope.has(&stream.name))
}

fn place(store: &Store, id: PartitionId, to: &To) -> Result<u64, ReadError> {
    let (from, end) = store.bounds(id).ok_or(ReadError::UnknownPartition)?;
    match to {
        To::Earliest | To::Offset { .. } => Ok(from),
        To::Latest => Ok(end),
        To::Time(at_ms) => store.offset_at(id, *at_ms),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidewire_proto::id::PartitionId;
    use tidewire_proto::record::BatchBuilder;
    use tidewire_store::{
        Append, Commit, RealDisk, Store, StoreOptions, StreamConfig, StreamOptions,
    };

    use super::{Start, moved, positions};
    use crate::bridges::order::To;
    use crate::bridges::scope::Scope;

    /// Stream `a` has partitions 0 and 1, stream `b` has 2; each holds five records of the
    /// seconds 0 to 4.
    fn store() -> (Store, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let stream = |name: &str, partitions| StreamOptions {
            name: name.into(),
            partitions,
            config: StreamConfig::default(),
        };
        let streams = vec![stream("a", 2), stream("b", 1)];
        let options = StoreOptions { streams, threads: false, ..StoreOptions::default() };
        let (store, _) =
            Store::open(Arc::new(RealDisk::new(folder.path())), options).expect("opens");
        for id in 0..3 {
            let mut batch = BatchBuilder::new();
            for second in 0..5 {
                batch.push(second * 1_000, Some(b"t"), Some(b"x"), &[]);
            }
            let appends = vec![Append::new(PartitionId(id), batch.finish())];
            store.commit(Commit { appends, changes: Vec::new() }).expect("committed");
        }
        (store, folder)
    }

    fn scope(streams: &[&str]) -> Scope {
        let streams = streams.iter().map(|it| (*it).to_owned()).collect();
        Scope { streams, filters: Vec::new() }
    }

    fn at(positions: Vec<(PartitionId, u64)>) -> Vec<(u32, u64)> {
        positions.into_iter().map(|(id, offset)| (id.0, offset)).collect()
    }

    #[test]
    fn a_bridge_goes_on_where_it_was_and_a_grown_stream_is_read_whole() {
        let (store, _folder) = store();
        let check = |streams: &[&str], known: &[(u32, u64)], start, expected: &[(u32, u64)]| {
            let known: Vec<_> = known.iter().map(|(id, at)| (PartitionId(*id), *at)).collect();
            let found = positions(&store, &scope(streams), &known, start).expect("readable");
            assert_eq!(at(found), expected, "{streams:?} {known:?}");
        };
        check(&[], &[], Start::Latest, &[(0, 5), (1, 5), (2, 5)]);
        check(&[], &[], Start::Earliest, &[(0, 0), (1, 0), (2, 0)]);
        check(&["a"], &[(0, 3)], Start::Latest, &[(0, 3), (1, 0)]);
        check(&["a", "b"], &[(0, 3), (1, 4)], Start::Latest, &[(0, 3), (1, 4), (2, 5)]);
        check(&[], &[(0, 3), (1, 4)], Start::Latest, &[(0, 3), (1, 4), (2, 0)]);
    }

    #[test]
    fn an_order_moves_what_it_names_and_keeps_within_the_log() {
        let (store, _folder) = store();
        let known = [(PartitionId(0), 3), (PartitionId(1), 4)];
        let check = |to: To, expected: Option<&[(u32, u64)]>| {
            let found = moved(&store, &scope(&["a"]), &known, &to).expect("readable");
            assert_eq!(found.map(at).as_deref(), expected, "{to:?}");
        };
        let offset = |stream: &str, partition, offset| To::Offset {
            stream: stream.into(),
            partition,
            offset,
        };
        check(To::Earliest, Some(&[(0, 0), (1, 0)]));
        check(To::Latest, Some(&[(0, 5), (1, 5)]));
        check(To::Time(2_000), Some(&[(0, 2), (1, 2)]));
        check(offset("a", 1, 1), Some(&[(0, 3), (1, 1)]));
        check(offset("a", 1, 99), Some(&[(0, 3), (1, 5)]));
        check(offset("a", 2, 1), None);
        check(offset("b", 0, 1), None);
    }
}
