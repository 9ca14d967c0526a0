//! The first record from an offset on: where it lies and when it came. Never reads more than that.

use tidewire_proto::id::PartitionId;
use tidewire_store::{ReadError, Store};

/// Its offset, and when it came, in milliseconds since 1970; `None` if there is none. Waits for the
/// disk.
pub(crate) fn first_from(
    store: &Store,
    id: PartitionId,
    offset: u64,
) -> Result<Option<(u64, i64)>, ReadError> {
    let slice = store.read(id, offset, 1)?;
    let Some(stored) = slice.batches.first() else { return Ok(None) };
    let at = |delta: u32| stored.base_offset + u64::from(delta);
    let record = stored.batch.records().find(|record| at(record.offset_delta) >= offset);
    let found = record.map(|record| (at(record.offset_delta), record.timestamp_ms));
    Ok(Some(found.unwrap_or((offset, stored.batch.max_timestamp()))))
}

/// When the first record from there on came. What cannot be read has no time. Waits
/// for the disk.
#[must_use]
pub fn came_ms(store: &Store, (id, offset): (PartitionId, u64)) -> Option<i64> {
    first_from(store, id, offset).ok().flatten().map(|(_, came_ms)| came_ms)
}
