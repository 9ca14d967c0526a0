//! A compact stream keeps the newest record of each key, wherever that is.

use std::collections::BTreeMap;

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::BatchBuilder;

use super::crash::KEEP;
use super::harness::open;
use crate::disk::sim::{Loss, SimDisk};
use crate::{Append, Commit, Compression, Store, StreamConfig};

const ID: PartitionId = PartitionId(0);

type Records = BTreeMap<u64, (String, Option<String>)>;

fn compact_store(disk: std::sync::Arc<SimDisk>) -> Store {
    let (store, _) = open(disk).expect("opens");
    let compression = Compression::Zstd;
    let config = StreamConfig { compact: true, compression, ..StreamConfig::default() };
    store.set_stream_config("mqtt", config).expect("set");
    store
}

/// Record `n` of key `n % keys`; every tenth removes its key.
fn publish(store: &Store, numbers: std::ops::Range<u32>, keys: u32) -> Records {
    let mut sent = Records::new();
    for n in numbers {
        let (key, value) = (format!("key/{}", n % keys), format!("value {n} {}", "x".repeat(60)));
        let value = (n % 10 != 3).then_some(value);
        let mut builder = BatchBuilder::new();
        let bytes = value.as_deref().map(str::as_bytes);
        builder.push(i64::from(n), Some(key.as_bytes()), bytes, &[]);
        let append = Append::new(ID, builder.finish());
        let commit = Commit { appends: vec![append], changes: vec![] };
        let Ok(offsets) = store.commit(commit) else { break };
        sent.insert(offsets[0], (key, value));
    }
    sent
}

fn stored(store: &Store) -> Records {
    let (mut from, end) = store.bounds(ID).expect("there");
    let mut found = Records::new();
    while from < end {
        let slice = store.read(ID, from, 2_000).expect("readable");
        for stored in &slice.batches {
            for record in stored.batch.records() {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let offset = stored.base_offset + u64::from(record.offset_delta);
                let key = text(record.key.expect("a key"));
                found.insert(offset, (key, record.value.map(text)));
            }
        }
        from = slice.next;
    }
    found
}

fn newest(records: &Records) -> BTreeMap<&str, (u64, Option<&str>)> {
    let mut newest = BTreeMap::new();
    for (offset, (key, value)) in records {
        newest.insert(key.as_str(), (*offset, value.as_deref()));
    }
    newest
}

#[test]
fn only_what_is_superseded_goes_and_offsets_stay() {
    let disk = SimDisk::new(1);
    let store = compact_store(disk.clone());
    let sent = publish(&store, 0..2_000, 37);
    let check = |store: &Store| {
        let found = stored(store);
        assert!(found.len() < 600, "{} of 2000 records are left", found.len());
        assert!(found.iter().all(|(offset, record)| sent.get(offset) == Some(record)));
        assert_eq!(newest(&found), newest(&sent));
        assert_eq!(store.bounds(ID), Some((0, 2_000)));
        assert_eq!(store.quarantined().0, 0);
    };
    check(&store);
    drop(store);
    check(&open(disk.restart(KEEP, 1)).expect("opens").0);
}

#[test]
fn what_says_that_a_key_was_removed_goes_after_its_grace() {
    let store = compact_store(SimDisk::new(1));
    let day_ms = 24 * 60 * 60 * 1_000;
    // Key 3 of 10 was removed in every round.
    publish(&store, 0..1_000, 10);
    let tombstones = |store: &Store| {
        stored(store).range(..500).filter(|(_, (_, value))| value.is_none()).count()
    };
    publish(&store, 1_000..1_004, 1_000_000);
    assert!(stored(&store).values().any(|(key, value)| key == "key/3" && value.is_none()));
    store.retain(day_ms + 10_000);
    publish(&store, 1_004..3_000, 7_000);
    assert_eq!(tombstones(&store), 0);
}

#[test]
fn a_power_cut_while_a_partition_is_compacted_loses_no_newest_record() {
    let run = |cut: Option<u64>| {
        let disk = SimDisk::new(1);
        let store = compact_store(disk.clone());
        let before = disk.changes();
        if let Some(after) = cut {
            disk.cut_power_after(after);
        }
        let sent = publish(&store, 0..400, 17);
        (disk.clone(), sent, disk.changes() - before)
    };
    let length = run(None).2;
    for seed in 0..80 {
        let (disk, sent, _) = run(Some(length * seed / 80 + seed % 7));
        let (store, _) = open(disk.restart(Loss::Some, seed)).expect("opens");
        let found = stored(&store);
        let acked = newest(&sent);
        let newest = newest(&found);
        for (key, (offset, value)) in acked {
            let found = newest.get(key).unwrap_or_else(|| panic!("seed {seed}: {key} is lost"));
            assert!(found.0 > offset || *found == (offset, value), "seed {seed}: {key}");
        }
    }
}
