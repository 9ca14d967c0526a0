//! What happened in histories, counted: a simulation that meets no trouble proves nothing.

use std::fmt;
use std::ops::AddAssign;

/// Counts over one or many histories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Data folders that were lived with from empty to the end.
    pub histories: u64,
    /// Opens that gave a store, each followed by a look at everything in it.
    pub opens: u64,
    /// Opens that did not, for a reason that the disk gave.
    pub failed_opens: u64,
    /// Commits that were acknowledged.
    pub acknowledged: u64,
    /// Records in them.
    pub records: u64,
    /// Commits that were refused: a full disk, or a commit that cannot be.
    pub refused: u64,
    /// Of those, answered after what stays of them was kept.
    pub kept_of_refused: u64,
    /// Commits that were under way when the store failed.
    pub unknown: u64,
    /// Of those, found by the next start.
    pub unknown_found: u64,
    /// Acknowledged commits that a power cut took and may take: their stream asked for no sync.
    pub unsynced_lost: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// Crashes of the program alone.
    pub crashes: u64,
    /// Clean stops.
    pub stops: u64,
    /// Failed writes and syncs.
    pub faults: u64,
    /// Times that the disk was full.
    pub full: u64,
    /// Torn tails that were cut.
    pub torn: u64,
    /// Frames replayed.
    pub frames: u64,
    /// Files of the write-ahead log that were in service.
    pub log_files: u64,
    /// Segments at the end.
    pub segments: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.histories += more.histories;
        self.opens += more.opens;
        self.failed_opens += more.failed_opens;
        self.acknowledged += more.acknowledged;
        self.records += more.records;
        self.refused += more.refused;
        self.kept_of_refused += more.kept_of_refused;
        self.unknown += more.unknown;
        self.unknown_found += more.unknown_found;
        self.unsynced_lost += more.unsynced_lost;
        self.power_cuts += more.power_cuts;
        self.crashes += more.crashes;
        self.stops += more.stops;
        self.faults += more.faults;
        self.full += more.full;
        self.torn += more.torn;
        self.frames += more.frames;
        self.log_files += more.log_files;
        self.segments += more.segments;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "histories                {:>10}", self.histories)?;
        writeln!(f, "opens, all compared      {:>10}", self.opens)?;
        writeln!(f, "opens that failed        {:>10}", self.failed_opens)?;
        writeln!(f, "power cuts               {:>10}", self.power_cuts)?;
        writeln!(f, "crashes of the program   {:>10}", self.crashes)?;
        writeln!(f, "clean stops              {:>10}", self.stops)?;
        writeln!(f, "failed writes and syncs  {:>10}", self.faults)?;
        writeln!(f, "full disks               {:>10}", self.full)?;
        writeln!(f, "torn tails cut           {:>10}", self.torn)?;
        writeln!(f, "log files in service     {:>10}", self.log_files)?;
        writeln!(f, "segments                 {:>10}", self.segments)?;
        writeln!(f, "frames replayed          {:>10}", self.frames)?;
        writeln!(f, "commits acknowledged     {:>10}", self.acknowledged)?;
        writeln!(f, "  records in them        {:>10}", self.records)?;
        writeln!(f, "  not synced, and lost   {:>10}", self.unsynced_lost)?;
        writeln!(f, "commits refused          {:>10}", self.refused)?;
        writeln!(f, "  but for what stays     {:>10}", self.kept_of_refused)?;
        writeln!(f, "commits left in doubt    {:>10}", self.unknown)?;
        write!(f, "  and found later        {:>10}", self.unknown_found)
    }
}
