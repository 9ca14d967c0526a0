//! When records came that somebody has not read. Reads no more than one batch.

use tidewire_proto::id::PartitionId;

use super::view::View;
use crate::reader;

/// When the first record from an offset on came. What cannot be read has no time.
pub(super) fn time_of(view: &View, id: PartitionId, offset: u64) -> Option<i64> {
    let slice = reader::read(&view.engine, id, offset, 1).ok()?;
    let stored = slice.batches.first()?;
    let batch = stored.batch.clone().open().ok()?;
    let at = |delta: u32| stored.base_offset + u64::from(delta);
    let record = batch.records().find(|record| at(record.offset_delta) >= offset);
    Some(record.map_or(batch.max_timestamp(), |record| record.timestamp_ms))
}
