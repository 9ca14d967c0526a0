//! Reads batches from a segment. Every batch is checked; a damaged one is quarantined, never
//! served.

use std::io;
use std::sync::Arc;

use tidewire_proto::record::Record;

use super::archive::Located;
use super::index::SparseIndex;
use super::name::{BATCHES, file_name};
use super::window::{AHEAD_BYTES, Window, open};
use crate::disk::File;
use crate::read::{Form, Quarantined, StoredBatch};
use crate::sieve::Block;

/// What a segment gave.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    pub(crate) batches: Vec<StoredBatch>,
    /// Where to read on: behind the batches, and behind damage.
    pub(crate) next: u64,
}

/// Batches from the one that holds `from` on, up to about `bytes_max` and the segment's end.
pub(crate) fn read(
    located: Located<'_>,
    from: u64,
    bytes_max: usize,
    form: Form,
) -> io::Result<Stretch> {
    let file = open(located)?;
    let place = match located.partition.block_at(from) {
        Some((segment, block)) if segment.base == located.segment.base => {
            (block.base, block.position)
        }
        _ => index(located, &*file)?.place_of(from, located.segment.base),
    };
    let mut window = Window::open(located, file, place, AHEAD_BYTES)?.giving(form);
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

/// The file is not there: all of the segment is out of service, and readers go on behind it.
pub(crate) fn miss(located: Located<'_>) -> Stretch {
    let (partition, segment) = (located.partition, located.segment);
    located.archive.quarantine(Quarantined {
        partition: partition.id,
        file: file_name(&partition.folder, segment, BATCHES),
        position: 0,
        from: segment.base,
        to: segment.next,
        what: "the file is missing".into(),
    });
    Stretch { batches: Vec::new(), next: segment.next }
}

/// The batches of a block from the one that holds `from` on.
pub(crate) fn read_block(located: Located<'_>, block: Block, from: u64) -> io::Result<Stretch> {
    let place = (block.base, block.position);
    let mut window = Window::open(located, open(located)?, place, 0)?;
    window.load(block.end - block.position)?;
    let mut stretch = Stretch { batches: Vec::new(), next: from };
    while window.next_offset() < block.next
        && let Some(stored) = window.batch()?
    {
        stretch.next = window.next_offset().max(from);
        if stored.next_offset() > from {
            stretch.batches.push(stored);
        }
    }
    // Damage may end it early, or take it further.
    stretch.next = stretch.next.max(window.next_offset()).max(block.next);
    Ok(stretch)
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

/// When the first record was appended.
pub(crate) fn first_timestamp(located: Located<'_>) -> io::Result<Option<i64>> {
    let begin = (located.segment.base, 0);
    let mut window = Window::open(located, open(located)?, begin, 0)?;
    Ok(window.batch()?.map(|stored| stored.batch.base_timestamp()))
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

/// The index of a segment, as far as the segment reaches now.
fn index(located: Located<'_>, file: &dyn File) -> io::Result<Arc<SparseIndex>> {
    let segment = located.segment;
    let kept = &located.archive.indexes;
    let index = match kept.take(located.key()) {
        Some(index) if index.covers(segment.bytes) => index,
        Some(shorter) => {
            let mut longer = SparseIndex::clone(&shorter);
            located.archive.meter.count(segment.bytes.saturating_sub(longer.covered()));
            longer.extend(file, segment.bytes)?;
            Arc::new(longer)
        }
        None => {
            let folder = &located.partition.folder;
            let meter = &located.archive.meter;
            let load = || SparseIndex::load(located.disk, folder, segment, meter);
            match segment.sealed.then(load).flatten() {
                Some(index) => Arc::new(index),
                None => {
                    meter.count(segment.bytes);
                    Arc::new(SparseIndex::build(file, segment)?)
                }
            }
        }
    };
    kept.put(located.key(), &index);
    Ok(index)
}
