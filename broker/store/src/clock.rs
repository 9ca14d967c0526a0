//! The one place where the store asks for the time: to say how long something took, never to
//! decide anything.

use std::time::{Duration, Instant};

/// Measures from when it is made.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
