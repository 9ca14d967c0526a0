//! What readers get and why they may not. Plain data.

use std::ops::ControlFlow;

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{Batch, BatchError};

/// Is shown rows, key and value, and says when it has seen enough.
pub type VisitRow<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Consecutive batches of one partition.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// In order of offset. The first may begin before the offset that was asked for.
    pub batches: Vec<StoredBatch>,
    /// Where to read on.
    pub next: u64,
    /// The partition's first offset.
    pub start: u64,
    /// The offset behind the partition's last record.
    pub end: u64,
}

/// How compressed batches are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// With their records at hand.
    Open,
    /// As they lie, for who passes them on.
    Packed,
}

impl Form {
    /// The same batch in this form.
    pub(crate) fn of(self, batch: Batch) -> Result<Batch, BatchError> {
        match self {
            Self::Open => batch.open(),
            Self::Packed => Ok(batch),
        }
    }
}

/// A batch and its place.
#[derive(Clone, Debug)]
pub struct StoredBatch {
    /// The offset of its first record.
    pub base_offset: u64,
    /// The batch.
    pub batch: Batch,
}

impl StoredBatch {
    /// The offset behind its last record.
    #[must_use]
    pub fn next_offset(&self) -> u64 {
        self.base_offset + u64::from(self.batch.last_offset_delta()) + 1
    }
}

/// Where the records of a filter are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Rising.
    pub offsets: Vec<u64>,
    /// Where to look on: everything before was looked at.
    pub next: u64,
}

/// Records that are not served because their bytes on disk are damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Whose they are.
    pub partition: PartitionId,
    /// Which file, relative to the data folder.
    pub file: String,
    /// Where in it the damage begins.
    pub position: u64,
    /// The first offset that is not served.
    pub from: u64,
    /// The offset behind the last.
    pub to: u64,
    /// What is wrong.
    pub what: String,
}

/// Why a read gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is no such partition.
    #[error("there is no such partition")]
    UnknownPartition,
    /// Before the first offset or behind the end.
    #[error("offset {offset} is outside of {start}..{end}")]
    OutOfRange {
        /// What was asked for.
        offset: u64,
        /// The first offset.
        start: u64,
        /// The offset behind the last.
        end: u64,
    },
    /// The bytes on disk are not what was written.
    #[error("{file} is damaged at byte {position}: {what}")]
    Damaged {
        /// Which file, relative to the data folder.
        file: String,
        /// Where in it.
        position: u64,
        /// What is wrong.
        what: String,
    },
    /// The disk did not answer.
    #[error("{0}")]
    Io(String),
}
