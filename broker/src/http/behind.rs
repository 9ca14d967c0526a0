//! How far a reader is behind the log: in records, in seconds, and in seconds until it loses some.
//! Reads the log, so never on the port's own thread.

use tidewire_bridge::Lag;
use tidewire_proto::id::PartitionId;
use tidewire_store::Store;

use super::shape::view;
use crate::core::shared::Shared;
use crate::wall_clock::wall_clock_ms;

view! {
    /// How far a reader is behind the log.
    ReaderLag {
        /// Records behind its position; those that are not for it count until it has passed them.
        records: u64,
        /// How long ago the first of them came, in seconds; 0 if there are none.
        seconds: u64,
        /// In how many seconds retention begins to take what it has not read, if all goes on as it
        /// does; null: it does not.
        loses_in_seconds: Option<u64>,
    }
}

impl From<Lag> for ReaderLag {
    fn from(lag: Lag) -> Self {
        let Lag { messages, seconds, loses_in_s } = lag;
        Self { records: messages, seconds, loses_in_seconds: loses_in_s }
    }
}

/// Of a reader at these positions.
pub(super) fn behind(
    shared: &Shared,
    positions: impl Iterator<Item = (PartitionId, u64)>,
) -> ReaderLag {
    let (store, now_ms) = (&shared.store, wall_clock_ms());
    let (mut records, mut came_ms, mut places) = (0, None, Vec::new());
    for (partition, position) in positions {
        let Some((first, end)) = store.bounds(partition) else { continue };
        let unread = first.max(position);
        if unread >= end {
            continue;
        }
        records += end - unread;
        came_ms = came_ms.into_iter().chain(came(store, partition, unread)).min();
        places.push((partition, unread));
    }
    let waited_ms: i64 = came_ms.map_or(0, |came| now_ms.saturating_sub(came).max(0));
    let seconds = u64::try_from(waited_ms / 1000).unwrap_or(0);
    let loses_in_seconds = shared.forecasts.of_places(&places, now_ms);
    ReaderLag { records, seconds, loses_in_seconds }
}

/// When a record came, in milliseconds since 1970.
pub(super) fn came(store: &Store, partition: PartitionId, offset: u64) -> Option<i64> {
    let slice = store.read(partition, offset, 1).ok()?;
    slice.batches.first().map(|stored| stored.batch.base_timestamp())
}
