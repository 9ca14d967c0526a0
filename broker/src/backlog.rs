//! How many bytes of one kind are kept of all connections together: what waits for their sockets,
//! or what came of packets that are not whole. Never decides what becomes of who has too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of all of them.
#[derive(Debug)]
pub(crate) struct Backlog {
    max: AtomicUsize,
    bytes: AtomicUsize,
}

impl Backlog {
    pub(crate) fn new(max: u64) -> Arc<Self> {
        let all = Self { max: AtomicUsize::new(0), bytes: AtomicUsize::new(0) };
        all.set_max(max);
        Arc::new(all)
    }

    /// There may be so many from now on; what is kept stays.
    pub(crate) fn set_max(&self, max: u64) {
        self.max.store(usize::try_from(max).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// Whether there is more than there may be, with so many that are not counted yet.
    pub(crate) fn is_over(&self, more: usize) -> bool {
        self.bytes.load(Ordering::Relaxed).saturating_add(more) > self.max()
    }

    /// How much there may be.
    pub(crate) fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }
}

/// Of one of them, as long as it is held.
#[derive(Debug)]
pub(crate) struct Held {
    all: Arc<Backlog>,
    bytes: usize,
}

impl Held {
    /// Of somebody of whom nothing is kept yet.
    pub(crate) fn of(all: &Arc<Backlog>) -> Self {
        Self { all: Arc::clone(all), bytes: 0 }
    }

    /// So many are kept now.
    pub(crate) fn set(&mut self, bytes: usize) {
        // Those who keep up have none, before and after.
        if bytes == self.bytes {
            return;
        }
        self.all.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.all.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    /// How many are.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Backlog, Held};

    #[test]
    fn what_is_kept_of_all_is_what_is_kept_of_each() {
        let all = Backlog::new(100);
        let (mut one, mut two) = (Held::of(&all), Held::of(&all));
        one.set(60);
        two.set(40);
        assert!(!all.is_over(0) && all.is_over(1));
        two.set(41);
        assert!(all.is_over(0));
        one.set(10);
        assert!(!all.is_over(49) && all.is_over(50));
        drop(one);
        two.set(100);
        assert!(!all.is_over(0) && all.is_over(1));
        drop(two);
        assert!(!all.is_over(100));
        all.set_max(99);
        assert!(all.is_over(100) && !all.is_over(99));
    }
}
