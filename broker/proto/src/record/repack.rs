//! Puts records of several batches into one: offsets, timestamps and content kept, gaps allowed.
//! Never decides which records, or how many.

use std::io;

use bytes::Bytes;

use super::batch::Batch;
use super::codec::{Compression, RECORDS_BYTES_MAX};
use super::layout::{
    ATTRIBUTE_CONTROL, ATTRIBUTES, BASE_OFFSET, BASE_SEQUENCE, BASE_TIMESTAMP, BATCH_HEADER_BYTES,
    CRC, LAST_OFFSET_DELTA, LENGTH, LENGTH_COUNTS_FROM, MAGIC, MAGIC_V2, MAX_TIMESTAMP,
    PRODUCER_EPOCH, PRODUCER_ID, RECORD_COUNT,
};
use super::records::Record;
use super::varint::{VARINT_BYTES_MAX, put_varint, varint_bytes};

/// Builds batches with the offsets that their records already have.
#[derive(Debug)]
pub struct Repacker {
    base_offset: u64,
    /// The records so far, not compressed.
    plain: Vec<u8>,
    records: u32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl Repacker {
    /// The first batch begins at this offset, whatever its first record's is.
    #[must_use]
    pub fn new(base_offset: u64) -> Self {
        let plain = Vec::new();
        Self { base_offset, plain, records: 0, base_timestamp: 0, max_timestamp: i64::MIN }
    }

    /// Where the batch being built begins.
    #[must_use]
    pub fn base_offset(&self) -> u64 {
        self.base_offset
    }

    /// Bytes of the records so far, not compressed.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.plain.len()
    }

    /// Has this offset a place in the batch? A batch spans as many as its format can say.
    #[must_use]
    pub fn reaches(&self, offset: u64) -> bool {
        offset.checked_sub(self.base_offset).is_some_and(|delta| i32::try_from(delta).is_ok())
    }

    /// Add a record; false, and nothing added, if the batch does not [reach](Self::reaches) it.
    pub fn push(&mut self, offset: u64, record: &Record<'_>) -> bool {
        if !self.reaches(offset) {
            return false;
        }
        if self.records == 0 {
            self.base_timestamp = record.timestamp_ms;
            self.max_timestamp = record.timestamp_ms;
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp_ms);
        self.records += 1;
        let offset_delta = (offset - self.base_offset).cast_signed();
        let timestamp_delta = record.timestamp_ms.wrapping_sub(self.base_timestamp);
        let content = record.content.len();
        let length = 1 + varint_bytes(timestamp_delta) + varint_bytes(offset_delta) + content;
        let mut front = [0; 3 * VARINT_BYTES_MAX + 1];
        let length = i64::try_from(length).expect("no slice is longer than i64::MAX");
        let at = put_varint(&mut front, 0, length);
        let at = put_varint(&mut front, at + 1, timestamp_delta);
        let at = put_varint(&mut front, at, offset_delta);
        self.plain.extend_from_slice(&front[..at]);
        self.plain.extend_from_slice(record.content);
        true
    }

    /// The batch up to before `next_offset`, its base offset filled in; the next one begins there.
    /// Records that do not shrink stay as they are.
    pub fn finish(
        &mut self,
        next_offset: u64,
        compression: Compression,
        control: bool,
    ) -> io::Result<Bytes> {
        let too_far = || io::Error::other("a batch cannot span that many offsets");
        let last = next_offset.checked_sub(self.base_offset + 1).ok_or_else(too_far)?;
        let last = i32::try_from(last).map_err(|_| too_far())?;
        let mut bytes = vec![0; BATCH_HEADER_BYTES];
        // More than this is not decompressed again.
        let fits = self.plain.len() <= RECORDS_BYTES_MAX;
        let compression = if fits { compression } else { Compression::None };
        compression.compress(&self.plain, &mut bytes)?;
        let mut attributes = u16::from(compression.codec());
        if bytes.len() >= BATCH_HEADER_BYTES + self.plain.len() {
            bytes.truncate(BATCH_HEADER_BYTES);
            bytes.extend_from_slice(&self.plain);
            attributes = 0;
        }
        if control {
            attributes |= ATTRIBUTE_CONTROL;
        }
        let max_timestamp = if self.records == 0 { -1 } else { self.max_timestamp };
        let length = i32::try_from(bytes.len() - LENGTH_COUNTS_FROM).map_err(io::Error::other)?;
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(BASE_OFFSET, &self.base_offset.to_be_bytes());
        put(LENGTH, &length.to_be_bytes());
        put(MAGIC, &[MAGIC_V2]);
        put(ATTRIBUTES, &attributes.to_be_bytes());
        put(LAST_OFFSET_DELTA, &last.to_be_bytes());
        put(BASE_TIMESTAMP, &self.base_timestamp.to_be_bytes());
        put(MAX_TIMESTAMP, &max_timestamp.to_be_bytes());
        put(PRODUCER_ID, &(-1_i64).to_be_bytes());
        put(PRODUCER_EPOCH, &(-1_i16).to_be_bytes());
        put(BASE_SEQUENCE, &(-1_i32).to_be_bytes());
        put(RECORD_COUNT, &self.records.to_be_bytes());
        let crc = crc_fast::crc32_iscsi(&bytes[ATTRIBUTES..]);
        bytes[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
        let mut next = Self::new(next_offset);
        next.plain = std::mem::take(&mut self.plain);
        next.plain.clear();
        *self = next;
        let bytes = Bytes::from(bytes);
        debug_assert!(Batch::parse(bytes.clone()).is_ok());
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::Repacker;
    use crate::record::{Batch, BatchBuilder, BatchError, Compression, Header};

    type Read = (u64, i64, Vec<u8>, Vec<u8>, usize);

    fn sample(from: i64) -> Batch {
        let mut builder = BatchBuilder::new();
        for n in from..from + 20 {
            let headers =
                [Header { key: b"q", value: Some(b"1") }, Header { key: b"u", value: None }];
            builder.push(5_000 - n, Some(b"a/b"), Some(&n.to_le_bytes()), &headers);
        }
        builder.finish()
    }

    fn read(batch: &Batch, base: u64) -> Vec<Read> {
        let one = |record: crate::record::Record<'_>| {
            let field = |field: Option<&[u8]>| field.expect("there").to_vec();
            let offset = base + u64::from(record.offset_delta);
            let headers = record.headers().count();
            (offset, record.timestamp_ms, field(record.key), field(record.value), headers)
        };
        batch.records().map(one).collect()
    }

    fn repacked(compression: Compression) -> (Vec<Read>, Batch) {
        let mut repacker = Repacker::new(90);
        let mut expected = Vec::new();
        for (n, base) in [(0, 100), (20, 120), (40, 500)] {
            let batch = sample(n);
            for record in batch.records() {
                assert!(repacker.push(base + u64::from(record.offset_delta), &record));
            }
            expected.extend(read(&batch, base));
        }
        let bytes = repacker.finish(1_000, compression, false).expect("in memory");
        assert_eq!(Batch::base_offset_in(&bytes), Some(90));
        assert_eq!((repacker.base_offset(), repacker.bytes()), (1_000, 0));
        (expected, Batch::parse(bytes).expect("whole"))
    }

    #[test]
    fn records_keep_offset_time_and_content_in_any_compression() {
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
            let (expected, packed) = repacked(compression);
            assert_eq!(packed.compression(), compression);
            assert_eq!((packed.last_offset_delta(), packed.record_count()), (909, 60));
            let opened = packed.open().expect("sound");
            assert_eq!(read(&opened, 90), expected, "{compression:?}");
            assert_eq!(opened.validate(), Ok(()));
            assert_eq!(opened.max_timestamp(), 5_000);
        }
    }

    #[test]
    fn a_batch_without_records_still_spans_its_offsets() {
        let bytes = Repacker::new(7).finish(30, Compression::Zstd, false).expect("in memory");
        let batch = Batch::parse(bytes).expect("whole").open().expect("sound");
        assert_eq!((batch.record_count(), batch.last_offset_delta()), (0, 22));
        assert_eq!(batch.records().count(), 0);
    }

    #[test]
    fn offsets_that_a_batch_cannot_span_are_refused() {
        let batch = sample(0);
        let record = batch.records().next().expect("one");
        let mut repacker = Repacker::new(10);
        assert!(!repacker.push(9, &record));
        assert!(!repacker.push(10 + (1 << 31), &record));
        assert!(repacker.finish(10, Compression::None, false).is_err());
        assert!(repacker.push(10, &record));
    }

    #[test]
    fn a_closed_batch_gives_no_records_and_a_damaged_one_does_not_open() {
        let (_, packed) = repacked(Compression::Zstd);
        assert_eq!(packed.records().count(), 0);
        assert_eq!(packed.validate(), Err(BatchError::Record(0)));
        let mut bytes = packed.bytes().to_vec();
        let middle = bytes.len() - 10;
        bytes[middle] ^= 0x40;
        let crc = crc_fast::crc32_iscsi(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let forged = Batch::parse(bytes.into()).expect("the checksum is right");
        let opened = forged.open();
        assert!(opened.is_err() || opened.is_ok_and(|batch| batch.validate().is_err()));
    }
}
