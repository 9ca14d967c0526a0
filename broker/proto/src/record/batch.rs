//! A complete batch: checked once, then shared by writer, readers and the wire. Never changed.

use bytes::Bytes;

use super::codec::{Compression, RECORDS_BYTES_MAX};
use super::layout::{
    ATTRIBUTE_CODEC, ATTRIBUTE_CONTROL, ATTRIBUTES, BASE_OFFSET, BASE_TIMESTAMP, BATCH_BYTES_MAX,
    BATCH_HEADER_BYTES, BATCH_PREFIX_BYTES, CRC, LAST_OFFSET_DELTA, LENGTH, LENGTH_COUNTS_FROM,
    MAGIC, MAGIC_V2, MAX_TIMESTAMP, RECORD_BYTES_MIN, RECORD_COUNT,
};
use super::records::{Keys, Record, Records};

/// One record batch. Invariant: as long as its length field says, magic 2, checksum right.
///
/// Its first [`BATCH_PREFIX_BYTES`] are not part of what is shared: whoever writes the batch to a
/// file or a socket writes [`prefix`](Self::prefix) and then [`tail`](Self::tail).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    bytes: Bytes,
    /// The records of a compressed batch, once it was opened.
    plain: Option<Bytes>,
}

/// What a batch's header says about it; nothing is checked but that it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The offset of its first record.
    pub base_offset: u64,
    /// The offset behind its last record.
    pub next_offset: u64,
    /// Its length.
    pub bytes: usize,
    /// The largest timestamp inside.
    pub max_timestamp: i64,
}

/// A record that outlives the look at its batch. Keeps the batch's memory alive.
#[derive(Clone, Debug)]
pub struct SharedRecord {
    content: Bytes,
    offset_delta: u32,
    timestamp_ms: i64,
}

impl SharedRecord {
    /// The record again.
    pub fn record(&self) -> Option<Record<'_>> {
        Record::of(&self.content, self.offset_delta, self.timestamp_ms)
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.content.len()
    }

    /// A copy that does not keep its batch in memory.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self { content: Bytes::copy_from_slice(&self.content), ..*self }
    }
}

/// Why bytes are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than the header, or than its length field says.
    #[error("the batch is cut short: {have} bytes of {need}")]
    Short {
        /// What is there.
        have: usize,
        /// What should be.
        need: usize,
    },
    /// A length no batch can have, or bytes behind its end.
    #[error("the batch says it is {0} bytes long, which cannot be")]
    Length(i32),
    /// An older or unknown record format.
    #[error("record format {0} is not known (2 is)")]
    Magic(u8),
    /// The checksum does not match.
    #[error("the batch's checksum is wrong")]
    Checksum,
    /// Counts that contradict each other or the length.
    #[error("the batch says it holds {records} records up to offset delta {last_offset_delta}")]
    Count {
        /// The record count field.
        records: i32,
        /// The last offset delta field.
        last_offset_delta: i32,
    },
    /// A compression codec that is not supported.
    #[error("compression codec {0} is not supported")]
    Codec(u8),
    /// Records that cannot be decompressed, or come to more than is allowed.
    #[error("the batch's records cannot be decompressed")]
    Compression,
    /// A record inside does not parse; only [`Batch::validate`] looks.
    #[error("record {0} of the batch does not parse")]
    Record(u32),
}

impl Batch {
    /// Check lengths, magic, counts and checksum. The records inside are read lazily, with care.
    pub fn parse(bytes: Bytes) -> Result<Self, BatchError> {
        let need = Self::bytes_needed(&bytes)?;
        if bytes.len() != need {
            return Err(BatchError::Length(read_i32(&bytes, LENGTH)));
        }
        if bytes[MAGIC] != MAGIC_V2 {
            return Err(BatchError::Magic(bytes[MAGIC]));
        }
        if crc_fast::crc32_iscsi(&bytes[ATTRIBUTES..]) != read_u32(&bytes, CRC) {
            return Err(BatchError::Checksum);
        }
        let batch = Self { bytes, plain: None };
        let codec = batch.codec();
        let compression = Compression::from_codec(codec).ok_or(BatchError::Codec(codec))?;
        batch.check_counts(compression)?;
        Ok(batch)
    }

    /// The same batch with its records at hand, decompressed if need be and at most
    /// [`RECORDS_BYTES_MAX`]. Costs nothing when they are not compressed.
    pub fn open(self) -> Result<Self, BatchError> {
        let compression = self.compression();
        if compression == Compression::None || self.plain.is_some() {
            return Ok(self);
        }
        let packed = &self.bytes[BATCH_HEADER_BYTES..];
        let plain = compression.decompress(packed, RECORDS_BYTES_MAX);
        let plain = Bytes::from(plain.map_err(|_| BatchError::Compression)?);
        let opened = Self { plain: Some(plain), ..self };
        opened.check_counts(Compression::None)?;
        Ok(opened)
    }

    /// How its records are compressed.
    pub fn compression(&self) -> Compression {
        Compression::from_codec(self.codec()).unwrap_or_default()
    }

    /// How long the batch at the front of `bytes` is, judged by its length field alone; an error
    /// if not all of it is there.
    pub fn bytes_needed(bytes: &[u8]) -> Result<usize, BatchError> {
        let have = bytes.len();
        if have < BATCH_HEADER_BYTES {
            return Err(BatchError::Short { have, need: BATCH_HEADER_BYTES });
        }
        let length = read_i32(bytes, LENGTH);
        let need = usize::try_from(length).map_err(|_| BatchError::Length(length))?;
        let need = need + LENGTH_COUNTS_FROM;
        if !(BATCH_HEADER_BYTES..=BATCH_BYTES_MAX).contains(&need) {
            return Err(BatchError::Length(length));
        }
        if have < need {
            return Err(BatchError::Short { have, need });
        }
        Ok(need)
    }

    /// The base offset that stands at the front of bytes that came from a file.
    pub fn base_offset_in(bytes: &[u8]) -> Option<u64> {
        let field = bytes.get(BASE_OFFSET..BASE_OFFSET + 8)?;
        u64::try_from(i64::from_be_bytes(field.try_into().ok()?)).ok()
    }

    /// What the header says, on its word alone: enough to hop from batch to batch in a file.
    pub fn outline(header: &[u8]) -> Option<Outline> {
        let bytes = match Self::bytes_needed(header) {
            Ok(need) | Err(BatchError::Short { need, .. }) => need,
            Err(_) => return None,
        };
        let whole = header.len() >= BATCH_HEADER_BYTES && header[MAGIC] == MAGIC_V2;
        let base_offset = Self::base_offset_in(header).filter(|_| whole)?;
        let last_offset_delta = read_u32(header, LAST_OFFSET_DELTA);
        let next_offset = base_offset.checked_add(u64::from(last_offset_delta) + 1)?;
        Some(Outline {
            base_offset,
            next_offset,
            bytes,
            max_timestamp: read_i64(header, MAX_TIMESTAMP),
        })
    }

    /// A batch that the builder made: right by construction.
    pub(super) fn from_built(bytes: Bytes) -> Self {
        debug_assert_eq!(Self::parse(bytes.clone()).map(|_| ()), Ok(()));
        Self { bytes, plain: None }
    }

    /// Walk every record and check it: for batches that a peer built, [opened](Self::open).
    pub fn validate(&self) -> Result<(), BatchError> {
        let mut records = self.records();
        let mut seen = 0;
        for record in records.by_ref() {
            if record.offset_delta > self.last_offset_delta() || !record.headers_are_sound() {
                return Err(BatchError::Record(seen));
            }
            seen += 1;
        }
        let whole = seen == self.record_count() && records.is_exhausted();
        if whole { Ok(()) } else { Err(BatchError::Record(seen)) }
    }

    /// The whole batch; the first [`BATCH_PREFIX_BYTES`] mean nothing here.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What goes in front of [`tail`](Self::tail) on disk and on the wire: the base offset, the
    /// length, and leader epoch 0.
    pub fn prefix(&self, base_offset: u64) -> [u8; BATCH_PREFIX_BYTES] {
        let mut prefix = [0; BATCH_PREFIX_BYTES];
        prefix[BASE_OFFSET..LENGTH].copy_from_slice(&base_offset.to_be_bytes());
        prefix[LENGTH..LENGTH_COUNTS_FROM].copy_from_slice(&self.bytes[LENGTH..][..4]);
        prefix
    }

    /// Everything behind the prefix; shared, never copied.
    pub fn tail(&self) -> Bytes {
        self.bytes.slice(BATCH_PREFIX_BYTES..)
    }

    /// How many records are inside.
    pub fn record_count(&self) -> u32 {
        read_u32(&self.bytes, RECORD_COUNT)
    }

    /// The last record's offset less the base offset; the next batch starts one behind it.
    pub fn last_offset_delta(&self) -> u32 {
        read_u32(&self.bytes, LAST_OFFSET_DELTA)
    }

    /// The first record's timestamp, in milliseconds since 1970.
    pub fn base_timestamp(&self) -> i64 {
        read_i64(&self.bytes, BASE_TIMESTAMP)
    }

    /// The largest timestamp inside.
    pub fn max_timestamp(&self) -> i64 {
        read_i64(&self.bytes, MAX_TIMESTAMP)
    }

    /// Not for readers: what the partition keeps besides messages.
    pub fn is_control(&self) -> bool {
        self.attributes() & ATTRIBUTE_CONTROL != 0
    }

    /// The records, in order; none of a compressed batch that was not [opened](Self::open).
    pub fn records(&self) -> Records<'_> {
        Records::new(self.body(), self.base_timestamp(), self.record_count())
    }

    /// Their keys alone.
    pub fn keys(&self) -> Keys<'_> {
        Keys::new(self.body(), self.record_count())
    }

    /// Bytes of the records; none of a compressed batch that was not [opened](Self::open).
    pub fn records_bytes(&self) -> usize {
        self.body().len()
    }

    /// One of the batch's records, on its own, sharing the batch's memory.
    pub fn share(&self, record: &Record<'_>) -> SharedRecord {
        let owner = self.plain.as_ref().unwrap_or(&self.bytes);
        SharedRecord {
            content: owner.slice_ref(record.content),
            offset_delta: record.offset_delta,
            timestamp_ms: record.timestamp_ms,
        }
    }

    fn body(&self) -> &[u8] {
        match (&self.plain, self.codec()) {
            (Some(plain), _) => plain,
            (None, 0) => &self.bytes[BATCH_HEADER_BYTES..],
            (None, _) => &[],
        }
    }

    fn codec(&self) -> u8 {
        (self.attributes() & ATTRIBUTE_CODEC).to_be_bytes()[1]
    }

    fn attributes(&self) -> u16 {
        u16::from_be_bytes([self.bytes[ATTRIBUTES], self.bytes[ATTRIBUTES + 1]])
    }

    /// Compaction may leave fewer records than offsets, or none; never more. How many the bytes
    /// have room for is known when they are not compressed.
    fn check_counts(&self, compression: Compression) -> Result<(), BatchError> {
        let records = read_i32(&self.bytes, RECORD_COUNT);
        let last_offset_delta = read_i32(&self.bytes, LAST_OFFSET_DELTA);
        let room = match compression {
            Compression::None => self.body().len() / RECORD_BYTES_MIN,
            Compression::Lz4 | Compression::Zstd => RECORDS_BYTES_MAX / RECORD_BYTES_MIN,
        };
        let fits = usize::try_from(records).is_ok_and(|count| count <= room);
        if fits && last_offset_delta >= 0 && records - 1 <= last_offset_delta {
            return Ok(());
        }
        Err(BatchError::Count { records, last_offset_delta })
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the range is N long")
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(field(bytes, at))
}

fn read_i32(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(field(bytes, at))
}

fn read_i64(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(field(bytes, at))
}

#[cfg(test)]
mod tests;
