//! Every batch on disk as a foreign Kafka codec sees it, checksums included. Finds the batches by
//! docs/format.md alone.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use kafka_protocol::records::{Compression, Record, RecordBatchDecoder, RecordSet};
use lz4_flex::frame::FrameDecoder;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{self, BatchBuilder};
use tidewire_store::{Append, Commit, Store, StreamConfig};

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

/// As the decoders of these formats see what is in a batch.
fn unpack(packed: &[u8], compression: Compression) -> Vec<u8> {
    let mut plain = Vec::new();
    match compression {
        Compression::None => plain.extend_from_slice(packed),
        Compression::Lz4 => _ = FrameDecoder::new(packed).read_to_end(&mut plain).expect("lz4"),
        Compression::Zstd => plain = zstd::stream::decode_all(packed).expect("zstd"),
        other => panic!("{other:?}"),
    }
    plain
}

/// Each batch of a segment for itself.
fn sets(mut batches: Bytes) -> Vec<RecordSet> {
    let unpack = |packed: &mut Bytes, how| Ok(Bytes::from(unpack(packed, how)));
    let mut sets = Vec::new();
    while !batches.is_empty() {
        let set = RecordBatchDecoder::decode_with_custom_compression(&mut batches, Some(unpack));
        sets.push(set.expect("a batch decodes"));
    }
    sets
}

const KEYS: usize = 13;
const SENT: usize = 400;

/// Few at first, so that whole segments are replaced; then each its own.
fn key(n: usize) -> String {
    format!("key/{}", if n < SENT / 2 { n % KEYS } else { n })
}

fn value(n: usize) -> String {
    format!("value {n} {}", "x".repeat(60))
}

/// Records of a few keys, in a stream that grows meanwhile.
fn publish_compact(store: &Store, compression: record::Compression) {
    let config = StreamConfig { compact: true, compression, ..StreamConfig::default() };
    store.set_stream_config("mqtt", config).expect("set");
    for n in 0..SENT {
        if n == SENT / 2 {
            store.add_partitions("mqtt", 1, 1_000).expect("grown");
        }
        let mut builder = BatchBuilder::new();
        let (key, value) = (key(n), value(n));
        let time = i64::try_from(n).expect("small");
        builder.push(time, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
        let append = Append::new(PartitionId(0), builder.finish());
        store.commit(Commit { appends: vec![append], changes: Vec::new() }).expect("committed");
    }
}

/// What was sent is there once for each key, and what stays is where it was.
#[track_caller]
fn check_compact(compression: record::Compression, expected: Compression) {
    let folder = temporary();
    let store = open(folder.path()).expect("opens");
    publish_compact(&store, compression);
    store.shutdown().expect("stops");
    let (mut packed, mut empty, mut marks, mut last) = (0, 0, 0, -1);
    let mut newest = BTreeMap::new();
    let own = segments(folder.path()).into_iter();
    let own = own.filter(|(name, _)| name.starts_with("streams/mqtt/0/"));
    for (name, bytes) in own {
        for set in sets(bytes.into()) {
            assert!(set.version == 2 && [Compression::None, expected].contains(&set.compression));
            packed += usize::from(set.compression != Compression::None);
            empty += usize::from(set.records.is_empty());
            for record in set.records {
                assert!(record.offset > last, "{name}: {} behind {last}", record.offset);
                last = record.offset;
                marks += usize::from(record.control);
                if let (Some(key), false) = (record.key, record.control) {
                    newest.insert(key, (record.timestamp, record.value));
                }
            }
        }
    }
    assert!(expected == Compression::None || packed > 1, "{packed} packed");
    assert!(empty > 0 && marks == 1, "{empty} empty, {marks} marks");
    assert!(last < 1 + i64::try_from(SENT).expect("small"));
    let sent = (0..SENT).map(|n| (key(n), (i64::try_from(n), value(n))));
    let newest = newest.into_iter().map(|(key, (time, value))| {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("text");
        (text(key), (Ok(time), text(value.expect("a value"))))
    });
    assert_eq!(newest.collect::<BTreeMap<_, _>>(), sent.collect::<BTreeMap<_, _>>());
}

#[test]
fn compressed_and_compacted_segments_and_marks_of_growth_decode_with_a_foreign_codec() {
    check_compact(record::Compression::Lz4, Compression::Lz4);
    check_compact(record::Compression::Zstd, Compression::Zstd);
    check_compact(record::Compression::None, Compression::None);
}

#[test]
fn the_foreign_codec_sees_a_wrong_checksum() {
    let folder = killed();
    let (_, mut bytes) = segments(folder.path()).pop_first().expect("there are segments");
    bytes[70] ^= 1;
    assert!(RecordBatchDecoder::decode_all(&mut Bytes::from(bytes)).is_err());
}
