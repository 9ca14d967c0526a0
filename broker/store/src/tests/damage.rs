//! Damage: named with file and byte, never served, never mistaken for a torn tail.

use std::sync::Arc;

use super::crash::KEEP;
use super::harness::{open, options, put, texts};
use crate::disk::sim::{Loss, SimDisk};
use crate::disk::{Disk, OpenMode};
use crate::{OpenError, ReadError, Store};

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

#[test]
fn a_flipped_bit_in_a_segment_is_named_and_never_served() {
    let disk = SimDisk::new(5);
    let (store, _) = open(disk.clone()).expect("opens");
    for n in 0..50 {
        put(&store, 0, &format!("record {n}")).expect("committed");
    }
    drop(store);
    let disk = disk.restart(KEEP, 1);
    let name = "streams/mqtt/0/00000000000000000000.seg";
    disk.flip(name, 20 * 80, 8);
    let (store, _) = open(disk).expect("an old segment does not stop the start");
    match texts(&store, 0) {
        Err(ReadError::Damaged { file, position, .. }) => {
            assert_eq!(file, name);
            assert!(position > 1400 && position <= 1600, "{position}");
        }
        other => panic!("{other:?}"),
    }
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
