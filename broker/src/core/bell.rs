//! Wakes the one task that waits for it, on the thread that rings: no lock, and nothing in the task
//! that waits. Heard once, however often it was rung.

use std::cell::Cell;
use std::task::{Context, Poll, Waker};

/// A bell with one listener at most: of two the last is woken.
#[derive(Default)]
pub(crate) struct Bell {
    is_rung: Cell<bool>,
    listener: Cell<Option<Waker>>,
}

impl Bell {
    /// Whoever listens, or will, is woken.
    pub(crate) fn ring(&self) {
        self.is_rung.set(true);
        if let Some(listener) = self.listener.take() {
            listener.wake();
        }
    }

    /// Ready when it was rung since it was last heard.
    pub(crate) fn poll_heard(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_rung.take() {
            return Poll::Ready(());
        }
        let known = self.listener.take().filter(|known| known.will_wake(context.waker()));
        self.listener.set(Some(known.unwrap_or_else(|| context.waker().clone())));
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake};

    use super::Bell;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_wakes_who_listens_and_is_heard_once_also_by_who_comes_later() {
        let (bell, woken) = (Bell::default(), Arc::new(Woken::default()));
        let waker = Arc::clone(&woken).into();
        let mut context = Context::from_waker(&waker);
        let wakes = || woken.0.load(Ordering::Relaxed);
        bell.ring();
        bell.ring();
        assert_eq!(bell.poll_heard(&mut context), Poll::Ready(()), "before anybody listened");
        for heard in 1..3 {
            assert_eq!(bell.poll_heard(&mut context), Poll::Pending);
            assert_eq!(bell.poll_heard(&mut context), Poll::Pending);
            bell.ring();
            bell.ring();
            assert_eq!(wakes(), heard);
            assert_eq!(bell.poll_heard(&mut context), Poll::Ready(()));
        }
    }
}
