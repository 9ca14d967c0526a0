//! Claims about batches: what goes in comes out, and nothing made up gets through.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{ProptestConfig, Strategy, any};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::{ATTRIBUTES, Batch, BatchError, CRC, RECORD_COUNT};
use crate::record::{BATCH_HEADER_BYTES, BatchBuilder, Header};

type Field = Option<Vec<u8>>;

#[derive(Clone, Debug, PartialEq)]
struct Owned {
    timestamp_ms: i64,
    key: Field,
    value: Field,
    headers: Vec<(Vec<u8>, Field)>,
}

fn any_record() -> impl Strategy<Value = Owned> {
    let field = || option::of(vec(any::<u8>(), 0..200));
    let headers = vec((vec(any::<u8>(), 0..20), field()), 0..4);
    (any::<i64>(), field(), field(), headers)
        .prop_map(|(timestamp_ms, key, value, headers)| Owned { timestamp_ms, key, value, headers })
}

fn build(records: &[Owned]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (index, record) in records.iter().enumerate() {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(key, value)| Header { key, value: value.as_deref() })
            .collect();
        let key = record.key.as_deref();
        let at = builder.push(record.timestamp_ms, key, record.value.as_deref(), &headers);
        assert_eq!(at as usize, index);
    }
    let bytes = builder.bytes();
    let batch = builder.finish();
    assert_eq!(batch.bytes().len(), bytes);
    batch
}

fn read(batch: &Batch) -> Vec<Owned> {
    let owned = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
    let read_one = |record: crate::record::Record<'_>| Owned {
        timestamp_ms: record.timestamp_ms,
        key: owned(record.key),
        value: owned(record.value),
        headers: record.headers().map(|h| (h.key.to_vec(), owned(h.value))).collect(),
    };
    batch.records().map(read_one).collect()
}

fn sample() -> Batch {
    let mut builder = BatchBuilder::new();
    builder.push(1000, Some(b"a/b"), Some(b"21.5"), &[]);
    builder.push(1007, Some(b"a/c"), None, &[Header { key: b"q", value: Some(b"1") }]);
    builder.finish()
}

fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Result<Batch, BatchError> {
    let mut bytes = sample().bytes().to_vec();
    change(&mut bytes);
    Batch::parse(Bytes::from(bytes))
}

/// As `changed`, but the checksum is made right again: only other checks can object.
fn forged(change: impl FnOnce(&mut Vec<u8>)) -> Result<Batch, BatchError> {
    changed(|bytes| {
        change(bytes);
        let crc = crc_fast::crc32_iscsi(&bytes[ATTRIBUTES..]);
        bytes[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_pushed_is_read_back(records in vec(any_record(), 1..40)) {
        let batch = build(&records);
        prop_assert_eq!(read(&batch), records.clone());
        prop_assert_eq!(batch.validate(), Ok(()));
        prop_assert_eq!(batch.record_count() as usize, records.len());
        prop_assert_eq!(batch.last_offset_delta() as usize, records.len() - 1);
        let latest = records.iter().map(|record| record.timestamp_ms).max();
        prop_assert_eq!(Some(batch.max_timestamp()), latest);
        prop_assert_eq!(Batch::parse(batch.bytes().clone()), Ok(batch));
    }

    #[test]
    fn made_up_records_never_panic(body in vec(any::<u8>(), 0..300), count in any::<u32>()) {
        let parsed = forged(|bytes| {
            bytes.truncate(BATCH_HEADER_BYTES);
            bytes.extend_from_slice(&body);
            bytes[RECORD_COUNT..].as_mut()[..4].copy_from_slice(&(count % 64).to_be_bytes());
            let length = u32::try_from(bytes.len() - 12).expect("short");
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            bytes[23..27].copy_from_slice(&64_u32.to_be_bytes());
        });
        if let Ok(batch) = parsed {
            let _ = batch.validate();
            prop_assert!(batch.records().map(|r| r.headers().count()).sum::<usize>() <= 300);
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed(at in BATCH_HEADER_BYTES - 45..100_usize, bit in 0..8_u8) {
        let length = sample().bytes().len();
        let at = at.min(length - 1);
        prop_assert!(changed(|bytes| bytes[at] ^= 1 << bit).is_err());
    }
}

#[test]
fn a_builder_is_reusable_and_starts_from_zero() {
    let mut builder = BatchBuilder::new();
    for round in 0..5_i64 {
        assert!(builder.is_empty());
        assert_eq!(builder.push(round, None, Some(b"x"), &[]), 0);
        assert_eq!(builder.push(round + 1, None, Some(&[7; 3000]), &[]), 1);
        let batch = builder.finish();
        assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (round, round + 1));
        assert_eq!(batch.record_count(), 2);
    }
}

#[test]
fn what_is_not_a_batch_is_refused_by_name() {
    let short = changed(|bytes| bytes.truncate(60));
    assert_eq!(short, Err(BatchError::Short { have: 60, need: BATCH_HEADER_BYTES }));
    assert!(matches!(changed(|bytes| bytes.push(0)), Err(BatchError::Length(_))));
    assert!(matches!(changed(|bytes| bytes[8] = 0xff), Err(BatchError::Length(_))));
    assert_eq!(changed(|bytes| bytes[16] = 1), Err(BatchError::Magic(1)));
    assert_eq!(forged(|bytes| bytes[22] = 2), Err(BatchError::Codec(2)));
    let count = forged(|bytes| bytes[57] = 0x7f);
    assert!(matches!(count, Err(BatchError::Count { .. })), "{count:?}");
    let negative = forged(|bytes| bytes[23] = 0xff);
    assert!(matches!(negative, Err(BatchError::Count { .. })), "{negative:?}");
}

#[test]
fn the_offset_stays_outside_the_shared_bytes() {
    let batch = sample();
    let mut written = batch.prefix(0x0102_0304).to_vec();
    written.extend_from_slice(&batch.tail());
    assert_eq!(Batch::base_offset_in(&written), Some(0x0102_0304));
    let parsed = Batch::parse(Bytes::from(written)).expect("the offset is not in the checksum");
    assert_eq!(read(&parsed), read(&batch));
}

#[test]
fn a_control_batch_says_so() {
    let mut builder = BatchBuilder::new();
    builder.push(1, Some(b"\0\0\0\x40"), None, &[]);
    assert!(builder.finish_control().is_control());
    assert!(!sample().is_control());
}

#[test]
fn keys_are_those_of_the_records() {
    let mut builder = BatchBuilder::new();
    let headers = [Header { key: b"q", value: Some(b"1") }];
    for n in 0..300_u32 {
        let key = format!("topic/{}", n % 7);
        let key = (n % 5 != 4).then_some(key.as_bytes());
        builder.push(i64::from(n) * 1_000, key, Some(&[b'x'; 200][..n as usize % 200]), &headers);
    }
    let batch = builder.finish();
    let keys: Vec<_> = batch.keys().collect();
    let expected: Vec<_> =
        batch.records().map(|record| (record.offset_delta, record.key)).collect();
    assert_eq!(keys, expected);
    assert_eq!(keys.len(), 300);
}
