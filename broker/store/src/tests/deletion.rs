//! Records that were deleted by order are gone for every reader, and stay gone.

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::BatchBuilder;
use tidewire_proto::topic::TopicFilter;

use super::crash::KEEP;
use super::harness::open;
use crate::disk::sim::{Loss, SimDisk};
use crate::{Append, Commit, CommitError, ReadError, Store};

const ID: PartitionId = PartitionId(0);

/// One batch of two records for each number.
fn publish(store: &Store, numbers: std::ops::Range<u32>) {
    for n in numbers {
        let mut builder = BatchBuilder::new();
        for _ in 0..2 {
            builder.push(i64::from(n), Some(b"a/b"), Some(&[b'x'; 100]), &[]);
        }
        let append = Append::new(ID, builder.finish());
        store.commit(Commit { appends: vec![append], changes: vec![] }).expect("committed");
    }
}

fn segments(disk: &SimDisk) -> usize {
    disk.files().iter().filter(|name| name.starts_with("streams/mqtt/0/")).count()
}

/// Nobody gets at what lies before `start`, by whichever way, and everybody at the rest.
#[track_caller]
fn check(store: &Store, start: u64, end: u64) {
    assert_eq!(store.bounds(ID), Some((start, end)));
    let filter = TopicFilter::parse("a/b").expect("a filter");
    for below in (0..start).step_by(7).chain(start.checked_sub(1)) {
        let gone = ReadError::OutOfRange { offset: below, start, end };
        assert_eq!(store.read(ID, below, 100).map(|_| ()), Err(gone.clone()));
        assert!(store.read_recent(ID, below, 100).is_none());
        assert_eq!(store.find(ID, &filter, below, 9).map(|_| ()), Err(gone.clone()));
        assert_eq!(store.read_matching(ID, &filter, below, 100).map(|_| ()), Err(gone));
    }
    assert_eq!(store.offset_at(ID, i64::MIN), Ok(start));
    let mut from = start;
    while from < end {
        let slice = store.read(ID, from, 300).expect("readable");
        assert!(slice.batches[0].base_offset <= from, "a gap at {from}");
        assert_eq!(slice.start, start);
        from = slice.next;
    }
    let found = store.find(ID, &filter, start, 1 << 20).expect("found");
    assert_eq!(found.offsets.first().copied(), (start < end).then_some(start));
}

#[test]
fn deleted_records_are_gone_for_every_reader_and_after_every_crash() {
    let disk = SimDisk::new(1);
    let (store, _) = open(disk.clone()).expect("opens");
    publish(&store, 0..300);
    let before = segments(&disk);
    // In the middle of a batch, in the middle of a segment.
    store.delete_below(&[(ID, 301)]).expect("deleted");
    check(&store, 301, 600);
    assert!(segments(&disk) < before, "whole segments before it go at once");
    check(&open(disk.restart(Loss::Everything, 1)).expect("opens").0, 301, 600);
    // A later order for less changes nothing; neither does a checkpoint that follows.
    store.delete_below(&[(ID, 40), (ID, 12)]).expect("nothing to do");
    publish(&store, 300..500);
    check(&store, 301, 1_000);
    drop(store);
    check(&open(disk.restart(KEEP, 1)).expect("opens").0, 301, 1_000);
}

#[test]
fn what_is_in_memory_and_in_the_log_alone_is_deleted_as_well() {
    let disk = SimDisk::new(1);
    let (store, _) = open(disk.clone()).expect("opens");
    publish(&store, 0..20);
    store.delete_below(&[(ID, 39), (ID, 17)]).expect("deleted");
    check(&store, 39, 40);
    check(&open(disk.restart(Loss::Everything, 1)).expect("opens").0, 39, 40);
    // All there is, and more than that.
    store.delete_below(&[(ID, 1_000)]).expect("deleted");
    check(&store, 40, 40);
    publish(&store, 20..200);
    check(&store, 40, 400);
    drop(store);
    let (store, _) = open(disk.restart(KEEP, 1)).expect("opens");
    check(&store, 40, 400);
    store.delete_below(&[(ID, 400)]).expect("deleted");
    publish(&store, 200..201);
    check(&store, 400, 402);
}

#[test]
fn no_reader_that_holds_the_log_holds_what_was_deleted() {
    let disk = SimDisk::new(1);
    let (store, _) = open(disk.clone()).expect("opens");
    publish(&store, 0..300);
    store.set_hold("pump", &[(ID, 0)]);
    let held = segments(&disk);
    store.delete_below(&[(ID, 600)]).expect("deleted");
    check(&store, 600, 600);
    assert!(segments(&disk) < held);
    // What the order could not take is taken when it is in a segment.
    publish(&store, 300..500);
    store.retain(1_000);
    check(&store, 600, 1_000);
    let unknown = PartitionId(99);
    let refused = store.delete_below(&[(ID, 700), (unknown, 1)]);
    assert_eq!(refused, Err(CommitError::UnknownPartition(unknown)));
    check(&store, 600, 1_000);
}

#[test]
fn a_power_cut_during_a_deletion_leaves_all_of_it_or_nothing() {
    let run = |cut: Option<u64>| {
        let disk = SimDisk::new(1);
        let (store, _) = open(disk.clone()).expect("opens");
        publish(&store, 0..200);
        store.delete_below(&[(ID, 100)]).expect("deleted");
        let before = disk.changes();
        if let Some(after) = cut {
            disk.cut_power_after(after);
        }
        let done = store.delete_below(&[(ID, 301)]);
        (disk.clone(), disk.changes() - before, done)
    };
    let (_, length, _) = run(None);
    for at in (0..length).step_by(usize::try_from(length / 40).expect("small").max(1)) {
        let (disk, _, done) = run(Some(at));
        let (store, _) = open(disk.restart(Loss::Some, at)).expect("opens");
        let (start, _) = store.bounds(ID).expect("there");
        match done {
            Ok(()) => assert_eq!(start, 301, "cut after {at}: it was promised"),
            Err(_) => assert!([100, 301].contains(&start), "cut after {at}: {start}"),
        }
        store.retain(0);
        check(&store, start, 400);
        assert_eq!(store.quarantined().0, 0, "cut after {at}");
    }
}
