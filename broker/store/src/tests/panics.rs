//! A panic on one of the store's threads ends the store, and leaves nobody waiting.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use super::harness::{append, options};
use crate::disk::sim::SimDisk;
use crate::{Appended, Commit, CommitError, Follower, Health, Outcome, Reply, Store, StoreOptions};

/// Nobody waits longer than this for ever.
const FOREVER: Duration = Duration::from_secs(60);

fn open(disk: &Arc<SimDisk>) -> Store {
    let options = StoreOptions { threads: true, ..options() };
    Store::open(disk.clone(), options).expect("opens").0
}

struct Heard(Sender<Outcome>);

impl Reply for Heard {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        outcomes.drain(..).for_each(|outcome| self.0.send(outcome).expect("the test listens"));
    }
}

/// Commit in rounds until the store fails: every commit is answered, and the store says why.
#[track_caller]
fn check(store: &Store, why: &str) {
    let (sender, outcomes) = channel();
    let mut failed = 0;
    for _ in 0..40 {
        // Each answered by itself: more than the writer does on its own thread.
        for ticket in 0..12 {
            let commit = Commit { appends: vec![append(0, &"x".repeat(900))], changes: vec![] };
            store.submit(commit, Some((ticket, Arc::new(Heard(sender.clone())))));
        }
        let answers = (0..12).map(|_| outcomes.recv_timeout(FOREVER).expect("it is answered"));
        let is_failed = |outcome: &Outcome| matches!(outcome.result, Err(CommitError::Failed(_)));
        failed += answers.filter(is_failed).count();
    }
    assert!(failed >= 12, "{failed} commits failed");
    let Health::Failed(reason) = store.health() else { panic!("it does not say so") };
    assert!(reason.contains(why), "{reason}");
    assert!(store.shutdown().is_err());
}

struct Panics;

impl Follower for Panics {
    fn durable(&self, _: &Arc<[Appended]>) {
        panic!("on purpose");
    }
}

#[test]
fn a_follower_that_panics_leaves_nobody_waiting() {
    let store = open(&SimDisk::new(1));
    store.follow(Arc::new(Panics));
    check(&store, "a follower");
}

#[test]
fn a_panic_on_a_thread_of_the_store_leaves_nobody_waiting() {
    for (name, why) in
        [("writer", "the writer"), ("checkpoint", "checkpoint"), ("wal-supply", "wal-supply")]
    {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        disk.watch(move |_| assert!(thread::current().name() != Some(name), "on purpose"));
        check(&store, why);
    }
}
