//! Walks a segment batch by batch, over damage to the next whole batch. Never judges what the
//! damage means.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{BATCH_HEADER_BYTES, Batch, Outline};

use crate::disk::{Disk, File, OpenMode};
use crate::partition::{Partition, Segment};
use crate::segment::{Archive, Chain, Located, Place, known_places, segment_name};

/// Read at once.
const CHUNK_BYTES: u64 = 1 << 20;
/// Where a sector cannot be read, the search goes on behind it.
const SECTOR_BYTES: u64 = 4096;
/// Where a batch has its format, and which.
const MAGIC: (usize, u8) = (16, 2);

/// One step through a segment.
#[derive(Debug)]
pub(super) enum Piece {
    /// A batch that is in order.
    Batch { position: u64, batch: Batch },
    /// Bytes that are not, and the offsets that should be there.
    Bad(Bad),
}

/// Bytes that cannot be read as batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) bytes: (u64, u64),
    pub(super) offsets: (u64, u64),
    pub(super) what: String,
    /// Nothing readable comes behind it.
    pub(super) is_tail: bool,
}

/// Show every piece of the bytes that count.
pub(super) fn walk(
    disk: &dyn Disk,
    folder: &str,
    segment: &Segment,
    visit: &mut dyn FnMut(Piece),
) -> io::Result<()> {
    let file = disk.open(&segment_name(folder, segment), OpenMode::Read)?;
    let length = file.len()?;
    let end = length.min(segment.bytes);
    let mut walker = Walker {
        source: Source::new(&file, end),
        ahead: Source::new(&file, end),
        segment: *segment,
        known: known(disk, folder, segment),
    };
    let (mut position, mut expected) = (0, segment.base);
    while position < segment.bytes || expected < segment.next {
        match walker.batch(position, expected) {
            Ok(batch) => {
                let next = expected + u64::from(batch.last_offset_delta()) + 1;
                let bytes = batch.bytes().len() as u64;
                visit(Piece::Batch { position, batch });
                (position, expected) = (position + bytes, next);
            }
            Err(what) => {
                let found = walker.resume(position, expected);
                let (end, next) = found.unwrap_or((segment.bytes, segment.next));
                let is_short = found.is_none() && length < segment.bytes;
                let what = match is_short {
                    true => format!("the file is cut short: {length} of {} bytes", segment.bytes),
                    false => what,
                };
                let (bytes, offsets) = ((position, end), (expected, next));
                visit(Piece::Bad(Bad { bytes, offsets, what, is_tail: found.is_none() }));
                (position, expected) = (end, next);
            }
        }
    }
    Ok(())
}

/// Where batches begin, as the files beside the segment say.
fn known(disk: &dyn Disk, folder: &str, segment: &Segment) -> Vec<Place> {
    let (archive, partition) = (Archive::default(), Partition::new(PartitionId(0), folder.into()));
    known_places(Located { disk, archive: &archive, partition: &partition, segment })
}

struct Walker {
    source: Source,
    /// Where it looks ahead.
    ahead: Source,
    segment: Segment,
    known: Vec<Place>,
}

impl Walker {
    /// The batch at `position`, if it is whole and holds `expected`.
    fn batch(&mut self, position: u64, expected: u64) -> Result<Batch, String> {
        let outline = self.source.read(position, BATCH_HEADER_BYTES as u64)?;
        let outline = Batch::outline(&outline).ok_or("no batch begins here")?;
        if outline.base_offset != expected {
            return Err(format!("offset {} where {expected} should be", outline.base_offset));
        }
        if outline.next_offset > self.segment.next {
            return Err(format!("a batch goes up to offset {}", outline.next_offset - 1));
        }
        let bytes = self.source.read(position, outline.bytes as u64)?;
        let batch = Batch::parse(bytes).and_then(Batch::open);
        let batch = batch.map_err(|error| error.to_string())?;
        batch.validate().map_err(|error| error.to_string())?;
        Ok(batch)
    }

    /// The next place from which the rest can be read: position and offset. One that is known and
    /// damaged as well ends no damage: whoever mends it must not stop in the middle of a sector.
    fn resume(&mut self, position: u64, expected: u64) -> Option<(u64, u64)> {
        let mut found = self.next_place(position, expected)?;
        while self.known.iter().any(|known| known.position == found.0)
            && self.batch(found.0, found.1).is_err()
        {
            found = self.next_place(found.0, found.1)?;
        }
        Some(found)
    }

    fn next_place(&mut self, position: u64, expected: u64) -> Option<(u64, u64)> {
        let end = self.source.end;
        let mut chain = Chain::new(self.segment, end, self.known.clone());
        if let Some(found) = self.behind(position, expected, &mut chain) {
            return Some(found);
        }
        let aim = chain.known_from(position + 1).filter(|aim| aim.base > expected);
        let stop = aim.map_or(end, |aim| aim.position);
        let mut at = position + 1;
        while at < stop && at + BATCH_HEADER_BYTES as u64 <= end && !chain.is_spent() {
            let Ok(window) = self.source.window(at) else {
                at = (at + 1).next_multiple_of(SECTOR_BYTES);
                continue;
            };
            let starts = window.len().saturating_sub(BATCH_HEADER_BYTES) + 1;
            let starts = starts.min(usize::try_from(stop - at).unwrap_or(usize::MAX));
            for start in (0..starts).filter(|start| is_candidate(&window[*start..])) {
                let place = at + start as u64;
                let base = Batch::base_offset_in(&window[start..])?;
                if base > expected && self.leads_on(place, base, &mut chain) {
                    return Some((place, base));
                }
            }
            at += starts as u64;
        }
        aim.map(|aim| (aim.position, aim.base))
    }

    /// Where the header of a damaged batch still says how long it is, nothing inside it is looked
    /// at.
    fn behind(&mut self, position: u64, expected: u64, chain: &mut Chain) -> Option<(u64, u64)> {
        let damaged = self.outline(position)?;
        let behind = position + damaged.bytes as u64;
        let aim = chain.known_from(position + 1).filter(|aim| aim.base > expected);
        if let Some(aim) = aim.filter(|aim| aim.position <= behind) {
            return (aim.position == behind).then_some((behind, aim.base));
        }
        let base = self.outline(behind)?.base_offset;
        let said = damaged.base_offset == expected && damaged.next_offset == base;
        let is_later = base > expected && base < self.segment.next;
        (is_later && (said || self.leads_on(behind, base, chain))).then_some((behind, base))
    }

    /// A payload may hold batches of its own: the right one leads to where the segment goes on.
    fn leads_on(&mut self, position: u64, base: u64, chain: &mut Chain) -> bool {
        let last = self.segment.next;
        let outline = self.outline(position);
        let Some(first) = outline.filter(|first| base < last && first.next_offset <= last) else {
            return false;
        };
        let ahead = &mut self.ahead;
        let mut outline_at = |position| Ok(ahead.outline(position));
        if !chain.reaches(position, &first, &mut outline_at).unwrap_or(false) {
            return false;
        }
        let is_whole = self.batch(position, base).is_ok();
        if !is_whole {
            chain.count(first.bytes as u64);
        }
        is_whole
    }

    fn outline(&mut self, position: u64) -> Option<Outline> {
        self.source.outline(position)
    }
}

fn is_candidate(bytes: &[u8]) -> bool {
    let (place, magic) = MAGIC;
    bytes.get(place) == Some(&magic) && Batch::outline(bytes).is_some()
}

/// The bytes of the file that count, a chunk of them in memory.
struct Source {
    file: Arc<dyn File>,
    end: u64,
    /// Where the chunk begins.
    start: u64,
    chunk: Bytes,
}

impl Source {
    fn new(file: &Arc<dyn File>, end: u64) -> Self {
        Self { file: Arc::clone(file), end, start: 0, chunk: Bytes::new() }
    }

    /// The header at a position.
    fn outline(&mut self, position: u64) -> Option<Outline> {
        let header = self.read(position, BATCH_HEADER_BYTES as u64).ok()?;
        Batch::outline(&header)
    }

    fn read(&mut self, position: u64, bytes: u64) -> Result<Bytes, String> {
        let end = position.checked_add(bytes).filter(|end| *end <= self.end);
        let end = end.ok_or("the segment ends in the middle of a batch")?;
        if position < self.start || end > self.start + self.chunk.len() as u64 {
            let wanted = bytes.max(CHUNK_BYTES).min(self.end - position);
            let loaded = self.load(position, wanted).or_else(|_| self.load(position, bytes));
            self.chunk = loaded.map_err(|error| error.to_string())?;
            self.start = position;
        }
        let from = usize::try_from(position - self.start).map_err(|error| error.to_string())?;
        let length = usize::try_from(bytes).map_err(|error| error.to_string())?;
        Ok(self.chunk.slice(from..from + length))
    }

    /// What there is from a position on, at least a header.
    fn window(&mut self, position: u64) -> Result<Bytes, String> {
        self.read(position, BATCH_HEADER_BYTES as u64)?;
        let from = usize::try_from(position - self.start).map_err(|error| error.to_string())?;
        Ok(self.chunk.slice(from..))
    }

    fn load(&self, position: u64, bytes: u64) -> io::Result<Bytes> {
        let length = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut loaded = vec![0; length];
        self.file.read_exact_at(&mut loaded, position)?;
        Ok(Bytes::from(loaded))
    }
}
