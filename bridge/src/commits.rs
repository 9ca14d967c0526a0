//! Waits for commits without holding a thread up. Never decides what is committed.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tidewire_store::{Commit, CommitError, Offsets, Outcome, Reply, Store};
use tokio::sync::oneshot;

type Answer = Result<Offsets, CommitError>;
type Then = Box<dyn FnOnce(Answer) + Send>;

/// Those who wait, by ticket.
#[derive(Default)]
pub(crate) struct Commits {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    waiting: HashMap<u64, Then>,
}

impl Commits {
    /// Hands a commit to the store, now. What it is answered is told on a thread of the store that
    /// others wait for: `then` notes it and returns.
    pub(crate) fn submit(self: &Arc<Self>, store: &Store, commit: Commit, then: Then) {
        let mut state = self.state.lock();
        state.next += 1;
        let ticket = state.next;
        state.waiting.insert(ticket, then);
        drop(state);
        store.submit(commit, Some((ticket, Arc::clone(self) as Arc<dyn Reply>)));
    }

    /// Hands a commit to the store, now; what it is answered can be waited for.
    pub(crate) async fn commit(self: &Arc<Self>, store: &Store, commit: Commit) -> Answer {
        let (tell, told) = oneshot::channel();
        let then = move |answer| {
            // Whoever does not wait any more does not want to know.
            let _ = tell.send(answer);
        };
        self.submit(store, commit, Box::new(then));
        told.await.unwrap_or(Err(CommitError::Closed))
    }
}

impl Reply for Commits {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        for Outcome { ticket, result, .. } in outcomes.drain(..) {
            let then = self.state.lock().waiting.remove(&ticket);
            if let Some(then) = then {
                then(result);
            }
        }
    }
}
