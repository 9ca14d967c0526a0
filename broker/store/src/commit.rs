//! What goes into the store and what comes back: commits, outcomes, and who is told. Plain data.

use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::Batch;

use crate::mutation;
use crate::table::Table;

/// Appends and table changes that are durable together or not at all, but for changes that stay:
/// those are durable with the rest, and without it where it is refused.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Batches, each to the end of its partition, in this order.
    pub appends: Vec<Append>,
    /// Table rows to set or remove, in this order.
    pub changes: Vec<TableChange>,
}

impl Commit {
    /// Leaves only what stays when the commit is refused.
    pub(crate) fn leave_what_stays(&mut self) {
        self.appends.clear();
        self.changes.retain(|change| change.stays && !mutation::drops_what_stays());
    }

    /// Nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.changes.is_empty()
    }
}

/// A batch for the end of a partition.
#[derive(Clone, Debug)]
pub struct Append {
    /// Where to.
    pub partition: PartitionId,
    /// What; its base offset is assigned by the writer.
    pub batch: Batch,
    /// A mark for the followers, handed to them with the batch and never stored: so that whoever
    /// sent it can tell.
    pub tag: u8,
}

impl Append {
    /// Without a mark.
    #[must_use]
    pub fn new(partition: PartitionId, batch: Batch) -> Self {
        Self { partition, batch, tag: 0 }
    }

    /// The same with a mark.
    #[must_use]
    pub fn with_tag(self, tag: u8) -> Self {
        Self { tag, ..self }
    }
}

/// One row set, or removed when there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableChange {
    /// Which table.
    pub table: Table,
    /// Which row.
    pub key: Box<[u8]>,
    /// The new content.
    pub value: Option<Box<[u8]>>,
    /// Where in the value an offset lies that only the writer knows.
    pub offset_of: Option<OffsetOf>,
    /// It does not depend on the rest of its commit, and is kept where that is refused. On a full
    /// disk it may use what is kept back for readers.
    pub stays: bool,
}

/// A row that names a record of its own commit: the writer adds the base offset of an append to
/// the little-endian `u64` (the record's place in the batch) that stands in the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetOf {
    /// Which of the commit's appends.
    pub append: usize,
    /// Where in the value the number begins.
    pub at: usize,
}

impl TableChange {
    /// A row set (or removed, without a value).
    #[must_use]
    pub fn new(table: Table, key: Box<[u8]>, value: Option<Box<[u8]>>) -> Self {
        Self { table, key, value, offset_of: None, stays: false }
    }

    /// The same, kept also when the rest of its commit is refused, or when the disk is full.
    #[must_use]
    pub fn that_stays(self) -> Self {
        Self { stays: true, ..self }
    }

    /// Fills in the offset now that the appends of the commit have theirs. A place outside the
    /// value, or an append that is not there, changes nothing.
    pub(crate) fn fill_in(&mut self, offsets: &[u64]) {
        let Some(wanted) = self.offset_of.take() else { return };
        let Some(base) = offsets.get(wanted.append) else { return };
        let number = self.value.as_deref_mut().and_then(|value| value.get_mut(wanted.at..));
        if let Some(number) = number.and_then(<[u8]>::first_chunk_mut::<8>) {
            *number = base.saturating_add(u64::from_le_bytes(*number)).to_le_bytes();
        }
    }
}

/// Why a commit did not happen. None of it is in the store, nor will be, except for changes that
/// stay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// No room for appends; passes when there is room again.
    #[error("the disk is full")]
    DiskFull,
    /// The disk failed; the store stopped writing for good. A commit that was under way when it
    /// happened may or may not be found by the next start.
    #[error("the store stopped writing: {0}")]
    Failed(Arc<str>),
    /// The store was shut down.
    #[error("the store is closed")]
    Closed,
    /// The partition's stream holds as much as it may for readers that have not read it.
    #[error("the stream of partition {} is full", .0.0)]
    StreamFull(PartitionId),
    /// An append to a partition that does not exist.
    #[error("there is no partition {}", .0.0)]
    UnknownPartition(PartitionId),
    /// A change to a table that is the store's own.
    #[error("the table of streams is the store's own")]
    Reserved,
    /// More bytes than one frame can hold.
    #[error("a commit of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size in the write-ahead log.
        bytes: u64,
        /// The most that fits.
        limit: u64,
    },
}

/// The base offset of each append of a commit, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offsets(Inner);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Inner {
    /// None or one: nothing allocated.
    Few([u64; 1], usize),
    Many(Box<[u64]>),
}

impl Offsets {
    pub(crate) fn new(offsets: &[u64]) -> Self {
        Self(match offsets {
            [] => Inner::Few([0], 0),
            [one] => Inner::Few([*one], 1),
            many => Inner::Many(many.into()),
        })
    }

    /// As a slice.
    pub fn as_slice(&self) -> &[u64] {
        match &self.0 {
            Inner::Few(one, count) => &one[..*count],
            Inner::Many(many) => many,
        }
    }

    /// The first append's base offset, if there was an append.
    pub fn first(&self) -> Option<u64> {
        self.as_slice().first().copied()
    }
}

/// What became of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The number it was submitted with.
    pub ticket: u64,
    /// Where its appends are, or why there are none.
    pub result: Result<Offsets, CommitError>,
    /// What became of the changes that stay: they may be in the store where the rest is refused.
    pub stayed: Result<(), CommitError>,
}

impl Outcome {
    /// Nothing of it happened.
    pub(crate) fn refused(ticket: u64, error: CommitError) -> Self {
        Self { ticket, result: Err(error.clone()), stayed: Err(error) }
    }
}

/// Who wants to hear what became of commits.
///
/// Called on a thread of the store that others wait for: it takes the outcomes, wakes whoever
/// waits, and returns.
pub trait Reply: Send + Sync {
    /// All outcomes of one group commit for this object, in the order of submission. What is left
    /// in the list is dropped; the list itself is used again.
    fn committed(&self, outcomes: &mut Vec<Outcome>);
}

/// The number that an outcome comes back with, and to whom; or nobody wants to hear.
pub type ReplyTo = Option<(u64, Arc<dyn Reply>)>;

/// A batch with its place, durable as its stream asks for.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Where.
    pub partition: PartitionId,
    /// The offset of its first record.
    pub base_offset: u64,
    /// The batch.
    pub batch: Batch,
    /// The mark that it was sent with.
    pub tag: u8,
}

/// Who follows the tail of all partitions.
///
/// Called on a thread of the store that others wait for, in commit order: it takes the batches,
/// wakes whoever waits, and returns.
pub trait Follower: Send + Sync {
    /// All appends of one group commit.
    fn durable(&self, batches: &Arc<[Appended]>);
}

#[cfg(test)]
mod tests {
    use super::Offsets;

    #[test]
    fn offsets_come_out_as_they_went_in() {
        for offsets in [&[][..], &[7], &[1, 5, 9]] {
            assert_eq!(Offsets::new(offsets).as_slice(), offsets);
            assert_eq!(Offsets::new(offsets).first(), offsets.first().copied());
        }
    }
}
