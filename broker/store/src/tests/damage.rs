//! Damage: named with file and byte, never served, never mistaken for a torn tail.

use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{BatchBuilder, Record};

use super::crash::KEEP;
use super::harness::{append, batch, open, options, put, texts};
use crate::disk::sim::{Loss, SimDisk};
use crate::disk::{Disk, OpenMode};
use crate::inspect::{Plan, Repair};
use crate::tables::{Database, Layer, Manifest, PartitionRow};
use crate::{Append, Commit, OpenError, Store};

fn filled(records: usize) -> Arc<SimDisk> {
    let disk = SimDisk::new(5);
    let (store, _) = open(disk.clone()).expect("opens");
    for n in 0..records {
        put(&store, 0, &format!("record {n}")).expect("committed");
    }
    // As found after a crash: the log is not checkpointed.
    disk.restart(KEEP, 1)
}

fn refusal(disk: &Arc<SimDisk>) -> OpenError {
    let before = disk.files();
    let error = open(disk.clone()).map(|_| ()).expect_err("it must not open");
    assert_eq!(disk.files(), before, "nothing was changed");
    error
}

/// The newest file of the write-ahead log that has frames, and where its bytes are.
const FIRST_WAL: &str = "wal/00000000000000000001.wal";

#[test]
fn damage_with_good_frames_behind_it_stops_the_start() {
    let disk = filled(10);
    disk.flip(FIRST_WAL, 4096 + 600, 0x40);
    match refusal(&disk) {
        OpenError::Damaged { file, position, .. } => {
            assert_eq!(file, FIRST_WAL);
            assert!(position > 4096 && position <= 4696, "{position}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_partition_whose_segments_end_too_early_stops_the_start() {
    let disk = filled(10);
    let (store, _) = open(disk.clone()).expect("opens");
    store.shutdown().expect("all of it goes to its segment");
    let disk = disk.restart(KEEP, 2);
    let database = Database::open(disk.clone(), 1 << 20).expect("opens");
    database.release().expect("released");
    let (checkpoint, _) = database.load().expect("readable");
    let row = PartitionRow { id: PartitionId(0), start: 0, end: 12 };
    let manifest = Manifest { partitions: vec![row], ..Manifest::default() };
    database.advance(&Layer::default(), &manifest, checkpoint).expect("written");
    drop(database);
    match refusal(&disk) {
        OpenError::Damaged { file, what, .. } => {
            assert_eq!(file, "tables.redb");
            assert!(what.contains("offset 12") && what.contains("at 10"), "{what}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let disk = SimDisk::new(5);
    let (store, _) = open(disk.clone()).expect("opens");
    put(&store, 0, "whole").expect("committed");
    disk.cut_power_after(100);
    put(&store, 0, "torn").expect_err("the power fails in the middle");
    let found = disk.restart(Loss::Nothing, 1);
    let (store, report) = open(found).expect("a torn tail is no damage");
    let (file, position) = report.torn.clone().expect("reported");
    assert_eq!(file, FIRST_WAL);
    assert!(report.to_string().contains(&format!("{file} at byte {position}")), "{report}");
    assert_eq!(texts(&store, 0).expect("readable"), ["whole"]);
}

#[test]
fn stale_frames_of_a_used_file_are_not_taken_for_new_ones() {
    let disk = SimDisk::new(5);
    let (store, _) = open(disk.clone()).expect("opens");
    let mut sent = 0;
    // Long enough for every file to be used several times over.
    while sent < 600 {
        put(&store, 0, &format!("record {sent}")).expect("committed");
        sent += 1;
        if sent % 50 == 0 {
            let (found, _) = open(disk.restart(KEEP, 1)).expect("opens");
            assert_eq!(texts(&found, 0).expect("readable").len(), sent);
        }
    }
    let epochs = disk.files().iter().filter(|name| name.ends_with(".wal")).count();
    assert!(epochs <= 6, "files are used again: {:?}", disk.files());
}

#[test]
fn a_missing_log_file_stops_the_start() {
    let disk = filled(10);
    disk.remove(FIRST_WAL).expect("removed");
    assert!(matches!(refusal(&disk), OpenError::Missing { file } if file == FIRST_WAL));
}

#[test]
fn a_damaged_log_header_stops_the_start() {
    let disk = filled(10);
    disk.flip(FIRST_WAL, 17, 1);
    let message = refusal(&disk).to_string();
    assert!(message.contains(FIRST_WAL) && message.contains("header"), "{message}");
}

#[test]
fn a_folder_that_lost_its_version_is_not_made_anew() {
    let disk = filled(10);
    disk.remove("VERSION").expect("removed");
    assert_eq!(refusal(&disk), OpenError::Missing { file: "VERSION".into() });
}

#[test]
fn a_newer_folder_is_refused() {
    let disk = filled(1);
    let file = disk.open("VERSION", OpenMode::Create).expect("opens");
    let text = b"tidewire data folder, format 9\n";
    file.write_all_at(&mut [std::io::IoSlice::new(text)], 0).expect("written");
    assert_eq!(refusal(&disk), OpenError::NewerVersion { found: 9, known: 1 });
}

/// What is served of partition 0, and the offsets.
fn served(store: &Store) -> Vec<(u64, String)> {
    let id = PartitionId(0);
    let (mut from, end) = store.bounds(id).expect("the partition exists");
    let mut served = Vec::new();
    while from < end {
        let slice = store.read(id, from, 300).expect("readable");
        for stored in &slice.batches {
            let text = |record: Record<'_>| {
                let value = String::from_utf8_lossy(record.value.expect("a value")).into_owned();
                (stored.base_offset + u64::from(record.offset_delta), value)
            };
            served.extend(stored.batch.records().map(text));
        }
        assert!(slice.next > from);
        from = slice.next;
    }
    served
}

const FIRST_SEGMENT: &str = "streams/mqtt/0/00000000000000000000.seg";

/// Fifty batches of one record in one segment, damaged by `damage`: exactly `lost` are not
/// served, all others are, and the report names the place.
#[track_caller]
fn check_quarantine(damage: impl FnOnce(&SimDisk), lost: std::ops::Range<u64>) {
    let disk = SimDisk::new(5);
    let (store, _) = open(disk.clone()).expect("opens");
    for n in 0..50 {
        put(&store, 0, &format!("record {n:02}")).expect("committed");
    }
    drop(store);
    let disk = disk.restart(KEEP, 1);
    damage(&disk);
    let (store, _) = open(disk).expect("an old segment does not stop the start");
    let expected: Vec<_> = (0..50).filter(|n| !lost.contains(n)).collect();
    for _ in 0..2 {
        let served = served(&store);
        assert_eq!(served.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), expected);
        assert!(served.iter().all(|(offset, text)| *text == format!("record {offset:02}")));
    }
    let (count, named) = store.quarantined();
    assert_eq!((count, named.len()), (1, 1), "{named:?}");
    assert_eq!((named[0].file.as_str(), named[0].from..named[0].to), (FIRST_SEGMENT, lost.clone()));
    assert_eq!(named[0].position, lost.start * BATCH_BYTES);
}

/// Every batch of these tests is equally long.
const BATCH_BYTES: u64 = 61 + 7 + 3 + 9;

#[test]
fn a_flipped_bit_in_a_segment_costs_its_batch_and_no_more() {
    // Payload, checksum, attributes, length, magic, record count, base offset.
    for at in [70, 18, 22, 11, 16, 58, 7] {
        let damage = |disk: &SimDisk| disk.flip(FIRST_SEGMENT, 20 * BATCH_BYTES + at, 8);
        check_quarantine(damage, 20..21);
    }
}

#[test]
fn damage_over_several_batches_is_passed_by_the_next_whole_one() {
    let damage = |disk: &SimDisk| {
        for at in (10 * BATCH_BYTES + 3..14 * BATCH_BYTES).step_by(7) {
            disk.flip(FIRST_SEGMENT, at, 0x5a);
        }
    };
    check_quarantine(damage, 10..14);
}

#[test]
fn a_segment_that_is_cut_short_serves_what_is_left() {
    let damage = |disk: &SimDisk| {
        let file = disk.open(FIRST_SEGMENT, OpenMode::Write).expect("opens");
        file.set_len(33 * BATCH_BYTES + 20).expect("cut");
    };
    check_quarantine(damage, 33..50);
}

/// A publisher knows the format as well, and the checksum does not cover the base offset.
#[test]
fn a_batch_inside_the_payload_of_a_damaged_one_is_not_served_and_hides_nothing() {
    // Payload, magic, length, base offset.
    for at in [300, 16, 11, 7] {
        for (forged, links) in [(22, 1), (45, 1), (49, 1), (22, 2), (21, 5), (40, 9)] {
            let disk = SimDisk::new(5);
            let (store, _) = open(disk.clone()).expect("opens");
            for n in 0..50 {
                let link = |n: u64| {
                    let inner = batch("forged");
                    [&inner.prefix(forged + n)[..], &inner.tail()].concat()
                };
                let inner = (0..links).flat_map(link).collect::<Vec<_>>();
                let mut builder = BatchBuilder::new();
                let value = [&inner[..], &[b'x'; 300]].concat();
                builder.push(1_000, Some(b"a/b"), Some(&value), &[]);
                let append = match n {
                    20 => Append::new(PartitionId(0), builder.finish()),
                    n => append(0, &format!("record {n:02}")),
                };
                store.commit(Commit { appends: vec![append], changes: vec![] }).expect("put");
            }
            drop(store);
            let disk = disk.restart(KEEP, 1);
            disk.flip(FIRST_SEGMENT, 20 * BATCH_BYTES + at, 8);
            let (store, _) = open(disk.clone()).expect("opens");
            let offsets: Vec<_> = served(&store).iter().map(|(offset, _)| *offset).collect();
            let expected: Vec<_> = (0..50).filter(|n| *n != 20).collect();
            assert_eq!(offsets, expected, "a bit of byte {at}, forged: {links} from {forged}");
            let (count, named) = store.quarantined();
            assert_eq!((count, named[0].from, named[0].to), (1, 20, 21));
            drop(store);
            let plan = Repair::begin(disk.restart(KEEP, 1))
                .and_then(|repair| repair.plan())
                .expect("planned");
            assert_eq!(lost(&plan), [(20, 21)]);
        }
    }
}

fn lost(plan: &Plan) -> Vec<(u64, u64)> {
    let affected = plan.steps.iter().flat_map(|step| &step.affected);
    affected.map(|affected| (affected.from, affected.to)).collect()
}

#[test]
fn a_good_batch_between_two_damaged_ones_is_served_and_outlives_a_repair() {
    for (first, second) in [(7, 7), (16, 7), (16, 70), (70, 16)] {
        let disk = filled(50);
        let (store, _) = open(disk.clone()).expect("opens");
        store.shutdown().expect("all is in segments");
        drop(store);
        let disk = disk.restart(KEEP, 1);
        let size = 61 + 7 + 3 + 8;
        disk.flip(FIRST_SEGMENT, 5 * size + first, 8);
        disk.flip(FIRST_SEGMENT, 7 * size + second, 8);
        let (store, _) = open(disk.clone()).expect("opens");
        let offsets: Vec<_> = served(&store).iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, (0..50).filter(|n| ![5, 7].contains(n)).collect::<Vec<_>>());
        drop(store);
        let plan =
            Repair::begin(disk.restart(KEEP, 1)).and_then(|repair| repair.plan()).expect("planned");
        assert_eq!(lost(&plan), [(5, 6), (7, 8)], "{first}, {second}");
    }
}

#[test]
fn two_lost_headers_cost_no_more_than_lies_between_two_places_that_are_known() {
    let wide = || crate::StoreOptions { segment_bytes_max: 64 << 10, ..options() };
    let disk = SimDisk::new(5);
    let (store, _) = Store::open(disk.clone(), wide()).expect("opens");
    for n in 0..300 {
        put(&store, 0, &format!("record {:02}", n % 100)).expect("committed");
    }
    drop(store);
    let disk = disk.restart(KEEP, 1);
    // Sieves name a place every 16 KiB at least, which is 204 batches.
    [5, 290].iter().for_each(|n| disk.flip(FIRST_SEGMENT, n * BATCH_BYTES + 16, 8));
    let (store, _) = Store::open(disk.clone(), wide()).expect("opens");
    let offsets: Vec<_> = served(&store).iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, (0..300).filter(|n| ![5, 290].contains(n)).collect::<Vec<_>>());
    drop(store);
    let plan =
        Repair::begin(disk.restart(KEEP, 1)).and_then(|repair| repair.plan()).expect("planned");
    assert_eq!(lost(&plan), [(5, 6), (290, 291)]);
}

#[test]
fn options_that_cannot_be_are_refused_before_anything_is_made() {
    let check = |change: fn(&mut crate::StoreOptions), expected: &str| {
        let disk = SimDisk::new(1);
        let mut options = options();
        change(&mut options);
        let error = Store::open(disk.clone(), options).map(|_| ()).expect_err("refused");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(disk.files().is_empty());
    };
    check(|options| options.wal_file_bytes = 100, "wal_file_bytes");
    check(|options| options.streams[0].name = "a/b".into(), "a/b");
    check(|options| options.streams[1].partitions = 0, "fast");
}
