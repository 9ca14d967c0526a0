//! How long to wait before a bridge is tried again. Pure: the random number is handed in.

use std::time::Duration;

/// Who ran for so long had nothing to do with the failure before.
const STEADY: Duration = Duration::from_secs(10);

/// The shortest and the longest wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Before the first try.
    pub min: Duration,
    /// However often it failed.
    pub max: Duration,
}

/// Waits that double with each failure.
#[derive(Debug)]
pub(crate) struct Backoff {
    retry: Retry,
    next: Duration,
}

impl Backoff {
    /// Nothing has failed yet.
    pub(crate) fn new(retry: Retry) -> Self {
        Self { retry, next: retry.min }
    }

    /// It failed again after it had run for so long. `random` spreads those that failed together:
    /// the wait is between half of its length and all of it.
    pub(crate) fn failed(&mut self, ran: Duration, random: u32) -> Duration {
        if ran >= STEADY {
            self.next = self.retry.min;
        }
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.retry.max);
        let half = wait / 2;
        let part = f64::from(random) / f64::from(u32::MAX);
        half + half.mul_f64(part)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, Retry};

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_after_a_good_run() {
        let mut backoff = Backoff::new(Retry { min: ms(100), max: ms(500) });
        for (ran, random, expected) in [
            (0, u32::MAX, 100),
            (9_000, u32::MAX, 200),
            (0, 0, 200),
            (0, u32::MAX, 500),
            (0, 0, 250),
            (10_000, u32::MAX, 100),
            (0, 0, 100),
        ] {
            assert_eq!(backoff.failed(ms(ran), random), ms(expected), "{ran} {random}");
        }
    }
}
