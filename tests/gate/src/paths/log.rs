//! The log: a commit's way to the disk, and batches back from it as Kafka's Fetch passes them on.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use tidewire_proto::id::PartitionId;
use tidewire_proto::mqtt::Properties;
use tidewire_proto::qos::Qos;
use tidewire_proto::record::Batch;
use tidewire_store::{Append, Commit, RealDisk, Store, StoreOptions};

use crate::round::Round;
use crate::samples::batch;

const RECORDS: u16 = 100;
const BATCHES: u64 = 20;
const PARTITION: PartitionId = PartitionId(0);
const SLICE_BYTES: usize = 64 << 10;
const MIB: u64 = 1 << 20;

/// A store without threads, so that everything is done here, in the same order each time.
pub(crate) fn open(folder: &TempDir, recent_bytes_max: u64) -> Store {
    let wal_file_bytes = 16 * MIB;
    let options = StoreOptions {
        threads: false,
        wal_file_bytes,
        recent_bytes_max,
        ..StoreOptions::default()
    };
    Store::open(Arc::new(RealDisk::new(folder.path())), options).expect("a new folder").0
}

pub(crate) fn commit() -> Round {
    let folder = TempDir::new().expect("a folder");
    let (store, batch) = (open(&folder, MIB), sample());
    Box::new(move || {
        store.commit(one(&batch)).expect("room on the disk");
        // The folder lives as long as the store.
        black_box(&folder);
    })
}

/// Of readers that keep up.
pub(crate) fn fetch_memory() -> Round {
    fetch(64 * MIB)
}

/// Of those that do not.
pub(crate) fn fetch_file() -> Round {
    fetch(0)
}

fn fetch(recent_bytes_max: u64) -> Round {
    let folder = TempDir::new().expect("a folder");
    let (store, batch) = (open(&folder, recent_bytes_max), sample());
    for _ in 0..BATCHES {
        store.commit(one(&batch)).expect("room on the disk");
    }
    let mut parts: Vec<Bytes> = Vec::new();
    Box::new(move || {
        black_box(&folder);
        parts.clear();
        let (mut from, mut records) = (0, 0);
        let end = BATCHES * u64::from(RECORDS);
        while from < end {
            let slice = store.read_packed(PARTITION, from, SLICE_BYTES).expect("it is there");
            for stored in &slice.batches {
                parts.push(Bytes::copy_from_slice(&stored.batch.prefix(stored.base_offset)));
                parts.push(stored.batch.tail());
                records += u64::from(stored.batch.record_count());
            }
            from = slice.next;
        }
        assert_eq!(records, end, "all were read");
    })
}

fn sample() -> Batch {
    batch(RECORDS, Qos::AtLeastOnce, Properties::EMPTY)
}

fn one(batch: &Batch) -> Commit {
    Commit { appends: vec![Append::new(PARTITION, batch.clone())], changes: Vec::new() }
}
