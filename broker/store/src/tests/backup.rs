//! Backups of a store that goes on, to a disk that is slow.

use std::fs;
use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::harness::{options, put, rows, texts};
use crate::disk::{File, Layer, LayeredDisk};
use crate::inspect::verify;
use crate::{BackupError, Disk, RealDisk, Store, StoreOptions};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(120);
const WAL_BYTES_MAX: usize = 256 << 10;
const TEXT_BYTES: usize = 4 << 10;

fn open(disk: RealDisk) -> Store {
    let wal_bytes_max = WAL_BYTES_MAX as u64;
    let options =
        StoreOptions { threads: true, wal_file_bytes: 64 << 10, wal_bytes_max, ..options() };
    Store::open(Arc::new(disk), options).expect("it opens").0
}

/// Commits so much; each is a record and a row that says the same.
fn write(store: &Store, bytes: usize) {
    for number in 0..bytes / TEXT_BYTES {
        let text = format!("{number} {}", "x".repeat(TEXT_BYTES));
        put(store, 0, &text).expect("committed");
    }
}

/// Tables take their first bytes only when they are let through.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock();
        state.0 = true;
        self.changed.notify_all();
        self.changed.wait_while(&mut state, |(_, is_open)| !*is_open);
    }

    fn await_reached(&self) {
        let mut state = self.state.lock();
        let waited =
            self.changed.wait_while_for(&mut state, |(is_reached, _)| !*is_reached, PATIENCE);
        assert!(!waited.timed_out(), "the tables are copied");
    }

    fn open(&self) {
        self.state.lock().1 = true;
        self.changed.notify_all();
    }
}

impl Layer for Gate {
    fn covers(&self, name: &str) -> bool {
        name.starts_with("tables.")
    }

    fn write_all_at(
        &self,
        file: &dyn File,
        parts: &mut [IoSlice<'_>],
        offset: u64,
    ) -> io::Result<()> {
        self.pass();
        file.write_all_at(parts, offset)
    }
}

#[test]
fn commits_and_checkpoints_go_on_while_a_slow_target_takes_the_tables() {
    let (folder, copy) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("one"));
    let store = open(RealDisk::new(folder.path()));
    write(&store, 2 * WAL_BYTES_MAX);
    let before = texts(&store, 0).expect("readable");
    let gate = Arc::<Gate>::default();
    let real = Arc::new(RealDisk::new(copy.path()));
    let target = Arc::new(LayeredDisk::new(real, Arc::clone(&gate)));
    let (went_on, report) = thread::scope(|scope| {
        let backup = scope.spawn(|| store.backup_to(target, 7, &mut |_| ControlFlow::Continue(())));
        gate.await_reached();
        let (writer, (sender, written)) = (store.clone(), mpsc::channel());
        thread::spawn(move || {
            // More than the log may hold: who writes it waits for checkpoints.
            write(&writer, 4 * WAL_BYTES_MAX);
            let _ = sender.send(());
        });
        let went_on = written.recv_timeout(PATIENCE);
        gate.open();
        (went_on, backup.join().expect("no panic").expect("it is made"))
    });
    went_on.expect("nobody waits for the target");
    assert_eq!(report.mark_ms, 7);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(copy.path()));
    let verdict = verify(&disk, &mut |_| ()).expect("readable");
    assert!(verdict.findings.is_empty(), "{:?}", verdict.findings);
    drop(disk);
    let restored = open(RealDisk::new(copy.path()));
    let found = texts(&restored, 0).expect("readable");
    assert!(found.len() >= before.len() && found[..before.len()] == before);
    // Of each commit both or neither.
    let last = found.last().expect("a record").clone();
    assert_eq!(rows(&restored), [("row 0".to_owned(), last)]);
    // The store that goes on has lost nothing.
    let all = texts(&store, 0).expect("readable");
    assert_eq!(all.len(), before.len() * 3);
}

#[test]
fn a_backup_that_is_broken_off_is_none() {
    let (folder, copy) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("one"));
    let store = open(RealDisk::new(folder.path()));
    write(&store, WAL_BYTES_MAX);
    let broken_off = store.backup(copy.path(), 7, &mut |_| ControlFlow::Break(()));
    assert!(matches!(broken_off, Err(BackupError::BrokenOff)), "{broken_off:?}");
    assert!(!copy.path().join("VERSION").exists(), "it is no backup");
    assert!(!copy.path().join("tables.redb").exists(), "it was heard at the first piece");
    write(&store, WAL_BYTES_MAX);
    fs::remove_dir_all(copy.path()).expect("it is ours");
    store.backup(copy.path(), 8, &mut |_| ControlFlow::Continue(())).expect("it is made");
    assert_eq!(texts(&open(RealDisk::new(copy.path())), 0).expect("readable").len(), 128);
}
