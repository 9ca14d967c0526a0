//! Messages in parts of the log that were read. Reads nothing itself.

use tidewire_proto::message::Message;
use tidewire_proto::record::{Batch, Record, SharedRecord};
use tidewire_store::Slice;

/// Bytes that one read of the log asks for.
pub(crate) const READ_LOG_BYTES: usize = 64 * 1024;

/// Whether the first batch of a slice has this offset.
pub(crate) fn begins_with(slice: &Slice, offset: u64) -> bool {
    slice.batches.first().is_some_and(|stored| {
        let end = stored.base_offset + u64::from(stored.batch.last_offset_delta());
        (stored.base_offset..=end).contains(&offset)
    })
}

/// The message with this offset in a slice that begins with its batch.
pub(crate) fn message_at(slice: &Slice, offset: u64) -> Option<Message<'_>> {
    Message::of(&record_at(slice, offset)?.1)
}

/// The same as a record of its own.
pub(crate) fn stored_at(slice: &Slice, offset: u64) -> Option<SharedRecord> {
    record_at(slice, offset).map(|(batch, record)| batch.share(&record))
}

fn record_at(slice: &Slice, offset: u64) -> Option<(&Batch, Record<'_>)> {
    let stored = slice.batches.first()?;
    let is_it = |delta: u32| stored.base_offset + u64::from(delta) == offset;
    let record = stored.batch.records().find(|record| is_it(record.offset_delta))?;
    Some((&stored.batch, record))
}
