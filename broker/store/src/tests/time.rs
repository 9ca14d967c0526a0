//! From a time to an offset, wherever the record lies.

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::BatchBuilder;

use super::crash::KEEP;
use super::harness::open;
use crate::disk::sim::SimDisk;
use crate::{Append, Commit, ReadError, Store};

const ID: PartitionId = PartitionId(0);

/// Batches of up to four records with these timestamps.
fn fill(store: &Store, timestamps: &[i64]) {
    for some in timestamps.chunks(4) {
        let mut builder = BatchBuilder::new();
        for timestamp in some {
            builder.push(*timestamp, Some(b"a/b"), Some(&[b'x'; 40]), &[]);
        }
        let append = Append::new(ID, builder.finish());
        store.commit(Commit { appends: vec![append], changes: vec![] }).expect("committed");
    }
}

#[track_caller]
fn check(store: &Store, timestamps: &[i64]) {
    for wanted in (-5..1_100).step_by(7) {
        let place = timestamps.iter().position(|timestamp| *timestamp >= wanted);
        let expected = place.unwrap_or(timestamps.len()) as u64;
        assert_eq!(store.offset_at(ID, wanted), Ok(expected), "at {wanted}");
    }
}

#[test]
fn a_time_leads_to_the_first_record_that_is_not_older() {
    // Clocks of several cores: mostly forward, now and then back.
    let timestamps: Vec<i64> = (0..1_000).map(|n| n + (n * 7919 % 13) * 4 - 20).collect();
    let disk = SimDisk::new(1);
    let (store, _) = open(disk.clone()).expect("opens");
    for part in timestamps.chunks(250) {
        fill(&store, part);
    }
    assert!(disk.files().iter().filter(|name| name.ends_with(".seg")).count() > 2);
    check(&store, &timestamps);
    drop(store);
    let (store, _) = open(disk.restart(KEEP, 1)).expect("opens again");
    check(&store, &timestamps);
}

#[test]
fn an_empty_partition_has_its_end_and_an_unknown_one_is_refused() {
    let (store, _) = open(SimDisk::new(1)).expect("opens");
    assert_eq!(store.offset_at(ID, 5), Ok(0));
    assert_eq!(store.offset_at(PartitionId(99), 5), Err(ReadError::UnknownPartition));
}
