//! How long a peer may take for an answer. Knows no socket.

use std::time::Duration;

use tokio::time::Instant;

/// The least that a peer takes of an answer in the time that it has: whoever takes a byte now and
/// then would hold the answer, and its connection, for days.
const LEAST_BYTES: usize = 64 << 10;

/// For one answer.
pub(super) struct Patience {
    each: Duration,
    until: Instant,
    /// So many bytes more, and it has as long again.
    missing: usize,
}

impl Patience {
    pub(super) fn new(each: Duration, now: Instant) -> Self {
        Self { each, until: now + each, missing: LEAST_BYTES }
    }

    /// When it is over.
    pub(super) const fn until(&self) -> Instant {
        self.until
    }

    /// The peer took so many bytes.
    pub(super) fn took(&mut self, bytes: usize, now: Instant) {
        match self.missing.checked_sub(bytes) {
            Some(missing) if missing > 0 => self.missing = missing,
            _ => *self = Self::new(self.each, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{LEAST_BYTES, Patience};

    /// How many seconds a peer is borne with that takes so many bytes a second, at most so many.
    fn borne(bytes: usize, most: u64) -> u64 {
        let began = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(30), began);
        let after = |second| began + Duration::from_secs(second);
        for second in 1..=most {
            if after(second) > patience.until() {
                return second - 1;
            }
            patience.took(bytes, after(second));
        }
        most
    }

    #[test]
    fn who_takes_a_byte_now_and_then_is_let_go_and_who_is_slow_is_not() {
        for (bytes, expected) in [
            (0, 30),
            (1, 30),
            (LEAST_BYTES / 31, 30),
            (LEAST_BYTES.div_ceil(30), 3_600),
            (LEAST_BYTES, 3_600),
            (usize::MAX, 3_600),
        ] {
            assert_eq!(borne(bytes, 3_600), expected, "{bytes} bytes a second");
        }
    }
}
