//! Appenders: each has one commit under way. As tickets of two threads, which is how a broker's
//! cores do it, or as a thread each, which adds what the scheduler costs.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tidewire_proto::record::Batch;
use tidewire_store::{Appended, Follower, Outcome, Reply, Store};

use super::{one, place};

/// Of so many commits, one is timed.
const TIMED: u64 = 8;
const CORES: u64 = 2;

#[derive(Clone, Copy)]
pub(super) enum Form {
    Tickets,
    Threads,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tickets => "tickets",
            Self::Threads => "threads",
        })
    }
}

/// Counts group commits.
#[derive(Default)]
pub(super) struct Groups(AtomicU64);

impl Groups {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl Follower for Groups {
    fn durable(&self, _: &Arc<[Appended]>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One core's view: how many of its commits are under way.
#[derive(Default)]
struct Window {
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Default)]
struct State {
    under_way: u64,
    timed: VecDeque<Instant>,
    times: Vec<Duration>,
}

impl Reply for Window {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        let mut state = self.state.lock();
        for outcome in outcomes.iter() {
            assert!(outcome.result.is_ok());
            if outcome.ticket % TIMED == 0 {
                let sent = state.timed.pop_front().expect("answers come in order");
                state.times.push(sent.elapsed());
            }
        }
        state.under_way -= outcomes.len() as u64;
        drop(state);
        outcomes.clear();
        self.answered.notify_all();
    }
}

pub(super) struct Load<'a> {
    pub(super) store: &'a Store,
    pub(super) batch: &'a Batch,
    pub(super) appenders: u64,
    pub(super) commits: u64,
}

impl Load<'_> {
    /// Returns how long some of the commits took.
    pub(super) fn run(&self, form: Form) -> Vec<Duration> {
        let threads = match form {
            Form::Tickets => CORES,
            Form::Threads => self.appenders,
        };
        let each = self.commits / threads;
        thread::scope(|scope| {
            let spawn = |thread: u64| {
                scope.spawn(move || {
                    place::free().expect("threads may be placed");
                    match form {
                        Form::Tickets => self.submit(thread, each),
                        Form::Threads => self.commit(thread, each),
                    }
                })
            };
            let running: Vec<_> = (0..threads).map(spawn).collect();
            running.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        })
    }

    fn commit(&self, thread: u64, commits: u64) -> Vec<Duration> {
        let partition = u32::try_from(thread % 4).expect("below 4");
        let mut times = Vec::new();
        for n in 0..commits {
            let started = Instant::now();
            self.store.commit(one(self.batch, partition)).expect("committed");
            if n % TIMED == 0 {
                times.push(started.elapsed());
            }
        }
        times
    }

    fn submit(&self, core: u64, commits: u64) -> Vec<Duration> {
        let window = Arc::new(Window::default());
        let mut ticket = 0;
        while ticket < commits {
            let mut state = window.state.lock();
            while state.under_way >= self.appenders / CORES {
                window.answered.wait(&mut state);
            }
            // All that may be sent, as a core does with what its sockets brought.
            let room = (self.appenders / CORES - state.under_way).min(commits - ticket);
            state.under_way += room;
            let now = Instant::now();
            let timed = (ticket..ticket + room).filter(|ticket| ticket % TIMED == 0).count();
            state.timed.extend(std::iter::repeat_n(now, timed));
            drop(state);
            for _ in 0..room {
                let partition = u32::try_from(2 * core + ticket % 2).expect("below 4");
                self.store.submit(one(self.batch, partition), Some((ticket, window.clone())));
                ticket += 1;
            }
        }
        let mut state = window.state.lock();
        while state.under_way > 0 {
            window.answered.wait(&mut state);
        }
        std::mem::take(&mut state.times)
    }
}
