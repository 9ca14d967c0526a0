//! Who waits for a sync, and who is answered before: each as its streams promise, and each
//! receiver in its own order.

use std::sync::Arc;

use parking_lot::Mutex;

use super::crash::KEEP;
use super::harness::{append, open, row, texts};
use crate::disk::sim::SimDisk;
use crate::{Commit, CommitError, Outcome, Reply};

/// The partition whose stream asks for no sync.
const OS: u32 = 2;
const DISK: u32 = 0;

#[derive(Default)]
struct Heard(Mutex<Vec<Outcome>>);

impl Reply for Heard {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        self.0.lock().append(outcomes);
    }
}

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
fn a_commit_of_nothing_waits_for_all_before_it() {
    let nothing = Commit::default;
    check(vec![(0, message(DISK)), (1, nothing())], &[false, false]);
    check(vec![(0, message(OS)), (1, nothing()), (1, message(DISK))], &[true, true, false]);
}
