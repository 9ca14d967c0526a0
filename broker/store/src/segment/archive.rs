//! What the readers of segments share: indexes in memory, how much was read, what was found
//! damaged. Never a rule.

use std::collections::HashSet;

use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;

use super::index::SparseIndex;
use super::kept::{Kept, Key};
use super::meter::Meter;
use super::silence::Silence;
use super::topics::Topics;
use crate::disk::Disk;
use crate::partition::{Partition, Segment};
use crate::read::Quarantined;

/// Damaged places that are remembered by name; more are only counted.
const NAMED_MAX: usize = 1000;
/// Places that are counted.
const PLACES_MAX: usize = 1 << 18;

/// Shared by all threads that read segments.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    pub(super) indexes: Kept<SparseIndex>,
    pub(super) topics: Kept<Topics>,
    pub(super) meter: Meter,
    pub(super) silence: Silence,
    quarantine: Mutex<Quarantine>,
}

/// Damaged places by partition and the offset behind them, so that none is counted twice.
#[derive(Debug, Default)]
struct Quarantine {
    places: HashSet<(PartitionId, u64)>,
    named: Vec<Quarantined>,
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

    /// The time that is known here, until the next call.
    pub(crate) fn set_now(&self, now_ms: i64) {
        self.silence.set_now(now_ms);
    }

    /// How many damaged places were met since the start, and the first of them by name.
    pub(crate) fn quarantined(&self) -> (u64, Vec<Quarantined>) {
        let quarantine = self.quarantine.lock();
        (quarantine.places.len() as u64, quarantine.named.clone())
    }

    /// Take a damaged place out of service; the same place counts once, wherever in it a reader
    /// began.
    pub(super) fn quarantine(&self, found: Quarantined) {
        let mut quarantine = self.quarantine.lock();
        let Quarantine { places, named } = &mut *quarantine;
        let place = (found.partition, found.to);
        if places.contains(&place) || places.len() >= PLACES_MAX {
            let is_part = |known: &&mut Quarantined| {
                (known.partition, known.to) == place && known.from > found.from
            };
            if let Some(part) = named.iter_mut().find(is_part) {
                *part = found;
            }
            return;
        }
        places.insert(place);
        if named.len() < NAMED_MAX {
            let Quarantined { file, position, from, to, what, .. } = &found;
            tracing::error!(file, position, from, to, what, "damaged records are not served");
            named.push(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PartitionId;

    use super::{Archive, NAMED_MAX};
    use crate::read::Quarantined;

    fn meet(archive: &Archive, from: u64, to: u64) {
        archive.quarantine(Quarantined {
            partition: PartitionId(0),
            file: "file".into(),
            position: from,
            from,
            to,
            what: "damaged".into(),
        });
    }

    #[test]
    fn a_place_counts_once_also_behind_the_last_that_is_named() {
        let archive = Archive::default();
        for _ in 0..3 {
            (0..1_500).for_each(|n| meet(&archive, n * 10, n * 10 + 5));
        }
        let (count, named) = archive.quarantined();
        assert_eq!((count, named.len()), (1_500, NAMED_MAX));
    }

    #[test]
    fn a_place_that_is_first_met_in_its_middle_counts_once_and_is_named_as_a_whole() {
        let archive = Archive::default();
        [(7, 20), (5, 20), (9, 20)].iter().for_each(|(from, to)| meet(&archive, *from, *to));
        let (count, named) = archive.quarantined();
        assert_eq!((count, named[0].from, named[0].to), (1, 5, 20));
    }
}
