//! The indexes that were used last, whatever the number of segments. Never loads one.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;

/// Kept of each kind.
const KEPT_MAX: usize = 64;

/// Partition, base and generation.
pub(super) type Key = (PartitionId, u64, u32);

/// Some of a kind, the one used last at the back.
#[derive(Debug)]
pub(super) struct Kept<T> {
    used: Mutex<VecDeque<(Key, Arc<T>)>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { used: Mutex::default() }
    }
}

impl<T> Kept<T> {
    /// The one of this segment leaves, if it is here.
    pub(super) fn take(&self, key: Key) -> Option<Arc<T>> {
        let mut used = self.used.lock();
        let place = used.iter().position(|(known, _)| *known == key)?;
        used.remove(place).map(|(_, kept)| kept)
    }

    /// Keep this one, and let the one go that was not used for longest.
    pub(super) fn put(&self, key: Key, kept: &Arc<T>) {
        let mut used = self.used.lock();
        used.push_back((key, Arc::clone(kept)));
        if used.len() > KEPT_MAX {
            used.pop_front();
        }
    }
}
