//! The sparse index of a segment: one entry for every so many bytes. Rebuilt from the segment
//! whenever its own file is missing or damaged; never trusted beyond finding a place to start.

use std::io::{self, IoSlice};

use tidewire_proto::record::{BATCH_HEADER_BYTES, Batch, Outline};

use super::chain::Place;
use super::meter::Meter;
use super::name::{INDEX, file_name};
use crate::disk::{Disk, File, OpenMode, salvage};
use crate::partition::Segment;

/// Bytes of a segment between two entries.
const STEP_BYTES: u64 = 32 << 10;
const MAGIC: [u8; 8] = *b"TwIdx001";
const ENTRY_BYTES: usize = 24;

/// Where to start reading for an offset or a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SparseIndex {
    entries: Vec<Entry>,
    /// Bytes of the segment that are indexed.
    covered: u64,
    /// The offset behind the last batch that is indexed.
    next: u64,
    max_timestamp: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    base: u64,
    position: u64,
    /// The largest timestamp before this batch.
    max_timestamp_before: i64,
}

impl SparseIndex {
    /// Index all bytes of a segment that count.
    pub(super) fn build(file: &dyn File, segment: &Segment) -> io::Result<Self> {
        let mut index = Self { max_timestamp: i64::MIN, next: segment.base, ..Self::default() };
        index.extend(file, segment.bytes)?;
        Ok(index)
    }

    /// The same of what was just written; an error if not all of it can be read.
    pub(super) fn build_whole(file: &dyn File, segment: &Segment) -> io::Result<Self> {
        let mut index = Self { max_timestamp: i64::MIN, next: segment.base, ..Self::default() };
        let lost = index.extend(file, segment.bytes)?;
        match lost == 0 && index.covers(segment.bytes) {
            true => Ok(index),
            false => Err(io::Error::other("what was written cannot be read back")),
        }
    }

    /// It speaks of this many bytes of the segment.
    pub(super) fn covers(&self, bytes: u64) -> bool {
        self.covered >= bytes
    }

    /// Bytes of the segment that it speaks of.
    pub(super) fn covered(&self) -> u64 {
        self.covered
    }

    /// Offset and position of the batch with `offset`, or of some batch before it. `base` is the
    /// segment's first offset.
    pub(super) fn place_of(&self, offset: u64, base: u64) -> (u64, u64) {
        let index = self.entries.partition_point(|entry| entry.base <= offset);
        let entry = index.checked_sub(1).map(|index| self.entries[index]);
        entry.map_or((base, 0), |entry| (entry.base, entry.position))
    }

    /// Where the batches begin that it names.
    pub(super) fn places(&self) -> Vec<Place> {
        let place = |entry: &Entry| Place { position: entry.position, base: entry.base };
        self.entries.iter().map(place).collect()
    }

    /// The last place before which all is older than this.
    pub(super) fn before_time(&self, timestamp_ms: i64) -> Option<u64> {
        let older = |entry: &Entry| entry.max_timestamp_before < timestamp_ms;
        let index = self.entries.partition_point(older);
        index.checked_sub(1).map(|index| self.entries[index].base)
    }

    /// Hop from batch to batch. A header that makes no sense ends it: readers will meet the
    /// damage themselves and name it. Answers how many bytes the disk could not read.
    pub(super) fn extend(&mut self, file: &dyn File, bytes: u64) -> io::Result<u64> {
        let mut lost = 0;
        let bytes = bytes.min(file.len()?);
        let left = usize::try_from(bytes.saturating_sub(self.covered)).unwrap_or(usize::MAX);
        let mut chunk = vec![0; left.min(1 << 18)];
        while self.covered < bytes {
            let length = (bytes - self.covered).min(chunk.len() as u64);
            let window = &mut chunk[..usize::try_from(length).expect("no longer than the chunk")];
            lost += salvage(file, window, self.covered)?;
            if self.extend_with(window) == 0 {
                break;
            }
        }
        Ok(lost)
    }

    /// Index the batches whose headers are in `window`; returns how far that went.
    fn extend_with(&mut self, window: &[u8]) -> u64 {
        let mut at = 0;
        while let Some(header) = window.get(at..at + BATCH_HEADER_BYTES) {
            let follows = |batch: &Outline| batch.base_offset == self.next;
            let Some(batch) = Batch::outline(header).filter(follows) else { break };
            let last = self.entries.last().map_or(0, |entry| entry.position);
            if self.covered >= last + STEP_BYTES || self.entries.is_empty() {
                let max_timestamp_before = self.max_timestamp;
                let (base, position) = (batch.base_offset, self.covered);
                self.entries.push(Entry { base, position, max_timestamp_before });
            }
            self.max_timestamp = self.max_timestamp.max(batch.max_timestamp);
            self.covered += batch.bytes as u64;
            self.next = batch.next_offset;
            at += batch.bytes;
        }
        at as u64
    }

    /// Write it beside its segment, which is sealed. One that ends at damage, or at what could not
    /// be read just now, is not kept: nobody would believe it.
    pub(super) fn save(&self, disk: &dyn Disk, folder: &str, segment: &Segment) -> io::Result<()> {
        if !self.covers(segment.bytes) {
            let (base, covered) = (segment.base, self.covered);
            tracing::warn!(folder, base, covered, "a segment is sealed without an index");
            return Ok(());
        }
        let name = file_name(folder, segment, INDEX);
        let temporary = format!("{name}.tmp");
        let file = disk.open(&temporary, OpenMode::Create)?;
        file.write_all_at(&mut [IoSlice::new(&self.encode())], 0)?;
        file.sync_data()?;
        disk.rename(&temporary, &name)
    }

    /// What was saved beside a sealed segment, if it is right.
    pub(super) fn load(
        disk: &dyn Disk,
        folder: &str,
        segment: &Segment,
        meter: &Meter,
    ) -> Option<Self> {
        let name = file_name(folder, segment, INDEX);
        let file = disk.open(&name, OpenMode::Read).ok()?;
        let length = usize::try_from(file.len().ok()?).ok()?;
        let bytes = meter.read_at(&*file, length, 0).ok()?;
        let index = Self::decode(&bytes, segment.next)?;
        (index.covered == segment.bytes).then_some(index)
    }

    /// `magic 8 | crc u32 | zero u32 | covered u64 | max timestamp i64 | entries`, little-endian;
    /// the checksum covers what is behind it.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&self.covered.to_le_bytes());
        bytes.extend_from_slice(&self.max_timestamp.to_le_bytes());
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.base.to_le_bytes());
            bytes.extend_from_slice(&entry.position.to_le_bytes());
            bytes.extend_from_slice(&entry.max_timestamp_before.to_le_bytes());
        }
        let crc = crc_fast::crc32_iscsi(&bytes[16..]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8], next: u64) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (_, rest) = rest.split_first_chunk::<4>()?;
        if crc_fast::crc32_iscsi(rest) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (covered, rest) = rest.split_first_chunk()?;
        let (max_timestamp, rest) = rest.split_first_chunk()?;
        let (entries, []) = rest.as_chunks::<ENTRY_BYTES>() else { return None };
        let number = |entry: &[u8; ENTRY_BYTES], at: usize| {
            u64::from_le_bytes(entry[at..at + 8].try_into().expect("the range is 8 long"))
        };
        let entries = entries.iter().map(|entry| Entry {
            base: number(entry, 0),
            position: number(entry, 8),
            max_timestamp_before: number(entry, 16).cast_signed(),
        });
        Some(Self {
            entries: entries.collect(),
            covered: u64::from_le_bytes(*covered),
            next,
            max_timestamp: i64::from_le_bytes(*max_timestamp),
        })
    }
}
