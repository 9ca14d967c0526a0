//! A batch as a producer sends it: compressed, and with its producer's numbers in its head. Never
//! looks at a record.

use std::io::{self, Write};

use bytes::{BufMut, Bytes};
use flate2::write::GzEncoder;
use tidewire_proto::record::{BATCH_HEADER_BYTES, Batch, Compression};

/// Where a few fields of a batch lie; the rest is the record format's own business.
const LENGTH: usize = 8;
const LENGTH_COUNTS_FROM: usize = 12;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;

const TRANSACTIONAL: u16 = 1 << 4;

/// How the Java library frames snappy: this, two versions, then blocks behind their lengths.
const XERIAL: &[u8] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const XERIAL_BLOCK_BYTES: usize = 32 << 10;

/// How what is sent is compressed: Kafka's codecs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    #[default]
    None,
    /// Gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// A producer's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) producer: i64,
    pub(crate) epoch: i16,
    /// Of the batch's first record, among all that the producer sends to the partition.
    pub(crate) sequence: i32,
    pub(crate) is_transactional: bool,
}

impl Packing {
    const fn codec(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    fn pack(self, plain: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(plain.len() / 2);
        match self {
            Self::None => Compression::None.compress(plain, &mut out)?,
            Self::Lz4 => Compression::Lz4.compress(plain, &mut out)?,
            Self::Zstd => Compression::Zstd.compress(plain, &mut out)?,
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, flate2::Compression::fast());
                encoder.write_all(plain)?;
                return encoder.finish();
            }
            Self::Snappy => {
                out.put_slice(XERIAL);
                for block in plain.chunks(XERIAL_BLOCK_BYTES) {
                    let packed = snap::raw::Encoder::new().compress_vec(block)?;
                    out.put_i32(i32::try_from(packed.len()).map_err(io::Error::other)?);
                    out.put_slice(&packed);
                }
            }
        }
        Ok(out)
    }
}

/// A batch as it is sent, but for its producer's numbers.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    head: [u8; BATCH_HEADER_BYTES],
    body: Bytes,
}

/// A batch, ready to be sent: its head, and its records behind it.
#[derive(Clone, Debug)]
pub(crate) struct Stamped {
    pub(crate) head: [u8; BATCH_HEADER_BYTES],
    pub(crate) body: Bytes,
}

/// Compresses a batch. What is not compressed is not copied.
pub(crate) fn pack(batch: &Batch, packing: Packing) -> io::Result<Packed> {
    let whole = batch.bytes();
    let body = match packing {
        Packing::None => whole.slice(BATCH_HEADER_BYTES..),
        _ => packing.pack(&whole[BATCH_HEADER_BYTES..])?.into(),
    };
    let mut head = [0; BATCH_HEADER_BYTES];
    head.copy_from_slice(&whole[..BATCH_HEADER_BYTES]);
    let length = BATCH_HEADER_BYTES + body.len() - LENGTH_COUNTS_FROM;
    let length = i32::try_from(length).map_err(io::Error::other)?;
    put(&mut head, LENGTH, &length.to_be_bytes());
    put(&mut head, ATTRIBUTES, &packing.codec().to_be_bytes());
    Ok(Packed { head, body })
}

impl Packed {
    /// With its producer's numbers, and the checksum that is theirs as well.
    pub(crate) fn stamped(&self, stamp: Stamp) -> Stamped {
        let mut head = self.head;
        if stamp.is_transactional {
            let [high, low] = TRANSACTIONAL.to_be_bytes();
            (head[ATTRIBUTES], head[ATTRIBUTES + 1]) =
                (head[ATTRIBUTES] | high, head[ATTRIBUTES + 1] | low);
        }
        put(&mut head, PRODUCER_ID, &stamp.producer.to_be_bytes());
        put(&mut head, PRODUCER_EPOCH, &stamp.epoch.to_be_bytes());
        put(&mut head, BASE_SEQUENCE, &stamp.sequence.to_be_bytes());
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        digest.update(&head[ATTRIBUTES..]);
        digest.update(&self.body);
        // Of 32 bits, as its name says.
        let [.., a, b, c, d] = digest.finalize().to_be_bytes();
        put(&mut head, CRC, &[a, b, c, d]);
        Stamped { head, body: self.body.clone() }
    }
}

impl Stamped {
    /// How long it is.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// In one piece.
    #[cfg(test)]
    pub(crate) fn whole(&self) -> Bytes {
        [&self.head[..], &self.body].concat().into()
    }
}

fn put(head: &mut [u8], at: usize, bytes: &[u8]) {
    head[at..at + bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use tidewire_proto::record::BatchBuilder;

    use super::{Packing, Stamp, pack};
    use crate::foreign::Foreign;
    use crate::room::Room;

    /// What the Kafka port makes of a producer's batch: codecs, numbers and checksum are right.
    #[test]
    fn what_is_packed_is_what_a_producer_sends() {
        let mut builder = BatchBuilder::new();
        for n in 0..2_000 {
            builder.push(n, Some(b"plant/7"), Some(&[7; 100]), &[]);
        }
        let batch = builder.finish();
        let stamp = Stamp { producer: 77, epoch: 3, sequence: 40, is_transactional: true };
        let all = [Packing::None, Packing::Gzip, Packing::Snappy, Packing::Lz4, Packing::Zstd];
        for packing in all {
            let packed = pack(&batch, packing).unwrap().stamped(stamp);
            assert_eq!(packed.len(), packed.whole().len());
            let packed = packed.whole();
            let is_smaller = packed.len() < batch.bytes().len() / 2;
            assert_eq!(is_smaller, packing != Packing::None, "{packing:?}");
            let opened = Foreign::open(&packed, &mut Room::new(usize::MAX)).unwrap();
            assert!(opened.is_transactional);
            let sender = opened.sender.unwrap();
            assert_eq!((sender.id, sender.epoch, sender.sequence), (77, 3, 40));
            let values = |batch: &tidewire_proto::record::Batch| -> Vec<_> {
                batch.records().map(|it| (it.timestamp_ms, it.value.map(<[u8]>::len))).collect()
            };
            assert_eq!(values(&opened.batch), values(&batch));
        }
    }
}
