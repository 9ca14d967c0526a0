//! Records that somebody wants gone before their time: what has to be committed for that. Never
//! commits, never deletes.

use std::collections::BTreeMap;

use tidewire_proto::id::PartitionId;

use crate::catalog::Catalog;
use crate::commit::{Commit, CommitError, TableChange};
use crate::stream::{Edge, RowKey};
use crate::table::Table;

/// Let these partitions begin at these offsets; those that do already are left out.
pub(crate) fn deletion(
    catalog: &Catalog,
    offsets: &[(PartitionId, u64)],
) -> Result<Commit, CommitError> {
    let mut starts: BTreeMap<PartitionId, u64> = BTreeMap::new();
    for (id, offset) in offsets {
        let start = starts.entry(*id).or_default();
        *start = (*start).max(*offset);
    }
    let mut commit = Commit::default();
    for (id, start) in starts {
        let unknown = || CommitError::UnknownPartition(id);
        let (first, end) = catalog.partition(id).ok_or_else(unknown)?.bounds();
        let start = start.min(end);
        if start <= first {
            continue;
        }
        let (stream, index) = catalog.place_of(id).ok_or_else(unknown)?;
        let key = RowKey::Start { name: &stream, index }.encode();
        commit.changes.push(TableChange::new(Table::Streams, key, Some(Edge(start).encode())));
    }
    Ok(commit)
}
