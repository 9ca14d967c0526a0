//! The same records at another time. Owns the two times in a batch's header, and its checksum.

use bytes::Bytes;

use super::batch::Batch;
use super::layout::{ATTRIBUTES, BASE_TIMESTAMP, CRC, MAX_TIMESTAMP};

impl Batch {
    /// The batch as if its first record had come at that time: all of them are moved by as much.
    #[must_use]
    pub fn restamped(&self, timestamp_ms: i64) -> Self {
        let later = self.max_timestamp().wrapping_sub(self.base_timestamp());
        let mut built = self.bytes().to_vec();
        put(&mut built, BASE_TIMESTAMP, &timestamp_ms.to_be_bytes());
        put(&mut built, MAX_TIMESTAMP, &timestamp_ms.wrapping_add(later).to_be_bytes());
        let crc = crc_fast::crc32_iscsi(&built[ATTRIBUTES..]);
        put(&mut built, CRC, &crc.to_be_bytes());
        Self::from_built(Bytes::from(built))
    }
}

fn put(built: &mut [u8], at: usize, bytes: &[u8]) {
    built[at..at + bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use crate::record::{Batch, BatchBuilder, Record};

    #[test]
    fn a_batch_at_another_time_is_the_same_but_for_that() {
        let mut builder = BatchBuilder::new();
        builder.push(1000, Some(b"a"), Some(b"first"), &[]);
        builder.push(1007, Some(b"b"), None, &[]);
        let before = builder.finish();
        let after = before.restamped(5000);
        assert_eq!(Batch::parse(after.bytes().clone()).unwrap().validate(), Ok(()));
        assert_eq!((after.base_timestamp(), after.max_timestamp()), (5000, 5007));
        let told = |batch: &Batch| -> Vec<_> {
            let of = |record: Record<'_>| (record.timestamp_ms, record.value.map(<[u8]>::to_vec));
            batch.records().map(of).collect()
        };
        assert_eq!(told(&after), [(5000, Some(b"first".to_vec())), (5007, None)]);
        assert_eq!(told(&before)[0].0, 1000);
    }
}
