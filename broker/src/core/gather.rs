//! When many slow devices speak, each message wakes the thread of a core for itself alone, and
//! waking it costs more than serving it. So it pauses before it looks for more: then several are
//! there, for one turn, one commit and one write to each reader. Who awaits an answer before it
//! speaks again is never kept waiting for long: those that speak often end the pauses.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Who was silent for so long is slow: a pause is a small part of its time.
const SLOW_MS: i64 = 10;
/// Times a second that slow ones must speak for pauses to pay.
const SLOW_PER_S_MIN: u32 = 8_000;
/// The clock is asked once in so many waits where there are no pauses.
const WAITS_PER_LOOK: u32 = 16;
/// What came in less time says nothing of what comes.
const LOOK_MIN: Duration = Duration::from_millis(20);

/// Counts who speaks, and pauses. One thread uses it; it is shared because the runtime asks for
/// that.
#[derive(Debug)]
pub(crate) struct Gather {
    pause: Duration,
    slow: AtomicU32,
    quick: AtomicU32,
    waits: AtomicU32,
    is_on: AtomicBool,
    since: Mutex<Instant>,
}

impl Default for Gather {
    fn default() -> Self {
        Self::new(Duration::ZERO)
    }
}

impl Gather {
    /// With pauses of this length; zero: with none.
    pub(crate) fn new(pause: Duration) -> Self {
        Self {
            pause,
            slow: AtomicU32::new(0),
            quick: AtomicU32::new(0),
            waits: AtomicU32::new(0),
            is_on: AtomicBool::new(false),
            since: Mutex::new(Instant::now()),
        }
    }

    /// A client was read after so long a silence.
    pub(crate) fn on_read(&self, silence_ms: i64) {
        let counter = if silence_ms >= SLOW_MS { &self.slow } else { &self.quick };
        add(counter);
    }

    /// The thread has nothing to do and is about to wait.
    pub(crate) fn pause(&self) {
        if self.pause.is_zero() {
            return;
        }
        let is_on = self.is_on.load(Ordering::Relaxed);
        if is_on || add(&self.waits).is_multiple_of(WAITS_PER_LOOK) {
            self.look(Instant::now());
        }
        if self.is_on.load(Ordering::Relaxed) {
            std::thread::sleep(self.pause);
        }
    }

    /// Decides anew, if enough time went by.
    fn look(&self, now: Instant) {
        let mut since = self.since.lock();
        let gone = now.saturating_duration_since(*since);
        if gone < LOOK_MIN {
            return;
        }
        *since = now;
        let slow = self.slow.swap(0, Ordering::Relaxed);
        let quick = self.quick.swap(0, Ordering::Relaxed);
        let pays = f64::from(slow) >= f64::from(SLOW_PER_S_MIN) * gone.as_secs_f64();
        self.is_on.store(pays && slow >= quick, Ordering::Relaxed);
    }
}

/// Only one thread writes it: no need for an operation that others could come between.
fn add(counter: &AtomicU32) -> u32 {
    let next = counter.load(Ordering::Relaxed).wrapping_add(1);
    counter.store(next, Ordering::Relaxed);
    next
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    use super::{Gather, LOOK_MIN, SLOW_MS};

    /// Whether it pauses after a tenth of a second of such reads.
    fn check(slow: u32, quick: u32) -> bool {
        let gather = Gather::new(Duration::from_micros(1));
        let begin = Instant::now();
        gather.look(begin + LOOK_MIN);
        (0..slow).for_each(|_| gather.on_read(SLOW_MS));
        (0..quick).for_each(|_| gather.on_read(SLOW_MS - 1));
        gather.look(begin + LOOK_MIN + Duration::from_millis(100));
        gather.is_on.load(Ordering::Relaxed)
    }

    #[test]
    fn only_many_slow_publishers_are_gathered() {
        assert!(check(2_000, 0), "a thousand devices");
        assert!(check(2_000, 1_900), "with a reader that acknowledges each message");
        assert!(!check(500, 0), "not many");
        assert!(!check(2_000, 2_100), "some that await an answer before they speak again");
        assert!(!check(0, 100_000), "those alone");
    }

    #[test]
    fn pauses_end_when_it_becomes_quiet() {
        let gather = Gather::new(Duration::from_micros(1));
        let begin = Instant::now();
        (0..1_000).for_each(|_| gather.on_read(SLOW_MS));
        gather.look(begin + LOOK_MIN * 2);
        assert!(gather.is_on.load(Ordering::Relaxed));
        gather.look(begin + LOOK_MIN * 4);
        assert!(!gather.is_on.load(Ordering::Relaxed));
    }
}
