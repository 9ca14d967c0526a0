//! What is known of one bridge from outside of its task. Changes nothing but what is shown.

use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;

use crate::bridges::counts::{Counting, Event};
use crate::bridges::status::{State, Status, Trouble};
use crate::lag::Lag;
use crate::time::now_ms;

/// What is told of in one second; the rest is counted.
const TOLD_PER_S_MAX: u32 = 20;
/// The longest words: the other side may choose them.
const WORDS_BYTES_MAX: usize = 1_000;

/// How far who reads elsewhere is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) messages: u64,
    /// Since when, in milliseconds since 1970, if it is.
    pub(crate) since_ms: Option<i64>,
}

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
    /// The second in which it was told of last, how often in it, and how often it was left out.
    told: (i64, u32, u64),
    positions: Vec<(PartitionId, u64)>,
    elsewhere: Option<Behind>,
    /// It is to be no more.
    is_gone: bool,
}

impl Board {
    pub(crate) fn new(name: String, kind: &'static str, counting: Counting) -> Self {
        let shown = Mutex::new(Shown {
            state: State::Starting,
            since_ms: now_ms(),
            peer: None,
            lag: Lag::default(),
            last_error: None,
            told: (0, 0, 0),
            positions: Vec::new(),
            elsewhere: None,
            is_gone: false,
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
        if !shown.is_gone {
            self.counting.show_running(state == State::Running);
        }
    }

    /// It is to be no more: nothing of it moves, and nothing is behind. What is said of it later
    /// is not shown: another of its name may be there by then.
    pub(crate) fn show_gone(&self) {
        let mut shown = self.shown.lock();
        shown.is_gone = true;
        self.counting.show_running(false);
        self.counting.show_lag(0, 0, None);
    }

    /// Something went wrong. It is in the log, unless as much has been there in this second as
    /// anybody would read: the other side can bring it about at will.
    pub(crate) fn trouble(&self, words: &str) {
        let words = &words[..words.floor_char_boundary(WORDS_BYTES_MAX)];
        let (at_ms, bridge) = (now_ms(), &self.name);
        let mut shown = self.shown.lock();
        shown.last_error = Some(Trouble { words: words.into(), at_ms });
        let (second, told, untold) = shown.told;
        let (told, left_out) = if second == at_ms / 1000 { (told, 0) } else { (0, untold) };
        let untold = untold - left_out;
        let may_tell = told < TOLD_PER_S_MAX;
        let more = if may_tell { (told + 1, untold) } else { (told, untold + 1) };
        shown.told = (at_ms / 1000, more.0, more.1);
        drop(shown);
        if left_out > 0 {
            tracing::warn!(bridge, left_out, "more such words were left out");
        }
        if may_tell {
            tracing::warn!(bridge, "{words}");
        }
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

    /// It is behind what lies elsewhere.
    pub(crate) fn set_behind(&self, behind: Behind) {
        self.shown.lock().elsewhere = Some(behind);
    }

    /// How far it is behind what lies elsewhere, if that is what it reads.
    pub(crate) fn behind(&self) -> Option<Behind> {
        self.shown.lock().elsewhere
    }

    pub(crate) fn set_lag(&self, lag: Lag) {
        let mut shown = self.shown.lock();
        shown.lag = lag;
        if !shown.is_gone {
            self.counting.show_lag(lag.messages, lag.seconds, lag.loses_in_s);
        }
    }
}
