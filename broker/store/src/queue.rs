//! Commits on their way to the writer. One lock and at most one wake per submission; bounded by
//! what callers heed, and measured in bytes.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::commit::{Commit, CommitError, Outcome, ReplyTo};
use crate::frame::commit_bytes;

/// A commit that waits.
pub(crate) struct Queued {
    pub(crate) commit: Commit,
    /// What it takes in a frame.
    pub(crate) bytes: u64,
    pub(crate) reply: ReplyTo,
    /// From the store itself, which may change the table of streams.
    pub(crate) internal: bool,
    /// Why the rest of it is refused: only what stays is left.
    pub(crate) refused: Option<CommitError>,
}

impl Queued {
    /// Whether all of it is rows that stay, or of the store itself.
    pub(crate) fn may_use_reserve(&self) -> bool {
        let Commit { appends, changes } = &self.commit;
        appends.is_empty() && (self.internal || changes.iter().all(|change| change.stays))
    }

    /// The rest is refused: what stays is left, if the reason lets it be tried. Answers how many
    /// bytes it is smaller now.
    pub(crate) fn refuse_the_rest(&mut self, error: &CommitError) -> Option<u64> {
        let is_final = matches!(error, CommitError::Failed(_) | CommitError::Closed);
        if is_final || self.refused.is_some() {
            return None;
        }
        self.commit.leave_what_stays();
        self.refused = Some(error.clone());
        let before = mem::replace(&mut self.bytes, commit_bytes(&self.commit));
        Some(before - self.bytes)
    }
}

/// The queue in front of the writer.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    backlog: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Queued>,
    sleeping: bool,
    closed: bool,
}

impl Queue {
    pub(crate) fn submit(&self, commit: Commit, reply: ReplyTo, internal: bool) {
        let bytes = commit_bytes(&commit);
        self.push(Queued { commit, bytes, reply, internal, refused: None });
    }

    /// A commit of which only what stays is to be written, because the rest is refused.
    pub(crate) fn submit_what_stays(&self, mut commit: Commit, reply: ReplyTo, why: CommitError) {
        commit.leave_what_stays();
        let bytes = commit_bytes(&commit);
        self.push(Queued { commit, bytes, reply, internal: false, refused: Some(why) });
    }

    fn push(&self, queued: Queued) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            if let Some((ticket, reply)) = queued.reply {
                reply.committed(&mut vec![Outcome::refused(ticket, CommitError::Closed)]);
            }
            return;
        }
        self.backlog.fetch_add(queued.bytes, Ordering::Relaxed);
        state.waiting.push_back(queued);
        let wake = mem::take(&mut state.sleeping);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Nothing waits to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().waiting.is_empty()
    }

    /// Bytes submitted and not yet answered.
    pub(crate) fn backlog_bytes(&self) -> u64 {
        self.backlog.load(Ordering::Relaxed)
    }

    /// The writer answered this much.
    pub(crate) fn done(&self, bytes: u64) {
        self.backlog.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Refuse from now on; what waits is still done.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_one();
    }

    /// All that waits, as soon as there is any; false when closed and empty. `taken` is empty.
    pub(crate) fn take(&self, taken: &mut VecDeque<Queued>) -> bool {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return false;
            }
            state.sleeping = true;
            self.arrived.wait(&mut state);
        }
        mem::swap(&mut state.waiting, taken);
        true
    }

    /// All that waits now.
    pub(crate) fn take_now(&self, taken: &mut VecDeque<Queued>) {
        mem::swap(&mut self.state.lock().waiting, taken);
    }
}
