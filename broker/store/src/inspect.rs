//! Looks at a data folder from outside, stopped or while a broker writes to it: checks, shows,
//! counts, and mends a stopped one. Never opens the store; only mending takes its lock.

mod age;
mod dump;
mod extent;
mod finding;
mod groups;
mod journal;
mod mend;
mod overlay;
mod repair;
mod segments;
mod shares;
mod stats;
mod verify;
mod view;
mod walk;

pub use crate::progress::Progress;
pub use dump::{ShownEntry, ShownFrame, ShownRecord, Wanted, dump, dump_log};
pub use finding::{Affected, Checked, Damage, Extent, Finding, SegmentExtent, Verdict};
pub use groups::{GroupOffsetStats, GroupStats, ReaderStats};
pub use repair::{Plan, Repair, Step};
pub use shares::ShareStats;
pub use stats::{LogStats, PartitionStats, Stats, StreamStats, TableStats, stats};
pub use verify::verify;
pub use view::LookError;
