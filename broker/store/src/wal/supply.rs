//! Keeps one write-ahead log file ready ahead of the writer. Owns which files are ready or spare;
//! never which are still needed.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::file::WalFile;
use crate::background;
use crate::disk::{Disk, NO_FILE_TO_OPEN};

/// More checkpointed files than this are removed: they are space.
const SPARES_MAX: usize = 2;
/// The first file that is made is only this large, and each after it so many times larger, until
/// they have their size: a store opens before a large file could be made.
const FIRST_BYTES: u64 = 1 << 20;
const GROWTH: u64 = 8;
/// How often a full disk is tried again.
const FULL_RETRY: Duration = Duration::from_millis(500);

/// Why there is no next file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoFile {
    /// No room, or the checkpoint lags for lack of room. May pass.
    Full,
    /// The disk failed. Does not pass.
    Failed(Arc<str>),
    /// The store is closing.
    Closed,
}

/// Hands files to the writer and takes them back from the checkpointer.
#[derive(Debug)]
pub(crate) struct Supply {
    disk: Arc<dyn Disk>,
    file_bytes: u64,
    live_max: usize,
    threads: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    next_epoch: u64,
    /// The size of the next file that is made.
    next_bytes: u64,
    ready: Option<Arc<WalFile>>,
    spare: Vec<Arc<WalFile>>,
    /// Files handed out and not yet returned.
    live: usize,
    /// The checkpointer finds no room: files will not come back for now.
    stalled: bool,
    full: bool,
    failed: Option<Arc<str>>,
    closing: bool,
}

impl Supply {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        file_bytes: u64,
        live_max: usize,
        threads: bool,
    ) -> Self {
        let state = State {
            next_epoch: 1,
            next_bytes: first_bytes(file_bytes),
            ready: None,
            spare: Vec::new(),
            live: 0,
            stalled: false,
            full: false,
            failed: None,
            closing: false,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Self { disk, file_bytes, live_max, threads, state, changed }
    }

    /// What recovery found: the number for the next file, how many files still hold what is not
    /// checkpointed, one that is ready and those that are spare.
    pub(crate) fn resume(
        &self,
        next_epoch: u64,
        live: usize,
        ready: Option<Arc<WalFile>>,
        spare: Vec<Arc<WalFile>>,
    ) {
        let mut state = self.state.lock();
        state.next_epoch = next_epoch;
        state.live = live;
        state.ready = ready;
        for file in spare {
            self.keep_or_remove(&mut state, file);
        }
    }

    /// The next file. Waits while one is being prepared and while the checkpoint lags: that is
    /// the back-pressure.
    pub(crate) fn take(&self) -> Result<Arc<WalFile>, NoFile> {
        if !self.threads {
            self.prepare();
        }
        let mut state = self.state.lock();
        loop {
            if let Some(reason) = &state.failed {
                return Err(NoFile::Failed(Arc::clone(reason)));
            }
            let lags = state.live >= self.live_max;
            if let Some(file) = state.ready.take_if(|_| !lags) {
                state.live += 1;
                self.changed.notify_all();
                return Ok(file);
            }
            if state.full || (lags && (state.stalled || !self.threads)) {
                return Err(NoFile::Full);
            }
            if state.closing {
                return Err(NoFile::Closed);
            }
            self.changed.wait(&mut state);
        }
    }

    /// Like [`take`](Self::take), but only if there is one right now.
    pub(crate) fn take_ready(&self) -> Option<Arc<WalFile>> {
        if !self.threads {
            self.prepare();
        }
        let mut state = self.state.lock();
        let lags = state.live >= self.live_max;
        let file = state.ready.take_if(|_| !lags)?;
        state.live += 1;
        self.changed.notify_all();
        Some(file)
    }

    /// The checkpoint holds all that is in `file`.
    pub(crate) fn give_back(&self, file: Arc<WalFile>) {
        let mut state = self.state.lock();
        state.live = state.live.saturating_sub(1);
        self.keep_or_remove(&mut state, file);
        self.changed.notify_all();
    }

    /// Whether the checkpointer lacks room.
    pub(crate) fn set_stalled(&self, stalled: bool) {
        self.state.lock().stalled = stalled;
        self.changed.notify_all();
    }

    /// The disk failed elsewhere: no file comes from here either.
    pub(crate) fn fail(&self, reason: Arc<str>) {
        self.state.lock().failed.get_or_insert(reason);
        self.changed.notify_all();
    }

    /// Nobody waits for a file any more.
    pub(crate) fn close(&self) {
        self.state.lock().closing = true;
        self.changed.notify_all();
    }

    /// The helper thread: prepares a file whenever none is ready.
    pub(crate) fn run(&self) {
        background::step_back();
        let mut state = self.state.lock();
        while !state.closing && state.failed.is_none() {
            if state.ready.is_some() {
                self.changed.wait(&mut state);
                continue;
            }
            drop(state);
            self.prepare();
            state = self.state.lock();
            if state.full && !state.closing {
                self.changed.wait_for(&mut state, FULL_RETRY);
            }
        }
    }

    /// Make the next file ready, from a spare one that nobody reads or from nothing.
    pub(crate) fn prepare(&self) {
        let (epoch, bytes, spare) = {
            let mut state = self.state.lock();
            if state.ready.is_some() || state.failed.is_some() {
                return;
            }
            let unread = |file: &Arc<WalFile>| Arc::strong_count(file) == 1;
            let usable = state.spare.iter().position(unread);
            (state.next_epoch, state.next_bytes, usable.map(|index| state.spare.remove(index)))
        };
        let made = match &spare {
            Some(file) => file.recycle(&*self.disk, epoch),
            None => WalFile::create(&*self.disk, epoch, bytes),
        };
        let mut state = self.state.lock();
        match made {
            Ok(file) => {
                if spare.is_none() {
                    state.next_bytes = (bytes * GROWTH).min(self.file_bytes);
                }
                state.ready = Some(Arc::new(file));
                state.next_epoch = epoch + 1;
                state.full = false;
            }
            Err(error) if passes(&error) => {
                if !is_full(&error) {
                    tracing::warn!(%error, "no write-ahead log file can be made now");
                }
                state.full = true;
            }
            Err(error) => state.failed = Some(format!("write-ahead log: {error}").into()),
        }
        self.changed.notify_all();
    }

    fn keep_or_remove(&self, state: &mut State, file: Arc<WalFile>) {
        if state.spare.len() < SPARES_MAX && file.bytes == self.file_bytes {
            state.spare.push(file);
        } else if let Err(error) = self.disk.remove(&file.name()) {
            tracing::warn!(file = file.name(), %error, "a write-ahead log file stays behind");
        }
    }
}

/// The size of the first file that is made, where all others have `file_bytes`.
pub(crate) fn first_bytes(file_bytes: u64) -> u64 {
    FIRST_BYTES.min(file_bytes)
}

/// Trying again may help, and nothing is lost by it: no room, or no open file to be had. Never
/// ask of what a sync failed with: what that should have kept is lost.
pub(crate) fn passes(error: &io::Error) -> bool {
    is_full(error) || error.kind() == NO_FILE_TO_OPEN
}

/// No room, as opposed to a broken disk.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
