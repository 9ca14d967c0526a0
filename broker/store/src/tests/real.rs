//! The same store with threads on a real disk.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tidewire_proto::id::PartitionId;

use super::harness::{append, options, rows, texts};
use crate::{
    Commit, Compression, OnLimit, OpenError, ReadError, RealDisk, Retention, Slice, Store,
    StoreOptions, StreamConfig,
};

fn threaded() -> StoreOptions {
    StoreOptions { threads: true, wal_file_bytes: 64 << 10, wal_bytes_max: 256 << 10, ..options() }
}

fn open(folder: &Path) -> Result<Store, OpenError> {
    Store::open(Arc::new(RealDisk::new(folder)), threaded()).map(|(store, _)| store)
}

/// What a crash of the program would leave: the folder as it is while the store runs.
fn copy(from: &Path, to: &Path) {
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

#[test]
fn many_threads_commit_and_all_of_it_is_there_after_a_reopen() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).expect("opens");
    thread::scope(|scope| {
        for worker in 0..4 {
            let store = store.clone();
            scope.spawn(move || {
                for n in 0..300 {
                    let text = format!("{worker} {n} {}", "x".repeat(n));
                    let commit =
                        Commit { appends: vec![append(worker % 2, &text)], changes: vec![] };
                    store.commit(commit).expect("committed");
                }
            });
        }
    });
    store.shutdown().expect("stops cleanly");
    drop(store);
    let store = open(folder.path()).expect("opens again");
    for partition in 0..2 {
        let found = texts(&store, partition).expect("readable");
        assert_eq!(found.len(), 600);
        for worker in [partition, partition + 2] {
            let prefix = format!("{worker} ");
            let own = found.iter().filter_map(|text| text.strip_prefix(&prefix));
            let numbers: Vec<usize> = own
                .map(|rest| rest.split(' ').next().expect("first").parse().expect("number"))
                .collect();
            assert_eq!(numbers, (0..300).collect::<Vec<_>>(), "in the order of sending");
        }
    }
}

#[test]
fn a_store_that_was_killed_opens_with_all_that_was_acknowledged() {
    let (folder, killed) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("one"));
    let store = open(folder.path()).expect("opens");
    for n in 0..50 {
        super::harness::put(&store, 0, &n.to_string()).expect("committed");
    }
    copy(folder.path(), killed.path());
    let found = open(killed.path()).expect("opens");
    assert_eq!(texts(&found, 0).expect("readable").len(), 50);
    assert_eq!(rows(&found), [("row 0".to_owned(), "49".to_owned())]);
    assert_eq!(found.bounds(PartitionId(0)), Some((0, 50)));
}

#[test]
fn a_second_store_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = open(folder.path()).expect("opens");
    assert!(matches!(open(folder.path()), Err(OpenError::Locked)));
}

#[test]
fn a_path_that_is_a_file_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("data");
    fs::write(&file, "mine").expect("written");
    let Err(error) = open(&file) else { panic!("it must not open") };
    assert!(error.to_string().contains("data"), "{error}");
    assert_eq!(fs::read(&file).expect("still there"), b"mine");
}

#[test]
fn readers_and_writers_go_on_while_segments_are_sealed_and_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let retention =
        Retention { bytes: Some(50_000), on_limit: OnLimit::DeleteOldest, ..Retention::default() };
    let config = StreamConfig { compression: Compression::Lz4, retention, ..Default::default() };
    let store = open(folder.path()).expect("opens");
    store.set_stream_config("mqtt", config).expect("set");
    let id = PartitionId(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..3_000 {
                let text = format!("{n} {}", "x".repeat(300));
                let commit = Commit { appends: vec![append(0, &text)], changes: vec![] };
                store.commit(commit).expect("committed");
                if n % 50 == 0 {
                    store.retain(0);
                }
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            let mut from = 0;
            while !done.load(Ordering::Acquire) || from < 3_000 {
                match store.read(id, from, 2_000) {
                    Err(ReadError::OutOfRange { start, .. }) if start > from => from = start,
                    slice => from = checked(&slice.expect("readable"), from),
                }
            }
        });
    });
    assert_eq!(store.quarantined().0, 0);
    store.retain(0);
    let (start, end) = store.bounds(id).expect("there");
    assert!(start > 0 && end == 3_000, "{start}..{end}");
}

/// Every record says its own offset; returns where to read on.
fn checked(slice: &Slice, from: u64) -> u64 {
    for stored in &slice.batches {
        for record in stored.batch.records() {
            let text = str::from_utf8(record.value.expect("a value")).expect("text");
            let number = text.split(' ').next().expect("first").parse();
            assert_eq!(number, Ok(stored.base_offset + u64::from(record.offset_delta)));
        }
    }
    let first = slice.batches.first().map(|stored| stored.base_offset);
    assert!(first.is_none_or(|first| first <= from), "a gap at {from}");
    slice.next
}
