//! Every batch on disk as a foreign Kafka codec sees it, checksums included. Finds the batches by
//! docs/format.md alone.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use kafka_protocol::records::{Compression, Record, RecordBatchDecoder};

use crate::sample::{COMMITS, files, fill, killed, open, temporary, text};

/// Decode all that is there; the codec checks lengths, magic and checksums.
fn decode(batches: &[u8]) -> Vec<Record> {
    let sets = RecordBatchDecoder::decode_all(&mut Bytes::copy_from_slice(batches));
    let sets = sets.expect("every batch decodes");
    assert!(sets.iter().all(|set| set.version == 2 && set.compression == Compression::None));
    sets.into_iter().flat_map(|set| set.records).collect()
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the range has that length")
}

/// The batches of one file of the write-ahead log, by partition, as docs/format.md draws it.
fn batches_in_log(bytes: &[u8]) -> BTreeMap<u32, Vec<u8>> {
    assert_eq!(&bytes[..8], b"TwWal002");
    let sign = u64::from_le_bytes(number(bytes, 8)) ^ u64::from_le_bytes(number(bytes, 16));
    let sign = sign.to_le_bytes();
    let mut batches: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let mut at = 4096;
    while bytes.get(at..at + 4) == Some(b"TwF1".as_slice()) && number(bytes, at + 16) == sign {
        let length = u32::from_le_bytes(number(bytes, at + 8)) as usize;
        let entries = u32::from_le_bytes(number(bytes, at + 12));
        let mut entry = at + 40;
        for _ in 0..entries {
            entry += match bytes[entry] {
                1 => {
                    let partition = u32::from_le_bytes(number(bytes, entry + 1));
                    let batch = &bytes[entry + 5..];
                    let length = 12 + u32::from_be_bytes(number(batch, 8)) as usize;
                    batches.entry(partition).or_default().extend(&batch[..length]);
                    5 + length
                }
                2 => {
                    let key = u32::from_le_bytes(number(bytes, entry + 3)) as usize;
                    let value = u32::from_le_bytes(number(bytes, entry + 7)) as usize;
                    11 + key + value
                }
                kind => panic!("an entry of kind {kind} at byte {entry}"),
            };
        }
        assert_eq!(entry, at + length, "the entries fill the frame");
        at += length.next_multiple_of(8);
    }
    batches
}

/// Offsets count up without gaps from `first` on.
#[track_caller]
fn expect_contiguous(records: &[Record], first: i64) {
    let offsets = records.iter().map(|record| record.offset);
    assert!(offsets.eq((first..).take(records.len())), "from {first}");
}

fn segments(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    files(folder).into_iter().filter(|(name, _)| name.ends_with(".seg")).collect()
}

#[test]
fn every_batch_of_the_write_ahead_log_decodes_with_a_foreign_codec() {
    let folder = killed();
    let mut records = 0;
    for (name, bytes) in files(folder.path()) {
        if name.ends_with(".wal") {
            for batches in batches_in_log(&bytes).values() {
                let found = decode(batches);
                let first = found.first().expect("a batch has records").offset;
                expect_contiguous(&found, first);
                records += found.len();
            }
        }
    }
    assert!(records > 20, "{records}");
}

#[test]
fn every_segment_decodes_with_a_foreign_codec_and_holds_what_was_sent() {
    let folder = temporary();
    let store = open(folder.path()).expect("opens");
    fill(&store);
    store.shutdown().expect("stops");
    let mut values = Vec::new();
    for (name, bytes) in segments(folder.path()) {
        let records = decode(&bytes);
        // A segment that was written anew has its generation behind the offset.
        let base = name.rsplit('/').next().and_then(|name| name.split('.').next());
        let base = base.expect("a name");
        expect_contiguous(&records, base.parse().expect("a number"));
        for record in records {
            assert_eq!((record.partition_leader_epoch, record.producer_id), (0, -1));
            let value = record.value.expect("every record has one");
            if value != "second" {
                assert_eq!(record.key.as_deref(), Some(b"plant/1".as_slice()));
                assert_eq!(record.headers.len(), 1);
                values.push(String::from_utf8(value.to_vec()).expect("text"));
            }
        }
    }
    let mut expected: Vec<_> = (0..COMMITS).map(text).collect();
    values.sort_unstable();
    expected.sort_unstable();
    assert_eq!(values, expected);
}

#[test]
fn the_foreign_codec_sees_a_wrong_checksum() {
    let folder = killed();
    let (_, mut bytes) = segments(folder.path()).pop_first().expect("there are segments");
    bytes[70] ^= 1;
    assert!(RecordBatchDecoder::decode_all(&mut Bytes::from(bytes)).is_err());
}
