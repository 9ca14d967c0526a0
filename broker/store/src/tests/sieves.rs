//! A segment without a topic index: one topic is found in it with little reading, and nothing is
//! ever hidden, whatever became of the sieves.

use std::sync::Arc;

use super::crash::KEEP;
use super::harness::options;
use super::topics::{ID, check, filter, publish};
use crate::disk::sim::{Loss, SimDisk};
use crate::disk::{Disk, OpenMode};
use crate::inspect::Repair;
use crate::{RealDisk, Store, StoreOptions};

const SIEVES: &str = "streams/mqtt/0/00000000000000000000.siv";

/// All of a partition stays in one segment that is not full.
fn unsealed() -> StoreOptions {
    StoreOptions { segment_bytes_max: 16 << 20, recent_bytes_max: 0, ..options() }
}

fn open(disk: &Arc<SimDisk>) -> Store {
    Store::open(disk.clone(), unsealed()).expect("opens").0
}

fn topics() -> Vec<String> {
    (0..2_000).map(|n| format!("a/{}", n * 7919 % 500)).collect()
}

#[track_caller]
fn check_all(store: &Store, topics: &[String]) {
    for text in ["a/7", "a/499", "a/0", "a/500", "a/+", "$share/g/a/133"] {
        check(store, topics, text);
    }
}

/// Topics in a segment that is not full, and in the log behind it.
fn filled(topics: &[String]) -> Arc<SimDisk> {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    publish(&store, topics, 5, 20);
    assert!(disk.files().iter().any(|name| name == SIEVES));
    check_all(&store, topics);
    disk
}

fn sieves_bytes(disk: &SimDisk) -> u64 {
    disk.open(SIEVES, OpenMode::Read).and_then(|file| file.len()).unwrap_or(0)
}

/// The sieves speak of all that is in the segment.
fn is_covered(store: &Store) -> bool {
    let partition = store.inner.engine.catalog.partition(ID).expect("there");
    let last = partition.last_segment().expect("there is one");
    partition.sieves(last.base).is_some_and(|sieves| sieves.reach(last.bytes))
}

#[test]
fn sieves_come_back_when_the_store_opens() {
    let topics = topics();
    let disk = filled(&topics).restart(KEEP, 1);
    let store = open(&disk);
    assert!(is_covered(&store));
    check_all(&store, &topics);
}

#[test]
fn whatever_became_of_the_file_of_sieves_hides_nothing_and_is_mended() {
    let topics = topics();
    let disk = filled(&topics);
    let length = sieves_bytes(&disk);
    let damaged = |damage: &dyn Fn(&SimDisk)| {
        let found = disk.restart(KEEP, 1);
        damage(&found);
        let store = open(&found);
        check_all(&store, &topics);
        store.turn();
        assert!(is_covered(&store));
        drop(store);
        let again = found.restart(KEEP, 1);
        assert!(sieves_bytes(&again) > length / 2, "{}", sieves_bytes(&again));
        check_all(&open(&again), &topics);
    };
    damaged(&|disk| disk.remove(SIEVES).expect("removed"));
    for cut in [0, 1, 47, length / 3, length - 1] {
        damaged(&|disk| {
            let file = disk.open(SIEVES, OpenMode::Write).expect("opens");
            file.set_len(cut).expect("cut");
        });
    }
    for at in (0..length).step_by(37) {
        damaged(&|disk| disk.flip(SIEVES, at, 0x11));
    }
}

/// A checkpoint writes segment and sieves, and the power fails before it counts: what lies there
/// then speaks of more than the segment holds, or of less.
#[test]
fn a_power_cut_in_the_middle_of_a_checkpoint_hides_nothing() {
    let topics = topics();
    let start = filled(&topics);
    for after in (0..40_000).step_by(997) {
        for loss in [Loss::Nothing, Loss::Some, Loss::Everything] {
            let disk = start.restart(KEEP, 1);
            disk.cut_power_after(after);
            drop(Store::open(disk.clone(), unsealed()));
            let store = open(&disk.restart(loss, after));
            check(&store, &topics, "a/133");
            check(&store, &topics, "a/400");
        }
    }
}

#[test]
fn one_topic_is_found_in_an_unsealed_segment_by_reading_little_but_where_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = || StoreOptions {
        wal_file_bytes: 8 << 20,
        wal_bytes_max: 32 << 20,
        segment_bytes_max: 256 << 20,
        recent_bytes_max: 0,
        ..options()
    };
    let disk = || Arc::new(RealDisk::new(folder.path()));
    let (store, _) = Store::open(disk(), options()).expect("opens");
    let topic = |n: u32| match n % 4_000 {
        17 => "plant/wanted/temp".to_owned(),
        _ => format!("plant/line-{}/device-{:06}/temp", n % 50, n % 100_003),
    };
    let topics: Vec<String> = (0..400_000).map(topic).collect();
    publish(&store, &topics, 64, 100);
    store.shutdown().expect("a clean stop");
    drop(store);
    let (store, _) = Store::open(disk(), options()).expect("opens");
    let partition = store.inner.engine.catalog.partition(ID).expect("there");
    let stored: u64 = partition.unrefined_segments().iter().map(|one| one.bytes).sum();
    assert!(stored > 50 << 20 && is_covered(&store));
    let filter = filter("plant/wanted/temp");
    let before = store.segment_bytes_read();
    let (mut from, mut found) = (0, 0);
    while from < 400_000 {
        let slice = store.read_matching(ID, &filter, from, 64 << 10).expect("read");
        for stored in &slice.batches {
            let keys = stored.batch.records().filter_map(|record| record.key);
            found += keys.filter(|key| *key == b"plant/wanted/temp").count();
        }
        from = slice.next;
    }
    assert_eq!(found, 100);
    let read = store.segment_bytes_read() - before;
    // A hundred blocks hold it; the memory for the sieves is a fiftieth of the bytes.
    assert!(read < 130 * (24 << 10), "{read} of {stored} to read");
    assert!(partition.sieve_bytes() as u64 * 50 < stored);
}

/// What is written then has the offsets of what was taken away, and other topics.
#[test]
fn a_repair_that_takes_records_away_leaves_no_sieves_that_speak_of_them() {
    let killed = filled(&topics()).restart(KEEP, 1);
    let store = open(&killed);
    publish(&store, &topics(), 5, 20);
    // As found after a crash: the end of the log is in no segment.
    let disk = killed.restart(KEEP, 1);
    drop(store);
    let mut logs = disk.files().into_iter().filter(|name| name.ends_with(".wal"));
    let is_damage = |name: &String| {
        disk.flip(name, 4096 + 100, 0x40);
        Store::open(disk.restart(KEEP, 1), unsealed()).is_err()
    };
    assert!(logs.any(|name| is_damage(&name)), "a log file is read back");
    let disk = disk.restart(KEEP, 1);
    Repair::begin(disk.clone()).and_then(|repair| repair.carry_out("backup")).expect("repaired");
    assert!(!disk.files().iter().any(|name| name.ends_with(".siv")));
    let store = open(&disk.restart(KEEP, 1));
    let kept = store.bounds(ID).expect("there").1;
    let mut topics = [topics(), topics()].concat();
    topics.truncate(usize::try_from(kept).expect("few"));
    let more: Vec<String> = (0..1_500).map(|n| format!("a/{}", n % 300)).collect();
    publish(&store, &more, 5, 20);
    topics.extend(more);
    check_all(&store, &topics);
}
