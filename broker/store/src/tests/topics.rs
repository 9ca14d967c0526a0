//! Records are found by filter wherever they lie, and cheaply where there is a topic index.

use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{BATCH_HEADER_BYTES, Batch, BatchBuilder};
use tidewire_proto::topic::TopicFilter;

use super::crash::KEEP;
use super::harness::{open, options};
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, OpenMode};
use crate::{Append, Commit, RealDisk, Store, StoreOptions};

pub(super) const ID: PartitionId = PartitionId(0);

/// Batches of `per_batch` records with these topics, one after the other.
pub(super) fn publish(store: &Store, topics: &[String], per_batch: usize, payload: usize) {
    let value = vec![b'x'; payload];
    for some in topics.chunks(per_batch) {
        let mut builder = BatchBuilder::new();
        for topic in some {
            builder.push(1, Some(topic.as_bytes()), Some(&value), &[]);
        }
        let append = Append::new(ID, builder.finish());
        store.commit(Commit { appends: vec![append], changes: vec![] }).expect("committed");
    }
}

pub(super) fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text).expect("valid")
}

/// All offsets of a filter, asked for in parts.
fn found(store: &Store, filter: &TopicFilter, limit: usize) -> Vec<u64> {
    let (mut from, end) = store.bounds(ID).expect("there");
    let mut offsets = Vec::new();
    while from < end {
        let found = store.find(ID, filter, from, limit).expect("readable");
        assert!(found.next > from && found.offsets.len() <= limit);
        offsets.extend(found.offsets);
        from = found.next;
    }
    offsets
}

/// The same, by reading the batches.
fn read(store: &Store, filter: &TopicFilter, bytes_max: usize) -> Vec<u64> {
    let (mut from, end) = store.bounds(ID).expect("there");
    let mut offsets = Vec::new();
    while from < end {
        let slice = store.read_matching(ID, filter, from, bytes_max).expect("readable");
        assert!(slice.next > from);
        for stored in &slice.batches {
            let before = offsets.len();
            for record in stored.batch.records() {
                let topic = str::from_utf8(record.key.expect("a topic")).expect("text");
                let offset = stored.base_offset + u64::from(record.offset_delta);
                if filter.matches(topic) && offset >= from {
                    offsets.push(offset);
                }
            }
            assert!(offsets.len() > before, "only batches that hold some");
        }
        from = slice.next;
    }
    offsets
}

#[track_caller]
pub(super) fn check(store: &Store, topics: &[String], text: &str) {
    let filter = filter(text);
    let matching = (0..).zip(topics).filter(|(_, topic)| filter.matches(topic));
    let expected: Vec<u64> = matching.map(|(offset, _)| offset).collect();
    for limit in [7, 100_000] {
        assert_eq!(found(store, &filter, limit), expected, "{text} by {limit}");
    }
    for bytes_max in [1, 3_000, 1 << 20] {
        assert_eq!(read(store, &filter, bytes_max), expected, "{text} by {bytes_max} bytes");
    }
}

#[test]
fn a_filter_finds_its_records_in_order_through_segments_and_log() {
    let topic = |n: u32| match n % 11 {
        0 => "$SYS/load".to_owned(),
        1 => format!("site/{}", n % 5),
        2 => "site".to_owned(),
        _ => format!("site/{}/line/{}/temp", n % 5, n % 37),
    };
    let topics: Vec<String> = (0..3_000).map(topic).collect();
    let disk = SimDisk::new(1);
    let (store, _) = open(disk.clone()).expect("opens");
    publish(&store, &topics, 3, 20);
    assert!(disk.files().iter().filter(|name| name.ends_with(".top")).count() > 5);
    let filters = [
        "site",
        "site/3",
        "site/3/line/14/temp",
        "site/+/line/3/temp",
        "site/#",
        "#",
        "+/load",
        "$SYS/#",
        "+",
        "site/2/+/+/temp",
        "other/#",
        "$share/group/site/4",
        "site/4/line/+/#",
    ];
    filters.iter().for_each(|filter| check(&store, &topics, filter));
    drop(store);
    let (store, _) = open(disk.restart(KEEP, 1)).expect("opens");
    filters.iter().for_each(|filter| check(&store, &topics, filter));
}

#[test]
fn a_damaged_topic_index_is_not_believed() {
    let topics: Vec<String> = (0..2_000).map(|n| format!("a/{}", n % 300)).collect();
    for at in [3, 20, 400, 1_200] {
        let disk = SimDisk::new(1);
        let (store, _) = open(disk.clone()).expect("opens");
        publish(&store, &topics, 5, 20);
        drop(store);
        let disk = disk.restart(KEEP, 1);
        for name in disk.files().iter().filter(|name| name.ends_with(".top")) {
            disk.flip(name, at, 0x21);
        }
        let (store, _) = open(disk).expect("opens");
        ["a/7", "a/+", "a/299"].iter().for_each(|filter| check(&store, &topics, filter));
    }
}

/// Where the batches of a file begin.
fn batches(disk: &SimDisk, name: &str) -> Vec<u64> {
    let file = disk.open(name, OpenMode::Read).expect("there");
    let (mut at, mut places) = (0, Vec::new());
    while at < file.len().expect("known") {
        let mut header = [0; BATCH_HEADER_BYTES];
        file.read_exact_at(&mut header, at).expect("readable");
        places.push(at);
        at += Batch::outline(&header).expect("a batch").bytes as u64;
    }
    places
}

/// The offsets that a reader of everything gets.
fn served(store: &Store) -> Vec<u64> {
    let (mut from, end) = store.bounds(ID).expect("there");
    let mut offsets = Vec::new();
    while from < end {
        let slice = store.read(ID, from, 1 << 20).expect("readable");
        offsets.extend(slice.batches.iter().flat_map(|one| one.base_offset..one.next_offset()));
        from = slice.next;
    }
    offsets
}

/// The segments that have a topic index.
fn indexed(disk: &SimDisk) -> Vec<String> {
    let files = disk.files();
    let indexes = files.iter().filter_map(|name| name.strip_suffix(".top"));
    indexes.map(|name| format!("{name}.seg")).collect()
}

#[test]
fn a_filter_finds_behind_a_damaged_batch_what_a_reader_of_everything_finds() {
    // Written anew, and left as they are because their batches are large enough.
    for (sealed_batch_bytes, ending) in [(100, ".1.seg"), (200, "0.seg")] {
        let topics: Vec<String> = (0..2_000).map(|n| format!("a/{}", n % 300)).collect();
        let options = StoreOptions { sealed_batch_bytes, ..options() };
        let disk = SimDisk::new(1);
        let (store, _) = Store::open(disk.clone(), options.clone()).expect("opens");
        publish(&store, &topics, 5, 20);
        drop(store);
        // Base offset, length, magic, checksum, last offset, payload.
        for at in [7, 11, 16, 18, 25, 26, 63] {
            let disk = disk.restart(KEEP, 1);
            let sealed = indexed(&disk);
            assert!(sealed.len() > 5, "{sealed:?}");
            assert!(sealed.iter().any(|name| name.ends_with(ending)), "{sealed:?}");
            for name in &sealed {
                let places = batches(&disk, name);
                [(2, at), (9, 63)]
                    .iter()
                    .for_each(|(batch, at)| disk.flip(name, places[*batch] + at, 2));
            }
            let (store, _) = Store::open(disk, options.clone()).expect("opens");
            expect_found(&store);
        }
    }
}

/// Of each topic what a reader of everything gets.
fn expect_found(store: &Store) {
    let served = served(store);
    assert!(served.len() > 1_500 && served.len() < 2_000, "{} records", served.len());
    for n in 0..300 {
        let topic = format!("a/{n}");
        let wanted = |offset: &&u64| **offset % 300 == n;
        let expected: Vec<_> = served.iter().filter(wanted).copied().collect();
        for bytes_max in [1, 1 << 20] {
            assert_eq!(read(store, &filter(&topic), bytes_max), expected, "{topic}");
        }
    }
}

#[test]
fn one_topic_out_of_a_hundred_thousand_is_read_with_less_than_a_hundredth_of_the_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let sealed_batch_bytes = 4 << 10;
    let options = StoreOptions {
        wal_file_bytes: 8 << 20,
        wal_bytes_max: 32 << 20,
        segment_bytes_max: 16 << 20,
        sealed_batch_bytes,
        ..options()
    };
    let (store, _) = Store::open(Arc::new(RealDisk::new(folder.path())), options).expect("opens");
    // A hundred messages of one topic, spread evenly over those of all others.
    let topic = |n: u32| match n % 4_000 {
        17 => "plant/wanted/temp".to_owned(),
        _ => format!("plant/line-{}/device-{:06}/temp", n % 50, n % 100_003),
    };
    let topics: Vec<String> = (0..400_000).map(topic).collect();
    publish(&store, &topics, 1_000, 200);
    // What is not sealed yet has no index: only sealed segments are measured.
    let sealed = store.inner.engine.catalog.partition(ID).expect("there").sealed_segments();
    let end = sealed.last().expect("sealed").next;
    let stored: u64 = sealed.iter().map(|segment| segment.bytes).sum();
    let expected: Vec<u64> = (0..400_000_u64).filter(|n| n % 4_000 == 17 && *n < end).collect();
    assert!(expected.len() > 70 && sealed.iter().all(|segment| segment.refined.is_some()));

    let filter = filter("plant/wanted/temp");
    let before = store.segment_bytes_read();
    let (mut from, mut offsets) = (0, Vec::new());
    while from < end {
        let found = store.find(ID, &filter, from, expected.len() - offsets.len()).expect("found");
        offsets.extend(found.offsets);
        from = if offsets.len() == expected.len() { end } else { found.next };
    }
    assert_eq!(offsets, expected);
    let looked_up = store.segment_bytes_read() - before;
    assert!(looked_up < stored / 500, "{looked_up} of {stored} to find");

    let (mut from, mut read) = (0, 0);
    while read < expected.len() {
        let slice = store.read_matching(ID, &filter, from, 64 << 10).expect("read");
        for stored in &slice.batches {
            let topics = stored.batch.records().filter_map(|record| record.key);
            read += topics.filter(|topic| *topic == b"plant/wanted/temp").count();
        }
        from = slice.next;
    }
    let all = store.segment_bytes_read() - before;
    assert!(all < stored / 100, "{all} of {stored} to find and to read");
}
