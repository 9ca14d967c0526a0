//! Power cuts: what was acknowledged is there, what is there was sent, nothing is there by half.

use std::sync::Arc;

use super::harness::{append, beside_a_record, open, outcome_of, put, row, rows, texts};
use crate::disk::sim::{Fault, Loss, SimDisk};
use crate::{Commit, CommitError, Health, Store};

/// A crash of the program alone.
pub(super) const KEEP: Loss = Loss::Nothing;

/// What a history got acknowledged before it ended: records per partition.
type Acked = [usize; 2];

fn text(partition: u32, number: usize) -> String {
    format!("{partition}/{number} {}", "z".repeat(number * 37 % 400))
}

/// Commits one after the other, each with a record and a row, until one fails.
fn history(store: &Store, commits: usize) -> Acked {
    let mut acked = [0; 2];
    for n in 0..commits {
        let partition = u32::from(n % 3 == 0);
        let count = &mut acked[partition as usize];
        if put(store, partition, &text(partition, *count)).is_err() {
            break;
        }
        *count += 1;
    }
    acked
}

/// What is found is a prefix of what was sent that holds all that was acknowledged, and every
/// row says what the last record of its partition says: a commit is never there by half.
#[track_caller]
fn check(disk: &Arc<SimDisk>, acked: Acked, context: &str) {
    let (store, _) = open(disk.clone()).unwrap_or_else(|error| panic!("{context}: {error}"));
    let rows = rows(&store);
    for partition in 0..2 {
        let found = texts(&store, partition).unwrap_or_else(|error| panic!("{context}: {error}"));
        let acked = acked[partition as usize];
        assert!(found.len() == acked || found.len() == acked + 1, "{context}: {}", found.len());
        for (number, found) in found.iter().enumerate() {
            assert_eq!(*found, text(partition, number), "{context}");
        }
        let key = format!("row {partition}");
        let row = rows.iter().find(|(name, _)| *name == key).map(|(_, value)| value);
        assert_eq!(row, found.last(), "{context}");
    }
    for partition in 0..2 {
        put(&store, partition, "after").unwrap_or_else(|error| panic!("{context}: {error}"));
    }
}

/// How much a history changes, from the first open on.
fn length_of(commits: usize) -> u64 {
    let disk = SimDisk::new(7);
    let (store, _) = open(disk.clone()).expect("opens");
    history(&store, commits);
    disk.changes()
}

fn cut(seed: u64, after: u64, commits: usize, loss: Loss) {
    let context = format!("seed {seed}, power cut after {after}, {loss:?}");
    let disk = SimDisk::new(seed);
    disk.cut_power_after(after);
    let acked = match open(disk.clone()) {
        Ok((store, _)) => history(&store, commits),
        Err(_) => [0; 2],
    };
    check(&disk.restart(loss, after ^ seed), acked, &context);
}

#[test]
fn a_power_cut_at_any_byte_of_a_commit_leaves_all_or_nothing() {
    let (before, after) = (length_of(3), length_of(5));
    for at in before..=after {
        for loss in [Loss::Nothing, Loss::Everything, Loss::Some] {
            cut(7, at, 5, loss);
        }
    }
}

#[test]
fn a_power_cut_while_the_folder_is_made_leaves_a_folder_that_opens() {
    let length = length_of(0);
    for at in (0..length).step_by(97).chain(length.saturating_sub(400)..length) {
        cut(7, at, 0, Loss::Some);
    }
}

#[test]
fn a_power_cut_anywhere_in_a_longer_history_loses_nothing_acknowledged() {
    let (start, length) = (length_of(0), length_of(150));
    for seed in 0..150 {
        let at = start + (length - start) * seed / 150 + seed % 11;
        cut(7, at, 150, Loss::Some);
        cut(7, at, 150, Loss::Everything);
    }
}

#[test]
fn two_cuts_in_a_row_lose_no_more_than_one() {
    let length = length_of(80);
    for seed in 0..60 {
        let disk = SimDisk::new(7);
        disk.cut_power_after(length - seed * 61);
        let Ok((store, _)) = open(disk.clone()) else { continue };
        let acked = history(&store, 80);
        let second = disk.restart(Loss::Some, seed);
        second.cut_power_after(seed * 301);
        drop(open(second.clone()));
        check(&second.restart(Loss::Some, seed), acked, &format!("double cut {seed}"));
    }
}

#[test]
fn what_was_only_promised_to_the_system_survives_a_crash_of_the_program() {
    let disk = SimDisk::new(3);
    let (store, _) = open(disk.clone()).expect("opens");
    let commit = |text: &str| Commit { appends: vec![append(2, text)], changes: vec![] };
    for n in 0..5 {
        store.commit(commit(&n.to_string())).expect("committed");
    }
    let (kept, _) = open(disk.restart(KEEP, 1)).expect("opens");
    assert_eq!(texts(&kept, 2).expect("readable").len(), 5);
    // A power cut may take what was not synced, from any place on, and what follows goes on there.
    for seed in 0..40 {
        let cut = disk.restart(Loss::Some, seed);
        let (store, _) = open(cut.clone()).expect("loss of what was not promised is no damage");
        let found = texts(&store, 2).expect("readable");
        assert_eq!(found, ["0", "1", "2", "3", "4"][..found.len()]);
        store.commit(commit("new")).expect("committed");
        put(&store, 0, "synced").expect("committed");
        let (again, _) = open(cut.restart(Loss::Everything, seed)).expect("opens");
        assert_eq!(texts(&again, 2).expect("readable").last().map(String::as_str), Some("new"));
        assert_eq!(texts(&again, 2).expect("readable").len(), found.len() + 1);
    }
}

#[test]
fn a_failed_sync_is_the_end_of_acknowledgements() {
    let disk = SimDisk::new(3);
    let (store, _) = open(disk.clone()).expect("opens");
    put(&store, 0, "a").expect("committed");
    disk.fail_syncs(true);
    assert!(matches!(put(&store, 0, "b"), Err(CommitError::Failed(_))));
    disk.fail_syncs(false);
    assert!(matches!(put(&store, 0, "c"), Err(CommitError::Failed(_))));
    assert!(matches!(store.health(), Health::Failed(_)));
    assert_eq!(texts(&store, 0).expect("still readable"), ["a"]);
    assert!(store.shutdown().is_err());
    let (store, _) = open(disk.restart(Loss::Everything, 1)).expect("opens");
    assert_eq!(texts(&store, 0).expect("readable"), ["a"]);
}

#[test]
fn a_frame_whose_sync_failed_is_written_again_before_it_counts() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let (store, _) = open(disk.clone()).expect("opens");
        put(&store, 0, "a").expect("committed");
        disk.fail_syncs(true);
        put(&store, 0, "b").expect_err("the sync fails");
        drop(store);
        // The program starts again, on the same system: it still reads what it wrote.
        let again = disk.restart(KEEP, seed);
        // Room for another file of the log, and none to checkpoint what is in the first.
        again.set_capacity(Some(again.used_bytes() + (16 << 10)));
        let (store, _) = open(again.clone()).expect("opens");
        assert_eq!(texts(&store, 0).expect("readable"), ["a", "b"]);
        put(&store, 0, "c").expect("committed");
        let (store, _) = open(again.restart(Loss::Everything, seed)).expect("opens");
        assert_eq!(texts(&store, 0).expect("readable"), ["a", "b", "c"]);
    }
}

#[test]
fn a_full_disk_refuses_appends_lets_readers_acknowledge_and_recovers() {
    let disk = SimDisk::new(3);
    let (store, _) = open(disk.clone()).expect("opens");
    put(&store, 0, "a").expect("committed");
    disk.set_capacity(Some(disk.used_bytes()));
    let mut kept = 1;
    let refused = loop {
        match put(&store, 0, &"x".repeat(300)) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, CommitError::DiskFull);
    assert_eq!(store.health(), Health::Writable);
    assert_eq!(texts(&store, 0).expect("still readable").len(), kept);
    let alone = |change| Commit { appends: vec![], changes: vec![change] };
    let message = alone(row("later", Some(&"x".repeat(900))));
    assert_eq!(store.commit(message), Err(CommitError::DiskFull), "it is as good as a message");
    let cursor = alone(row("cursor", Some("5")).that_stays());
    store.commit(cursor).expect("the reserve takes it");
    let outcome = outcome_of(&store, beside_a_record(&"x".repeat(900)));
    assert_eq!(outcome.result, Err(CommitError::DiskFull));
    assert_eq!(outcome.stayed, Ok(()), "the reserve takes it without its record");
    disk.set_capacity(None);
    put(&store, 0, "b").expect("there is room again");
    drop(store);
    let (store, _) = open(disk.restart(KEEP, 1)).expect("opens");
    assert_eq!(texts(&store, 0).expect("readable").len(), kept + 1);
    let mut kept = rows(&store);
    kept.retain(|(key, _)| !key.starts_with("row "));
    assert_eq!(kept, [("apart".into(), "1".into()), ("cursor".into(), "5".into())]);
}

#[test]
fn a_store_that_starts_on_a_full_disk_lets_readers_acknowledge() {
    for loss in [KEEP, Loss::Everything] {
        let disk = SimDisk::new(3);
        let (store, _) = open(disk.clone()).expect("opens");
        put(&store, 0, "a").expect("committed");
        disk.set_capacity(Some(disk.used_bytes()));
        while put(&store, 0, &"x".repeat(300)).is_ok() {}
        let kept = texts(&store, 0).expect("readable").len();
        drop(store);
        let again = disk.restart(loss, 1);
        again.set_capacity(Some(again.used_bytes()));
        let (store, _) = open(again.clone()).expect("opens");
        let cursor = |value| Commit { appends: vec![], changes: vec![row("cursor", Some(value))] };
        store.commit(cursor("1")).expect("the reserve takes it");
        // As often as it is started again.
        let third = again.restart(loss, 2);
        third.set_capacity(Some(third.used_bytes()));
        let (store, _) = open(third.clone()).expect("opens");
        store.commit(cursor("2")).expect("the reserve takes it");
        third.set_capacity(None);
        put(&store, 0, "b").expect("there is room again");
        drop(store);
        let (store, _) = open(third.restart(loss, 3)).expect("opens");
        assert_eq!(texts(&store, 0).expect("readable").len(), kept + 1);
        assert!(rows(&store).contains(&("cursor".into(), "2".into())));
    }
}

#[test]
fn an_access_that_fails_while_the_folder_is_made_fails_the_open_or_costs_nothing() {
    for fault in [Fault::Write, Fault::Full, Fault::Sync, Fault::FullSync, Fault::Open] {
        for (after, seed) in (0..40).flat_map(|after| [(after, 1), (after, 2)]) {
            let disk = SimDisk::new(seed);
            disk.fail_once(fault, after);
            let mut acked = [0; 2];
            if let Ok((store, _)) = open(disk.clone()) {
                acked = history(&store, 60);
            }
            let context = format!("seed {seed}: {fault:?} after {after}");
            check(&disk.restart(Loss::Everything, seed), acked, &context);
        }
    }
}

#[test]
fn a_system_without_open_files_to_give_refuses_commits_for_a_moment_and_breaks_nothing() {
    let mut met = 0;
    for after in 0..40 {
        let disk = SimDisk::new(after);
        let (store, _) = open(disk.clone()).expect("opens");
        disk.fail_once(Fault::Open, after);
        let mut kept = Vec::new();
        for number in 0..400 {
            match put(&store, 0, &text(0, number)) {
                Ok(_) => kept.push(text(0, number)),
                Err(error) => assert_eq!(error, CommitError::DiskFull, "{number}, after {after}"),
            }
        }
        met += disk.faults_met();
        put(&store, 0, "later").expect("it has passed");
        kept.push("later".into());
        drop(store);
        let (store, _) = open(disk.restart(Loss::Everything, after)).expect("opens");
        assert_eq!(texts(&store, 0).expect("readable"), kept, "after {after}");
    }
    assert!(met > 10, "it was met {met} times");
}
