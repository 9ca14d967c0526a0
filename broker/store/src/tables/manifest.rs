//! What the checkpoint says besides rows: where segments end, what became of them, and how far the
//! write-ahead log is in it. Never how it is stored.

use tidewire_proto::id::PartitionId;

/// Where recovery starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The first file of the write-ahead log that is still needed.
    pub(crate) epoch: u64,
    /// The number of its first frame.
    pub(crate) next_lsn: u64,
}

/// What the checkpoint says about a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionRow {
    pub(crate) id: PartitionId,
    /// Its first offset.
    pub(crate) start: u64,
    /// The offset behind the last record in its segments.
    pub(crate) end: u64,
}

/// What the checkpoint says about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentRow {
    pub(crate) partition: PartitionId,
    pub(crate) base: u64,
    /// The offset behind its last record.
    pub(crate) next: u64,
    /// Bytes that count; what lies behind them in the file does not exist.
    pub(crate) bytes: u64,
    pub(crate) max_timestamp: i64,
    pub(crate) sealed: bool,
}

/// What was made of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealedRow {
    pub(crate) partition: PartitionId,
    pub(crate) base: u64,
    /// Counts how often its files were written; part of their names.
    pub(crate) generation: u32,
    /// Records that newer ones replace were taken out.
    pub(crate) compacted: bool,
}

/// Rows about partitions and segments: all of them, or those that changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manifest {
    pub(crate) partitions: Vec<PartitionRow>,
    pub(crate) segments: Vec<SegmentRow>,
    pub(crate) sealed: Vec<SealedRow>,
}

/// What happens to sealed segments, all of it or nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rearrangement {
    /// Segments that take no more from now on.
    pub(crate) rolled: Vec<SegmentRow>,
    /// Segments whose files are others now.
    pub(crate) replaced: Vec<(SegmentRow, SealedRow)>,
    /// Segments that are no more: partition and base.
    pub(crate) removed: Vec<(PartitionId, u64)>,
    /// New first offsets.
    pub(crate) starts: Vec<(PartitionId, u64)>,
}

impl Rearrangement {
    /// Does the manifest say what this would make it say?
    pub(super) fn is_done_in(&self, manifest: &Manifest) -> bool {
        let replaced = self.replaced.iter();
        let (segments, sealed): (Vec<_>, Vec<_>) = replaced.copied().unzip();
        let is_there = |row: &SegmentRow| manifest.segments.contains(row);
        let is_gone = |(partition, base): &(PartitionId, u64)| {
            let is_it = |row: &SegmentRow| (row.partition, row.base) == (*partition, *base);
            !manifest.segments.iter().any(is_it)
        };
        let has_moved = |(partition, start): &(PartitionId, u64)| {
            let mut rows = manifest.partitions.iter();
            rows.any(|row| row.id == *partition && row.start >= *start)
        };
        self.rolled.iter().chain(&segments).all(is_there)
            && sealed.iter().all(|row| manifest.sealed.contains(row))
            && self.removed.iter().all(is_gone)
            && self.starts.iter().all(has_moved)
    }
}
