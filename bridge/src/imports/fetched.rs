//! Batches as a broker answers with them: taken apart, opened, judged by the list of what was
//! aborted. Pure.

use bytes::Bytes;
use tidewire_proto::record::{BATCH_HEADER_BYTES, Batch};

use crate::foreign::{Foreign, ForeignError};
use crate::imports::aborted::{Head, Sieve};
use crate::room::Room;

/// Where a few fields of a batch lie; the rest is the record format's own business.
const BASE_OFFSET: usize = 0;
const MAGIC: usize = 16;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const PRODUCER_ID: usize = 43;

const TRANSACTIONAL: u16 = 1 << 4;
const CONTROL: u16 = 1 << 5;
/// What the key of a mark says, behind its version: the transaction was aborted.
const ABORT: i16 = 0;

/// The next batch.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) base_offset: i64,
    /// The offset behind it.
    pub(crate) next_offset: i64,
    /// Its records, if they are for us.
    pub(crate) batch: Option<Batch>,
}

/// Why a batch cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    #[error("the batch at offset {offset} is in the old format {magic}")]
    Magic { offset: i64, magic: u8 },
    #[error("the batch at offset {offset} cannot be read: {error}")]
    Batch { offset: i64, error: ForeignError },
}

/// Takes the batches off one after the other. The last may be cut: it comes again whole.
pub(crate) fn next(
    records: &mut Bytes,
    sieve: &mut Sieve,
    room: &mut Room,
) -> Option<Result<Fetched, Unread>> {
    let bytes = Batch::bytes_needed(records).ok()?;
    let whole = records.split_to(bytes.min(records.len()));
    if whole.len() < BATCH_HEADER_BYTES {
        return None;
    }
    let offset = i64::from_be_bytes(field(&whole, BASE_OFFSET));
    let [magic] = field(&whole, MAGIC);
    if magic != 2 {
        return Some(Err(Unread::Magic { offset, magic }));
    }
    let attributes = u16::from_be_bytes(field(&whole, ATTRIBUTES));
    let last = i64::from(i32::from_be_bytes(field(&whole, LAST_OFFSET_DELTA)));
    let last_offset = offset.saturating_add(last);
    let control = (attributes & CONTROL != 0).then(|| is_abort(&whole));
    let head = Head {
        last_offset,
        producer: i64::from_be_bytes(field(&whole, PRODUCER_ID)),
        is_transactional: attributes & TRANSACTIONAL != 0,
        control,
    };
    let next_offset = last_offset.saturating_add(1);
    let mut fetched = Fetched { base_offset: offset, next_offset, batch: None };
    if sieve.admits(head) {
        match Foreign::open(&whole, room) {
            Ok(foreign) => fetched.batch = Some(foreign.batch),
            Err(error) => return Some(Err(Unread::Batch { offset, error })),
        }
    }
    Some(Ok(fetched))
}

fn is_abort(whole: &Bytes) -> bool {
    let Ok(batch) = Batch::parse(whole.clone()) else { return false };
    let record = batch.records().next();
    let key = record.and_then(|record| record.key).unwrap_or_default();
    key.get(2..4) == Some(ABORT.to_be_bytes().as_slice())
}

fn field<const N: usize>(whole: &[u8], at: usize) -> [u8; N] {
    whole.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use tidewire_proto::record::BatchBuilder;

    use super::{Sieve, next};
    use crate::client::packed::{Packing, Stamp, pack};
    use crate::imports::aborted::Aborted;
    use crate::room::Room;

    fn batch(offset: i64, producer: i64, records: u8) -> BytesMut {
        let mut builder = BatchBuilder::new();
        for n in 0..records {
            builder.push(1, Some(b"k"), Some(&[n]), &[]);
        }
        let stamp = Stamp { producer, epoch: 0, sequence: 0, is_transactional: producer >= 0 };
        let packed = pack(&builder.finish(), Packing::Lz4).unwrap();
        placed(&packed.stamped(stamp).whole(), offset)
    }

    fn abort(offset: i64, producer: i64) -> BytesMut {
        let mut builder = BatchBuilder::new();
        builder.push(1, Some(&[0, 0, 0, 0]), Some(&[0; 6]), &[]);
        let mut bytes = BytesMut::from(&builder.finish_control().bytes()[..]);
        bytes[super::ATTRIBUTES + 1] |= 1 << 4;
        bytes[super::PRODUCER_ID..][..8].copy_from_slice(&producer.to_be_bytes());
        let crc = crc_fast::crc32_iscsi(&bytes[super::ATTRIBUTES..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        placed(&bytes, offset)
    }

    fn placed(bytes: &[u8], offset: i64) -> BytesMut {
        let mut bytes = BytesMut::from(bytes);
        bytes[..8].copy_from_slice(&offset.to_be_bytes());
        bytes
    }

    fn read(parts: &[BytesMut], aborted: Vec<Aborted>) -> Vec<(i64, u32)> {
        let mut records = Bytes::from(parts.concat());
        let (mut sieve, mut room) = (Sieve::new(aborted), Room::new(usize::MAX));
        let mut found = Vec::new();
        while let Some(fetched) = next(&mut records, &mut sieve, &mut room) {
            let fetched = fetched.unwrap();
            let count = fetched.batch.map_or(0, |batch| batch.record_count());
            found.push((fetched.next_offset, count));
        }
        found
    }

    #[test]
    fn batches_come_one_by_one_without_what_was_aborted_and_marks() {
        let mut cut = batch(20, -1, 2);
        cut.truncate(70);
        let parts = [batch(5, -1, 3), batch(8, 7, 2), abort(10, 7), batch(11, 7, 1), cut];
        let aborted = vec![Aborted { producer: 7, first_offset: 8 }];
        assert_eq!(read(&parts, aborted), [(8, 3), (10, 0), (11, 0), (12, 1)]);
        assert_eq!(read(&parts, vec![]), [(8, 3), (10, 2), (11, 0), (12, 1)]);
    }

    #[test]
    fn a_damaged_batch_and_an_old_format_are_named_with_their_offset() {
        for (at, word) in [(16, "old format"), (30, "cannot be read")] {
            let mut bytes = batch(5, -1, 3);
            bytes[at] ^= 0x41;
            let mut records = bytes.freeze();
            let mut sieve = Sieve::new(vec![]);
            let found = next(&mut records, &mut sieve, &mut Room::new(usize::MAX));
            let words = found.unwrap().unwrap_err().to_string();
            assert!(words.contains(word) && words.contains("offset 5"), "{words}");
        }
    }
}
