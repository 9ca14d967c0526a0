//! Work that is done in bounded pieces leaves what doing it at once would leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;

use super::crash::KEEP;
use super::harness::{append, batch, options, put, row, rows, texts};
use crate::disk::sim::{Loss, SimDisk};
use crate::{Append, Appended, Commit, Follower, Store, StoreOptions};

/// Files of a size that takes steps to reach.
fn large() -> StoreOptions {
    StoreOptions {
        wal_file_bytes: 16 << 20,
        wal_bytes_max: 64 << 20,
        segment_bytes_max: 64 << 20,
        ..options()
    }
}

fn open(disk: &Arc<SimDisk>) -> Store {
    Store::open(disk.clone(), large()).expect("opens").0
}

fn rows_from(first: usize, count: usize) -> Commit {
    let rows = (first..first + count).map(|n| row(&format!("{n:06}"), Some("value")));
    Commit { appends: vec![], changes: rows.collect() }
}

#[test]
fn a_commit_larger_than_the_first_log_file_is_kept() {
    let disk = SimDisk::new(2);
    let store = open(&disk);
    let text = "x".repeat(900 << 10);
    let appends = (0..10).map(|_| append(0, &text)).collect();
    store.commit(Commit { appends, changes: vec![] }).expect("the largest files take it");
    put(&store, 0, "behind it").expect("committed");
    for loss in [KEEP, Loss::Everything] {
        let (found, _) = Store::open(disk.restart(loss, 1), large()).expect("opens");
        let texts = texts(&found, 0).expect("readable");
        assert_eq!(texts.len(), 11, "{loss:?}");
        assert!(texts[..10].iter().all(|found| *found == text), "{loss:?}");
    }
}

#[test]
fn rows_for_several_transactions_are_all_there_wherever_the_checkpoint_stops() {
    const ROWS: usize = 40_000;
    let fill = |disk: &Arc<SimDisk>| {
        let store = open(disk);
        for first in (0..ROWS).step_by(1_000) {
            store.commit(rows_from(first, 1_000)).expect("committed");
        }
        store
    };
    let disk = SimDisk::new(2);
    let store = fill(&disk);
    let start = disk.changes();
    store.shutdown().expect("a clean stop");
    let length = disk.changes() - start;
    for step in 0..=6 {
        let disk = SimDisk::new(2);
        let store = fill(&disk);
        disk.cut_power_after(length * step / 6);
        drop(store);
        let (found, _) = Store::open(disk.restart(Loss::Some, step), large()).expect("opens");
        assert_eq!(rows(&found).len(), ROWS, "stopped at {step} of 6");
    }
}

#[test]
fn a_scan_sees_the_newest_rows_however_often_one_was_made() {
    let disk = SimDisk::new(2);
    let store = open(&disk);
    let mut expected = BTreeMap::new();
    for round in 0..30_usize {
        let mut changes = Vec::new();
        for n in 0..700 {
            let key = format!("{:05}", (n * 7 + round * 1_300) % 9_000);
            let value = (n % 5 != 0).then(|| format!("{round} {n}"));
            changes.push(row(&key, value.as_deref()));
            match value {
                Some(value) => expected.insert(key, value),
                None => expected.remove(&key),
            };
        }
        store.commit(Commit { appends: vec![], changes }).expect("committed");
        assert!(rows(&store).into_iter().eq(expected.clone()), "round {round}");
    }
    drop(store);
    let store = open(&disk.restart(KEEP, 1));
    assert!(rows(&store).into_iter().eq(expected), "after a clean stop");
}

#[derive(Default)]
struct Tags(Mutex<Vec<u8>>);

impl Follower for Tags {
    fn durable(&self, batches: &Arc<[Appended]>) {
        self.0.lock().extend(batches.iter().map(|appended| appended.tag));
    }
}

#[test]
fn a_follower_sees_the_mark_of_each_append() {
    let store = open(&SimDisk::new(2));
    let tags = Arc::new(Tags::default());
    store.follow(tags.clone());
    let marked = |tag| Append::new(PartitionId(0), batch("x")).with_tag(tag);
    let appends = vec![marked(3), append(1, "y"), marked(200)];
    store.commit(Commit { appends, changes: vec![] }).expect("committed");
    assert_eq!(*tags.0.lock(), [3, 0, 200]);
}
