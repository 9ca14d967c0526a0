//! What is wrong with a data folder, in words for whoever runs it. Plain data: finds nothing.

use std::fmt;

use tidewire_proto::id::PartitionId;

use crate::partition::Segment;

/// The kinds of damage; the names are for programs and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The file that says which version the folder has.
    Version,
    /// The database of tables and of what lies where.
    Tables,
    /// A file of the write-ahead log is not there.
    LogMissing,
    /// A file of the write-ahead log as a whole: its header, or its length.
    LogFile,
    /// A frame of the write-ahead log.
    LogFrame,
    /// A segment is not there.
    SegmentMissing,
    /// A segment ends too early.
    SegmentShort,
    /// A batch of a segment.
    SegmentBatch,
    /// The index beside a segment.
    Index,
}

impl Damage {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Tables => "tables",
            Self::LogMissing => "log-missing",
            Self::LogFile => "log-file",
            Self::LogFrame => "log-frame",
            Self::SegmentMissing => "segment-missing",
            Self::SegmentShort => "segment-short",
            Self::SegmentBatch => "segment-batch",
            Self::Index => "index",
        }
    }
}

/// Offsets of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// Its stream.
    pub stream: String,
    /// Which partition of the stream, from 0 on.
    pub partition: usize,
    /// The first offset.
    pub from: u64,
    /// The offset behind the last.
    pub to: u64,
}

impl fmt::Display for Affected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, partition, from, to } = self;
        match to.saturating_sub(*from) {
            0 | 1 => write!(f, "{stream}/{partition} offset {from}"),
            _ => write!(f, "{stream}/{partition} offsets {from} to {}", to - 1),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub damage: Damage,
    /// Which file, relative to the data folder.
    pub file: String,
    /// Where in it.
    pub position: u64,
    /// What is wrong there.
    pub what: String,
    /// The records that cannot be read for it, as far as that can be told.
    pub affected: Vec<Affected>,
    /// What follows from it.
    pub means: String,
    /// What to do.
    pub advice: String,
    pub(crate) mend: Mend,
}

/// How a finding can be put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mend {
    /// It cannot.
    Nothing,
    /// End the write-ahead log at this byte of this file.
    CutLog { epoch: u64, position: u64, is_first: bool },
    /// Give a file of the write-ahead log its length back, with zeros.
    Lengthen { epoch: u64 },
    /// Put a gap in the place of bytes of a segment and of the offsets that were in them.
    Gap(Hole),
    /// Make the index again.
    Index { partition: PartitionId, folder: String, segment: Segment },
}

/// A part of a segment that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) partition: PartitionId,
    pub(crate) folder: String,
    pub(crate) segment: Segment,
    /// Bytes of the file.
    pub(crate) bytes: (u64, u64),
    /// Offsets that were there.
    pub(crate) offsets: (u64, u64),
    /// The largest timestamp before.
    pub(crate) timestamp: i64,
    /// Nothing readable comes behind it.
    pub(crate) is_tail: bool,
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Bytes read.
    pub bytes: u64,
    /// Files of the write-ahead log that are not checkpointed.
    pub log_files: u64,
    /// Frames in them: what one sync made durable each.
    pub frames: u64,
    /// Segments.
    pub segments: u64,
    /// Batches in them.
    pub batches: u64,
    /// Records in segments and in the write-ahead log.
    pub records: u64,
    /// Indexes.
    pub indexes: u64,
}

/// A partition: its offsets, and the segments that they lie in. What lies behind the last of them
/// is in the write-ahead log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its stream.
    pub stream: String,
    /// Which partition of the stream, from 0 on.
    pub partition: usize,
    /// The first offset.
    pub from: u64,
    /// The offset behind the last record.
    pub to: u64,
    /// In the order of their offsets.
    pub segments: Vec<SegmentExtent>,
}

/// A segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentExtent {
    /// The first offset.
    pub from: u64,
    /// The offset behind the last record.
    pub to: u64,
    /// Bytes that count.
    pub bytes: u64,
    /// Takes no more.
    pub sealed: bool,
}

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Damage. Empty: the folder is fine.
    pub findings: Vec<Finding>,
    /// What is worth knowing and no damage.
    pub notes: Vec<String>,
    /// What was looked at.
    pub checked: Checked,
    /// What lies where. Empty when the tables cannot be read.
    pub extents: Vec<Extent>,
}
