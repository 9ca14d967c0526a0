//! Where each field of a batch lies. Owns the numbers of the format, reads and writes nothing.
//!
//! `base offset i64 | length i32 | leader epoch i32 | magic i8 | crc u32 | attributes i16 |
//! last offset delta i32 | base timestamp i64 | max timestamp i64 | producer id i64 |
//! producer epoch i16 | base sequence i32 | record count i32 | records`, all big-endian.

/// Bytes of a batch before its first record.
pub const BATCH_HEADER_BYTES: usize = 61;

/// Bytes at the front that the checksum does not cover and the store writes itself: base offset,
/// length, leader epoch.
pub const BATCH_PREFIX_BYTES: usize = 16;

/// The largest batch that the format can say the length of, with room to spare. Whoever fills a
/// [`BatchBuilder`](super::BatchBuilder) finishes it before it grows past this.
pub const BATCH_BYTES_MAX: usize = 1 << 30;

/// The length field counts what comes after itself.
pub(super) const LENGTH_COUNTS_FROM: usize = 12;
pub(super) const BASE_OFFSET: usize = 0;
pub(super) const LENGTH: usize = 8;
pub(super) const MAGIC: usize = 16;
pub(super) const CRC: usize = 17;
/// The checksum covers everything from here on.
pub(super) const ATTRIBUTES: usize = 21;
pub(super) const LAST_OFFSET_DELTA: usize = 23;
pub(super) const BASE_TIMESTAMP: usize = 27;
pub(super) const MAX_TIMESTAMP: usize = 35;
pub(super) const PRODUCER_ID: usize = 43;
pub(super) const PRODUCER_EPOCH: usize = 51;
pub(super) const BASE_SEQUENCE: usize = 53;
pub(super) const RECORD_COUNT: usize = 57;

pub(super) const MAGIC_V2: u8 = 2;
pub(super) const ATTRIBUTE_CODEC: u16 = 0b111;
pub(super) const ATTRIBUTE_CONTROL: u16 = 1 << 5;

/// The smallest record: length, attributes, two deltas, two lengths, header count.
pub(super) const RECORD_BYTES_MIN: usize = 7;

// The record count is the last field of the header.
const _: () = assert!(RECORD_COUNT + 4 == BATCH_HEADER_BYTES);
