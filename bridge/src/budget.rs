//! The bytes that all connections together may hold: requests on their way in, answers to Fetch on
//! their way out. Counts, and never holds any of them itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// So many bytes of a request or an answer are not counted: every connection may hold them.
pub(crate) const FREE_BYTES: usize = 64 << 10;

/// So many and no more. Whoever comes first is served first.
pub(crate) struct Budget {
    left: Arc<Semaphore>,
    all: u32,
    waiting: AtomicUsize,
}

/// Somebody's part of it, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Share(Option<OwnedSemaphorePermit>);

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let all = u32::try_from(bytes.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let left = Arc::new(Semaphore::new(all as usize));
        Self { left, all, waiting: AtomicUsize::new(0) }
    }

    /// A part of so many bytes, once there is one; all there is if that is less.
    pub(crate) async fn take(&self, bytes: usize) -> Share {
        if bytes <= FREE_BYTES {
            return Share::default();
        }
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.all);
        if let Ok(part) = Arc::clone(&self.left).try_acquire_many_owned(wanted) {
            return Share(Some(part));
        }
        let _line = Line::join(&self.waiting);
        // It is never closed.
        Share(Arc::clone(&self.left).acquire_many_owned(wanted).await.ok())
    }

    /// The same for whoever does not wait long.
    pub(crate) async fn take_within(&self, bytes: usize, patience: Duration) -> Option<Share> {
        timeout(patience, self.take(bytes)).await.ok()
    }

    /// Whether somebody waits for a part.
    pub(crate) fn is_short(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

impl Share {
    /// Whether it is a part at all.
    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Gives back what is more than so many bytes.
    pub(crate) fn keep(&mut self, bytes: usize) {
        if bytes <= FREE_BYTES {
            self.0 = None;
        }
        let Some(part) = &mut self.0 else { return };
        drop(part.split(part.num_permits().saturating_sub(bytes)));
    }
}

/// Somebody waits.
struct Line<'a>(&'a AtomicUsize);

impl<'a> Line<'a> {
    fn join(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::{Budget, FREE_BYTES, Share};

    const MIB: usize = 1 << 20;

    fn now(taken: impl Future<Output = Share>) -> Option<Share> {
        match pin!(taken).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(share) => Some(share),
            Poll::Pending => None,
        }
    }

    #[test]
    fn there_is_no_more_than_there_is_and_what_is_given_back_goes_to_who_waits() {
        let budget = Budget::new(10 * MIB);
        let first = now(budget.take(6 * MIB)).expect("there is room");
        assert!(now(budget.take(5 * MIB)).is_none());
        let mut second = now(budget.take(4 * MIB)).expect("it just fits");
        assert!(now(budget.take(FREE_BYTES)).is_some_and(|share| !share.is_some()), "never waits");
        let mut cx = Context::from_waker(Waker::noop());
        let mut waits = Box::pin(budget.take(5 * MIB));
        assert!(waits.as_mut().poll(&mut cx).is_pending() && budget.is_short());
        second.keep(MIB);
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        drop(first);
        assert!(waits.as_mut().poll(&mut cx).is_ready() && !budget.is_short());
        drop(waits);
        drop(second);
        let all = now(budget.take(1000 * MIB)).expect("all there is");
        drop(Box::pin(budget.take(MIB)));
        assert!(all.is_some() && !budget.is_short(), "who goes does not wait");
    }

    #[test]
    fn whoever_does_not_wait_long_goes_without() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let budget = Budget::new(MIB);
            let share = budget.take(MIB).await;
            assert!(budget.take_within(MIB, Duration::ZERO).await.is_none());
            drop(share);
            assert!(budget.take_within(MIB, Duration::ZERO).await.is_some());
        });
    }
}
