//! Makes groups that are in the log visible and answers them, in their order, while the writer
//! goes on with the next. Never touches a file.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::cache::RecentBudget;
use super::group::Done;
use crate::commit::{Appended, CommitError};
use crate::engine::Engine;
use crate::replies::Replies;
use crate::table::Table;

/// The writer waits when this many groups are not yet visible: followers are slower than the disk.
const WAITING_MAX: usize = 4;

/// Whoever answers more receivers than this would keep the disk idle meanwhile.
const WAKES_MAX: usize = 4;

/// The line of groups behind the writer.
pub(super) struct Publisher {
    engine: Arc<Engine>,
    line: Mutex<Line>,
    arrived: Condvar,
    /// A group left the line.
    left: Condvar,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Done>,
    /// Emptied, to be filled again.
    spare: Vec<Done>,
    /// The thread is at a group that is no longer in `waiting`.
    is_publishing: bool,
    has_thread: bool,
    closed: bool,
}

/// What only whoever publishes needs.
struct Work {
    recent: RecentBudget,
    replies: Replies,
}

impl Publisher {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        let recent = RecentBudget::new(engine.options.recent_bytes_max);
        let work = Mutex::new(Work { recent, replies: Replies::default() });
        let (arrived, left) = (Condvar::new(), Condvar::new());
        Self { engine, line: Mutex::default(), arrived, left, work }
    }

    /// Take a group over; what is given back is empty. Where few are to be woken, or nothing else
    /// waits to be written, the group is visible and answered on return: to wake another thread
    /// for it would only take longer.
    pub(super) fn hand_over(&self, mut done: Done) -> Done {
        let mut line = self.line.lock();
        let is_alone = line.waiting.is_empty() && !line.is_publishing;
        let is_short = || !done.wakes_over(WAKES_MAX) || self.engine.queue.is_empty();
        if !line.has_thread || (is_alone && is_short()) {
            drop(line);
            self.publish(&mut done);
            return done;
        }
        while line.waiting.len() >= WAITING_MAX {
            self.left.wait(&mut line);
        }
        line.waiting.push_back(done);
        let spare = line.spare.pop().unwrap_or_default();
        drop(line);
        self.arrived.notify_one();
        spare
    }

    /// The group's frame is written: answer those that were promised no more. Only where no group
    /// before it waits for its answers.
    pub(super) fn answer_ahead(&self, done: &mut Done) {
        if !done.is_mixed() {
            return;
        }
        let line = self.line.lock();
        if line.is_publishing || !line.waiting.is_empty() {
            return;
        }
        drop(line);
        let mut work = self.work.lock();
        done.take_ahead(&mut |answer| work.replies.add(answer));
        self.send(&mut work.replies);
    }

    /// Wait until all groups are visible.
    pub(super) fn drain(&self) {
        let mut line = self.line.lock();
        while line.is_publishing || !line.waiting.is_empty() {
            self.left.wait(&mut line);
        }
    }

    /// From now on there is a thread that runs this.
    pub(super) fn expect_thread(&self) {
        self.line.lock().has_thread = true;
    }

    /// The thread behind the writer: until closed and done.
    pub(super) fn run(&self) {
        let mut line = self.line.lock();
        loop {
            if let Some(mut done) = line.waiting.pop_front() {
                line.is_publishing = true;
                drop(line);
                self.publish(&mut done);
                line = self.line.lock();
                line.is_publishing = false;
                line.spare.push(done);
                self.left.notify_all();
            } else if line.closed {
                return;
            } else {
                self.arrived.wait(&mut line);
            }
        }
    }

    /// No more groups will come once this is dropped.
    pub(super) fn closing(&self) -> Closing<'_> {
        Closing(self)
    }

    /// Readers and followers see the group; then whoever sent it hears of it. If one of them
    /// panics the store has failed, and the others still hear.
    fn publish(&self, done: &mut Done) {
        let mut work = self.work.lock();
        let shown = self.engine.guard("a follower", || work.show(&self.engine, done));
        if let Err(reason) = shown {
            done.fail(&CommitError::Failed(reason));
        }
        for answer in done.answers.drain(..) {
            work.replies.add(answer);
        }
        self.engine.queue.done(done.bytes);
        self.send(&mut work.replies);
        done.clear();
    }

    fn send(&self, replies: &mut Replies) {
        if replies.send() > 0 {
            self.engine.has_panicked("a receiver of answers");
        }
    }
}

/// Ends the thread, also when the writer panics.
pub(super) struct Closing<'a>(&'a Publisher);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.line.lock().closed = true;
        self.0.arrived.notify_one();
    }
}

impl Work {
    fn show(&mut self, engine: &Engine, done: &mut Done) {
        let followers = engine.followers.lock();
        for (appended, placed, partition) in &done.appends {
            partition.push(*placed, Some(appended.batch.clone()));
            self.recent.remember(partition, &appended.batch);
        }
        for change in done.changes.iter().filter(|change| change.table == Table::Streams) {
            if let Err(what) = engine.catalog.apply(&change.key, change.value.as_deref()) {
                tracing::error!(what, "a stream was not taken up");
            }
        }
        if !done.changes.is_empty() {
            engine.tables.apply(done.changes.drain(..));
        }
        if !followers.is_empty() && !done.appends.is_empty() {
            let appends = done.appends.drain(..);
            let batches: Arc<[Appended]> = appends.map(|(appended, ..)| appended).collect();
            followers.iter().for_each(|follower| follower.durable(&batches));
        }
    }
}
