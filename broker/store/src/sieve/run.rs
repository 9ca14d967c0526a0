//! The sieves of what was added to a segment at once, made and read back. docs/format.md draws
//! the bytes.
//!
//! `magic 8 | crc u32 | length u32 | segment u64 | base u64 | position u64 | blocks u32 |
//! bytes of filters u32 | blocks … | filters …`, little-endian; a block is `offsets u64 | bytes
//! u64 | bytes of its filter u32 | probes u32`. The checksum covers what is behind it.

use std::mem;

use tidewire_proto::record::Batch;

use super::bits;
use super::hash::topic_hash;
use crate::mutation;

/// Batches are gathered until they come to this much.
const BLOCK_BYTES: u64 = 16 << 10;

const MAGIC: [u8; 8] = *b"TwSiv001";
const HEADER_BYTES: usize = 48;
const BLOCK_ROW_BYTES: usize = 24;
const CRC_COVERS_FROM: usize = 12;

/// Sieves of consecutive batches.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first offset.
    pub(super) base: u64,
    /// Where in the segment its batch begins.
    pub(super) position: u64,
    pub(super) blocks: Vec<Ends>,
    filters: Vec<u8>,
}

/// Where a block of batches ends; it begins where the one before ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    /// The offset behind its last record.
    pub(super) next: u64,
    /// The position behind its last batch.
    pub(super) end: u64,
    /// Where its filter ends.
    filter_end: u32,
    probes: u8,
}

impl Run {
    /// The first offset.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Where in the segment its batch begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The offset behind the last record.
    pub(crate) fn next(&self) -> u64 {
        self.blocks.last().map_or(self.base, |last| last.next)
    }

    /// The position behind the last batch.
    pub(crate) fn end(&self) -> u64 {
        self.blocks.last().map_or(self.position, |last| last.end)
    }

    /// What it takes in memory.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.blocks.len() * size_of::<Ends>() + self.filters.len()
    }

    /// Can a record with this topic be in that block?
    pub(super) fn may_hold(&self, block: usize, hash: u64) -> bool {
        let from = block.checked_sub(1).map_or(0, |before| self.blocks[before].filter_end);
        let Ends { filter_end, probes, .. } = self.blocks[block];
        bits::may_hold(&self.filters[from as usize..filter_end as usize], probes, hash)
    }

    /// Its bytes in a file.
    pub(crate) fn encode(&self, segment: u64) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[0; 8]);
        for number in [segment, self.base, self.position] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&length_field(self.blocks.len()));
        bytes.extend_from_slice(&length_field(self.filters.len()));
        let (mut offset, mut position, mut filter) = (self.base, self.position, 0);
        for block in &self.blocks {
            bytes.extend_from_slice(&(block.next - offset).to_le_bytes());
            bytes.extend_from_slice(&(block.end - position).to_le_bytes());
            bytes.extend_from_slice(&(block.filter_end - filter).to_le_bytes());
            bytes.extend_from_slice(&u32::from(block.probes).to_le_bytes());
            (offset, position, filter) = (block.next, block.end, block.filter_end);
        }
        bytes.extend_from_slice(&self.filters);
        let length = length_field(bytes.len());
        bytes[12..16].copy_from_slice(&length);
        let crc = crc_fast::crc32_iscsi(&bytes[CRC_COVERS_FROM..]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The run at the front of the bytes, and what is behind it; `None` if none of this segment
    /// is there whole.
    pub(crate) fn decode(bytes: &[u8], segment: u64) -> Option<(Self, &[u8])> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let short = |at: usize| u32::from_le_bytes(field(header, at));
        let long = |at: usize| u64::from_le_bytes(field(header, at));
        let (run, rest) = bytes.split_at_checked(usize::try_from(short(12)).ok()?)?;
        let crc = crc_fast::crc32_iscsi(run.get(CRC_COVERS_FROM..)?);
        if header[..8] != MAGIC || crc != short(8) || long(16) != segment {
            return None;
        }
        let rows = usize::try_from(short(40)).ok()?.checked_mul(BLOCK_ROW_BYTES)?;
        let (rows, filters) = run.get(HEADER_BYTES..)?.split_at_checked(rows)?;
        let mut found = Self {
            base: long(24),
            position: long(32),
            blocks: Vec::with_capacity(rows.len() / BLOCK_ROW_BYTES),
            filters: filters.to_vec(),
        };
        for row in rows.as_chunks::<BLOCK_ROW_BYTES>().0 {
            let block = found.decode_row(row)?;
            found.blocks.push(block);
        }
        let filled = found.blocks.last()?.filter_end as usize;
        (filled == filters.len() && short(44) as usize == filled).then_some((found, rest))
    }

    fn decode_row(&self, row: &[u8; BLOCK_ROW_BYTES]) -> Option<Ends> {
        let filter_from = self.blocks.last().map_or(0, |before| before.filter_end);
        let filter_bytes = u32::from_le_bytes(field(row, 16));
        let probes = u8::try_from(u32::from_le_bytes(field(row, 20))).ok()?;
        let block = Ends {
            next: self.next().checked_add(u64::from_le_bytes(field(row, 0)))?,
            end: self.end().checked_add(u64::from_le_bytes(field(row, 8)))?,
            filter_end: filter_from.checked_add(filter_bytes)?,
            probes,
        };
        let moves_on = block.next > self.next() && block.end > self.end();
        let fits = block.filter_end as usize <= self.filters.len();
        (moves_on && fits && bits::is_sound(filter_bytes as usize, probes)).then_some(block)
    }
}

/// Gathers the topics of batches as they are added to a segment.
#[derive(Debug)]
pub(crate) struct RunBuilder {
    run: Run,
    next: u64,
    end: u64,
    /// Topics of the block that is not closed yet.
    hashes: Vec<u64>,
    is_opaque: bool,
}

impl RunBuilder {
    /// Begins with the batch of offset `base`, at `position` of the segment.
    pub(crate) fn new(base: u64, position: u64) -> Self {
        let run = Run { base, position, blocks: Vec::new(), filters: Vec::new() };
        Self { run, next: base, end: position, hashes: Vec::new(), is_opaque: false }
    }

    /// The next batch; the one behind it begins at `next`.
    pub(crate) fn add(&mut self, batch: &Batch, next: u64) {
        self.add_showing(batch, next, |_, _| ());
    }

    /// The same, and shows the topic of each record and how far behind the first it is. False if
    /// the batch cannot be opened.
    pub(crate) fn add_showing(
        &mut self,
        batch: &Batch,
        next: u64,
        show: impl FnMut(&[u8], u32),
    ) -> bool {
        let opened = batch.clone().open();
        match &opened {
            Ok(batch) if batch.is_control() => (),
            Ok(batch) => self.take_topics(batch, show),
            Err(_) => self.is_opaque = true,
        }
        self.next = next;
        self.end += batch.bytes().len() as u64;
        if self.end - self.run.end() >= BLOCK_BYTES {
            self.close_block();
        }
        opened.is_ok()
    }

    /// All of them, if there are any.
    pub(crate) fn finish(mut self) -> Option<Run> {
        if self.next > self.run.next() {
            self.close_block();
        }
        let is_short = u32::try_from(self.run.memory()).is_ok();
        (is_short && !self.run.blocks.is_empty()).then_some(self.run)
    }

    /// The position behind the last batch so far.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes of batches so far.
    pub(crate) fn stands_for(&self) -> u64 {
        self.end - self.run.position
    }

    fn take_topics(&mut self, batch: &Batch, mut show: impl FnMut(&[u8], u32)) {
        let mut last = None;
        for (offset_delta, key) in batch.keys() {
            let Some(topic) = key else { continue };
            show(topic, offset_delta);
            // Records of one topic often lie together.
            if last.replace(topic) == Some(topic) {
                continue;
            }
            let hash = topic_hash(topic);
            if self.hashes.last() != Some(&hash) {
                self.hashes.push(hash);
            }
        }
    }

    fn close_block(&mut self) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        if mutation::sieves_lose_topics() {
            self.hashes.pop();
        }
        let bytes = self.end - self.run.end();
        let probes = match mem::take(&mut self.is_opaque) {
            true => bits::OPAQUE,
            false => bits::put(&mut self.run.filters, &self.hashes, bytes),
        };
        self.hashes.clear();
        // Whatever is too long is refused when it is finished.
        let filter_end = u32::try_from(self.run.filters.len()).unwrap_or(u32::MAX);
        self.run.blocks.push(Ends { next: self.next, end: self.end, filter_end, probes });
    }
}

fn length_field(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("a longer run was refused when it was finished").to_le_bytes()
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the range is N long")
}

#[cfg(test)]
mod tests {
    use tidewire_proto::record::{Batch, BatchBuilder};

    use super::{Run, RunBuilder};
    use crate::sieve::topic_hash;

    fn batch(from: u64, records: u64) -> Batch {
        let mut builder = BatchBuilder::new();
        for n in from..from + records {
            let topic = format!("line/{n}");
            builder.push(1, Some(topic.as_bytes()), Some(&[b'x'; 100]), &[]);
        }
        builder.finish()
    }

    fn sample() -> Run {
        let mut builder = RunBuilder::new(40, 7_000);
        for n in 0..100 {
            builder.add(&batch(n * 10, 10), 40 + (n + 1) * 10);
        }
        builder.finish().expect("there are batches")
    }

    #[test]
    fn a_run_finds_each_topic_in_its_block_and_comes_back_from_its_bytes() {
        let run = sample();
        assert!(run.blocks.len() > 5 && run.next() == 1_040);
        let mut bytes = run.encode(11);
        bytes.extend_from_slice(b"rest");
        let (found, rest) = Run::decode(&bytes, 11).expect("whole");
        assert_eq!((&found, rest), (&run, &b"rest"[..]));
        for n in 0..1_000 {
            let hash = topic_hash(format!("line/{n}").as_bytes());
            let block = run.blocks.partition_point(|block| block.next <= 40 + n);
            assert!(found.may_hold(block, hash), "{n}");
        }
        assert_eq!(RunBuilder::new(3, 0).finish(), None);
    }

    #[test]
    fn no_part_of_a_run_and_no_changed_one_passes_for_it() {
        let bytes = sample().encode(11);
        assert!(Run::decode(&bytes, 12).is_none(), "it is another segment's");
        for length in (0..bytes.len()).step_by(3) {
            assert!(Run::decode(&bytes[..length], 11).is_none(), "{length}");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(Run::decode(&flipped, 11).is_none(), "{at}");
        }
    }
}
