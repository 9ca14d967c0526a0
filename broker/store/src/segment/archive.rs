//! What the readers of segments share: indexes in memory, how much was read, what was found
//! damaged. Never a rule.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::index::SparseIndex;
use super::kept::{Kept, Key};
use super::meter::Meter;
use super::topics::Topics;
use crate::disk::Disk;
use crate::partition::{Partition, Segment};
use crate::read::Quarantined;

/// Damaged places that are remembered by name; more are only counted.
const NAMED_MAX: usize = 1000;

/// Shared by all threads that read segments.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    pub(super) indexes: Kept<SparseIndex>,
    pub(super) topics: Kept<Topics>,
    pub(super) meter: Meter,
    quarantine: Mutex<Vec<Quarantined>>,
    damaged: AtomicU64,
}

/// A segment and all that is needed to read it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) archive: &'a Archive,
    pub(crate) partition: &'a Partition,
    pub(crate) segment: &'a Segment,
}

impl Located<'_> {
    pub(super) fn key(&self) -> Key {
        (self.partition.id, self.segment.base, self.segment.generation())
    }
}

impl Archive {
    /// Bytes read from segments and the files beside them, since the start.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.meter.bytes()
    }

    /// How many damaged places were met since the start, and the first of them by name.
    pub(crate) fn quarantined(&self) -> (u64, Vec<Quarantined>) {
        let named = self.quarantine.lock().clone();
        (self.damaged.load(Ordering::Relaxed), named)
    }

    /// Take a damaged place out of service; the same place counts once.
    pub(super) fn quarantine(&self, found: Quarantined) {
        let mut named = self.quarantine.lock();
        let same = |known: &Quarantined| known.file == found.file && known.from == found.from;
        if named.iter().any(same) {
            return;
        }
        self.damaged.fetch_add(1, Ordering::Relaxed);
        let Quarantined { file, position, from, to, what, .. } = &found;
        tracing::error!(file, position, from, to, what, "damaged records are not served");
        if named.len() < NAMED_MAX {
            named.push(found);
        }
    }
}
