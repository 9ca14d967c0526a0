//! Retained messages: rows of a table that new subscriptions look through.

use std::hint::black_box;
use std::ops::{Bound, ControlFlow};

use tempfile::TempDir;
use tidewire_proto::id::PartitionId;
use tidewire_proto::message::Message;
use tidewire_proto::mqtt::Properties;
use tidewire_proto::qos::Qos;
use tidewire_proto::topic::matches;
use tidewire_proto::topic_walk::next_candidate;
use tidewire_store::rows::retained;
use tidewire_store::{Commit, Store, Table, TableChange};

use super::log::open;
use crate::round::Round;
use crate::samples::batch;

const LINES: u16 = 200;
const KINDS: [&str; 5] = ["humidity", "pressure", "speed", "state", "temperature"];
const CACHE_BYTES: u64 = 1 << 20;
/// Rows in a row that may miss before the walk jumps, as in the broker.
const MISSES_MAX: usize = 4;

/// A subscription to one topic.
pub(crate) fn one() -> Round {
    let (folder, store) = filled();
    Box::new(move || {
        black_box(&folder);
        let row = store.get(Table::Retained, topic(77, "speed").as_bytes());
        assert!(is_message(&row.expect("a table").expect("a row")), "it is retained");
    })
}

/// One to a fifth of all topics, which lie far apart.
pub(crate) fn wildcard() -> Round {
    let (folder, store) = filled();
    Box::new(move || {
        black_box(&folder);
        assert_eq!(walk(&store, "plant/+/speed"), usize::from(LINES));
    })
}

fn topic(line: u16, kind: &str) -> String {
    format!("plant/{line}/{kind}")
}

fn is_message(row: &[u8]) -> bool {
    let (_, batch) = retained::decode(row).expect("a row of ours");
    let record = batch.records().next();
    record.as_ref().and_then(Message::of).is_some()
}

/// How many match: walks rows while they do, and jumps where too many do not.
fn walk(store: &Store, filter: &str) -> usize {
    let (mut found, mut from) = (0, Some("plant/".to_owned()));
    while let Some(start) = from.take() {
        let mut misses = 0;
        let visit = &mut |key: &[u8], row: &[u8]| {
            let topic = std::str::from_utf8(key).expect("topics are text");
            if matches(filter, topic) {
                misses = 0;
                found += usize::from(is_message(row));
                return ControlFlow::Continue(());
            }
            misses += 1;
            if misses < MISSES_MAX {
                return ControlFlow::Continue(());
            }
            from = next_candidate(filter, topic);
            ControlFlow::Break(())
        };
        let start = Bound::Included(start.as_bytes());
        store.scan(Table::Retained, start, Bound::Unbounded, visit).expect("a table");
    }
    found
}

/// A store whose rows are in its database, not in memory: it was shut down meanwhile.
fn filled() -> (TempDir, Store) {
    let folder = TempDir::new().expect("a folder");
    let message = batch(1, Qos::AtLeastOnce, Properties::EMPTY);
    let row = |line, kind| {
        let value = retained::encode(PartitionId(0), 0, &message);
        let key = topic(line, kind).into_bytes().into();
        TableChange::new(Table::Retained, key, Some(value))
    };
    let lines = (0..LINES).flat_map(|line| KINDS.map(|kind| row(line, kind)));
    let store = open(&folder, CACHE_BYTES);
    let commit = Commit { appends: Vec::new(), changes: lines.collect() };
    store.commit(commit).expect("room on the disk");
    store.shutdown().expect("all is written");
    drop(store);
    let store = open(&folder, CACHE_BYTES);
    (folder, store)
}
