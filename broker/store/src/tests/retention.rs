//! Retention deletes whole segments, and only those that have had their time.

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::BatchBuilder;

use super::crash::KEEP;
use super::harness::{beside_a_record, open, outcome_of, rows};
use crate::disk::sim::{Fault, Loss, SimDisk};
use crate::{
    Append, Commit, CommitError, OnLimit, ReadError, Retention, RetentionReport, Store,
    StreamConfig,
};

const ID: PartitionId = PartitionId(0);

fn publish(store: &Store, numbers: std::ops::Range<u32>) -> Result<(), CommitError> {
    for n in numbers {
        let mut builder = BatchBuilder::new();
        builder.push(i64::from(n), Some(b"a/b"), Some(&[b'x'; 100]), &[]);
        let append = Append::new(ID, builder.finish());
        store.commit(Commit { appends: vec![append], changes: vec![] })?;
    }
    Ok(())
}

fn limited(store: &Store, retention: Retention) {
    let config = StreamConfig { retention, ..StreamConfig::default() };
    store.set_stream_config("mqtt", config).expect("set");
}

fn retain(store: &Store, now_ms: i64) -> RetentionReport {
    store.retain(now_ms).into_iter().find(|report| report.stream == "mqtt").expect("reported")
}

fn segments(disk: &SimDisk) -> usize {
    disk.files().iter().filter(|name| name.ends_with(".seg")).count()
}

const BY_AGE: Retention =
    Retention { age_ms: Some(100), bytes: None, hold_bytes: u64::MAX, on_limit: OnLimit::Refuse };

#[test]
fn old_segments_go_and_stay_away() {
    let disk = SimDisk::new(1);
    let (store, _) = open(disk.clone()).expect("opens");
    limited(&store, BY_AGE);
    publish(&store, 0..600).expect("committed");
    let before = segments(&disk);
    let report = retain(&store, 400);
    let [deleted] = &report.deleted[..] else { panic!("{report:?}") };
    assert!(deleted.from == 0 && deleted.to > 200 && deleted.to <= 300, "{deleted:?}");
    assert!(segments(&disk) < before);
    let check = |store: &Store| {
        assert_eq!(store.bounds(ID), Some((deleted.to, 600)));
        let below = store.read(ID, deleted.to - 1, 100).map(|_| ());
        let (offset, start) = (deleted.to - 1, deleted.to);
        assert_eq!(below, Err(ReadError::OutOfRange { offset, start, end: 600 }));
        let slice = store.read(ID, deleted.to, 100).expect("readable");
        assert_eq!(slice.batches[0].base_offset, deleted.to);
        assert_eq!(store.offset_at(ID, 0), Ok(deleted.to));
    };
    check(&store);
    check(&open(disk.restart(Loss::Everything, 1)).expect("opens").0);
    assert!(retain(&store, 400).deleted.is_empty());
    // A checkpoint that follows does not bring the old start back.
    publish(&store, 600..1_000).expect("committed");
    drop(store);
    let (store, _) = open(disk.restart(KEEP, 1)).expect("opens");
    assert_eq!(store.bounds(ID), Some((deleted.to, 1_000)));
}

#[test]
fn a_partition_whose_records_are_all_old_becomes_empty_and_goes_on() {
    let disk = SimDisk::new(1);
    let (store, _) = open(disk.clone()).expect("opens");
    limited(&store, BY_AGE);
    publish(&store, 0..300).expect("committed");
    drop(store);
    let disk = disk.restart(KEEP, 1);
    let (store, _) = open(disk.clone()).expect("opens");
    retain(&store, 100_000);
    assert_eq!(store.bounds(ID), Some((300, 300)));
    assert_eq!(segments(&disk), 0);
    publish(&store, 300..310).expect("committed");
    drop(store);
    let (store, _) = open(disk.restart(KEEP, 1)).expect("opens");
    assert_eq!(store.bounds(ID), Some((300, 310)));
    assert_eq!(store.read(ID, 300, 1 << 20).expect("readable").next, 310);
}

#[test]
fn what_a_reader_holds_stays_until_it_is_released() {
    let disk = SimDisk::new(1);
    let (store, _) = open(disk).expect("opens");
    limited(&store, BY_AGE);
    publish(&store, 0..600).expect("committed");
    store.set_hold("pump", &[(ID, 150)]);
    let report = retain(&store, 100_000);
    assert!(report.held_bytes > 0 && !report.refuses, "{report:?}");
    let (start, _) = store.bounds(ID).expect("there");
    assert!(start > 0 && start <= 150, "{start}");
    store.release_hold("pump");
    retain(&store, 100_000);
    assert!(store.bounds(ID).expect("there").0 > 300);
}

#[test]
fn at_the_hard_limit_new_records_are_refused_until_readers_have_read() {
    let (store, _) = open(SimDisk::new(1)).expect("opens");
    limited(&store, Retention { hold_bytes: 60_000, ..BY_AGE });
    publish(&store, 0..600).expect("committed");
    store.set_hold("pump", &[(ID, 0)]);
    assert!(retain(&store, 100_000).refuses);
    assert!(store.is_full(ID) && !store.is_full(PartitionId(2)), "the stream, and it alone");
    assert_eq!(publish(&store, 600..601), Err(CommitError::StreamFull(ID)));
    store.set_hold("pump", &[(ID, 600)]);
    assert!(!retain(&store, 100_000).refuses);
    publish(&store, 600..601).expect("there is room again");
    assert!(!store.is_full(ID));
}

#[test]
fn a_full_stream_takes_records_again_as_soon_as_an_order_deleted_enough_of_it() {
    let (store, _) = open(SimDisk::new(1)).expect("opens");
    limited(&store, Retention { hold_bytes: 60_000, ..BY_AGE });
    publish(&store, 0..600).expect("committed");
    store.set_hold("pump", &[(ID, 0)]);
    assert!(retain(&store, 100).refuses);
    store.delete_below(&[(PartitionId(1), 9), (ID, 1)]).expect("deleted");
    assert!(store.is_full(ID), "that is too little");
    store.delete_below(&[(ID, 600), (ID, 2)]).expect("deleted");
    assert!(!store.is_full(ID));
    publish(&store, 600..601).expect("there is room");
}

#[test]
fn a_stream_that_grows_past_its_limit_asks_to_be_looked_at_before_its_time() {
    let (store, _) = open(SimDisk::new(1)).expect("opens");
    limited(&store, Retention { hold_bytes: 60_000, ..BY_AGE });
    store.set_hold("pump", &[(ID, 0)]);
    publish(&store, 0..100).expect("committed");
    assert!(!retain(&store, 100_000).refuses && !store.is_retention_urgent());
    publish(&store, 100..600).expect("committed");
    assert!(store.is_retention_urgent());
    assert!(retain(&store, 100_000).refuses);
    assert!(!store.is_retention_urgent(), "it was looked at");
}

#[test]
fn a_stream_that_cannot_be_made_smaller_is_not_looked_at_all_the_time() {
    // A stream of which nothing is in a segment yet.
    let options = crate::StoreOptions { wal_file_bytes: 1 << 20, ..super::harness::options() };
    let (store, _) = Store::open(SimDisk::new(1), options).expect("opens");
    let on_limit = OnLimit::DeleteOldest;
    limited(&store, Retention { hold_bytes: 10_000, on_limit, ..BY_AGE });
    publish(&store, 0..600).expect("committed");
    assert!(store.is_retention_urgent());
    assert!(retain(&store, 100).bytes > 10_000 && !store.is_retention_urgent());
    publish(&store, 600..610).expect("committed");
    assert!(
        !store.is_retention_urgent(),
        "a sixteenth of the limit is little beside what it holds"
    );
    publish(&store, 610..700).expect("committed");
    assert!(store.is_retention_urgent());
    // And one for whose change the disk has no room.
    let disk = SimDisk::new(1);
    let (store, _) = open(disk.clone()).expect("opens");
    limited(&store, Retention { hold_bytes: 20_000, on_limit, ..BY_AGE });
    publish(&store, 0..600).expect("committed");
    assert!(store.is_retention_urgent());
    disk.fail_once(Fault::Full, 0);
    let report = retain(&store, 100);
    assert_eq!((report.deleted.len(), disk.faults_met()), (0, 1), "{report:?}");
    assert!(report.bytes > 20_000 && !store.is_retention_urgent(), "it was looked at");
}

#[test]
fn a_stream_past_its_limit_refuses_nothing_while_nobody_holds_anything() {
    let (store, _) = open(SimDisk::new(1)).expect("opens");
    limited(&store, Retention { hold_bytes: 60_000, age_ms: None, ..BY_AGE });
    publish(&store, 0..600).expect("committed");
    let report = retain(&store, 100_000);
    assert!(report.bytes > 60_000 && !report.refuses, "{report:?}");
    publish(&store, 600..601).expect("there are no readers");
}

#[test]
fn rows_that_stay_are_kept_when_the_stream_of_a_record_beside_them_is_full() {
    let (store, _) = open(SimDisk::new(1)).expect("opens");
    limited(&store, Retention { hold_bytes: 60_000, ..BY_AGE });
    publish(&store, 0..600).expect("committed");
    store.set_hold("pump", &[(ID, 0)]);
    assert!(retain(&store, 100_000).refuses);
    let outcome = outcome_of(&store, beside_a_record("text"));
    assert_eq!(outcome.result, Err(CommitError::StreamFull(ID)));
    assert_eq!(outcome.stayed, Ok(()));
    assert_eq!(store.bounds(ID).map(|(_, end)| end), Some(600), "the record is not there");
    assert_eq!(rows(&store), [("apart".into(), "1".into())]);
}

#[test]
fn at_the_hard_limit_the_oldest_goes_is_announced_and_reported() {
    let (store, _) = open(SimDisk::new(1)).expect("opens");
    let on_limit = OnLimit::DeleteOldest;
    limited(&store, Retention { hold_bytes: 200_000, on_limit, ..BY_AGE });
    publish(&store, 0..600).expect("committed");
    store.set_hold("pump", &[(ID, 50)]);
    let forecast = retain(&store, 100_000).forecast.expect("announced");
    assert_eq!(forecast.readers, ["pump"]);
    assert!(forecast.in_ms > 100 && forecast.in_ms < 2_000, "{forecast:?}");
    limited(&store, Retention { hold_bytes: 60_000, on_limit, ..BY_AGE });
    let report = retain(&store, 100_000);
    assert_eq!(report.deleted[0].lost_to, ["pump"]);
    assert!(report.bytes <= 60_000 && store.bounds(ID).expect("there").0 > 50);
    publish(&store, 600..601).expect("not refused");
}

#[test]
fn a_power_cut_while_segments_go_leaves_a_partition_without_gaps() {
    let run = |cut: Option<u64>| {
        let disk = SimDisk::new(1);
        let (store, _) = open(disk.clone()).expect("opens");
        limited(&store, BY_AGE);
        publish(&store, 0..400).expect("committed");
        let before = disk.changes();
        if let Some(after) = cut {
            disk.cut_power_after(after);
        }
        retain(&store, 350);
        (disk.clone(), disk.changes() - before)
    };
    let (_, length) = run(None);
    for at in (0..length).step_by(usize::try_from(length / 60).expect("small").max(1)) {
        let disk = run(Some(at)).0.restart(Loss::Some, at);
        let (store, _) = open(disk).expect("opens");
        let (mut from, end) = store.bounds(ID).expect("there");
        assert!(end == 400 && from < 300, "cut after {at}: {from}..{end}");
        while from < end {
            let slice = store.read(ID, from, 1 << 20).expect("readable");
            assert!(slice.batches[0].base_offset <= from, "cut after {at}: a gap at {from}");
            from = slice.next;
        }
        assert_eq!(store.quarantined().0, 0, "cut after {at}");
    }
}

#[test]
fn what_a_slow_stream_kept_too_long_goes_before_its_segment_is_full() {
    let disk = SimDisk::new(1);
    let wide = || crate::StoreOptions { segment_bytes_max: 1 << 30, ..super::harness::options() };
    let (store, _) = Store::open(disk.clone(), wide()).expect("opens");
    limited(&store, BY_AGE);
    for from in (0..600).step_by(20) {
        publish(&store, from..from + 20).expect("committed");
        retain(&store, i64::from(from) + 20);
    }
    let (start, _) = store.bounds(ID).expect("there");
    assert!(start > 300 && start <= 500, "{start}");
    drop(store);
    let disk = disk.restart(KEEP, 1);
    let (store, _) = Store::open(disk, wide()).expect("opens");
    assert_eq!(store.bounds(ID), Some((start, 600)));
    assert_eq!(store.offset_at(ID, 550), Ok(550));
}
