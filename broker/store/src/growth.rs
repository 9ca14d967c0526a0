//! New streams, new partitions, new configurations: what has to be committed for them. Never
//! commits.

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::BatchBuilder;

use crate::catalog::{Catalog, PARTITIONS_MAX};
use crate::commit::{Append, Commit, CommitError, OffsetOf, TableChange};
use crate::options::StreamOptions;
use crate::stream::{Edge, KeyRule, RowKey, StreamConfig, StreamRow, name_is_legal};
use crate::table::Table;

/// A stream grows at most this often.
const LAYOUTS_MAX: usize = 1000;
/// The longest name of a user property that chooses a partition.
const KEY_NAME_BYTES_MAX: usize = 1024;
/// Marks the end of a layout in a partition: a control record of version 0 and our own type.
const MARK_KEY: [u8; 4] = [0, 0, 0, 65];

/// Why a stream was not created or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// No stream can have that name.
    #[error("a stream cannot be called {0:?}")]
    Name(String),
    /// There is one already.
    #[error("stream {0} exists")]
    Exists(String),
    /// There is none.
    #[error("there is no stream {0}")]
    Unknown(String),
    /// None, or more than there can be.
    #[error("stream {0} cannot have {1} partitions")]
    Partitions(String, u64),
    /// It grew too often already.
    #[error("stream {0} grew {LAYOUTS_MAX} times; that is the limit")]
    Layouts(String),
    /// The name of the user property is too long.
    #[error("the name of the user property that is stream {0}'s key is too long")]
    Key(String),
    /// The change could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Create these streams, all or none.
pub(crate) fn creation<'a>(
    catalog: &Catalog,
    wanted: impl Iterator<Item = &'a StreamOptions>,
) -> Result<Commit, StreamError> {
    let mut next_id = catalog.next_id();
    let mut commit = Commit::default();
    for stream in wanted {
        let name = || stream.name.clone();
        if !name_is_legal(&stream.name) {
            return Err(StreamError::Name(name()));
        }
        if catalog.stream(&stream.name).is_some() {
            return Err(StreamError::Exists(name()));
        }
        check(&stream.name, &stream.config)?;
        let partitions = more(&stream.name, &mut next_id, stream.partitions)?;
        let counts = vec![stream.partitions];
        let row = StreamRow { config: stream.config.clone(), partitions, counts };
        commit.changes.push(stream_row(&stream.name, &row));
    }
    Ok(commit)
}

/// Give a stream another configuration.
pub(crate) fn configuration(
    catalog: &Catalog,
    name: &str,
    config: StreamConfig,
) -> Result<Commit, StreamError> {
    let unknown = || StreamError::Unknown(name.to_owned());
    let (_, row) = catalog.stream(name).ok_or_else(unknown)?;
    check(name, &config)?;
    let change = stream_row(name, &StreamRow { config, ..row });
    Ok(Commit { appends: Vec::new(), changes: vec![change] })
}

/// Give a stream more partitions. A mark at the end of each that it has says, through its own
/// offset, where the old layout ends.
pub(crate) fn growth(
    catalog: &Catalog,
    name: &str,
    count: u32,
    now_ms: i64,
) -> Result<Commit, StreamError> {
    let unknown = || StreamError::Unknown(name.to_owned());
    let (_, mut row) = catalog.stream(name).ok_or_else(unknown)?;
    if row.counts.len() >= LAYOUTS_MAX {
        return Err(StreamError::Layouts(name.to_owned()));
    }
    let layout = u32::try_from(row.counts.len() - 1).expect("below LAYOUTS_MAX");
    let mut commit = Commit::default();
    for (index, partition) in (0..).zip(&row.partitions) {
        let mut mark = BatchBuilder::new();
        mark.push(now_ms, Some(&MARK_KEY), Some(&layout.to_be_bytes()), &[]);
        let key = RowKey::End { name, layout, index }.encode();
        let value = Some(Edge(0).encode());
        let append = commit.appends.len();
        let offset_of = Some(OffsetOf { append, at: Edge::AT });
        commit.changes.push(TableChange {
            table: Table::Streams,
            key,
            value,
            offset_of,
            stays: false,
        });
        commit.appends.push(Append::new(*partition, mark.finish_control()));
    }
    let mut next_id = catalog.next_id();
    row.partitions.extend(more(name, &mut next_id, count)?);
    let total = u32::try_from(row.partitions.len()).expect("below PARTITIONS_MAX");
    row.counts.push(total);
    // Last: a running store shows the stream when it has all of its rows.
    commit.changes.push(stream_row(name, &row));
    Ok(commit)
}

fn check(name: &str, config: &StreamConfig) -> Result<(), StreamError> {
    match &config.key {
        KeyRule::UserProperty(property) if property.len() > KEY_NAME_BYTES_MAX => {
            Err(StreamError::Key(name.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Numbers for so many partitions.
fn more(name: &str, next_id: &mut u32, count: u32) -> Result<Vec<PartitionId>, StreamError> {
    let end = u64::from(*next_id) + u64::from(count);
    let end = u32::try_from(end).ok().filter(|end| count > 0 && *end as usize <= PARTITIONS_MAX);
    let refused = || StreamError::Partitions(name.to_owned(), count.into());
    let end = end.ok_or_else(refused)?;
    let ids = (*next_id..end).map(PartitionId).collect();
    *next_id = end;
    Ok(ids)
}

fn stream_row(name: &str, row: &StreamRow) -> TableChange {
    TableChange::new(Table::Streams, RowKey::Stream(name).encode(), Some(row.encode()))
}
