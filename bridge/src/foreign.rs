//! A producer's batch: checked from its first byte to its last, and opened. What comes out has
//! records that all parse; what they say is judged elsewhere.

use std::io::{self, Read};

use bytes::{BufMut, Bytes, BytesMut};
use flate2::read::GzDecoder;
use tidewire_proto::record::{BATCH_HEADER_BYTES, Batch, BatchError, RECORDS_BYTES_MAX};

use crate::room::{NoRoom, Room};

/// Where a few fields of a batch lie; the rest is the record format's own business.
const LENGTH: usize = 8;
const LENGTH_COUNTS_FROM: usize = 12;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const COUNT: usize = 57;

const CODEC: u16 = 0b111;
const GZIP: u16 = 1;
const SNAPPY: u16 = 2;
const TRANSACTIONAL: u16 = 1 << 4;

/// How the Java library frames snappy: this, two versions, then blocks behind their lengths.
const XERIAL: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;

/// A batch that a producer sent.
#[derive(Debug)]
pub(crate) struct Foreign {
    /// Its records can all be read.
    pub(crate) batch: Batch,
    /// Who sent it, if it says so.
    pub(crate) sender: Option<Sender>,
    pub(crate) is_transactional: bool,
}

/// What the head of a transaction's batch says, whatever is wrong with the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) sender: Sender,
    pub(crate) records: u32,
}

/// An idempotent producer, and the place of a batch among all it sent to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    pub(crate) sequence: i32,
}

/// Why bytes are no batch that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ForeignError {
    /// Damaged, or not what it says.
    #[error("{0}")]
    Batch(#[from] BatchError),
    /// None or several, where there has to be one.
    #[error("a partition takes one batch per request")]
    Count,
    /// Control batches are the broker's own.
    #[error("a producer cannot write control records")]
    Control,
    /// The request has more than it may have.
    #[error("the request's records are too large")]
    Room,
}

impl Foreign {
    /// Checks and opens the one batch that these bytes are to be; takes room for it, also when it
    /// is no batch then.
    pub(crate) fn open(records: &Bytes, room: &mut Room) -> Result<Self, ForeignError> {
        // Nothing is unpacked once there is no room.
        if room.left() < records.len() {
            room.use_up();
            return Err(ForeignError::Room);
        }
        let opened = open(records);
        let bytes = match &opened {
            Ok(batch) => batch.bytes().len().max(batch.records_bytes()),
            // It was unpacked, who knows how far.
            Err(ForeignError::Batch(BatchError::Compression | BatchError::Count { .. })) => {
                RECORDS_BYTES_MAX
            }
            Err(_) => 0,
        };
        let taken = room.take(bytes.max(records.len()));
        let batch = opened?;
        taken.map_err(|NoRoom| ForeignError::Room)?;
        batch.validate()?;
        if batch.is_control() {
            return Err(ForeignError::Control);
        }
        let attributes = u16::from_be_bytes(field(records, ATTRIBUTES));
        let sender = Sender::of(records);
        Ok(Self { batch, sender, is_transactional: attributes & TRANSACTIONAL != 0 })
    }
}

impl Claimed {
    /// If it is the undamaged head of such a batch.
    pub(crate) fn of(records: &Bytes) -> Option<Self> {
        let whole = records.get(..Batch::bytes_needed(records).ok()?)?;
        let attributes = u16::from_be_bytes(field(whole, ATTRIBUTES));
        let crc = crc_fast::crc32_iscsi(&whole[ATTRIBUTES..]);
        if attributes & TRANSACTIONAL == 0 || crc != u32::from_be_bytes(field(whole, CRC)) {
            return None;
        }
        let count = i32::from_be_bytes(field(whole, COUNT));
        Some(Self { sender: Sender::of(whole)?, records: u32::try_from(count).ok()? })
    }
}

impl Sender {
    fn of(records: &[u8]) -> Option<Self> {
        let id = i64::from_be_bytes(field(records, PRODUCER_ID));
        (id >= 0).then(|| Self {
            id,
            epoch: i16::from_be_bytes(field(records, PRODUCER_EPOCH)),
            sequence: i32::from_be_bytes(field(records, BASE_SEQUENCE)),
        })
    }
}

fn open(records: &Bytes) -> Result<Batch, ForeignError> {
    if records.is_empty() {
        return Err(ForeignError::Count);
    }
    let length = Batch::bytes_needed(records)?;
    if length < records.len() {
        return Err(ForeignError::Count);
    }
    let attributes = u16::from_be_bytes(field(records, ATTRIBUTES));
    Ok(match attributes & CODEC {
        GZIP | SNAPPY => Batch::parse(unpacked(records, attributes)?)?,
        _ => Batch::parse(records.clone())?.open()?,
    })
}

/// The same batch without compression, for codecs that the log does not use.
fn unpacked(records: &Bytes, attributes: u16) -> Result<Bytes, BatchError> {
    if crc_fast::crc32_iscsi(&records[ATTRIBUTES..]) != u32::from_be_bytes(field(records, CRC)) {
        return Err(BatchError::Checksum);
    }
    let packed = &records[BATCH_HEADER_BYTES..];
    let plain = match attributes & CODEC {
        GZIP => gunzip(packed).map_err(|_| BatchError::Compression)?,
        _ => unsnap(packed).ok_or(BatchError::Compression)?,
    };
    let mut whole = BytesMut::with_capacity(BATCH_HEADER_BYTES + plain.len());
    whole.put_slice(&records[..BATCH_HEADER_BYTES]);
    whole.put_slice(&plain);
    let length = i32::try_from(whole.len() - LENGTH_COUNTS_FROM).unwrap_or(i32::MAX);
    put(&mut whole, LENGTH, &length.to_be_bytes());
    put(&mut whole, ATTRIBUTES, &(attributes & !CODEC).to_be_bytes());
    let crc = crc_fast::crc32_iscsi(&whole[ATTRIBUTES..]);
    put(&mut whole, CRC, &crc.to_be_bytes());
    Ok(whole.freeze())
}

fn gunzip(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    GzDecoder::new(packed).take(RECORDS_BYTES_MAX as u64 + 1).read_to_end(&mut plain)?;
    if plain.len() > RECORDS_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(plain)
}

/// One block, or several in the frame of the Java library.
fn unsnap(packed: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    if !packed.starts_with(XERIAL) {
        unsnap_block(packed, &mut plain)?;
        return Some(plain);
    }
    let mut rest = packed.get(XERIAL_HEADER_BYTES..)?;
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        let (block, behind) = behind.split_at_checked(length)?;
        unsnap_block(block, &mut plain)?;
        rest = behind;
    }
    rest.is_empty().then_some(plain)
}

fn unsnap_block(block: &[u8], plain: &mut Vec<u8>) -> Option<()> {
    let length = snap::raw::decompress_len(block).ok()?;
    // A block that claims more than its bytes can stand for is not believed.
    let is_sound = length <= block.len().saturating_mul(SNAPPY_RATIO_MAX);
    if !is_sound || plain.len() + length > RECORDS_BYTES_MAX {
        return None;
    }
    let from = plain.len();
    plain.resize(from + length, 0);
    let written = snap::raw::Decoder::new().decompress(block, plain.get_mut(from..)?).ok()?;
    (written == length).then_some(())
}

/// A copy of three bytes stands for 64 at most.
const SNAPPY_RATIO_MAX: usize = 64;

fn field<const N: usize>(records: &[u8], at: usize) -> [u8; N] {
    // Behind a check of the length: there is a whole header.
    records.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

fn put(whole: &mut BytesMut, at: usize, bytes: &[u8]) {
    whole[at..at + bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use bytes::{Bytes, BytesMut};
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tidewire_proto::record::{BATCH_HEADER_BYTES, BatchBuilder, BatchError};

    use super::{ATTRIBUTES, CRC, Foreign, ForeignError, GZIP, LENGTH, PRODUCER_ID, SNAPPY, put};
    use crate::room::Room;

    fn open(records: &Bytes) -> Result<Foreign, ForeignError> {
        Foreign::open(records, &mut Room::new(usize::MAX))
    }

    fn plain() -> Bytes {
        let mut builder = BatchBuilder::new();
        for n in 0..100 {
            builder.push(n, Some(b"plant/7"), Some(&[7; 100]), &[]);
        }
        builder.finish().bytes().clone()
    }

    /// The sample with other records behind its header, and one field changed.
    fn forged(records: &[u8], codec: u16, at: usize, bytes: &[u8]) -> Bytes {
        let mut whole = BytesMut::from(&plain()[..BATCH_HEADER_BYTES]);
        whole.extend_from_slice(records);
        let length = i32::try_from(whole.len() - 12).unwrap();
        put(&mut whole, LENGTH, &length.to_be_bytes());
        put(&mut whole, ATTRIBUTES, &codec.to_be_bytes());
        put(&mut whole, at, bytes);
        let crc = crc_fast::crc32_iscsi(&whole[ATTRIBUTES..]);
        put(&mut whole, CRC, &crc.to_be_bytes());
        whole.freeze()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn snappy(bytes: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(bytes).unwrap()
    }

    fn xerial(bytes: &[u8]) -> Vec<u8> {
        let mut framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
        for half in bytes.chunks(bytes.len() / 2 + 1) {
            let block = snappy(half);
            framed.extend_from_slice(&i32::try_from(block.len()).unwrap().to_be_bytes());
            framed.extend_from_slice(&block);
        }
        framed
    }

    #[test]
    fn every_codec_gives_the_same_records() {
        let plain = plain();
        let body = &plain[BATCH_HEADER_BYTES..];
        let expected: Vec<_> =
            open(&plain).unwrap().batch.records().map(|r| r.timestamp_ms).collect();
        assert_eq!(expected.len(), 100);
        for (packed, codec) in [(gzip(body), GZIP), (snappy(body), SNAPPY), (xerial(body), SNAPPY)]
        {
            let opened = open(&forged(&packed, codec, ATTRIBUTES, &codec.to_be_bytes()));
            let opened = opened.unwrap();
            let found: Vec<_> = opened.batch.records().map(|r| r.timestamp_ms).collect();
            assert_eq!(found, expected);
            assert_eq!(opened.sender, None);
        }
    }

    #[test]
    fn a_batch_that_is_cut_or_changed_anywhere_is_refused() {
        let plain = plain();
        let packed = forged(&gzip(&plain[BATCH_HEADER_BYTES..]), GZIP, ATTRIBUTES, &[0, 1]);
        for bytes in [plain, packed] {
            for end in 0..bytes.len() {
                assert!(open(&bytes.slice(..end)).is_err(), "{end}");
            }
            for at in super::CRC..bytes.len() {
                let mut changed = BytesMut::from(&bytes[..]);
                changed[at] ^= 0x55;
                assert!(open(&changed.freeze()).is_err(), "{at}");
            }
        }
    }

    #[test]
    fn bombs_are_refused_before_they_grow() {
        let zeros = gzip(&vec![0; 65 << 20]);
        let bomb = forged(&zeros, GZIP, ATTRIBUTES, &GZIP.to_be_bytes());
        assert!(matches!(open(&bomb), Err(ForeignError::Batch(BatchError::Compression))));
        // Claims 4 GiB.
        let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
        let bomb = forged(&claim, SNAPPY, ATTRIBUTES, &SNAPPY.to_be_bytes());
        assert!(matches!(open(&bomb), Err(ForeignError::Batch(BatchError::Compression))));
    }

    #[test]
    fn who_may_not_write_what_is_told_apart() {
        let body = plain().slice(BATCH_HEADER_BYTES..);
        let control = forged(&body, 1 << 5, ATTRIBUTES, &(1_u16 << 5).to_be_bytes());
        assert!(matches!(open(&control), Err(ForeignError::Control)));
        let sent = open(&forged(&body, 0, PRODUCER_ID, &7_i64.to_be_bytes())).unwrap();
        let sender = sent.sender.unwrap();
        assert_eq!((sender.id, sender.epoch, sender.sequence), (7, -1, -1));
        let twice = [plain(), plain()].concat();
        assert!(matches!(open(&twice.into()), Err(ForeignError::Count)));
    }
}
