//! Reads batches from a segment. Every batch is checked; a damaged one is quarantined, never
//! served.

use std::io;
use std::sync::Arc;

use tidewire_proto::record::Record;

use super::archive::Located;
use super::index::{SparseIndex, index};
use super::window::{AHEAD_BYTES, Window, open};
use crate::disk::File;
use crate::read::StoredBatch;

/// What a segment gave.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    pub(crate) batches: Vec<StoredBatch>,
    /// Where to read on: behind the batches, and behind damage.
    pub(crate) next: u64,
}

/// Batches from the one that holds `from` on, up to about `bytes_max` and the segment's end.
pub(crate) fn read(located: Located<'_>, from: u64, bytes_max: usize) -> io::Result<Stretch> {
    let (file, index) = indexed(located)?;
    let place = index.place_of(from, located.segment.base);
    let mut window = Window::open(located, file, place, AHEAD_BYTES)?;
    window.load(bytes_max as u64 + AHEAD_BYTES)?;
    let mut stretch = Stretch::default();
    let mut taken = 0;
    loop {
        stretch.next = window.next_offset().max(from);
        let length = window.peek()?.unwrap_or_default();
        if taken + length > bytes_max && !stretch.batches.is_empty() {
            return Ok(stretch);
        }
        let Some(stored) = window.batch()? else {
            stretch.next = located.segment.next;
            return Ok(stretch);
        };
        if stored.next_offset() > from {
            taken += stored.batch.bytes().len();
            stretch.batches.push(stored);
        }
    }
}

/// Every record for readers, in order. False if some are damaged.
pub(crate) fn visit(
    located: Located<'_>,
    see: &mut dyn FnMut(u64, &Record<'_>),
) -> io::Result<bool> {
    let begin = (located.segment.base, 0);
    let mut window = Window::open(located, open(located)?, begin, AHEAD_BYTES * 16)?;
    while let Some(stored) = window.batch()? {
        if stored.batch.is_control() {
            continue;
        }
        for record in stored.batch.records() {
            see(stored.base_offset + u64::from(record.offset_delta), &record);
        }
    }
    Ok(!window.is_damaged())
}

/// An offset that is not behind the first record with this or a later timestamp.
pub(crate) fn time_hint(located: Located<'_>, timestamp_ms: i64) -> io::Result<u64> {
    let (_, index) = indexed(located)?;
    Ok(index.before_time(timestamp_ms).unwrap_or(located.segment.base))
}

pub(super) fn indexed(located: Located<'_>) -> io::Result<(Arc<dyn File>, Arc<SparseIndex>)> {
    let file = open(located)?;
    let index = index(located, &*file)?;
    Ok((file, index))
}
