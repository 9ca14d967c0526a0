//! The one writer: gathers what waits into a frame, writes it, syncs it, makes it visible, answers.
//! Never waits for the database, never tries a failed sync again.

mod cache;
mod group;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use cache::RecentBudget;
use group::{Group, Lanes};

use crate::commit::{Appended, CommitError};
use crate::engine::{Engine, FullFile};
use crate::frame::{FRAME_ALIGNMENT, FRAME_HEADER_BYTES, FrameId};
use crate::mutation;
use crate::queue::Queued;
use crate::replies::Replies;
use crate::table::Table;
use crate::tables::Checkpoint;
use crate::wal::{FRAMES_FROM, NoFile, WalFile, is_full};

/// This share of every file is for commits without appends when there is no next file: readers
/// can then still acknowledge, which is what frees space.
const RESERVE_SHARE: u64 = 16;

/// Bytes of a file that commits with appends may use.
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
    recent: RecentBudget,
    replies: Replies,
}

impl Writer {
    /// Carry on behind frame `next_lsn - 1`. `file` is what recovery read last; it takes no more
    /// frames, and goes to its checkpoint when there is another.
    pub(crate) fn new(engine: Arc<Engine>, file: Option<Arc<WalFile>>, next_lsn: u64) -> Self {
        let position = file.as_ref().map_or(0, |file| file.bytes);
        let recent = RecentBudget::new(engine.options.recent_bytes_max);
        Self {
            engine,
            file,
            position,
            next_lsn,
            durable_lsn: next_lsn - 1,
            lanes: Lanes::default(),
            group: Group::default(),
            recent,
            replies: Replies::default(),
        }
    }

    /// The writer's thread: until the queue is closed and empty.
    pub(crate) fn run(&mut self) {
        let mut taken = Vec::new();
        while self.engine.clone().queue.take(&mut taken) {
            self.commit_all(&mut taken);
        }
        self.finish();
    }

    /// Commit what waits now, on the caller's thread.
    pub(crate) fn turn(&mut self) {
        let mut taken = Vec::new();
        self.engine.queue.take_now(&mut taken);
        self.commit_all(&mut taken);
    }

    /// Use the file that is ready, if there is one. So an open store usually writes to a file of
    /// its own from the start.
    pub(crate) fn take_ready_file(&mut self) {
        if let Some(file) = self.engine.supply.take_ready() {
            self.change_file(file);
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
        {
            self.change_file(file);
        }
    }

    fn commit_all(&mut self, taken: &mut Vec<Queued>) {
        let bytes: u64 = taken.iter().map(|queued| queued.bytes).sum();
        let mut waiting: VecDeque<Queued> = taken.drain(..).collect();
        while !waiting.is_empty() {
            self.gather(&mut waiting);
            if !self.group.is_empty() {
                self.commit_group();
            }
            self.replies.send();
        }
        self.engine.queue.done(bytes);
        *taken = waiting.into();
    }

    /// Fill one frame from the front of the queue; answer at once what cannot go into any.
    fn gather(&mut self, waiting: &mut VecDeque<Queued>) {
        self.group.clear();
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
                    let refused = waiting.pop_front();
                    self.replies.add(refused.and_then(|queued| queued.reply), Err(error));
                    continue;
                }
            }
            if let Some(queued) = waiting.pop_front() {
                self.group.add(&mut self.lanes, queued);
            }
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
        let end = self.position + self.group.frame_bytes() + queued.bytes;
        let file_bytes = self.file.as_ref().map_or(0, |file| file.bytes);
        if end <= append_room(file_bytes) {
            return Ok(Room::Here);
        }
        if !self.group.is_empty() {
            return Ok(Room::AfterThisFrame);
        }
        // The next file's frames must prove that this one's are complete.
        self.sync().map_err(|error| self.fail(&error))?;
        match self.engine.supply.take() {
            Ok(file) => {
                self.change_file(file);
                Ok(Room::Here)
            }
            Err(NoFile::Full) if queued.commit.appends.is_empty() && end <= file_bytes => {
                Ok(Room::Here)
            }
            Err(NoFile::Full) => Err(CommitError::DiskFull),
            Err(NoFile::Closed) => Err(CommitError::Closed),
            Err(NoFile::Failed(reason)) => {
                Err(CommitError::Failed(self.engine.health.fail(&reason)))
            }
        }
    }

    fn change_file(&mut self, file: Arc<WalFile>) {
        let then = Checkpoint { epoch: file.epoch, next_lsn: self.next_lsn };
        self.engine.wal_files.write().insert(file.epoch, Arc::clone(&file));
        self.position = FRAMES_FROM;
        if let Some(file) = self.file.replace(file) {
            let layer = self.engine.tables.freeze();
            self.engine.full_files.push(FullFile { file, layer, then });
        }
    }

    fn commit_group(&mut self) {
        match self.write_group() {
            Ok(()) => self.publish(),
            // Nothing of it counts: the next frame takes its place and its number.
            Err(Stop::Full) => {
                self.group.give_offsets_back(&mut self.lanes);
                self.group.answer_all(&mut self.replies, &CommitError::DiskFull);
            }
            Err(Stop::Failed(error)) => {
                let failed = self.fail(&error);
                self.group.answer_all(&mut self.replies, &failed);
            }
        }
    }

    fn write_group(&mut self) -> Result<(), Stop> {
        if self.group.writes_nothing() {
            return Ok(());
        }
        let Some(file) = &self.file else { return Err(Stop::Full) };
        let id = FrameId { epoch: file.epoch, salt: file.salt, lsn: self.next_lsn };
        self.group.frame.seal(id, self.durable_lsn);
        let mut parts = self.group.frame.parts();
        let written = file.file.write_all_at(&mut parts, self.position);
        written.map_err(|error| match is_full(&error) {
            true => Stop::Full,
            false => Stop::Failed(error),
        })?;
        self.group.place(file.epoch, self.position);
        let end = self.position + self.group.frame_bytes();
        self.position = end.next_multiple_of(FRAME_ALIGNMENT);
        self.next_lsn += 1;
        if self.group.must_sync && !mutation::acknowledges_before_sync() {
            self.sync().map_err(Stop::Failed)?;
        }
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

    /// From here on readers and followers see the group; then whoever sent it hears of it.
    fn publish(&mut self) {
        let engine = Arc::clone(&self.engine);
        let followers = engine.followers.lock();
        let appends = self.group.take_appends();
        for (appended, placed, partition) in &appends {
            partition.push(*placed, Some(appended.batch.clone()));
            self.recent.remember(partition, &appended.batch);
        }
        for change in self.group.changes.iter().filter(|change| change.table == Table::Streams) {
            if let Err(what) = engine.catalog.apply(&change.key, change.value.as_deref()) {
                tracing::error!(what, "a stream was not taken up");
            }
        }
        if !self.group.changes.is_empty() {
            engine.tables.apply(self.group.changes.drain(..));
        }
        if !followers.is_empty() && !appends.is_empty() {
            let batches: Arc<[Appended]> =
                appends.into_iter().map(|(appended, ..)| appended).collect();
            followers.iter().for_each(|follower| follower.durable(&batches));
        }
        drop(followers);
        self.group.answer_committed(&mut self.replies);
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
