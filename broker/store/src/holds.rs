//! What readers have not read yet, by reader, and which partitions take no more. Never decides.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use tidewire_proto::id::PartitionId;

/// Holds of all readers, and what follows from them.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    positions: Mutex<BTreeMap<String, BTreeMap<PartitionId, u64>>>,
    any_refused: AtomicBool,
    refused: RwLock<HashSet<PartitionId>>,
    /// What each stream held when it was looked at last.
    looked_at: Mutex<BTreeMap<String, u64>>,
}

impl Holds {
    /// A reader has not read from these offsets on.
    pub(crate) fn set(&self, name: &str, positions: &[(PartitionId, u64)]) {
        let positions = positions.iter().copied().collect();
        self.positions.lock().insert(name.to_owned(), positions);
    }

    /// A reader holds nothing any more.
    pub(crate) fn release(&self, name: &str) {
        self.positions.lock().remove(name);
    }

    /// The lowest position in each partition.
    pub(crate) fn lowest(&self) -> BTreeMap<PartitionId, u64> {
        let mut lowest = BTreeMap::new();
        for positions in self.positions.lock().values() {
            for (id, position) in positions {
                let known = lowest.entry(*id).or_insert(*position);
                *known = (*known).min(*position);
            }
        }
        lowest
    }

    /// Who has not read up to there.
    pub(crate) fn behind(&self, id: PartitionId, offset: u64) -> Vec<String> {
        let positions = self.positions.lock();
        let is_behind = |held: &BTreeMap<PartitionId, u64>| {
            held.get(&id).is_some_and(|position| *position < offset)
        };
        let names = positions.iter().filter(|(_, held)| is_behind(held));
        names.map(|(name, _)| name.clone()).collect()
    }

    /// From now on these partitions take no more, and all others do.
    pub(crate) fn refuse(&self, partitions: HashSet<PartitionId>) {
        let mut refused = self.refused.write();
        self.any_refused.store(!partitions.is_empty(), Ordering::Relaxed);
        *refused = partitions;
    }

    /// These partitions take more again.
    pub(crate) fn accept(&self, partitions: &[PartitionId]) {
        let mut refused = self.refused.write();
        for id in partitions {
            refused.remove(id);
        }
        self.any_refused.store(!refused.is_empty(), Ordering::Relaxed);
    }

    /// A stream was looked at, and holds so much.
    pub(crate) fn looked_at(&self, stream: &str, bytes: u64) {
        self.looked_at.lock().insert(stream.to_owned(), bytes);
    }

    /// How much more that is than the last time.
    pub(crate) fn grown(&self, stream: &str, bytes: u64) -> u64 {
        bytes.saturating_sub(self.looked_at.lock().get(stream).copied().unwrap_or(0))
    }

    /// The first of these partitions that takes no more.
    pub(crate) fn refused(
        &self,
        mut partitions: impl Iterator<Item = PartitionId>,
    ) -> Option<PartitionId> {
        if !self.any_refused.load(Ordering::Relaxed) {
            return None;
        }
        let refused = self.refused.read();
        partitions.find(|id| refused.contains(id))
    }
}
