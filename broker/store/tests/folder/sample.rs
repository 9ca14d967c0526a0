//! The folders that these tests work on: small, filled by a fixed history, copied and compared.

use std::collections::BTreeMap;
use std::fs;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{BatchBuilder, Header};
use tidewire_store::{
    Append, Commit, Compression, Durability, OpenError, ReadError, RealDisk, Store, StoreOptions,
    StreamConfig, StreamOptions, Table, TableChange,
};

use crate::typed;

/// Commits in a folder made by [`fill`].
pub(crate) const COMMITS: usize = 90;

/// Small files; no threads, so that a folder is what it is while the store is open.
pub(crate) fn options() -> StoreOptions {
    let stream = |name: &str, partitions, durability| StreamOptions {
        name: name.into(),
        partitions,
        config: StreamConfig { durability, ..StreamConfig::default() },
    };
    StoreOptions {
        streams: vec![stream("mqtt", 2, Durability::Disk), stream("fast", 1, Durability::Os)],
        wal_file_bytes: 16 << 10,
        wal_bytes_max: 64 << 10,
        recent_bytes_max: 1 << 10,
        segment_bytes_max: 4 << 10,
        table_cache_bytes: 1 << 20,
        threads: false,
        ..StoreOptions::default()
    }
}

pub(crate) fn open(folder: &Path) -> Result<Store, OpenError> {
    Store::open(Arc::new(RealDisk::new(folder)), options()).map(|(store, _)| store)
}

/// What a record of commit `n` says.
pub(crate) fn text(n: usize) -> String {
    format!("commit {n} {}", "abcdefgh".repeat(n * 31 % 40))
}

fn partition(n: usize) -> u32 {
    [0, 0, 1, 0, 2][n % 5]
}

/// The history of every sample.
pub(crate) fn fill(store: &Store) {
    for n in 0..COMMITS {
        let text = text(n);
        let mut builder = BatchBuilder::new();
        let headers = [Header { key: b"n", value: Some(b"1") }];
        let time = 1_700_000_000_000 + i64::try_from(n).expect("small");
        builder.push(time, Some(b"plant/1"), Some(text.as_bytes()), &headers);
        builder.push(time + 1, None, Some(b"second"), &[]);
        let append = Append::new(PartitionId(partition(n)), builder.finish());
        let key = format!("row {}", n % 20).into_bytes().into();
        let value = (n % 7 != 3).then(|| text.as_bytes().into());
        let changes = vec![TableChange::new(Table::Sessions, key, value)];
        store.commit(Commit { appends: vec![append], changes }).expect("committed");
    }
}

/// As [`killed`], with sealed segments in both compressions and a row of every table.
pub(crate) fn killed_with_all() -> TempDir {
    let (folder, copied) = (temporary(), temporary());
    let options = StoreOptions { segment_bytes_max: 2 << 10, ..options() };
    let opened = Store::open(Arc::new(RealDisk::new(folder.path())), options);
    let (store, _) = opened.expect("a new folder opens");
    for (name, durability, compression) in
        [("mqtt", Durability::Disk, Compression::Lz4), ("fast", Durability::Os, Compression::Zstd)]
    {
        let config = StreamConfig { durability, compression, ..StreamConfig::default() };
        store.set_stream_config(name, config).expect("set");
    }
    typed::fill(&store);
    fill(&store);
    copy(folder.path(), copied.path());
    copied
}

/// A folder as a kill would leave it: part of it checkpointed, part in the write-ahead log.
pub(crate) fn killed() -> TempDir {
    let (folder, copied) = (temporary(), temporary());
    let store = open(folder.path()).expect("a new folder opens");
    fill(&store);
    copy(folder.path(), copied.path());
    copied
}

pub(crate) fn temporary() -> TempDir {
    tempfile::tempdir().expect("a folder for a while")
}

/// All records of a partition, two for each commit.
pub(crate) fn texts(store: &Store, id: u32) -> Result<Vec<String>, ReadError> {
    let (mut from, end) = store.bounds(PartitionId(id)).expect("the partition exists");
    let mut texts = Vec::new();
    while from < end {
        let slice = store.read(PartitionId(id), from, 4096)?;
        for batch in &slice.batches {
            let values = batch.batch.records().filter_map(|record| record.value);
            texts.extend(values.map(|value| String::from_utf8_lossy(value).into_owned()));
        }
        from = slice.next;
    }
    Ok(texts)
}

pub(crate) fn rows(store: &Store) -> Result<BTreeMap<String, String>, ReadError> {
    let mut rows = BTreeMap::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // There may be sessions beside.
        if key.starts_with(b"row ") {
            rows.insert(text(key), text(value));
        }
        ControlFlow::Continue(())
    };
    store.scan(Table::Sessions, Bound::Unbounded, Bound::Unbounded, visit)?;
    Ok(rows)
}

/// The store holds what [`fill`] wrote, all of it and nothing else.
#[track_caller]
pub(crate) fn expect_all(store: &Store) {
    for id in 0..3 {
        let own = (0..COMMITS).filter(|n| partition(*n) == id);
        let expected: Vec<_> = own.flat_map(|n| [text(n), "second".to_owned()]).collect();
        assert_eq!(texts(store, id).expect("readable"), expected);
    }
    assert_eq!(rows(store).expect("readable"), expected_rows());
}

pub(crate) fn expected_rows() -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    for n in 0..COMMITS {
        let key = format!("row {}", n % 20);
        if n % 7 == 3 {
            rows.remove(&key)
        } else {
            rows.insert(key, text(n))
        };
    }
    rows
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Every file and what it holds, by its name in the folder.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    collect(folder, "", &mut files);
    files
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().expect("a type").is_dir() {
            collect(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(entry.path()).expect("read"));
        }
    }
}

/// The names that end so, in order.
pub(crate) fn named(folder: &Path, ending: &str) -> Vec<String> {
    files(folder).into_keys().filter(|name| name.ends_with(ending)).collect()
}
