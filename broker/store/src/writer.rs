//! The one writer: gathers what waits into a frame, writes it, syncs it, hands it on to be made
//! visible and answered. Never waits for the database, never tries a failed sync again.

mod cache;
mod group;
mod publish;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;

use group::{Done, Group, Lanes};
use publish::Publisher;

use crate::commit::CommitError;
use crate::engine::{Engine, FullFile};
use crate::frame::{FRAME_ALIGNMENT, FRAME_HEADER_BYTES, FrameId};
use crate::mutation;
use crate::queue::Queued;
use crate::table::Table;
use crate::tables::Checkpoint;
use crate::wal::{FRAMES_FROM, NoFile, WalFile, is_full};

/// This share of every file is for rows that stay when there is no next file: readers can then
/// still acknowledge, which is what frees space. Messages, and rows that are as good as messages,
/// have no part in it.
const RESERVE_SHARE: u64 = 16;

/// Bytes of a file that any commit may use.
pub(crate) fn append_room(file_bytes: u64) -> u64 {
    file_bytes - file_bytes / RESERVE_SHARE
}

/// The state of the write-ahead log's end.
pub(crate) struct Writer {
    engine: Arc<Engine>,
    file: Option<Arc<WalFile>>,
    position: u64,
    next_lsn: u64,
    /// The last frame that is known to be synced.
    durable_lsn: u64,
    lanes: Lanes,
    group: Group,
    publisher: Arc<Publisher>,
}

impl Writer {
    /// Carry on behind frame `next_lsn - 1`. `file` is what recovery read last. It goes to its
    /// checkpoint as soon as there is another; until then, which on a full disk may be long, it
    /// takes frames from `goes_on_at` on, or none.
    pub(crate) fn new(
        engine: Arc<Engine>,
        file: Option<Arc<WalFile>>,
        goes_on_at: Option<u64>,
        next_lsn: u64,
    ) -> Self {
        let position = file.as_ref().map_or(0, |file| goes_on_at.unwrap_or(file.bytes));
        let publisher = Arc::new(Publisher::new(Arc::clone(&engine)));
        let mut group = Group::default();
        group.begin(Done::default());
        Self {
            engine,
            file,
            position,
            next_lsn,
            durable_lsn: next_lsn - 1,
            lanes: Lanes::default(),
            group,
            publisher,
        }
    }

    /// The writer's thread: until the queue is closed and empty. Has a thread of its own for what
    /// comes after the sync, so that the disk need not wait for it.
    pub(crate) fn run(&mut self) {
        let publisher = Arc::clone(&self.publisher);
        thread::scope(|scope| {
            let behind = thread::Builder::new().name("publish".into());
            match behind.spawn_scoped(scope, || publisher.run()) {
                Ok(_) => publisher.expect_thread(),
                Err(error) => tracing::warn!(%error, "no thread to publish: the writer does it"),
            }
            let _closing = publisher.closing();
            let mut waiting = VecDeque::new();
            while self.engine.clone().queue.take(&mut waiting) {
                self.commit_guarded(&mut waiting);
            }
            self.finish();
        });
    }

    /// Commit what waits now, on the caller's thread.
    pub(crate) fn turn(&mut self) {
        let mut waiting = VecDeque::new();
        self.engine.queue.take_now(&mut waiting);
        self.commit_all(&mut waiting);
    }

    /// Use the file that is ready, if there is one. So an open store usually writes to a file of
    /// its own from the start.
    pub(crate) fn take_ready_file(&mut self) {
        if let Some(file) = self.engine.supply.take_ready()
            && let Err(error) = self.change_file(file)
        {
            self.fail(&error);
        }
    }

    /// Leave nothing for the next start to replay, if that is possible.
    pub(crate) fn finish(&mut self) {
        if self.engine.health.failure().is_some() {
            return;
        }
        if let Err(error) = self.sync() {
            self.fail(&error);
            return;
        }
        if self.position > FRAMES_FROM
            && let Ok(file) = self.engine.supply.take()
            && let Err(error) = self.change_file(file)
        {
            self.fail(&error);
        }
    }

    /// After a panic the store has failed: all that waits hears it, and all that comes.
    fn commit_guarded(&mut self, waiting: &mut VecDeque<Queued>) {
        let engine = Arc::clone(&self.engine);
        while let Err(reason) = engine.guard("the writer", || self.commit_all(waiting)) {
            self.group.fail(&CommitError::Failed(reason));
            let done = self.publisher.hand_over(self.group.take_done());
            self.group.begin(done);
        }
    }

    fn commit_all(&mut self, waiting: &mut VecDeque<Queued>) {
        while !waiting.is_empty() {
            self.gather(waiting);
            if !self.group.is_empty() {
                self.commit_group();
            }
            let done = self.publisher.hand_over(self.group.take_done());
            self.group.begin(done);
        }
    }

    /// Fill one frame from the front of the queue; answer at once what cannot go into any.
    fn gather(&mut self, waiting: &mut VecDeque<Queued>) {
        let frame_bytes_max = self.engine.options.frame_bytes_max;
        while let Some(queued) = waiting.front() {
            let grown = self.group.frame_bytes() + queued.bytes;
            if !self.group.is_empty() && grown > frame_bytes_max {
                return;
            }
            let verdict = self.check(queued).and_then(|()| self.make_room(queued));
            match verdict {
                Ok(Room::Here) => (),
                Ok(Room::AfterThisFrame) => return,
                Err(error) => {
                    self.refuse(waiting, error);
                    continue;
                }
            }
            if let Some(queued) = waiting.pop_front() {
                self.group.add(&mut self.lanes, queued);
            }
        }
    }

    /// The first of those that wait cannot be written, or only what stays of it can.
    fn refuse(&mut self, waiting: &mut VecDeque<Queued>, error: CommitError) {
        let Some(first) = waiting.front_mut() else { return };
        if let Some(less) = first.refuse_the_rest(&error) {
            self.group.done().bytes += less;
        } else if let Some(refused) = waiting.pop_front() {
            self.group.refuse(refused, error);
        }
    }

    fn check(&mut self, queued: &Queued) -> Result<(), CommitError> {
        if let Some(reason) = self.engine.health.failure() {
            return Err(CommitError::Failed(reason));
        }
        let room = append_room(self.engine.options.wal_file_bytes) - FRAMES_FROM;
        let limit = room - FRAME_HEADER_BYTES as u64;
        if queued.bytes > limit {
            return Err(CommitError::TooLarge { bytes: queued.bytes, limit });
        }
        let reserved = |table: Table| table == Table::Streams && !queued.internal;
        if queued.commit.changes.iter().any(|change| reserved(change.table)) {
            return Err(CommitError::Reserved);
        }
        let catalog = &self.engine.catalog;
        let unknown = |id: &_| !self.lanes.knows(catalog, *id);
        match queued.commit.appends.iter().map(|append| append.partition).find(unknown) {
            Some(id) => Err(CommitError::UnknownPartition(id)),
            None => Ok(()),
        }
    }

    /// Is there room for one more commit in this file, or in the next?
    fn make_room(&mut self, queued: &Queued) -> Result<Room, CommitError> {
        if queued.commit.is_empty() {
            return Ok(Room::Here);
        }
        loop {
            let end = self.position + self.group.frame_bytes() + queued.bytes;
            let file_bytes = self.file.as_ref().map_or(0, |file| file.bytes);
            if end <= append_room(file_bytes) {
                return Ok(Room::Here);
            }
            if !self.group.is_empty() {
                return Ok(Room::AfterThisFrame);
            }
            match self.next_file() {
                Err(CommitError::DiskFull) if queued.may_use_reserve() && end <= file_bytes => {
                    return Ok(Room::Here);
                }
                other => other?,
            }
        }
    }

    /// Leave this file and go on in another.
    fn next_file(&mut self) -> Result<(), CommitError> {
        // The next file's frames must prove that this one's are complete.
        self.sync().map_err(|error| self.fail(&error))?;
        match self.engine.supply.take() {
            Ok(file) => self.change_file(file).map_err(|error| self.fail(&error)),
            Err(NoFile::Full) => Err(CommitError::DiskFull),
            Err(NoFile::Closed) => Err(CommitError::Closed),
            Err(NoFile::Failed(reason)) => {
                Err(CommitError::Failed(self.engine.health.fail(&reason)))
            }
        }
    }

    fn change_file(&mut self, file: Arc<WalFile>) -> io::Result<()> {
        if self.position == FRAMES_FROM {
            // Too short for what comes next. Recovery takes a file without frames for the end.
            self.write_frame()?;
            self.sync()?;
        }
        // What lies in the old file must be visible: its checkpoint looks for it there.
        self.publisher.drain();
        let then = Checkpoint { epoch: file.epoch, next_lsn: self.next_lsn };
        self.engine.wal_files.write().insert(file.epoch, Arc::clone(&file));
        self.position = FRAMES_FROM;
        if let Some(file) = self.file.replace(file) {
            let layer = self.engine.tables.freeze();
            self.engine.full_files.push(FullFile { file, layer, then });
        }
        Ok(())
    }

    fn commit_group(&mut self) {
        match self.write_group() {
            Ok(()) => (),
            // Nothing of it counts: the next frame takes its place and its number.
            Err(Stop::Full) => {
                self.group.give_offsets_back(&mut self.lanes);
                self.group.fail(&CommitError::DiskFull);
            }
            Err(Stop::Failed(error)) => {
                let failed = self.fail(&error);
                self.group.fail(&failed);
            }
        }
    }

    fn write_group(&mut self) -> Result<(), Stop> {
        if self.group.writes_nothing() {
            return Ok(());
        }
        self.write_frame().map_err(|error| match is_full(&error) {
            true => Stop::Full,
            false => Stop::Failed(error),
        })?;
        if self.group.must_sync && !mutation::acknowledges_before_sync() {
            self.publisher.answer_ahead(self.group.done());
            self.sync().map_err(Stop::Failed)?;
        }
        Ok(())
    }

    /// Write the group's frame, whatever is in it, and move behind it.
    fn write_frame(&mut self) -> io::Result<()> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::StorageFull)?;
        let id = FrameId { sign: file.sign(), salt: file.salt, lsn: self.next_lsn };
        self.group.frame.seal(id, self.durable_lsn);
        let mut parts = self.group.frame.parts();
        file.file.write_all_at(&mut parts, self.position)?;
        self.group.place(file.epoch, self.position);
        let end = self.position + self.group.frame_bytes();
        self.position = end.next_multiple_of(FRAME_ALIGNMENT);
        self.next_lsn += 1;
        Ok(())
    }

    /// Make every frame so far durable.
    fn sync(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file
            && self.durable_lsn + 1 < self.next_lsn
        {
            file.file.sync_data()?;
            self.durable_lsn = self.next_lsn - 1;
        }
        Ok(())
    }

    fn fail(&self, error: &io::Error) -> CommitError {
        CommitError::Failed(self.engine.health.fail(&format!("write-ahead log: {error}")))
    }
}

/// Where a commit can go.
enum Room {
    Here,
    AfterThisFrame,
}

/// Why a frame is not in the log.
enum Stop {
    Full,
    Failed(io::Error),
}
