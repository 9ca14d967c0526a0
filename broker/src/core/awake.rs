//! To wake a thread that sleeps takes longer than to serve a message, on virtual machines many
//! times as long. Who wants short times more than a free processor lets a core stay awake for a
//! while after it was read from or told something: it asks for more again and again, and gives way
//! to other threads of its processor. It waits for the disk no longer than that, whatever else
//! comes: what makes the disk of a virtual machine may need this very processor, and gets it only
//! when it sleeps. Nothing here knows what there is to do.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Keeps the thread of a core awake.
#[derive(Debug, Default)]
pub(crate) struct Awake {
    /// So long after it was last read from or told something.
    stay: Duration,
    /// When it was last seen to have done something; `None` while it may sleep.
    since: Cell<Option<Instant>>,
    /// It did something that was not yet seen.
    has_worked: Cell<bool>,
    woken: Notify,
}

impl Awake {
    /// Zero: it sleeps as soon as it can.
    pub(crate) fn new(stay: Duration) -> Self {
        Self { stay, ..Self::default() }
    }

    /// It is read from or told something. Asks no clock: this is called for every read.
    pub(crate) fn on_work(&self) {
        if self.stay.is_zero() {
            return;
        }
        self.has_worked.set(true);
        if self.since.get().is_none() {
            self.woken.notify_one();
        }
    }

    /// A task of the core, for as long as there is a core. `commit_at` tells when it gave the disk
    /// what it waits for.
    pub(crate) async fn run(self: Rc<Self>, commit_at: impl Fn() -> Option<Instant>) {
        loop {
            self.woken.notified().await;
            while self.is_to_stay(Instant::now(), commit_at()) {
                // All tasks that are ready, then the runtime asks the system for more.
                tokio::task::yield_now().await;
                if !self.has_worked.get() {
                    // The turn is over, and the writer may wait for this processor.
                    std::thread::yield_now();
                }
            }
        }
    }

    /// `commit_at` is when it gave the disk what it still waits for.
    fn is_to_stay(&self, now: Instant, commit_at: Option<Instant>) -> bool {
        let has_worked = self.has_worked.take();
        let since = self.since.get().filter(|_| !has_worked).unwrap_or(now);
        let from = commit_at.map_or(since, |at| at.min(since));
        let stays = now.saturating_duration_since(from) < self.stay;
        self.since.set(stays.then_some(since));
        stays
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::Awake;

    const STAY: Duration = Duration::from_micros(300);

    #[test]
    fn a_core_stays_awake_so_long_after_the_last_thing_it_did() {
        let awake = Awake::new(STAY);
        let begin = Instant::now();
        let stays_after = |us| awake.is_to_stay(begin + Duration::from_micros(us), None);
        awake.on_work();
        assert!(stays_after(0));
        assert!(stays_after(299), "not so long yet");
        awake.on_work();
        assert!(stays_after(300), "it did something");
        assert!(stays_after(599), "counted from then");
        assert!(!stays_after(600));
        awake.on_work();
        assert!(stays_after(5_000), "and again");
    }

    #[test]
    fn a_core_waits_awake_for_the_disk_no_longer_than_that_whatever_comes() {
        let awake = Awake::new(STAY);
        let begin = Instant::now();
        let after = |us| begin + Duration::from_micros(us);
        for us in [0, 150, 299] {
            awake.on_work();
            assert!(awake.is_to_stay(after(us), Some(begin)), "{us}");
        }
        awake.on_work();
        assert!(!awake.is_to_stay(after(300), Some(begin)));
        awake.on_work();
        assert!(!awake.is_to_stay(after(400), Some(begin)), "still the same");
        awake.on_work();
        assert!(awake.is_to_stay(after(500), None), "what was written is answered");
    }

    #[tokio::test]
    async fn a_core_that_slept_stays_awake_again_when_it_does_something() {
        let awake = Rc::new(Awake::new(STAY));
        let running = Rc::clone(&awake);
        let test = async move {
            spawn_local(running.run(|| None));
            for _ in 0..3 {
                awake.on_work();
                while awake.since.get().is_none() {
                    yield_now().await;
                }
                while awake.since.get().is_some() {
                    yield_now().await;
                }
            }
        };
        let tasks = LocalSet::new();
        let test = tokio::time::timeout(Duration::from_secs(60), tasks.run_until(test));
        test.await.expect("it stays awake, and sleeps");
    }

    #[tokio::test]
    async fn a_core_that_is_not_to_stay_awake_never_does() {
        let awake = Awake::new(Duration::ZERO);
        awake.on_work();
        assert!(!awake.has_worked.get() && !awake.is_to_stay(Instant::now(), None));
    }
}
