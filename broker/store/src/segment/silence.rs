//! Segments of which nothing can be read, too small to tell bad sectors from a disk that does not
//! answer. Owns since when each is silent; never reads one, nor a clock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;

use super::kept::Key;

/// A disk that does not answer for so long is taken for one that never will. The time is told
/// every half a minute: it is no less than half of this.
const BELIEVED_AFTER_MS: i64 = 60_000;
/// Whoever needs a segment asks again sooner: what comes after is another failure.
const FORGOTTEN_AFTER_MS: i64 = 300_000;

/// When each was asked in vain, first and last.
#[derive(Debug, Default)]
pub(super) struct Silence {
    now_ms: AtomicI64,
    asked: Mutex<HashMap<Key, (i64, i64)>>,
}

impl Silence {
    pub(super) fn set_now(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
    }

    /// It was asked in vain once more. Is that for good?
    pub(super) fn is_believed(&self, key: Key) -> bool {
        let now_ms = self.now_ms.load(Ordering::Relaxed);
        let mut asked = self.asked.lock();
        let (first, last) = asked.entry(key).or_insert((now_ms, now_ms));
        if now_ms.saturating_sub(*last) > FORGOTTEN_AFTER_MS {
            *first = now_ms;
        }
        *last = now_ms;
        now_ms.saturating_sub(*first) >= BELIEVED_AFTER_MS
    }

    /// It answered.
    pub(super) fn end(&self, key: Key) {
        self.asked.lock().remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PartitionId;

    use super::Silence;

    #[test]
    fn a_silence_is_believed_when_it_lasts_and_not_when_it_is_one_of_many() {
        let silence = Silence::default();
        let key = |base| (PartitionId(0), base, 0);
        let asked = |base, seconds: i64| {
            silence.set_now(1_000_000 + seconds * 1_000);
            silence.is_believed(key(base))
        };
        assert!(!asked(0, 0) && !asked(0, 59) && asked(0, 60) && asked(0, 61));
        assert!(!asked(1, 61), "of another segment nothing is known");
        silence.end(key(0));
        assert!(!asked(0, 62), "it had answered");
        assert!(!asked(0, 400) && asked(0, 460), "that was long ago");
    }
}
