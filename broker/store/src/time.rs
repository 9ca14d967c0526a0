//! From a time to an offset. Exact for the record; never assumes that timestamps only grow.

use std::io::ErrorKind;

use tidewire_proto::id::PartitionId;

use crate::engine::Engine;
use crate::partition::TimePlace;
use crate::read::{ReadError, StoredBatch};
use crate::{reader, segment};

/// Read at once while looking for the record.
const STEP_BYTES: usize = 64 << 10;

/// The first offset whose record is not older than this; the partition's end if there is none.
pub(crate) fn offset_at(
    engine: &Engine,
    id: PartitionId,
    timestamp_ms: i64,
) -> Result<u64, ReadError> {
    let partition = engine.catalog.partition(id).ok_or(ReadError::UnknownPartition)?;
    let mut from = 0;
    loop {
        from = match partition.locate_time(from, timestamp_ms) {
            TimePlace::End(end) => return Ok(end),
            TimePlace::From(offset) => offset,
            TimePlace::Segment(found) => {
                match segment::time_hint(engine.located(&partition, &found), timestamp_ms) {
                    Ok(hint) => hint.max(from).max(found.base),
                    Err(_) if !partition.has(&found) => continue,
                    // Reading it says so, and goes on behind it.
                    Err(error) if error.kind() == ErrorKind::NotFound => found.base.max(from),
                    Err(error) => return Err(ReadError::Io(error.to_string())),
                }
            }
        };
        let slice = match reader::read(engine, id, from, STEP_BYTES) {
            // Retention was faster.
            Err(ReadError::OutOfRange { start, .. }) if start > from => {
                from = start;
                continue;
            }
            slice => slice?,
        };
        let found = |stored: &StoredBatch| first_in(stored, from, timestamp_ms);
        if let Some(offset) = slice.batches.iter().find_map(found) {
            return Ok(offset);
        }
        from = slice.next;
    }
}

fn first_in(stored: &StoredBatch, from: u64, timestamp_ms: i64) -> Option<u64> {
    if stored.batch.max_timestamp() < timestamp_ms {
        return None;
    }
    let offset = |delta: u32| stored.base_offset + u64::from(delta);
    let mut records = stored.batch.records();
    let is_it = |record: &tidewire_proto::record::Record<'_>| {
        record.timestamp_ms >= timestamp_ms && offset(record.offset_delta) >= from
    };
    records.find(is_it).map(|record| offset(record.offset_delta))
}
