//! The narrow door: commit, follow, read, tables. Owns the threads behind it.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex, RwLock};
use tidewire_proto::id::PartitionId;
use tidewire_proto::topic::TopicFilter;

use crate::checkpoint;
use crate::commit::{Commit, CommitError, Follower, Offsets, Outcome, Reply, ReplyTo};
use crate::deletion;
use crate::disk::Disk;
use crate::engine::Engine;
use crate::error::{CloseError, OpenError};
use crate::find;
use crate::growth::{self, StreamError};
use crate::health::Health;
use crate::options::{StoreOptions, StreamOptions};
use crate::read::{Form, Found, Quarantined, ReadError, Slice, VisitRow};
use crate::reader;
use crate::recovery::{RecoveryReport, recover};
use crate::retain::{self, RetentionReport};
use crate::stream::{Stream, StreamConfig};
use crate::table::Table;
use crate::time;
use crate::upkeep;
use crate::writer::Writer;

/// A handle to an open store; clones are the same store. The last one to go shuts it down.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Arc<Engine>,
    /// Without threads, the writer is run by whoever calls [`Store::turn`].
    inline: Option<Mutex<Writer>>,
    threads: Mutex<Option<Threads>>,
    /// Counts changes to streams; held while one is made.
    layouts: RwLock<u64>,
    /// Held while records are deleted by order: a row may not say less than the one before it.
    deleting: Mutex<()>,
}

struct Threads {
    writer: JoinHandle<()>,
    checkpointer: JoinHandle<()>,
    supply: JoinHandle<()>,
    sealer: JoinHandle<()>,
}

impl Store {
    /// Open the data folder, creating it if there is none, and recover what it holds.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
    ) -> Result<(Self, RecoveryReport), OpenError> {
        let threaded = options.threads;
        let (engine, writer, report) = recover(disk, options)?;
        let (layouts, deleting) = (RwLock::new(0), Mutex::new(()));
        let inner = if threaded {
            let threads = Mutex::new(Some(start(&engine, writer)?));
            Inner { engine, inline: None, threads, layouts, deleting }
        } else {
            let (inline, threads) = (Some(Mutex::new(writer)), Mutex::new(None));
            Inner { engine, inline, threads, layouts, deleting }
        };
        let store = Self { inner: Arc::new(inner) };
        // Without threads nobody else makes room in the write-ahead log for the first commit.
        store.turn();
        store.create_missing_streams().map_err(OpenError::Streams)?;
        Ok((store, report))
    }

    /// Only as far as recovery goes: to look at what is there. Writes nothing after, not even
    /// when it goes.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn recovered(disk: Arc<dyn Disk>, options: StoreOptions) -> Result<Self, OpenError> {
        let (engine, writer, _) = recover(disk, options)?;
        let is_missing = |wanted: &StreamOptions| engine.catalog.stream(&wanted.name).is_none();
        let is_new = engine.options.streams.iter().any(is_missing);
        let inline = is_new.then(|| Mutex::new(writer));
        let (threads, layouts) = (Mutex::new(None), RwLock::new(0));
        let inner = Inner { engine, inline, threads, layouts, deleting: Mutex::new(()) };
        let store = Self { inner: Arc::new(inner) };
        store.turn();
        store.create_missing_streams().map_err(OpenError::Streams)?;
        Ok(store)
    }

    /// Hand a commit to the writer. Never blocks; `reply` is called with the ticket when it is
    /// durable as its streams ask for, or refused.
    pub fn submit(&self, commit: Commit, reply: ReplyTo) {
        let engine = &self.inner.engine;
        let partitions = commit.appends.iter().map(|append| append.partition);
        match engine.holds.refused(partitions) {
            None => engine.queue.submit(commit, reply, false),
            Some(full) => {
                engine.queue.submit_what_stays(commit, reply, CommitError::StreamFull(full));
            }
        }
    }

    /// Whether appends to this partition are refused, because its stream holds as much as it may.
    pub fn is_full(&self, partition: PartitionId) -> bool {
        self.inner.engine.holds.refused(std::iter::once(partition)).is_some()
    }

    /// Commit and wait for it: for tools and tests. Never from a [`Reply`] or [`Follower`].
    pub fn commit(&self, commit: Commit) -> Result<Vec<u64>, CommitError> {
        let waiter = Arc::new(Waiter::default());
        self.submit(commit, Some((0, Arc::clone(&waiter) as Arc<dyn Reply>)));
        self.turn();
        waiter.wait().map(|offsets| offsets.as_slice().to_vec())
    }

    /// Bytes submitted and not yet answered.
    pub fn backlog_bytes(&self) -> u64 {
        self.inner.engine.queue.backlog_bytes()
    }

    /// The writer is behind: stop reading from publishers until it is not.
    pub fn is_busy(&self) -> bool {
        self.backlog_bytes() >= self.inner.engine.options.backlog_bytes_max
    }

    /// Follow every partition's tail. The answer says where each ended at that moment: what is
    /// committed later comes to the follower, all of it and in order.
    pub fn follow(&self, follower: Arc<dyn Follower>) -> Vec<(PartitionId, u64)> {
        let engine = &self.inner.engine;
        let mut followers = engine.followers.lock();
        followers.push(follower);
        let partitions = engine.catalog.partitions();
        partitions.iter().map(|partition| (partition.id, partition.bounds().1)).collect()
    }

    /// Batches from an offset on, up to about `bytes_max`, at least one if there is one. The first
    /// may begin before `from`. May read from disk.
    pub fn read(
        &self,
        partition: PartitionId,
        from: u64,
        bytes_max: usize,
    ) -> Result<Slice, ReadError> {
        reader::read(&self.inner.engine, partition, from, bytes_max)
    }

    /// As [`read`](Self::read), for who passes batches on without a look into them: what is
    /// compressed stays so, and has no records to be seen until it is opened.
    pub fn read_packed(
        &self,
        partition: PartitionId,
        from: u64,
        bytes_max: usize,
    ) -> Result<Slice, ReadError> {
        reader::read_as(&self.inner.engine, partition, (from, bytes_max), Form::Packed)
    }

    /// As [`read`](Self::read), from memory alone: `None` if that is not enough.
    pub fn read_recent(
        &self,
        partition: PartitionId,
        from: u64,
        bytes_max: usize,
    ) -> Option<Slice> {
        self.inner.engine.catalog.partition(partition)?.read_recent(from, bytes_max)
    }

    /// A partition's first offset, and the offset behind its last record.
    pub fn bounds(&self, partition: PartitionId) -> Option<(u64, u64)> {
        Some(self.inner.engine.catalog.partition(partition)?.bounds())
    }

    /// How many bytes a partition holds; 0 if there is none.
    pub fn partition_bytes(&self, partition: PartitionId) -> u64 {
        let Some(partition) = self.inner.engine.catalog.partition(partition) else { return 0 };
        let (segments, open_bytes) = partition.holding();
        open_bytes + segments.iter().map(|segment| segment.bytes).sum::<u64>()
    }

    /// The first `limit` offsets from `from` on whose topics match the filter, in order. May read
    /// from disk: little where there is a topic index. Fewer than `limit` do not mean that there
    /// are no more: that is so when `next` is the partition's end.
    pub fn find(
        &self,
        partition: PartitionId,
        filter: &TopicFilter,
        from: u64,
        limit: usize,
    ) -> Result<Found, ReadError> {
        find::find(&self.inner.engine, partition, filter, from, limit)
    }

    /// As [`read`](Self::read), but only batches that hold a record whose topic matches the
    /// filter, and reading little else. No batches do not mean that there are no more: that is so
    /// when `next` is the partition's end.
    pub fn read_matching(
        &self,
        partition: PartitionId,
        filter: &TopicFilter,
        from: u64,
        bytes_max: usize,
    ) -> Result<Slice, ReadError> {
        find::read_matching(&self.inner.engine, partition, filter, from, bytes_max)
    }

    /// The first offset whose record is not older than this, in milliseconds since 1970; the
    /// partition's end if there is none. May read from disk.
    pub fn offset_at(&self, partition: PartitionId, timestamp_ms: i64) -> Result<u64, ReadError> {
        time::offset_at(&self.inner.engine, partition, timestamp_ms)
    }

    /// How many damaged places in segments were met since the start, and the first of them by
    /// name. What lies there is not served.
    pub fn quarantined(&self) -> (u64, Vec<Quarantined>) {
        self.inner.engine.archive.quarantined()
    }

    /// Bytes read from segments and the files beside them since the start.
    pub fn segment_bytes_read(&self) -> u64 {
        self.inner.engine.archive.bytes_read()
    }

    /// One row.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let row = self.inner.engine.tables.get(table, key);
        row.map_err(|error| ReadError::Io(error.to_string()))
    }

    /// Rows in the order of their keys, as of one moment between two commits.
    pub fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut VisitRow<'_>,
    ) -> Result<(), ReadError> {
        let scanned = self.inner.engine.tables.scan(table, (from, to), visit);
        scanned.map_err(|error| ReadError::Io(error.to_string()))
    }

    /// A reader of this name has not read from these offsets on: what lies there is held beyond
    /// its time, within the stream's limit. Replaces what it held before. Not kept on disk: every
    /// reader is to be named again before the first [`retain`](Self::retain).
    pub fn set_hold(&self, name: &str, positions: &[(PartitionId, u64)]) {
        self.inner.engine.holds.set(name, positions);
    }

    /// A reader of this name holds nothing any more.
    pub fn release_hold(&self, name: &str) {
        self.inner.engine.holds.release(name);
    }

    /// Delete what has had its time, in every stream. Called by a timer; works on disk.
    pub fn retain(&self, now_ms: i64) -> Vec<RetentionReport> {
        retain::retain(&self.inner.engine, now_ms)
    }

    /// Whether [`retain`](Self::retain) should not wait for its time: a stream grew past what it
    /// may hold for its readers. Cheap.
    pub fn is_retention_urgent(&self) -> bool {
        retain::is_urgent(&self.inner.engine)
    }

    /// All streams, in the order of their creation.
    pub fn streams(&self) -> Arc<Vec<Stream>> {
        self.inner.engine.catalog.streams()
    }

    /// Whether the store still writes.
    pub fn health(&self) -> Health {
        self.inner.engine.health.health()
    }

    /// Without threads: commit what waits and checkpoint what is full, here and now.
    pub fn turn(&self) {
        if let Some(writer) = &self.inner.inline {
            writer.lock().turn();
            checkpoint::run_pending(&self.inner.engine);
            upkeep::run_pending(&self.inner.engine);
        }
    }

    /// Without threads: commit what waits and leave what is full for later.
    #[cfg(any(test, feature = "sim"))]
    pub fn turn_writer(&self) {
        if let Some(writer) = &self.inner.inline {
            writer.lock().turn();
        }
    }

    /// Refuse new commits, finish those that wait, and leave nothing for the next start to replay.
    pub fn shutdown(&self) -> Result<(), CloseError> {
        self.inner.shutdown();
        self.inner.engine.health.failure().map_or(Ok(()), |reason| Err(CloseError::Failed(reason)))
    }

    /// Create a stream; durable when this returns. Waits for a commit.
    pub fn create_stream(&self, stream: &StreamOptions) -> Result<(), StreamError> {
        let mut version = self.inner.layouts.write();
        let commit = growth::creation(&self.inner.engine.catalog, std::iter::once(stream))?;
        self.change_streams(commit, &mut version)
    }

    /// Give a stream another configuration, at once and durably. Waits for a commit.
    pub fn set_stream_config(&self, name: &str, config: StreamConfig) -> Result<(), StreamError> {
        let mut version = self.inner.layouts.write();
        let commit = growth::configuration(&self.inner.engine.catalog, name, config)?;
        self.change_streams(commit, &mut version)
    }

    /// Give a stream `count` more partitions, at once and durably. Waits for a commit, and so does
    /// whoever [submits placed](Self::submit_placed) meanwhile: nothing of the old layout comes
    /// behind the change.
    pub fn add_partitions(&self, name: &str, count: u32, now_ms: i64) -> Result<(), StreamError> {
        let mut version = self.inner.layouts.write();
        let commit = growth::growth(&self.inner.engine.catalog, name, count, now_ms)?;
        self.change_streams(commit, &mut version)
    }

    /// Delete what lies before these offsets, and never show it again: durable when this returns.
    /// Offsets behind the end mean the end; those before the first mean nothing. Readers that have
    /// not read it are not waited for. Waits for a commit, and works on disk.
    pub fn delete_below(&self, offsets: &[(PartitionId, u64)]) -> Result<(), CommitError> {
        let _alone = self.inner.deleting.lock();
        let commit = deletion::deletion(&self.inner.engine.catalog, offsets)?;
        if commit.changes.is_empty() {
            return Ok(());
        }
        self.commit_internal(commit)?;
        let ids: Vec<PartitionId> = offsets.iter().map(|(id, _)| *id).collect();
        retain::clear(&self.inner.engine, &ids);
        Ok(())
    }

    /// Changes with every change to a stream. Ask for it before [`streams`](Self::streams).
    pub fn layout_version(&self) -> u64 {
        *self.inner.layouts.read()
    }

    /// As [`submit`](Self::submit), of appends whose partitions were chosen when the layout had
    /// this version. Given back if it has changed: choose again.
    pub fn submit_placed(
        &self,
        commit: Commit,
        reply: ReplyTo,
        version: u64,
    ) -> Result<(), Commit> {
        let current = self.inner.layouts.read();
        if *current != version {
            return Err(commit);
        }
        self.submit(commit, reply);
        Ok(())
    }

    /// Streams that the options name and the store does not have yet.
    fn create_missing_streams(&self) -> Result<(), StreamError> {
        let engine = &self.inner.engine;
        let is_missing = |wanted: &&StreamOptions| engine.catalog.stream(&wanted.name).is_none();
        let mut version = self.inner.layouts.write();
        let missing = engine.options.streams.iter().filter(is_missing);
        let commit = growth::creation(&engine.catalog, missing)?;
        if commit.changes.is_empty() {
            return Ok(());
        }
        self.change_streams(commit, &mut version)
    }

    fn change_streams(&self, commit: Commit, version: &mut u64) -> Result<(), StreamError> {
        self.commit_internal(commit)?;
        *version += 1;
        Ok(())
    }

    /// A commit of the store's own.
    fn commit_internal(&self, commit: Commit) -> Result<Offsets, CommitError> {
        let waiter = Arc::new(Waiter::default());
        let reply: Arc<dyn Reply> = Arc::clone(&waiter) as Arc<dyn Reply>;
        self.inner.engine.queue.submit(commit, Some((0, reply)), true);
        self.turn();
        waiter.wait()
    }
}

fn start(engine: &Arc<Engine>, mut writer: Writer) -> io::Result<Threads> {
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        thread::Builder::new().name(name.into()).spawn(run)
    };
    let for_sealer = Arc::clone(engine);
    let guarded = |name: &'static str, work: fn(&Engine)| {
        let engine = Arc::clone(engine);
        // If it panics the store has failed, and says so; the writer refuses from then on.
        spawn(name, Box::new(move || drop(engine.guard(name, || work(&engine)))))
    };
    Ok(Threads {
        supply: guarded("wal-supply", |engine| engine.supply.run())?,
        checkpointer: guarded("checkpoint", checkpoint::run)?,
        // Nobody waits for it: a store that does not seal still writes.
        sealer: spawn("seal", Box::new(move || upkeep::run(&for_sealer)))?,
        writer: spawn("writer", Box::new(move || writer.run()))?,
    })
}

impl Inner {
    /// The writer first, then what it leaves behind; the supply last, because both need it.
    fn shutdown(&self) {
        let mut running = self.threads.lock();
        self.engine.queue.close();
        if let Some(writer) = &self.inline {
            let mut writer = writer.lock();
            writer.turn();
            writer.finish();
            checkpoint::run_pending(&self.engine);
        }
        let Some(threads) = running.take() else { return };
        let join = |thread: JoinHandle<()>| {
            if thread.join().is_err() {
                self.engine.health.fail("a thread of the store panicked");
            }
        };
        self.engine.sealer.close();
        join(threads.writer);
        self.engine.full_files.close();
        join(threads.checkpointer);
        self.engine.supply.close();
        join(threads.supply);
        join(threads.sealer);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Waits for one outcome.
#[derive(Default)]
struct Waiter {
    outcome: Mutex<Option<Outcome>>,
    arrived: Condvar,
}

impl Waiter {
    fn wait(&self) -> Result<Offsets, CommitError> {
        let mut outcome = self.outcome.lock();
        loop {
            if let Some(outcome) = outcome.take() {
                return outcome.result;
            }
            self.arrived.wait(&mut outcome);
        }
    }
}

impl Reply for Waiter {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        *self.outcome.lock() = outcomes.pop();
        self.arrived.notify_all();
    }
}
