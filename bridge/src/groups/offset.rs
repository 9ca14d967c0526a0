//! An offset that a group committed, and its row. Knows no group.

use std::sync::Arc;

use tidewire_store::rows::offset::{OffsetKey, OffsetRow};
use tidewire_store::{Table, TableChange};

use crate::groups::request::Spot;

/// What a group committed for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset that the group wants.
    pub offset: u64,
    /// The leader epoch that came with it; -1 for none.
    pub leader_epoch: i32,
    /// When it was committed, in milliseconds of the Unix epoch.
    pub committed_ms: i64,
    /// What the client wrote beside it.
    pub metadata: Arc<str>,
}

impl Committed {
    /// From its row.
    #[must_use]
    pub(super) fn from_row(row: OffsetRow) -> Self {
        let OffsetRow { offset, leader_epoch, committed_ms, metadata } = row;
        Self { offset, leader_epoch, committed_ms, metadata: metadata.into() }
    }

    /// The change that stores it.
    pub(super) fn stored(&self, group: &str, spot: &Spot) -> Option<TableChange> {
        let row = OffsetRow {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            committed_ms: self.committed_ms,
            metadata: (*self.metadata).to_owned(),
        };
        change(group, spot, Some(row.encode()))
    }
}

/// The change that removes it.
pub(super) fn removed(group: &str, spot: &Spot) -> Option<TableChange> {
    change(group, spot, None)
}

fn change(group: &str, spot: &Spot, value: Option<Box<[u8]>>) -> Option<TableChange> {
    let key = OffsetKey { group, topic: &spot.topic, partition: spot.partition }.encode()?;
    Some(TableChange::new(Table::GroupOffsets, key, value))
}
