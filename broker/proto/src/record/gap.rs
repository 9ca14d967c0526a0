//! The batch that takes the place of records that are gone. Owns its private control type; never
//! decides what is gone.

use bytes::Bytes;

use super::batch::Batch;
use super::builder::BatchBuilder;
use super::layout::{
    ATTRIBUTES, BATCH_BYTES_MAX, BATCH_HEADER_BYTES, CRC, LAST_OFFSET_DELTA, LENGTH,
    LENGTH_COUNTS_FROM,
};

/// Version 0 and our own type, as a control record's key says them. Kafka clients skip control
/// batches whose type they do not know.
const GAP_KEY: &[u8] = &[0, 0, 0, 100];

/// How far the length of the padding can be off because lengths have varying length themselves.
const PADDING_SLACK: usize = 8;

impl Batch {
    /// A control batch, exactly `bytes` long, in the place of `offsets` offsets that are lost.
    /// `None` if no batch has that length or spans that much.
    pub fn gap(offsets: u64, bytes: usize, timestamp_ms: i64) -> Option<Self> {
        let last_offset_delta = i32::try_from(offsets.checked_sub(1)?).ok()?;
        if bytes > BATCH_BYTES_MAX {
            return None;
        }
        // Without a key it fits into places so small that ours does not.
        let keys = [Some(GAP_KEY), None];
        let mut built = keys.into_iter().find_map(|key| padded(key, bytes, timestamp_ms))?;
        put(&mut built, LAST_OFFSET_DELTA, &last_offset_delta.to_be_bytes());
        let length = u32::try_from(bytes - LENGTH_COUNTS_FROM).ok()?;
        put(&mut built, LENGTH, &length.to_be_bytes());
        let crc = crc_fast::crc32_iscsi(&built[ATTRIBUTES..]);
        put(&mut built, CRC, &crc.to_be_bytes());
        Some(Self::from_built(Bytes::from(built)))
    }

    /// The length of the shortest gap that says what it is.
    pub fn gap_bytes() -> usize {
        control(Some(GAP_KEY), 0, 0).len()
    }
}

/// A batch of one control record with that key, padded to the length.
fn padded(key: Option<&[u8]>, bytes: usize, timestamp_ms: i64) -> Option<Vec<u8>> {
    let padding = bytes.checked_sub(control(key, 0, timestamp_ms).len())?;
    for shorter in 0..=padding.min(PADDING_SLACK) {
        let mut built = control(key, padding - shorter, timestamp_ms);
        // Where a length grows by a byte, one total is jumped over.
        if built.len() + 1 == bytes {
            lengthen(&mut built);
        }
        if built.len() == bytes {
            return Some(built);
        }
    }
    None
}

fn control(key: Option<&[u8]>, padding: usize, timestamp_ms: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.push(timestamp_ms, key, Some(&vec![0; padding]), &[]);
    builder.finish_control().bytes().to_vec()
}

/// Writes the record's length, which comes first, with a byte more than it needs.
fn lengthen(batch: &mut Vec<u8>) {
    let is_last = |byte: &u8| *byte < 0x80;
    let digits = batch[BATCH_HEADER_BYTES..].iter().position(is_last);
    let last = BATCH_HEADER_BYTES + digits.expect("the builder ends every number");
    batch[last] |= 0x80;
    batch.insert(last + 1, 0);
}

fn put(batch: &mut [u8], at: usize, field: &[u8]) {
    batch[at..at + field.len()].copy_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::{Batch, GAP_KEY};

    #[test]
    fn a_gap_has_the_length_and_the_offsets_of_what_it_replaces() {
        let lengths = (68..400).chain(8_000..8_300).chain([70_000, 1 << 21]);
        for bytes in lengths {
            let gap = Batch::gap(17, bytes, 5).unwrap_or_else(|| panic!("{bytes} bytes"));
            assert_eq!(gap.bytes().len(), bytes);
            assert_eq!((gap.last_offset_delta(), gap.max_timestamp()), (16, 5));
            assert!(gap.is_control());
            assert_eq!(Batch::parse(gap.bytes().clone()), Ok(gap.clone()));
            assert_eq!(gap.validate(), Ok(()));
        }
    }

    #[test]
    fn a_gap_says_what_it_is_wherever_there_is_room() {
        for bytes in Batch::gap_bytes()..200 {
            let gap = Batch::gap(1, bytes, 0).expect("long enough");
            let key = gap.records().next().and_then(|record| record.key);
            assert!(key.is_some_and(|key| key.starts_with(GAP_KEY)), "{bytes}");
        }
    }

    #[test]
    fn what_no_batch_can_be_is_no_gap() {
        for (offsets, bytes) in [(0, 100), ((1 << 31) + 1, 100), (1, 67), (1, usize::MAX)] {
            assert_eq!(Batch::gap(offsets, bytes, 0), None, "{offsets} {bytes}");
        }
        assert!(Batch::gap(1 << 30, 100, 0).is_some());
    }
}
