//! What a store that nothing happens to does: offsets, order, reading, tables, following.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;

use super::harness::{append, open, options, put, row, rows, texts};
use crate::disk::sim::SimDisk;
use crate::{
    Appended, Commit, CommitError, Follower, Health, Outcome, ReadError, Reply, Store, Table,
    TableChange,
};

fn store() -> Store {
    open(SimDisk::new(1)).expect("a new folder opens").0
}

#[test]
fn offsets_count_up_per_partition() {
    let store = store();
    assert_eq!(put(&store, 0, "a"), Ok(0));
    assert_eq!(put(&store, 1, "b"), Ok(0));
    let appends = vec![append(0, "c"), append(1, "d"), append(0, "e")];
    assert_eq!(store.commit(Commit { appends, changes: vec![] }), Ok(vec![1, 1, 2]));
    assert_eq!(texts(&store, 0).expect("readable"), ["a", "c", "e"]);
    assert_eq!(texts(&store, 1).expect("readable"), ["b", "d"]);
    assert_eq!(store.bounds(PartitionId(0)), Some((0, 3)));
}

#[test]
fn what_was_written_is_read_from_memory_log_and_segments_alike() {
    let disk = SimDisk::new(1);
    let (store, _) = open(disk.clone()).expect("a new folder opens");
    let expected: Vec<_> = (0..700).map(|n| format!("record {n} {}", "x".repeat(n % 90))).collect();
    for text in &expected {
        put(&store, 0, text).expect("committed");
    }
    let segments = disk.files().iter().filter(|name| name.ends_with(".seg")).count();
    assert!(segments > 2, "{:?}", disk.files());
    assert_eq!(texts(&store, 0).expect("readable"), expected);
    assert!(store.read_recent(PartitionId(0), 0, 100).is_none());
    assert!(store.read_recent(PartitionId(0), 699, 100).is_some());
    drop(store);
    let (store, report) = open(disk.restart(super::crash::KEEP, 1)).expect("opens again");
    assert_eq!(report.frames, 0, "a clean stop leaves nothing to replay: {report}");
    assert_eq!(texts(&store, 0).expect("readable"), expected);
    assert_eq!(put(&store, 0, "next"), Ok(700));
}

#[test]
fn a_read_outside_the_partition_says_where_it_is() {
    let store = store();
    put(&store, 0, "a").expect("committed");
    let end = store.read(PartitionId(0), 1, 100).expect("the end is a place");
    assert!(end.batches.is_empty() && end.next == 1);
    let beyond = store.read(PartitionId(0), 2, 100).map(|_| ());
    assert_eq!(beyond, Err(ReadError::OutOfRange { offset: 2, start: 0, end: 1 }));
    let nowhere = store.read(PartitionId(9), 0, 100).map(|_| ());
    assert_eq!(nowhere, Err(ReadError::UnknownPartition));
}

#[test]
fn a_commit_that_cannot_be_is_refused_whole() {
    let store = store();
    let unknown = Commit { appends: vec![append(0, "a"), append(7, "b")], changes: vec![] };
    assert_eq!(store.commit(unknown), Err(CommitError::UnknownPartition(PartitionId(7))));
    let large = Commit { appends: vec![append(0, &"x".repeat(20_000))], changes: vec![] };
    assert!(matches!(store.commit(large), Err(CommitError::TooLarge { .. })));
    let change = TableChange::new(Table::Streams, b"x".as_slice().into(), None);
    let reserved = Commit { appends: vec![append(0, "c")], changes: vec![change] };
    assert_eq!(store.commit(reserved), Err(CommitError::Reserved));
    assert_eq!(store.bounds(PartitionId(0)), Some((0, 0)));
    assert_eq!(put(&store, 0, "d"), Ok(0));
}

#[test]
fn rows_are_the_newest_wherever_they_are() {
    let store = store();
    for n in 0..400 {
        let key = format!("key {:02}", n % 30);
        let value = format!("{n} {}", "y".repeat(100));
        let removed = n % 30 == 7 && n > 370;
        let change = row(&key, (!removed).then_some(value.as_str()));
        store.commit(Commit { appends: vec![], changes: vec![change] }).expect("committed");
    }
    let found = rows(&store);
    assert_eq!(found.len(), 29);
    for (key, value) in found {
        let number: usize = key[4..].parse().expect("a number");
        let newest = (0..400).rev().find(|n| n % 30 == number).expect("written");
        assert!(value.starts_with(&format!("{newest} ")), "{key}: {value}");
        let one = store.get(Table::Cursors, key.as_bytes()).expect("readable");
        assert_eq!(one.as_deref(), Some(value.as_bytes()));
    }
    assert_eq!(store.get(Table::Cursors, b"key 07"), Ok(None));
    let mut between = Vec::new();
    let (from, to) = (Bound::Excluded(&b"key 05"[..]), Bound::Included(&b"key 09"[..]));
    let visit = &mut |key: &[u8], _: &[u8]| {
        between.push(String::from_utf8_lossy(key).into_owned());
        if between.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.scan(Table::Cursors, from, to, visit).expect("readable");
    assert_eq!(between, ["key 06", "key 08", "key 09"]);
}

#[derive(Default)]
struct Notes {
    batches: Mutex<Vec<(PartitionId, u64)>>,
    groups: Mutex<Vec<Vec<Outcome>>>,
}

impl Follower for Notes {
    fn durable(&self, batches: &Arc<[Appended]>) {
        let places = batches.iter().map(|batch| (batch.partition, batch.base_offset));
        self.batches.lock().extend(places);
    }
}

impl Reply for Notes {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        self.groups.lock().push(std::mem::take(outcomes));
    }
}

#[test]
fn a_follower_hears_of_everything_after_its_registration_once() {
    let store = store();
    put(&store, 0, "before").expect("committed");
    let notes = Arc::new(Notes::default());
    let ends = store.follow(notes.clone());
    assert_eq!(ends, [(PartitionId(0), 1), (PartitionId(1), 0), (PartitionId(2), 0)]);
    put(&store, 0, "a").expect("committed");
    put(&store, 1, "b").expect("committed");
    put(&store, 0, "c").expect("committed");
    let seen = notes.batches.lock().clone();
    assert_eq!(seen, [(PartitionId(0), 1), (PartitionId(1), 0), (PartitionId(0), 2)]);
}

#[test]
fn commits_that_wait_together_are_answered_together_and_in_order() {
    let store = store();
    let notes = Arc::new(Notes::default());
    for ticket in 10..15 {
        let commit = Commit { appends: vec![append(0, "x")], changes: vec![] };
        store.submit(commit, Some((ticket, notes.clone() as Arc<dyn Reply>)));
    }
    assert!(store.backlog_bytes() > 0);
    store.turn();
    assert_eq!(store.backlog_bytes(), 0);
    let groups = notes.groups.lock();
    assert_eq!(groups.len(), 1);
    for (index, outcome) in groups[0].iter().enumerate() {
        let offsets = outcome.result.as_ref().expect("committed");
        assert_eq!(outcome.ticket, 10 + index as u64);
        assert_eq!(offsets.first(), Some(index as u64));
    }
}

#[test]
fn a_closed_store_refuses_and_says_so() {
    let store = store();
    put(&store, 0, "a").expect("committed");
    assert_eq!(store.shutdown(), Ok(()));
    assert_eq!(put(&store, 0, "b"), Err(CommitError::Closed));
    assert_eq!(store.health(), Health::Writable);
}

#[test]
fn streams_are_found_again_and_new_ones_are_added() {
    let disk = SimDisk::new(1);
    drop(open(disk.clone()).expect("a new folder opens"));
    let mut more = options();
    more.streams[0].name = "orders".into();
    let (store, _) = Store::open(disk.restart(super::crash::KEEP, 1), more).expect("opens again");
    let names: Vec<_> =
        store.streams().iter().map(|s| (s.name.clone(), s.partitions.clone())).collect();
    let ids = |ids: &[u32]| ids.iter().map(|id| PartitionId(*id)).collect::<Vec<_>>();
    let find = |name: &str| names.iter().find(|(n, _)| n == name).map(|(_, ids)| ids.clone());
    assert_eq!(find("mqtt"), Some(ids(&[0, 1])));
    assert_eq!(find("fast"), Some(ids(&[2])));
    assert_eq!(find("orders"), Some(ids(&[3, 4])));
}
