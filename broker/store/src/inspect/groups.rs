//! Where consumer groups stand, as their rows say. Never judges it.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use super::age::time_of;
use super::view::View;
use crate::error::OpenError;
use crate::rows::group::GroupRow;
use crate::rows::offset::{OffsetKey, OffsetRow};
use crate::table::Table;

/// One consumer group, as of its last commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStats {
    /// Its name.
    pub name: String,
    /// How often its members agreed.
    pub generation: u32,
    /// Members when they agreed last.
    pub members: u64,
    /// Who they are, and what they read.
    pub readers: Vec<ReaderStats>,
    /// What it committed, by stream and partition.
    pub offsets: Vec<GroupOffsetStats>,
}

/// A member of a consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReaderStats {
    /// What its connection called itself.
    pub client_id: String,
    /// What it was given to read, as Kafka's clients write it.
    pub assignment: Vec<u8>,
}

/// How far a consumer group is in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffsetStats {
    /// The stream.
    pub stream: String,
    /// Which partition of the stream.
    pub partition: u32,
    /// The next offset that it wants.
    pub offset: u64,
    /// Records that it has not read.
    pub behind: u64,
    /// When the first of them came, in milliseconds since 1970.
    pub unread_since_ms: Option<i64>,
    /// When it committed, in milliseconds since 1970.
    pub committed_ms: i64,
}

pub(super) fn count_groups(view: &View) -> Result<Vec<GroupStats>, OpenError> {
    let mut groups: BTreeMap<String, GroupStats> = BTreeMap::new();
    let scan = |table, visit: &mut dyn FnMut(&[u8], &[u8])| {
        let all = (Bound::Unbounded, Bound::Unbounded);
        let scanned = view.engine.tables.scan(table, all, &mut |key, value| {
            visit(key, value);
            ControlFlow::Continue(())
        });
        scanned.map_err(|error| OpenError::Io(error.to_string()))
    };
    // What cannot be read is not counted; verify is there to name it.
    scan(Table::Groups, &mut |key, value| {
        if let (Ok(name), Ok(row)) = (std::str::from_utf8(key), GroupRow::decode(value)) {
            let group = group(&mut groups, name);
            group.generation = row.generation;
            group.members = row.members.len() as u64;
            let readers = row.members.into_iter().map(|member| ReaderStats {
                client_id: member.client_id,
                assignment: member.assignment,
            });
            group.readers = readers.collect();
        }
    })?;
    scan(Table::GroupOffsets, &mut |key, value| {
        if let (Ok(key), Ok(row)) = (OffsetKey::decode(key), OffsetRow::decode(value)) {
            group(&mut groups, key.group).offsets.push(stand(view, key, &row));
        }
    })?;
    Ok(groups.into_values().collect())
}

fn group<'a>(groups: &'a mut BTreeMap<String, GroupStats>, name: &str) -> &'a mut GroupStats {
    let new = || GroupStats { name: name.to_owned(), ..GroupStats::default() };
    groups.entry(name.to_owned()).or_insert_with(new)
}

fn stand(view: &View, key: OffsetKey<'_>, row: &OffsetRow) -> GroupOffsetStats {
    let stream = view.engine.catalog.stream(key.topic);
    let id = stream.and_then(|(stream, _)| stream.partitions.get(key.partition as usize).copied());
    let partition = id.and_then(|id| view.engine.catalog.partition(id));
    let (from, to) = partition.map_or((0, 0), |partition| partition.bounds());
    let first = row.offset.max(from);
    let unread_since_ms = id.filter(|_| first < to).and_then(|id| time_of(view, id, first));
    GroupOffsetStats {
        stream: key.topic.to_owned(),
        partition: key.partition,
        offset: row.offset,
        behind: to.saturating_sub(first),
        unread_since_ms,
        committed_ms: row.committed_ms,
    }
}
