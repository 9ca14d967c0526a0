//! How a bridge is: what is shown to people and to programs. Plain data.

use std::fmt;

use crate::bridges::counts::Counts;
use crate::lag::Lag;

/// What a bridge is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is about to begin.
    Starting,
    /// It looks for the other side.
    Connecting,
    /// Messages move.
    Running,
    /// It was told to rest; what it has not read is held for it.
    Paused,
    /// It failed, and is tried again at this time, in milliseconds since 1970.
    Waiting {
        /// When.
        until_ms: i64,
    },
    /// It was told to stop: nothing is held for it.
    Stopped,
    /// It failed in a way that trying again does not mend: it waits for an order.
    Failed,
}

impl State {
    /// One word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Connecting => "connecting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Waiting { .. } => "waiting",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What, in words.
    pub words: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// How a bridge is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// What it is: `link`, `export`, `import`.
    pub kind: &'static str,
    /// What it does.
    pub state: State,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
    /// Where it is connected to, if it is.
    pub peer: Option<String>,
    /// How far it is behind.
    pub lag: Lag,
    /// What went wrong last; it may be over.
    pub last_error: Option<Trouble>,
    /// What it has done since the broker started.
    pub counts: Counts,
}
