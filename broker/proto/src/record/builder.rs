//! Fills a batch record by record. Owns the bytes being written; never an offset but the ones
//! relative to the batch.

use std::mem;

use bytes::Bytes;

use super::batch::Batch;
use super::header::Header;
use super::layout::{
    ATTRIBUTE_CONTROL, ATTRIBUTES, BASE_SEQUENCE, BASE_TIMESTAMP, BATCH_BYTES_MAX,
    BATCH_HEADER_BYTES, CRC, LAST_OFFSET_DELTA, LENGTH, LENGTH_COUNTS_FROM, MAGIC, MAGIC_V2,
    MAX_TIMESTAMP, PRODUCER_EPOCH, PRODUCER_ID, RECORD_COUNT,
};
use super::varint::{put_varint, varint_bytes};

/// Copying less costs less than a call that copies.
const SHORT_BYTES: usize = 4;

/// A buffer larger than this is let go when a batch uses little of it.
const IDLE_BYTES_MAX: usize = 1 << 20;

/// Builds one batch after the other; one per partition, core and turn.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    bytes: Vec<u8>,
    records: u32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty builder; it allocates with the first record.
    pub fn new() -> Self {
        Self::default()
    }

    /// Add a record; returns its index in the batch, which is its offset less the base offset.
    ///
    /// The caller finishes the batch before it grows past [`BATCH_BYTES_MAX`].
    pub fn push(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> u32 {
        let index = self.begin(timestamp_ms);
        let timestamp_delta = timestamp_ms.wrapping_sub(self.base_timestamp);
        let header_count = signed(headers.len());
        let body = 1
            + varint_bytes(timestamp_delta)
            + varint_bytes(i64::from(index))
            + nullable_bytes(key)
            + nullable_bytes(value)
            + varint_bytes(header_count)
            + headers.iter().map(header_bytes).sum::<usize>();
        let begin = self.bytes.len();
        // Made long enough at once: a record has many fields of a byte or two.
        self.bytes.resize(begin + varint_bytes(signed(body)) + body, 0);
        let out = &mut self.bytes[begin..];
        let at = put_varint(out, 0, signed(body));
        let at = put_varint(out, at + 1, timestamp_delta);
        let at = put_varint(out, at, i64::from(index));
        let at = put_nullable(out, at, key);
        let at = put_nullable(out, at, value);
        let mut at = put_varint(out, at, header_count);
        for header in headers {
            at = put_nullable(out, at, Some(header.key));
            at = put_nullable(out, at, header.value);
        }
        index
    }

    /// How many records wait in the batch.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// How long the batch would be if it were finished now.
    pub fn bytes(&self) -> usize {
        self.bytes.len().max(BATCH_HEADER_BYTES)
    }

    /// Nothing was pushed since the last batch.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The batch, complete but for its base offset. The builder is empty after.
    pub fn finish(&mut self) -> Batch {
        self.finish_with(0)
    }

    /// Like [`finish`](Self::finish), for records that Kafka clients skip: what a partition must
    /// keep besides messages.
    pub fn finish_control(&mut self) -> Batch {
        self.finish_with(ATTRIBUTE_CONTROL)
    }

    /// Like [`finish`](Self::finish), behind what is in `out`: for whoever keeps many small batches
    /// in memory of his own.
    pub fn finish_into(&mut self, out: &mut Vec<u8>) {
        self.seal(0);
        out.extend_from_slice(&self.bytes);
        self.empty();
    }

    /// Room for the batch header goes first; a record is numbered from zero.
    fn begin(&mut self, timestamp_ms: i64) -> u32 {
        if self.records == 0 {
            self.bytes.resize(BATCH_HEADER_BYTES, 0);
            self.base_timestamp = timestamp_ms;
            self.max_timestamp = timestamp_ms;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);
        self.records += 1;
        self.records - 1
    }

    fn finish_with(&mut self, attributes: u16) -> Batch {
        self.seal(attributes);
        Batch::from_built(self.hand_out())
    }

    /// Fills the header in.
    fn seal(&mut self, attributes: u16) {
        self.bytes.resize(self.bytes.len().max(BATCH_HEADER_BYTES), 0);
        assert!(self.bytes.len() <= BATCH_BYTES_MAX, "the caller bounds a batch by bytes()");
        let length = u32::try_from(self.bytes.len() - LENGTH_COUNTS_FROM)
            .expect("BATCH_BYTES_MAX fits the field");
        let last_offset_delta = self.records.saturating_sub(1);
        self.put(LENGTH, &length.to_be_bytes());
        self.put(MAGIC, &[MAGIC_V2]);
        self.put(ATTRIBUTES, &attributes.to_be_bytes());
        self.put(LAST_OFFSET_DELTA, &last_offset_delta.to_be_bytes());
        self.put(BASE_TIMESTAMP, &self.base_timestamp.to_be_bytes());
        self.put(MAX_TIMESTAMP, &self.max_timestamp.to_be_bytes());
        self.put(PRODUCER_ID, &(-1_i64).to_be_bytes());
        self.put(PRODUCER_EPOCH, &(-1_i16).to_be_bytes());
        self.put(BASE_SEQUENCE, &(-1_i32).to_be_bytes());
        self.put(RECORD_COUNT, &self.records.to_be_bytes());
        let crc = crc_fast::crc32_iscsi(&self.bytes[ATTRIBUTES..]);
        self.put(CRC, &crc.to_be_bytes());
        self.records = 0;
    }

    fn put(&mut self, at: usize, field: &[u8]) {
        self.bytes[at..at + field.len()].copy_from_slice(field);
    }

    /// Give the buffer away when the batch fills most of it, else copy and keep it: a batch stays
    /// in memory for a while and must not hold much more than its own bytes.
    fn hand_out(&mut self) -> Bytes {
        let (len, capacity) = (self.bytes.len(), self.bytes.capacity());
        if len >= capacity - capacity / 4 {
            // The next batch is likely as large: it should not grow there by doubling.
            let next = Vec::with_capacity(if len > IDLE_BYTES_MAX { 0 } else { len + len / 8 });
            return Bytes::from(mem::replace(&mut self.bytes, next));
        }
        let exact = Bytes::copy_from_slice(&self.bytes);
        self.empty();
        exact
    }

    fn empty(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > IDLE_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).expect("no slice is longer than i64::MAX")
}

fn nullable_length(field: Option<&[u8]>) -> i64 {
    field.map_or(-1, |bytes| signed(bytes.len()))
}

/// A field and its length; returns the position behind it.
fn put_nullable(out: &mut [u8], at: usize, field: Option<&[u8]>) -> usize {
    let at = put_varint(out, at, nullable_length(field));
    let field = field.unwrap_or_default();
    let end = at + field.len();
    let place = &mut out[at..end];
    if field.len() < SHORT_BYTES {
        place.iter_mut().zip(field).for_each(|(to, from)| *to = *from);
    } else {
        place.copy_from_slice(field);
    }
    end
}

fn nullable_bytes(field: Option<&[u8]>) -> usize {
    varint_bytes(nullable_length(field)) + field.map_or(0, <[u8]>::len)
}

fn header_bytes(header: &Header<'_>) -> usize {
    nullable_bytes(Some(header.key)) + nullable_bytes(header.value)
}
