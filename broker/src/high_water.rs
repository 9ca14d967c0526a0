//! How many there are of something, and how many there were at most: counted when one comes or
//! goes, so that the most is known however short it was. Knows nothing of what it counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many are there, and were at most.
#[derive(Debug, Default)]
pub(crate) struct HighWater {
    now: AtomicU64,
    most: AtomicU64,
}

impl HighWater {
    /// One more, until it is let go.
    pub(crate) fn come(self: &Arc<Self>) -> Present {
        self.note(self.now.fetch_add(1, Ordering::Relaxed) + 1);
        Present(Arc::clone(self))
    }

    /// There are so many, as somebody else counts them.
    pub(crate) fn note(&self, now: u64) {
        // Mostly there were more once: then nothing is written that others read.
        if now > self.most.load(Ordering::Relaxed) {
            self.most.fetch_max(now, Ordering::Relaxed);
        }
    }

    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

/// One that is counted.
#[derive(Debug)]
pub(crate) struct Present(Arc<HighWater>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::HighWater;

    #[test]
    fn the_most_that_were_there_at_once_stay_known() {
        let clients = Arc::<HighWater>::default();
        drop([(); 3].map(|()| clients.come()));
        let _one = clients.come();
        assert_eq!(clients.most(), 3);
        clients.note(7);
        clients.note(2);
        assert_eq!(clients.most(), 7);
    }
}
