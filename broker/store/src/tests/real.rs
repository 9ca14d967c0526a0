//! The same store with threads on a real disk.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::Batch;

use super::harness::{append, options, rows, texts};
use crate::inspect::Progress;
use crate::{
    Commit, Compression, Durability, OnLimit, OpenError, ReadError, RealDisk, Retention, Slice,
    Store, StoreOptions, StreamConfig, copy_at_rest,
};

fn threaded() -> StoreOptions {
    StoreOptions { threads: true, wal_file_bytes: 64 << 10, wal_bytes_max: 256 << 10, ..options() }
}

fn open(folder: &Path) -> Result<Store, OpenError> {
    Store::open(Arc::new(RealDisk::new(folder)), threaded()).map(|(store, _)| store)
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
    copy_at_rest(folder.path(), killed.path()).expect("copied");
    let found = open(killed.path()).expect("opens");
    assert_eq!(texts(&found, 0).expect("readable").len(), 50);
    assert_eq!(rows(&found), [("row 0".to_owned(), "49".to_owned())]);
    assert_eq!(found.bounds(PartitionId(0)), Some((0, 50)));
}

#[test]
fn who_waits_for_a_store_sees_how_much_of_its_log_is_read() {
    let (folder, killed) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("one"));
    let store = open(folder.path()).expect("opens");
    let text = "x".repeat(10 << 10);
    for _ in 0..15 {
        super::harness::put(&store, 0, &text).expect("committed");
    }
    copy_at_rest(folder.path(), killed.path()).expect("copied");
    let options = threaded();
    let seen = Arc::clone(&options.recovering);
    assert_eq!(seen.progress(), Progress { done: 0, total: 0 });
    let disk = Arc::new(RealDisk::new(killed.path()));
    let (_store, report) = Store::open(disk, options).expect("opens");
    let Progress { done, total } = seen.progress();
    assert!(done == total && total >= report.bytes, "{done} of {total}: {report}");
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

/// Reads on and on from anywhere to the end, in pieces of any size; how often it came to the end.
fn read_about(store: &Store, mut seed: u64, is_over: &AtomicBool) -> u64 {
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let id = PartitionId(0);
    let mut ends = 0;
    loop {
        let is_last = is_over.load(Ordering::Acquire);
        let (start, end) = store.bounds(id).expect("there");
        let mut from = if is_last { start } else { start + random(end - start + 1) };
        while from < end {
            let bytes_max = usize::try_from(random(20_000)).expect("small");
            let read = match random(3) {
                0 => store.read(id, from, bytes_max),
                _ => store.read_packed(id, from, bytes_max).map(opened),
            };
            match read {
                Err(ReadError::OutOfRange { start, .. }) if start > from => from = start,
                slice => {
                    let slice = slice.expect("readable");
                    assert!(slice.end >= end, "it ended at {end} before, now at {}", slice.end);
                    let next = checked(&slice, from);
                    assert!(next > from && !slice.batches.is_empty(), "nothing at {from}");
                    from = next;
                }
            }
        }
        ends += 1;
        if is_last {
            return ends;
        }
    }
}

/// As a client opens it.
fn opened(mut slice: Slice) -> Slice {
    for stored in &mut slice.batches {
        let bytes = stored.batch.bytes().clone();
        let parsed = Batch::parse(bytes).and_then(Batch::open);
        stored.batch = parsed.expect("a batch");
    }
    slice
}

#[test]
fn whoever_reads_packed_gets_to_the_end_whatever_becomes_of_the_segments() {
    let codecs = [Compression::Lz4, Compression::Zstd, Compression::None, Compression::Lz4];
    for (n, compression) in codecs.into_iter().enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path()).expect("opens");
        let (bytes, on_limit) = ((n == 3).then_some(60_000), OnLimit::DeleteOldest);
        let retention = Retention { bytes, on_limit, ..Retention::default() };
        let durability = Durability::Os;
        let config = StreamConfig { compression, retention, durability, ..Default::default() };
        store.set_stream_config("mqtt", config).expect("set");
        let is_over = AtomicBool::new(false);
        let (store, is_over) = (&store, &is_over);
        thread::scope(|scope| {
            let readers: Vec<_> = (1..4)
                .map(|seed| scope.spawn(move || read_about(store, seed * 0x9e37_79b9, is_over)))
                .collect();
            for n in 0..2_000_u64 {
                let text = "x".repeat(usize::try_from(n * 7_919 % 700).expect("small"));
                let appends = vec![append(0, &format!("{n} {text}"))];
                store.commit(Commit { appends, changes: vec![] }).expect("committed");
                if n % 50 == 0 {
                    store.retain(0);
                }
            }
            is_over.store(true, Ordering::Release);
            for reader in readers {
                assert!(reader.join().expect("a reader") > 0);
            }
        });
        let (start, end) = store.bounds(PartitionId(0)).expect("there");
        assert_eq!((start > 0, end), (bytes.is_some(), 2_000), "{start}");
        assert_eq!(store.quarantined().0, 0);
    }
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
