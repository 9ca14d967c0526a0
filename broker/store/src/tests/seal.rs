//! Sealed segments are written anew: nothing of what they say changes, whatever happens meanwhile.

use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{BatchBuilder, Header, Record};
use tidewire_proto::topic::TopicFilter;

use super::crash::KEEP;
use super::harness::options;
use crate::disk::sim::{Loss, SimDisk};
use crate::disk::{Disk, OpenMode};
use crate::{Append, Commit, Compression, Store, StoreOptions, StreamConfig};

const ID: PartitionId = PartitionId(0);

fn open(disk: Arc<dyn Disk>) -> Store {
    Store::open(disk, options()).expect("opens").0
}

/// One to which the batches of [`publish`] are as large as those of a sealed segment should be.
fn content(disk: Arc<dyn Disk>) -> Store {
    let options = StoreOptions { sealed_batch_bytes: 256, ..options() };
    Store::open(disk, options).expect("opens").0
}

fn configured(disk: Arc<dyn Disk>, compression: Compression) -> Store {
    let store = open(disk);
    let config = StreamConfig { compression, ..StreamConfig::default() };
    store.set_stream_config("mqtt", config).expect("set");
    store
}

/// One small batch, with headers, times that go back, and now and then a control batch.
fn publish(store: &Store, n: u32) -> bool {
    let mut builder = BatchBuilder::new();
    let topic = format!("plant/{}/temp", n % 7);
    let value = format!("value {n} {}", "x".repeat(n as usize % 50));
    let headers = [Header { key: b"q", value: Some(b"1") }, Header { key: b"u", value: None }];
    let timestamp = i64::from(n) * 10 - i64::from(n % 3) * 25;
    builder.push(timestamp, Some(topic.as_bytes()), Some(value.as_bytes()), &headers);
    builder.push(timestamp + 1, None, None, &[]);
    let batch = if n % 40 == 39 { builder.finish_control() } else { builder.finish() };
    let append = Append::new(ID, batch);
    store.commit(Commit { appends: vec![append], changes: vec![] }).is_ok()
}

/// Everything that is served: offset, time, control or not, and the content.
fn served(store: &Store) -> Vec<String> {
    let (mut from, end) = store.bounds(ID).expect("the partition exists");
    let mut served = Vec::new();
    while from < end {
        let slice = store.read(ID, from, 4000).expect("readable");
        for stored in &slice.batches {
            let control = stored.batch.is_control();
            let text = |record: Record<'_>| {
                let headers: Vec<_> = record.headers().collect();
                let offset = stored.base_offset + u64::from(record.offset_delta);
                let Record { timestamp_ms, key, value, .. } = record;
                format!("{offset} {timestamp_ms} {control} {key:?} {value:?} {headers:?}")
            };
            served.extend(stored.batch.records().map(text));
        }
        from = slice.next;
    }
    served
}

fn sealed_files(disk: &SimDisk) -> Vec<String> {
    disk.files().into_iter().filter(|name| name.ends_with(".1.seg")).collect()
}

#[test]
fn what_is_read_packed_is_what_lies_there_and_says_the_same_once_it_is_opened() {
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let disk = SimDisk::new(1);
        let store = configured(disk.clone(), compression);
        (0..600).for_each(|n| assert!(publish(&store, n)));
        assert!(!sealed_files(&disk).is_empty(), "{:?}", disk.files());
        let (mut from, end) = store.bounds(ID).expect("the partition exists");
        let mut is_packed = false;
        while from < end {
            let open = store.read(ID, from, 4000).expect("readable");
            let packed = store.read_packed(ID, from, 4000).expect("readable");
            assert_eq!((open.next, open.batches.len()), (packed.next, packed.batches.len()));
            for (open, packed) in open.batches.iter().zip(&packed.batches) {
                assert_eq!(open.base_offset, packed.base_offset);
                assert_eq!(open.batch.bytes(), packed.batch.bytes());
                is_packed |= packed.batch.compression() != Compression::None
                    && packed.batch.records().next().is_none();
                assert_eq!(packed.batch.clone().open().as_ref(), Ok(&open.batch));
            }
            from = open.next;
        }
        assert_eq!(is_packed, compression != Compression::None);
    }
}

#[test]
fn a_sealed_segment_says_the_same_in_fewer_bytes() {
    let mut used = Vec::new();
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let disk = SimDisk::new(1);
        // What it should be comes from a store that never seals: its segments never fill.
        let reference = {
            let wide = crate::StoreOptions { segment_bytes_max: 1 << 30, ..options() };
            let (store, _) = Store::open(SimDisk::new(2), wide).expect("opens");
            (0..600).for_each(|n| assert!(publish(&store, n)));
            served(&store)
        };
        let store = configured(disk.clone(), compression);
        (0..600).for_each(|n| assert!(publish(&store, n)));
        assert!(sealed_files(&disk).len() > 5, "{:?}", disk.files());
        assert!(served(&store) == reference, "{compression:?}");
        drop(store);
        let disk = disk.restart(KEEP, 1);
        let store = open(disk.clone());
        assert!(served(&store) == reference, "{compression:?}");
        // What the last stop left to be sealed is sealed now.
        store.turn();
        let kept = |name: &String| name.ends_with(".seg") && !name.ends_with(".1.seg");
        assert_eq!(disk.files().iter().filter(|name| kept(name)).count(), 1, "old files go");
        let bytes = |name: &String| {
            let file = disk.open(name, crate::disk::OpenMode::Read).expect("there");
            file.len().expect("known")
        };
        used.push(sealed_files(&disk).iter().map(bytes).sum::<u64>());
        assert_eq!(store.quarantined().0, 0);
    }
    assert!(used[1] < used[0] && used[2] < used[1], "{used:?}");
}

/// Publishes until the power is cut after so many changes of the disk; how many messages were
/// acknowledged, and how many changes there were.
fn life(open: impl Fn(Arc<SimDisk>) -> Store, cut: Option<u64>) -> (Arc<SimDisk>, usize, u64) {
    let disk = SimDisk::new(1);
    let store = open(disk.clone());
    if let Some(after) = cut {
        disk.cut_power_after(after);
    }
    let before = disk.changes();
    let acked = (0..220).take_while(|n| publish(&store, *n)).count();
    (disk.clone(), acked, disk.changes() - before)
}

#[test]
fn a_power_cut_at_any_point_of_sealing_leaves_the_old_segment_or_the_new() {
    let run = |cut| life(|disk| configured(disk, Compression::Zstd), cut);
    let (whole, acked, length) = run(None);
    assert_eq!((acked, sealed_files(&whole).len() > 1), (220, true));
    let expected = served(&open(whole.restart(KEEP, 1)));
    for seed in 0..100 {
        let (disk, acked, _) = run(Some(length * seed / 100 + seed % 13));
        for loss in [Loss::Some, Loss::Everything] {
            let disk = disk.restart(loss, seed);
            let store = open(disk.clone());
            let found = served(&store);
            assert!(found.len() >= acked * 2, "seed {seed}: {} of {acked}", found.len());
            assert_eq!(found, expected[..found.len()], "seed {seed}");
            assert_eq!(store.quarantined().0, 0);
            // It goes on from there, and sealing with it.
            let sent = u32::try_from(found.len() / 2).expect("few");
            assert!((sent..220).all(|n| publish(&store, n)));
            assert_eq!(served(&store), expected, "seed {seed}");
        }
    }
}

fn ending(disk: &SimDisk, ending: &str) -> Vec<String> {
    disk.files().into_iter().filter(|name| name.ends_with(ending)).collect()
}

#[test]
fn a_segment_with_large_batches_keeps_its_file_and_gets_a_topic_index() {
    let disk = SimDisk::new(1);
    let store = content(disk.clone());
    (0..600).for_each(|n| assert!(publish(&store, n)));
    store.turn();
    let expected = served(&store);
    assert_eq!(expected.len(), 1_200);
    assert!(sealed_files(&disk).is_empty(), "{:?}", disk.files());
    let (segments, topics) = (ending(&disk, ".seg").len(), ending(&disk, ".top").len());
    assert!(topics > 5 && segments == topics + 1, "{segments} segments, {topics} topic indexes");
    // Only what has no topic index needs them.
    assert!(ending(&disk, ".siv").len() <= 1, "{:?}", disk.files());
    drop(store);
    let disk = disk.restart(KEEP, 1);
    let store = content(disk.clone());
    assert_eq!(served(&store), expected);
    let filter = TopicFilter::parse("plant/3/temp").expect("valid");
    let found = store.find(ID, &filter, 0, 1_000).expect("found");
    let topic = |n: &u64| n.is_multiple_of(2) && (n / 2) % 7 == 3 && (n / 2) % 40 != 39;
    let wanted: Vec<u64> = (0..found.next).filter(topic).collect();
    assert_eq!(found.offsets, wanted);
    assert!(found.next > 600, "many segments are searched: {}", found.next);
    // A stream that shall be packed or compacted from now on has what it had before.
    let config = StreamConfig { compact: true, ..StreamConfig::default() };
    store.set_stream_config("mqtt", config).expect("set");
    (600..700).for_each(|n| assert!(publish(&store, n)));
    store.turn();
    assert!(!sealed_files(&disk).is_empty(), "superseded records go: {:?}", disk.files());
}

/// The topic indexes and what is in each.
fn topic_indexes(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let read = |name: String| {
        let file = disk.open(&name, OpenMode::Read).expect("opened");
        let length = file.len().expect("a length");
        let bytes = file.read_vec(usize::try_from(length).expect("small"), 0).expect("read");
        (name, bytes)
    };
    ending(disk, ".top").into_iter().map(read).collect()
}

#[test]
fn a_segment_that_was_seen_as_it_grew_gets_the_index_that_reading_it_makes() {
    let disk = SimDisk::new(1);
    let store = content(disk.clone());
    (0..600).for_each(|n| assert!(publish(&store, n)));
    store.turn();
    let seen = topic_indexes(&disk);
    // A start forgets what was seen.
    let mut disk = SimDisk::new(1);
    for from in (0..600).step_by(10) {
        let store = content(disk.clone());
        (from..from + 10).for_each(|n| assert!(publish(&store, n)));
        store.turn();
        drop(store);
        disk = disk.restart(KEEP, 1);
    }
    let read = topic_indexes(&disk);
    let both = seen.len().min(read.len());
    assert!(both > 5);
    assert_eq!(seen[..both], read[..both]);
}

#[test]
fn a_segment_that_was_seen_as_it_grew_is_not_read_again_for_its_index() {
    let disk = SimDisk::new(1);
    let wide = StoreOptions { sealed_batch_bytes: 256, ..options() };
    let wide = StoreOptions { segment_bytes_max: wide.wal_file_bytes * 2, ..wide };
    let (store, _) = Store::open(disk.clone(), wide).expect("opens");
    let first = "streams/mqtt/0/00000000000000000000.seg".to_owned();
    let mut n = 0;
    while !disk.files().contains(&first) {
        assert!(publish(&store, n));
        store.turn();
        n += 1;
    }
    disk.flip(&first, 500, 4);
    (n..n + 600).for_each(|n| assert!(publish(&store, n)));
    store.turn();
    assert!(disk.files().contains(&first.replace(".seg", ".top")), "{:?}", disk.files());
}

#[test]
fn a_segment_in_which_some_batches_are_small_is_written_anew() {
    let disk = SimDisk::new(1);
    // Segments of several pieces of the index, of which each tells of one batch.
    let wide = StoreOptions {
        wal_file_bytes: 1 << 20,
        wal_bytes_max: 4 << 20,
        segment_bytes_max: 512 << 10,
        sealed_batch_bytes: 16 << 10,
        ..options()
    };
    let (store, _) = Store::open(disk.clone(), wide).expect("opens");
    let large = |records: u32| {
        let mut builder = BatchBuilder::new();
        (0..records).for_each(|_| {
            builder.push(1, Some(b"a/b"), Some(&[b'x'; 1_000]), &[]);
        });
        let append = Append::new(ID, builder.finish());
        store.commit(Commit { appends: vec![append], changes: vec![] }).expect("committed");
    };
    (0..400).for_each(|_| large(8));
    store.turn();
    assert!(ending(&disk, ".top").len() > 2 && sealed_files(&disk).is_empty());
    // A third of each segment is small batches now.
    for _ in 0..20 {
        (0..20).for_each(|_| large(8));
        (0..80).for_each(|_| large(1));
    }
    store.turn();
    assert!(!sealed_files(&disk).is_empty(), "{:?}", disk.files());
}

#[test]
fn a_power_cut_at_any_point_of_indexing_a_segment_leaves_what_is_served() {
    let run = |cut| life(|disk| content(disk), cut);
    let (whole, acked, length) = run(None);
    assert_eq!((acked, ending(&whole, ".top").len() > 1), (220, true));
    let expected = served(&content(whole.restart(KEEP, 1)));
    for seed in 0..100 {
        let (disk, acked, _) = run(Some(length * seed / 100 + seed % 13));
        let disk = disk.restart(Loss::Some, seed);
        let store = content(disk.clone());
        let found = served(&store);
        assert!(found.len() >= acked * 2, "seed {seed}: {} of {acked}", found.len());
        let sent = u32::try_from(found.len() / 2).expect("few");
        assert!((sent..220).all(|n| publish(&store, n)));
        assert_eq!(served(&store), expected, "seed {seed}");
        assert_eq!(store.quarantined().0, 0);
    }
}

#[test]
fn a_damaged_segment_with_large_batches_gets_no_topic_index() {
    let disk = SimDisk::new(1);
    let wide = StoreOptions { segment_bytes_max: 1 << 30, ..options() };
    let (store, _) = Store::open(disk.clone(), wide).expect("opens");
    (0..100).for_each(|n| assert!(publish(&store, n)));
    drop(store);
    let disk = disk.restart(KEEP, 1);
    disk.flip("streams/mqtt/0/00000000000000000000.seg", 5_000, 4);
    let store = content(disk.clone());
    (100..300).for_each(|n| assert!(publish(&store, n)));
    assert_eq!(store.quarantined().0, 1);
    assert!(!ending(&disk, ".top").is_empty(), "others do");
    let first = "streams/mqtt/0/00000000000000000000.top".to_owned();
    assert!(!disk.files().contains(&first));
    assert_eq!(served(&store).len(), 598, "one batch of two records is not served");
}

#[test]
fn a_damaged_segment_is_not_written_anew() {
    let disk = SimDisk::new(1);
    let wide = crate::StoreOptions { segment_bytes_max: 1 << 30, ..options() };
    let (store, _) = Store::open(disk.clone(), wide).expect("opens");
    (0..100).for_each(|n| assert!(publish(&store, n)));
    drop(store);
    let disk = disk.restart(KEEP, 1);
    disk.flip("streams/mqtt/0/00000000000000000000.seg", 5_000, 4);
    let store = open(disk.clone());
    (100..300).for_each(|n| assert!(publish(&store, n)));
    assert_eq!(store.quarantined().0, 1);
    assert!(disk.files().contains(&"streams/mqtt/0/00000000000000000000.seg".to_owned()));
    assert!(!sealed_files(&disk).is_empty(), "others are");
    assert_eq!(served(&store).len(), 598, "one batch of two records is not served");
}

#[test]
fn files_that_an_earlier_run_left_are_removed() {
    let disk = SimDisk::new(1);
    let store = configured(disk.clone(), Compression::None);
    (0..200).for_each(|n| assert!(publish(&store, n)));
    store.turn();
    let (before, expected) = (disk.files(), served(&store));
    for left in ["0.seg", "0.2.seg.tmp", "0.2.top", "0.siv"] {
        let name = format!("streams/mqtt/0/0000000000000000000{left}");
        assert!(!before.contains(&name));
        disk.open(&name, crate::disk::OpenMode::Create).expect("made");
    }
    crate::seal::sweep(&store.inner.engine);
    assert_eq!(disk.files(), before);
    assert_eq!(served(&store), expected);
}
