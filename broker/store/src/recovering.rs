//! How far opening the store is, for who waits for it. Decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::progress::Progress;

/// How far the write-ahead log has been read again; may be asked from any thread.
#[derive(Debug, Default)]
pub struct Recovering {
    done: AtomicU64,
    total: AtomicU64,
}

impl Recovering {
    /// Bytes that were read, of all that are to be; 0 of 0 before that is known.
    pub fn progress(&self) -> Progress {
        // Read first: it never is above a total that is read later.
        let done = self.done.load(Ordering::Acquire);
        Progress { done, total: self.total.load(Ordering::Acquire) }
    }

    /// So much is to be read.
    pub(crate) fn begin(&self, total: u64) {
        self.total.store(total, Ordering::Release);
    }

    /// So much of it was.
    pub(crate) fn reached(&self, done: u64) {
        let total = self.total.load(Ordering::Relaxed);
        self.done.store(done.min(total), Ordering::Release);
    }

    /// The end of the log was found: what is left of its last file holds nothing.
    pub(crate) fn end(&self) {
        self.done.store(self.total.load(Ordering::Relaxed), Ordering::Release);
    }
}
