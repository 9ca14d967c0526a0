//! What the tests of the store share: small options, short commits, and reading everything back.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{Batch, BatchBuilder};

use crate::disk::Disk;
use crate::{
    Append, Commit, CommitError, Durability, OpenError, Outcome, ReadError, RecoveryReport, Reply,
    Store, StoreOptions, StreamConfig, StreamOptions, Table, TableChange,
};

/// Small files, so that a short history already fills some; no threads, so that it repeats.
pub(super) fn options() -> StoreOptions {
    let stream = |name: &str, partitions, durability| StreamOptions {
        name: name.into(),
        partitions,
        config: StreamConfig { durability, ..StreamConfig::default() },
    };
    StoreOptions {
        streams: vec![stream("mqtt", 2, Durability::Disk), stream("fast", 1, Durability::Os)],
        wal_file_bytes: 16 << 10,
        wal_bytes_max: 64 << 10,
        recent_bytes_max: 4 << 10,
        segment_bytes_max: 8 << 10,
        table_cache_bytes: 1 << 20,
        threads: false,
        ..StoreOptions::default()
    }
}

pub(super) fn open(disk: Arc<dyn Disk>) -> Result<(Store, RecoveryReport), OpenError> {
    Store::open(disk, options())
}

/// A batch of one record.
pub(super) fn batch(text: &str) -> Batch {
    let mut builder = BatchBuilder::new();
    builder.push(1_000, Some(b"a/b"), Some(text.as_bytes()), &[]);
    builder.finish()
}

pub(super) fn append(partition: u32, text: &str) -> Append {
    Append::new(PartitionId(partition), batch(text))
}

pub(super) fn row(key: &str, value: Option<&str>) -> TableChange {
    let value = value.map(|value| value.as_bytes().into());
    TableChange::new(Table::Cursors, key.as_bytes().into(), value)
}

/// One record and a row that says the same.
pub(super) fn put(store: &Store, partition: u32, text: &str) -> Result<u64, CommitError> {
    let key = format!("row {partition}");
    let commit =
        Commit { appends: vec![append(partition, text)], changes: vec![row(&key, Some(text))] };
    store.commit(commit).map(|offsets| offsets[0])
}

/// A record, a row that belongs to it and one that does not.
pub(super) fn beside_a_record(text: &str) -> Commit {
    let changes = vec![row("of it", Some("1")), row("apart", Some("1")).that_stays()];
    Commit { appends: vec![append(0, text)], changes }
}

/// What becomes of one commit.
pub(super) fn outcome_of(store: &Store, commit: Commit) -> Outcome {
    let heard = Arc::new(Heard::default());
    store.submit(commit, Some((7, heard.clone())));
    store.turn();
    let mut outcomes = heard.0.lock();
    let [outcome] = &mut outcomes[..] else { panic!("one commit, one outcome: {outcomes:?}") };
    outcome.clone()
}

/// Outcomes as they come.
#[derive(Default)]
pub(super) struct Heard(pub(super) Mutex<Vec<Outcome>>);

impl Reply for Heard {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        self.0.lock().append(outcomes);
    }
}

/// Every value of a partition, read in small steps; offsets are checked on the way.
pub(super) fn texts(store: &Store, partition: u32) -> Result<Vec<String>, ReadError> {
    let id = PartitionId(partition);
    let (mut from, end) = store.bounds(id).expect("the partition exists");
    let mut texts = Vec::new();
    while from < end {
        let slice = store.read(id, from, 300)?;
        assert!(!slice.batches.is_empty(), "something is left to read at {from}");
        for stored in &slice.batches {
            assert_eq!(stored.base_offset, texts.len() as u64);
            for record in stored.batch.records() {
                let value = record.value.expect("every record has a value");
                texts.push(String::from_utf8_lossy(value).into_owned());
            }
        }
        assert_eq!(slice.next, texts.len() as u64);
        from = slice.next;
    }
    Ok(texts)
}

/// Every row of the table that the tests use.
pub(super) fn rows(store: &Store) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    store
        .scan(Table::Cursors, Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
            rows.push((text(key), text(value)));
            ControlFlow::Continue(())
        })
        .expect("the tables can be read");
    rows
}
