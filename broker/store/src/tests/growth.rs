//! Streams that come, change and grow while the store runs.

use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{BatchBuilder, key_spans, partition_index};

use super::crash::KEEP;
use super::harness::{open, options, put};
use crate::disk::sim::{Loss, SimDisk};
use crate::tables::{Database, Layer, Manifest};
use crate::{
    Append, Commit, CommitError, Compression, KeyRule, OnLimit, Retention, Store, StreamConfig,
    StreamError, StreamOptions, Table, TableChange,
};

const KEYS: [&str; 5] = ["plant/1", "plant/2", "plant/3", "plant/4", "plant/5"];

fn streams() -> StreamOptions {
    StreamOptions { name: "grown".into(), partitions: 2, config: StreamConfig::default() }
}

/// One record of each key, where the stream's present layout puts it.
fn publish(store: &Store, round: u32) {
    let streams = store.streams();
    let stream = streams.iter().find(|stream| stream.name == "grown").expect("created");
    let count = u32::try_from(stream.partitions.len()).expect("few");
    for key in KEYS {
        let index = partition_index(key.as_bytes(), count) as usize;
        let mut builder = BatchBuilder::new();
        builder.push(1, Some(key.as_bytes()), Some(&round.to_le_bytes()), &[]);
        let append = Append::new(stream.partitions[index], builder.finish());
        store.commit(Commit { appends: vec![append], changes: vec![] }).expect("committed");
    }
}

/// The rounds of a key in the order in which its spans are read.
fn rounds(store: &Store, key: &str) -> Vec<u32> {
    let streams = store.streams();
    let stream = streams.iter().find(|stream| stream.name == "grown").expect("created");
    let mut rounds = Vec::new();
    for span in key_spans(&stream.layouts, key.as_bytes()) {
        let id = stream.partitions[span.index as usize];
        let end = span.to.unwrap_or(store.bounds(id).expect("there").1);
        let mut from = span.from;
        while from < end {
            let slice = store.read(id, from, 100).expect("readable");
            for stored in slice.batches.iter().filter(|stored| !stored.batch.is_control()) {
                let own =
                    stored.batch.records().filter(|record| record.key == Some(key.as_bytes()));
                assert!(stored.base_offset < end, "a span ends between two records");
                rounds.extend(own.map(|record| {
                    u32::from_le_bytes(record.value.expect("there").try_into().expect("four"))
                }));
            }
            from = slice.next;
        }
    }
    rounds
}

#[test]
fn rows_of_a_stream_that_are_ahead_of_the_checkpoint_by_half_are_no_damage() {
    let disk = SimDisk::new(1);
    let (store, _) = open(disk.clone()).expect("opens");
    store.create_stream(&streams()).expect("created");
    store.add_partitions("grown", 3, 1).expect("grown");
    let row = store.get(Table::Streams, b"grown").expect("readable").expect("there");
    let found = disk.restart(KEEP, 1);
    // As the first of several transactions of a checkpoint leaves it.
    let database = Database::open(found.clone(), 1 << 20).expect("opens");
    database.release().expect("released");
    let (checkpoint, _) = database.load().expect("readable");
    let mut layer = Layer::default();
    layer.apply(TableChange::new(Table::Streams, b"grown"[..].into(), Some(row.into())));
    database.advance(&layer, &Manifest::default(), checkpoint).expect("written");
    drop(database);
    let (store, _) = open(found).expect("the log has the other rows");
    let streams = store.streams();
    let stream = streams.iter().find(|stream| stream.name == "grown").expect("there");
    assert_eq!(stream.partitions.len(), 5);
}

#[test]
fn every_key_is_read_in_order_through_two_changes_and_a_restart() {
    let disk = SimDisk::new(1);
    let (store, _) = open(disk.clone()).expect("opens");
    store.create_stream(&streams()).expect("created");
    for round in 0..30 {
        if round == 10 || round == 20 {
            store.add_partitions("grown", 3, 1).expect("grown");
        }
        publish(&store, round);
    }
    let expected: Vec<u32> = (0..30).collect();
    let check = |store: &Store| {
        let streams = store.streams();
        let stream = streams.iter().find(|stream| stream.name == "grown").expect("there");
        let counts: Vec<u32> = stream.layouts.iter().map(|layout| layout.partitions).collect();
        assert_eq!(counts, [2, 5, 8]);
        assert_eq!(stream.layouts[1].ends.len(), 5);
        for key in KEYS {
            assert_eq!(rounds(store, key), expected, "{key}");
        }
    };
    check(&store);
    // From the log, then from the checkpoint.
    check(&open(disk.restart(KEEP, 1)).expect("opens").0);
    drop(store);
    check(&open(disk.restart(KEEP, 1)).expect("opens").0);
}

#[test]
fn what_was_placed_by_an_older_layout_is_given_back() {
    let (store, _) = open(SimDisk::new(1)).expect("opens");
    let version = store.layout_version();
    store.submit_placed(Commit::default(), None, version).expect("the layout has not changed");
    store.add_partitions("mqtt", 1, 1).expect("grown");
    assert!(store.submit_placed(Commit::default(), None, version).is_err());
    store.submit_placed(Commit::default(), None, store.layout_version()).expect("placed anew");
}

#[test]
fn a_power_cut_while_a_stream_grows_leaves_the_old_layout_or_the_new() {
    let run = |cut: Option<u64>| -> (Arc<SimDisk>, u64) {
        let disk = SimDisk::new(1);
        let (store, _) = open(disk.clone()).expect("opens");
        for n in 0..6 {
            put(&store, n % 2, "before").expect("committed");
        }
        let before = disk.changes();
        if let Some(after) = cut {
            disk.cut_power_after(after);
        }
        let grown = store.add_partitions("mqtt", 2, 1);
        assert_eq!(grown.is_ok(), cut.is_none());
        (disk.clone(), disk.changes() - before)
    };
    let (_, length) = run(None);
    for at in 0..length {
        let (disk, _) = run(Some(at));
        for loss in [Loss::Nothing, Loss::Everything, Loss::Some] {
            let (store, _) = open(disk.restart(loss, at)).expect("opens");
            let streams = store.streams();
            let layouts = &streams[0].layouts;
            let ends = layouts.len() == 2 && layouts[0].ends == [3, 3];
            assert!(layouts.len() == 1 || ends, "{layouts:?}");
            let count = if ends { 4 } else { 2 };
            assert_eq!(streams[0].partitions.len(), count);
            assert_eq!(store.bounds(PartitionId(0)), Some((0, if ends { 4 } else { 3 })));
        }
    }
}

#[test]
fn a_configuration_holds_from_now_on_and_after_a_restart() {
    let disk = SimDisk::new(1);
    let (store, _) = open(disk.clone()).expect("opens");
    let config = StreamConfig {
        retention: Retention {
            age_ms: Some(9),
            on_limit: OnLimit::DeleteOldest,
            ..Retention::default()
        },
        compression: Compression::Zstd,
        key: KeyRule::Level(1),
        ..StreamConfig::default()
    };
    store.set_stream_config("fast", config.clone()).expect("set");
    assert_eq!(store.streams()[1].config, config);
    let (store, _) = open(disk.restart(Loss::Everything, 1)).expect("opens");
    let found = store.streams().iter().find(|stream| stream.name == "fast").cloned();
    assert_eq!(found.map(|stream| stream.config), Some(config));
}

#[test]
fn a_change_that_cannot_be_is_refused_by_name() {
    let (store, _) = open(SimDisk::new(1)).expect("opens");
    let named = |name: &str| StreamOptions { name: name.into(), ..streams() };
    assert_eq!(store.create_stream(&named("a/b")), Err(StreamError::Name("a/b".into())));
    assert_eq!(store.create_stream(&named("mqtt")), Err(StreamError::Exists("mqtt".into())));
    assert_eq!(store.add_partitions("no", 1, 1), Err(StreamError::Unknown("no".into())));
    let refused = store.add_partitions("mqtt", 0, 1);
    assert_eq!(refused, Err(StreamError::Partitions("mqtt".into(), 0)));
    let refused = store.add_partitions("mqtt", u32::MAX, 1);
    assert_eq!(refused, Err(StreamError::Partitions("mqtt".into(), u32::MAX.into())));
    store.shutdown().expect("stops");
    let closed = store.create_stream(&named("late"));
    assert_eq!(closed, Err(StreamError::Commit(CommitError::Closed)));
    assert_eq!(options().streams.len(), store.streams().len());
}
