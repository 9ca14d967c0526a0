//! Who waits for a sync, and who is answered before: each as its streams promise, and each
//! receiver in its own order.

use std::sync::Arc;

use super::crash::KEEP;
use super::harness::{Heard, append, beside_a_record, open, outcome_of, row, rows, texts};
use crate::disk::sim::{Loss, SimDisk};
use crate::{Commit, CommitError};

/// The partition whose stream asks for no sync.
const OS: u32 = 2;
const DISK: u32 = 0;

fn message(partition: u32) -> Commit {
    Commit { appends: vec![append(partition, "text")], changes: vec![] }
}

/// Commits of two receivers share a frame whose sync fails: who is told that all is well was not
/// made to wait.
#[track_caller]
fn check(commits: Vec<(usize, Commit)>, expected: &[bool]) {
    let disk = SimDisk::new(3);
    let (store, _) = open(disk.clone()).expect("opens");
    let receivers = [Arc::new(Heard::default()), Arc::new(Heard::default())];
    disk.fail_syncs(true);
    for (ticket, (who, commit)) in (0..).zip(commits) {
        store.submit(commit, Some((ticket, receivers[who].clone())));
    }
    store.turn_writer();
    let mut answers: Vec<Option<bool>> = vec![None; expected.len()];
    for receiver in &receivers {
        let heard = receiver.0.lock();
        assert!(heard.is_sorted_by_key(|outcome| outcome.ticket), "in their order");
        for outcome in heard.iter() {
            let place = usize::try_from(outcome.ticket).expect("small");
            assert_eq!(answers[place], None, "each once");
            answers[place] = Some(outcome.result.is_ok());
            let is_failure = matches!(outcome.result, Err(CommitError::Failed(_)));
            assert!(outcome.result.is_ok() || is_failure, "{outcome:?}");
        }
    }
    let expected: Vec<_> = expected.iter().copied().map(Some).collect();
    assert_eq!(answers, expected);
    // What was promised to survive the program does, and so does what was written before it.
    let promised = answers.contains(&Some(true));
    let (store, _) = open(disk.restart(KEEP, 1)).expect("opens");
    assert!(!promised || !texts(&store, OS).expect("readable").is_empty());
}

#[test]
fn a_commit_waits_for_the_sync_that_its_streams_ask_for_and_for_no_other() {
    check(vec![(0, message(OS)), (0, message(DISK))], &[true, false]);
    check(vec![(0, message(DISK)), (1, message(OS))], &[false, true]);
    check(vec![(0, message(OS)), (1, message(OS))], &[true, true]);
}

#[test]
fn nobody_is_answered_out_of_order() {
    check(vec![(0, message(DISK)), (0, message(OS))], &[false, false]);
    let commits = vec![(0, message(OS)), (1, message(DISK)), (0, message(OS)), (1, message(OS))];
    check(commits, &[true, false, true, false]);
}

#[test]
fn rows_and_what_goes_with_them_wait_for_the_sync() {
    let with_row = Commit { changes: vec![row("key", Some("value"))], ..message(OS) };
    check(vec![(0, with_row), (1, message(OS))], &[false, true]);
    let both = Commit { appends: vec![append(OS, "a"), append(DISK, "b")], changes: vec![] };
    check(vec![(0, both), (1, message(OS))], &[false, true]);
}

#[test]
fn what_stays_of_a_refused_commit_is_kept_when_it_is_synced_and_not_before() {
    for is_broken in [false, true] {
        let disk = SimDisk::new(3);
        let (store, _) = open(disk.clone()).expect("opens");
        disk.fail_syncs(is_broken);
        let outcome = outcome_of(&store, beside_a_record(&"x".repeat(20_000)));
        assert!(matches!(outcome.result, Err(CommitError::TooLarge { .. })), "{outcome:?}");
        let is_failed = matches!(outcome.stayed, Err(CommitError::Failed(_)));
        assert!(if is_broken { is_failed } else { outcome.stayed.is_ok() }, "{outcome:?}");
        if !is_broken {
            let (store, _) = open(disk.restart(Loss::Everything, 1)).expect("opens");
            assert_eq!(rows(&store), [("apart".into(), "1".into())]);
        }
    }
}

#[test]
fn a_commit_of_nothing_waits_for_all_before_it() {
    let nothing = Commit::default;
    check(vec![(0, message(DISK)), (1, nothing())], &[false, false]);
    check(vec![(0, message(OS)), (1, nothing()), (1, message(DISK))], &[true, true, false]);
}
