//! Waits for commits without holding a thread up. Never decides what is committed.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tidewire_store::{Commit, CommitError, Offsets, Outcome, Reply, Store};
use tokio::sync::oneshot;

type Answer = Result<Offsets, CommitError>;

/// Those who wait, by ticket.
#[derive(Default)]
pub(crate) struct Commits {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
}

/// A commit on its way.
pub(crate) struct Pending(oneshot::Receiver<Answer>);

impl Commits {
    /// Hands a commit to the store, now; what it is answered can be waited for.
    pub(crate) fn submit(self: &Arc<Self>, store: &Store, commit: Commit) -> Pending {
        let (ticket, pending) = self.ticket();
        store.submit(commit, Some((ticket, Arc::clone(self) as Arc<dyn Reply>)));
        pending
    }

    fn ticket(&self) -> (u64, Pending) {
        let (tell, told) = oneshot::channel();
        let mut state = self.state.lock();
        state.next += 1;
        let ticket = state.next;
        state.waiting.insert(ticket, tell);
        (ticket, Pending(told))
    }
}

impl Pending {
    /// Durable as its streams ask for, with the base offset of each append; or refused.
    pub(crate) async fn outcome(self) -> Result<Offsets, CommitError> {
        self.0.await.unwrap_or(Err(CommitError::Closed))
    }
}

impl Reply for Commits {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        let mut state = self.state.lock();
        for Outcome { ticket, result, .. } in outcomes.drain(..) {
            if let Some(tell) = state.waiting.remove(&ticket) {
                // Whoever does not wait any more does not want to know.
                let _ = tell.send(result);
            }
        }
    }
}
