//! What is known of one bridge from outside of its task. Changes nothing but what is shown.

use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;

use crate::bridges::counts::{Counting, Event};
use crate::bridges::status::{Lag, State, Status, Trouble};
use crate::time::now_ms;

/// One bridge as it is shown.
pub(crate) struct Board {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) counting: Counting,
    shown: Mutex<Shown>,
}

struct Shown {
    state: State,
    since_ms: i64,
    peer: Option<String>,
    lag: Lag,
    last_error: Option<Trouble>,
    positions: Vec<(PartitionId, u64)>,
}

impl Board {
    pub(crate) fn new(name: String, kind: &'static str, counting: Counting) -> Self {
        let shown = Mutex::new(Shown {
            state: State::Starting,
            since_ms: now_ms(),
            peer: None,
            lag: Lag::default(),
            last_error: None,
            positions: Vec::new(),
        });
        Self { name, kind, counting, shown }
    }

    pub(crate) fn status(&self) -> Status {
        let shown = self.shown.lock();
        Status {
            name: self.name.clone(),
            kind: self.kind,
            state: shown.state,
            since_ms: shown.since_ms,
            peer: shown.peer.clone(),
            lag: shown.lag,
            last_error: shown.last_error.clone(),
            counts: self.counting.now(),
        }
    }

    pub(crate) fn set_state(&self, state: State, peer: Option<String>) {
        let mut shown = self.shown.lock();
        if shown.state != state {
            shown.since_ms = now_ms();
        }
        (shown.state, shown.peer) = (state, peer);
        drop(shown);
        self.counting.show_running(state == State::Running);
    }

    /// Something went wrong.
    pub(crate) fn trouble(&self, words: String) {
        self.shown.lock().last_error = Some(Trouble { words, at_ms: now_ms() });
    }

    pub(crate) fn count(&self, event: Event, count: u64) {
        self.counting.add(event, count);
    }

    /// What lies before these offsets is done with.
    pub(crate) fn set_positions(&self, positions: Vec<(PartitionId, u64)>) {
        self.shown.lock().positions = positions;
    }

    pub(crate) fn positions(&self) -> Vec<(PartitionId, u64)> {
        self.shown.lock().positions.clone()
    }

    pub(crate) fn set_lag(&self, lag: Lag) {
        self.shown.lock().lag = lag;
        self.counting.show_lag(lag.messages, lag.seconds, lag.loses_in_s);
    }
}
