//! The bytes of one frame of the write-ahead log: what one write puts there. Pure: never a file.
//!
//! `magic u32 | crc u32 | bytes u32 | entries u32 | sign u64 | lsn u64 | durable u64 | entries`,
//! little-endian; the checksum covers the file's salt and everything behind itself. See
//! docs/format.md.

use std::io::IoSlice;
use std::mem;
use std::ops::RangeInclusive;

use crc_fast::{CrcAlgorithm, Digest};
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::Batch;

use crate::commit::{Append, Commit, TableChange};
use crate::mutation;
use crate::parts::Parts;
use crate::table::Table;

/// Bytes of a frame before its first entry.
pub(crate) const FRAME_HEADER_BYTES: usize = 40;
/// Frames begin at multiples of this.
pub(crate) const FRAME_ALIGNMENT: u64 = 8;

const MAGIC: [u8; 4] = *b"TwF1";
const CRC_COVERS_FROM: usize = 8;
const KIND_APPEND: u8 = 1;
const KIND_CHANGE: u8 = 2;
/// Kind and partition, then the batch verbatim.
const APPEND_HEADER_BYTES: usize = 5;
/// Kind, table, whether there is a value, and two lengths.
const CHANGE_HEADER_BYTES: usize = 11;

/// Which frame: sign and salt are the file's, the number is the frame's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameId {
    /// The file's name for itself: tells its frames from stale ones of its earlier life.
    pub(crate) sign: u64,
    /// The file's secret: nobody can write a payload that passes for a frame.
    pub(crate) salt: u64,
    /// The frame's number, without gaps over all files.
    pub(crate) lsn: u64,
}

/// Bytes that `commit` takes in a frame.
pub(crate) fn commit_bytes(commit: &Commit) -> u64 {
    let append = |append: &Append| APPEND_HEADER_BYTES + append.batch.bytes().len();
    let change = |change: &TableChange| {
        CHANGE_HEADER_BYTES + change.key.len() + change.value.as_ref().map_or(0, |v| v.len())
    };
    let appends: usize = commit.appends.iter().map(append).sum();
    let changes: usize = commit.changes.iter().map(change).sum();
    (appends + changes) as u64
}

/// Gathers entries for one write. Large batches are referred to, not copied.
#[derive(Debug, Default)]
pub(crate) struct FrameBuilder {
    parts: Parts,
    entries: u32,
}

impl FrameBuilder {
    pub(crate) fn clear(&mut self) {
        self.parts.clear();
        self.parts.own.resize(FRAME_HEADER_BYTES, 0);
        self.entries = 0;
    }

    /// Length of the frame as it stands.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.len() as u64
    }

    /// Add a batch; returns where in the frame it begins.
    pub(crate) fn append(&mut self, partition: PartitionId, base: u64, batch: &Batch) -> u64 {
        self.entries += 1;
        self.parts.own.push(KIND_APPEND);
        self.parts.own.extend_from_slice(&partition.0.to_le_bytes());
        let position = self.bytes();
        self.parts.put_batch(base, batch);
        position
    }

    /// Add a table change.
    pub(crate) fn change(&mut self, change: &TableChange) {
        self.entries += 1;
        let value = change.value.as_deref();
        let own = &mut self.parts.own;
        own.extend_from_slice(&[KIND_CHANGE, change.table.id(), value.is_some().into()]);
        own.extend_from_slice(&field_bytes(&change.key));
        own.extend_from_slice(&field_bytes(value.unwrap_or_default()));
        own.extend_from_slice(&change.key);
        own.extend_from_slice(value.unwrap_or_default());
    }

    /// Fill the header in. `durable` is the last frame known to be synced.
    pub(crate) fn seal(&mut self, id: FrameId, durable: u64) {
        let bytes = u32::try_from(self.bytes()).expect("a frame fits a file, which is below 4 GiB");
        self.put(0, &MAGIC);
        self.put(8, &bytes.to_le_bytes());
        self.put(12, &self.entries.to_le_bytes());
        self.put(16, &id.sign.to_le_bytes());
        self.put(24, &id.lsn.to_le_bytes());
        self.put(32, &durable.to_le_bytes());
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        digest.update(&id.salt.to_le_bytes());
        let mut skipped = CRC_COVERS_FROM;
        for piece in self.parts.pieces() {
            // The header lies in the first piece.
            digest.update(&piece[mem::take(&mut skipped)..]);
        }
        self.put(4, &low_half(digest.finalize()).to_le_bytes());
    }

    /// The frame as the parts of one write.
    pub(crate) fn parts(&self) -> Vec<IoSlice<'_>> {
        self.parts.slices()
    }

    fn put(&mut self, at: usize, field: &[u8]) {
        self.parts.own[at..at + field.len()].copy_from_slice(field);
    }
}

/// A frame whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    bytes: &'a [u8],
    entries: u32,
    /// Its number.
    pub(crate) lsn: u64,
    /// The last frame that was known to be synced when this one was written.
    pub(crate) durable: u64,
}

/// What a frame's header says of it, before anybody looked at its checksum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// Its length.
    pub(crate) bytes: u64,
    entries: u32,
    lsn: u64,
    durable: u64,
}

impl Claim {
    /// The header at the front of `bytes`, if it is one of that file.
    pub(crate) fn read(bytes: &[u8], sign: u64) -> Option<Self> {
        let header: &[u8; FRAME_HEADER_BYTES] = bytes.first_chunk()?;
        let length = u64::from(read_u32(header, 8));
        let is_one = Frame::begins(header, sign) && length >= FRAME_HEADER_BYTES as u64;
        is_one.then(|| Self {
            bytes: length,
            entries: read_u32(header, 12),
            lsn: read_u64(header, 24),
            durable: read_u64(header, 32),
        })
    }

    /// Can there be such a frame among those with these numbers?
    pub(crate) fn is_plausible(&self, numbers: &RangeInclusive<u64>) -> bool {
        let room = (self.bytes - FRAME_HEADER_BYTES as u64) / CHANGE_HEADER_BYTES as u64;
        numbers.contains(&self.lsn) && self.durable < self.lsn && u64::from(self.entries) <= room
    }
}

/// One thing that a frame says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry<'a> {
    /// A batch at the end of a partition.
    Append {
        partition: PartitionId,
        /// Where in the frame the batch begins.
        position: u64,
        /// The batch, base offset included.
        batch: &'a [u8],
    },
    /// A row set or removed.
    Change { table: Table, key: &'a [u8], value: Option<&'a [u8]> },
}

impl<'a> Frame<'a> {
    /// The frame at the front of `bytes`, if there is a whole one of that file.
    pub(crate) fn parse(bytes: &'a [u8], sign: u64, salt: u64) -> Option<Self> {
        let header: &[u8; FRAME_HEADER_BYTES] = bytes.first_chunk()?;
        let claim = Claim::read(bytes, sign)?;
        let frame = bytes.get(..usize::try_from(claim.bytes).ok()?)?;
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        digest.update(&salt.to_le_bytes());
        digest.update(&frame[CRC_COVERS_FROM..]);
        let is_right = low_half(digest.finalize()) == read_u32(header, 4);
        if !is_right && !mutation::checks_no_checksum() {
            return None;
        }
        let Claim { entries, lsn, durable, .. } = claim;
        Some(Self { bytes: frame, entries, lsn, durable })
    }

    /// Something that wants to be a frame of that file is at the front of `bytes`.
    pub(crate) fn begins(bytes: &[u8], sign: u64) -> bool {
        let header: Option<&[u8; FRAME_HEADER_BYTES]> = bytes.first_chunk();
        header.is_some_and(|header| header[..4] == MAGIC && read_u64(header, 16) == sign)
    }

    /// Its length, without the gap to the next.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// What it says, in order; an error in place of an entry that this build does not know.
    pub(crate) fn entries(&self) -> Entries<'a> {
        Entries { bytes: self.bytes, at: FRAME_HEADER_BYTES, left: self.entries }
    }
}

/// An entry that the checksum vouches for and that still makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownEntry;

/// The entries of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
    left: u32,
}

impl<'a> Entries<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(bytes)?)?;
        self.at += bytes;
        Some(taken)
    }

    fn entry(&mut self) -> Option<Entry<'a>> {
        match *self.bytes.get(self.at)? {
            KIND_APPEND => self.append(),
            KIND_CHANGE => self.change(),
            _ => None,
        }
    }

    fn append(&mut self) -> Option<Entry<'a>> {
        let header = self.take(APPEND_HEADER_BYTES)?;
        let partition = PartitionId(read_u32(header, 1));
        let position = self.at as u64;
        let length = Batch::bytes_needed(self.bytes.get(self.at..)?).ok()?;
        Some(Entry::Append { partition, position, batch: self.take(length)? })
    }

    fn change(&mut self) -> Option<Entry<'a>> {
        let header = self.take(CHANGE_HEADER_BYTES)?;
        let table = Table::from_id(header[1])?;
        let key = self.take(usize::try_from(read_u32(header, 3)).ok()?)?;
        let value = self.take(usize::try_from(read_u32(header, 7)).ok()?)?;
        Some(Entry::Change { table, key, value: (header[2] != 0).then_some(value) })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, UnknownEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let entry = self.entry().ok_or(UnknownEntry);
        if entry.is_err() {
            self.left = 0;
        }
        Some(entry)
    }
}

/// The length field of a key or value.
fn field_bytes(field: &[u8]) -> [u8; 4] {
    u32::try_from(field.len()).expect("a commit fits a file, which is below 4 GiB").to_le_bytes()
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the range is 4 long"))
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the range is 8 long"))
}

#[allow(clippy::cast_possible_truncation, reason = "a 32-bit checksum comes in 64 bits")]
fn low_half(checksum: u64) -> u32 {
    checksum as u32
}

#[cfg(test)]
mod tests {
    use super::{Entry, Frame, FrameBuilder, FrameId, commit_bytes};
    use crate::commit::{Append, Commit, TableChange};
    use crate::table::Table;
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::record::{Batch, BatchBuilder};

    const ID: FrameId = FrameId { sign: 3, salt: 99, lsn: 17 };

    fn batch(bytes: usize) -> Batch {
        let mut builder = BatchBuilder::new();
        builder.push(5, None, Some(&vec![b'x'; bytes]), &[]);
        builder.finish()
    }

    fn sample() -> Commit {
        let append = |partition, bytes| Append::new(PartitionId(partition), batch(bytes));
        let change = |key: &[u8], value: Option<&[u8]>| {
            TableChange::new(Table::Cursors, key.into(), value.map(Into::into))
        };
        Commit {
            appends: vec![append(1, 10), append(2, 9000), append(1, 4000)],
            changes: vec![change(b"a", Some(b"1")), change(b"b", None)],
        }
    }

    fn frame(commit: &Commit) -> Vec<u8> {
        let mut builder = FrameBuilder::default();
        builder.clear();
        for (index, append) in commit.appends.iter().enumerate() {
            builder.append(append.partition, index as u64 * 10, &append.batch);
        }
        commit.changes.iter().for_each(|change| builder.change(change));
        builder.seal(ID, 16);
        builder.parts().iter().flat_map(|part| part.to_vec()).collect()
    }

    #[test]
    fn a_frame_says_what_the_commit_said() {
        let commit = sample();
        let bytes = frame(&commit);
        assert_eq!(bytes.len() as u64, 40 + commit_bytes(&commit));
        let frame = Frame::parse(&bytes, ID.sign, ID.salt).expect("whole");
        assert_eq!((frame.lsn, frame.durable, frame.bytes()), (17, 16, bytes.len() as u64));
        let (mut appends, mut changes) = (0, 0);
        for entry in frame.entries() {
            match entry.expect("known") {
                Entry::Append { partition, position, batch } => {
                    let sent = &commit.appends[appends];
                    let place = usize::try_from(position).expect("small");
                    assert_eq!(partition, sent.partition);
                    assert_eq!(Batch::base_offset_in(batch), Some(appends as u64 * 10));
                    assert_eq!(batch[16..], sent.batch.bytes()[16..]);
                    assert_eq!(&bytes[place..][..batch.len()], batch);
                    appends += 1;
                }
                Entry::Change { table, key, value } => {
                    let sent = &commit.changes[changes];
                    assert_eq!((table, key), (sent.table, &*sent.key));
                    assert_eq!(value, sent.value.as_deref());
                    changes += 1;
                }
            }
        }
        assert_eq!((appends, changes), (3, 2));
    }

    #[test]
    fn no_part_of_a_frame_passes_for_it() {
        let bytes = frame(&sample());
        for length in 0..bytes.len() {
            assert!(Frame::parse(&bytes[..length], ID.sign, ID.salt).is_none(), "{length}");
        }
        assert!(Frame::parse(&bytes, ID.sign + 1, ID.salt).is_none());
        assert!(Frame::parse(&bytes, ID.sign, ID.salt + 1).is_none());
        for at in (0..bytes.len()).step_by(7) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(Frame::parse(&flipped, ID.sign, ID.salt).is_none(), "{at}");
        }
    }
}
