//! A cursor on the log for a bridge: what it reads next, partition by partition in order, at the
//! end of the log when something comes. Never commits; what was read is not what is done with.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{Record, SharedRecord};
use tidewire_proto::session::cursor::{Barrier, Cursor, Positions, Reading};
use tidewire_proto::topic::TopicFilter;
use tidewire_store::{ReadError, Slice, Store, StoredBatch, Stream};
use tokio::time::{Instant, timeout_at};

use crate::bridges::scope::Scope;
use crate::tail::Tail;

/// How often it is looked whether there are new partitions, where nothing comes.
const LOOK: Duration = Duration::from_secs(1);

/// Records of one partition, in order: those that are meant of a part of the log.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Whose they are.
    pub(crate) partition: PartitionId,
    /// Where this part begins.
    pub(crate) from: u64,
    /// Where it ends: whoever is done with the records of the chunk is done with all before this.
    pub(crate) next: u64,
    /// How many offsets of it are gone: deleted before they were read.
    pub(crate) lost: u64,
    batches: Vec<StoredBatch>,
    scope: Arc<Scope>,
}

/// Where a partition belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) stream: Arc<str>,
    /// Which of the stream's partitions.
    pub(crate) index: u32,
}

/// The cursor.
pub(crate) struct Source {
    store: Store,
    tail: Arc<Tail>,
    scope: Arc<Scope>,
    bytes_max: usize,
    cursor: Cursor,
    /// Where the partitions that are read end, as far as we have looked.
    ends: Positions,
    streams: Arc<Vec<Stream>>,
    homes: Arc<BTreeMap<PartitionId, Home>>,
    barriers: Vec<Barrier>,
}

impl Chunk {
    /// The records that are meant, with their offsets.
    pub(crate) fn records(&self) -> impl Iterator<Item = (u64, Record<'_>)> {
        let messages = self.batches.iter().filter(|stored| !stored.batch.is_control());
        let records = messages.flat_map(|stored| {
            let offset = |delta: u32| stored.base_offset + u64::from(delta);
            stored.batch.records().map(move |record| (offset(record.offset_delta), record))
        });
        let within = self.from..self.next;
        records.filter(move |(offset, record)| {
            within.contains(offset) && self.scope.admits(record.key)
        })
    }

    /// The same, to be kept for longer than the chunk.
    pub(crate) fn shared(&self) -> VecDeque<(u64, SharedRecord)> {
        let mut shared = VecDeque::new();
        for stored in self.batches.iter().filter(|stored| !stored.batch.is_control()) {
            for record in stored.batch.records() {
                let offset = stored.base_offset + u64::from(record.offset_delta);
                if (self.from..self.next).contains(&offset) && self.scope.admits(record.key) {
                    shared.push_back((offset, stored.batch.share(&record)));
                }
            }
        }
        shared
    }

    /// What its batches come to, plain.
    pub(crate) fn bytes(&self) -> usize {
        self.batches.iter().map(|stored| stored.batch.records_bytes()).sum()
    }

    fn is_empty(&self) -> bool {
        self.lost == 0 && self.records().next().is_none()
    }
}

impl Source {
    /// Reads on at these positions; partitions that are not among them are read from their
    /// beginning. A chunk comes from about `bytes_max` of the log.
    pub(crate) fn new(
        (store, tail): (Store, Arc<Tail>),
        scope: Scope,
        positions: &[(PartitionId, u64)],
        bytes_max: usize,
    ) -> Self {
        let mut from = Positions::default();
        positions.iter().for_each(|(partition, offset)| from.advance(*partition, *offset));
        let cursor = Cursor::from_positions(from);
        let (scope, ends) = (Arc::new(scope), Positions::default());
        let (streams, homes, barriers) = (Arc::default(), Arc::default(), Vec::new());
        let mut source =
            Self { store, tail, scope, bytes_max, cursor, ends, streams, homes, barriers };
        source.look();
        source
    }

    /// The next records. Waits at the end of the log.
    #[cfg(test)]
    pub(crate) async fn next(&mut self) -> Result<Chunk, ReadError> {
        loop {
            if let Some(chunk) = self.next_by(Instant::now() + LOOK).await? {
                return Ok(chunk);
            }
        }
    }

    /// The next records. Waits at the end of the log, until this time: `None` then, and what was
    /// read until then was not meant; [`positions`](Self::positions) are behind it. A read that
    /// takes longer is waited for: who cancelled it, and began it anew each time, would never be
    /// done with it where the disk is slow. Cancelled, nothing was read.
    ///
    /// # Errors
    /// When the log cannot be read now.
    pub(crate) async fn next_by(&mut self, deadline: Instant) -> Result<Option<Chunk>, ReadError> {
        loop {
            // Before it is looked where the log ends: so nothing falls in between.
            let tail = Arc::clone(&self.tail);
            let watch = tail.watch(self.homes.keys().copied().collect());
            self.look();
            // Reads that brought nothing: not to be repeated for ever.
            let mut idle = 0;
            while let Some(reading) = self.cursor.next_read(&self.ends, &self.barriers) {
                let chunk = self.read(reading).await?;
                self.cursor.advance(chunk.partition, chunk.next);
                if !chunk.is_empty() {
                    return Ok(Some(chunk));
                }
                if Instant::now() >= deadline {
                    return Ok(None);
                }
                idle = if chunk.next > chunk.from { 0 } else { idle + 1 };
                if idle > self.homes.len() {
                    break;
                }
            }
            // In vain, if there are other partitions by now.
            let _ = timeout_at(deadline.min(Instant::now() + LOOK), watch.until(1)).await;
            if Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }

    /// Where it reads next, in each partition that it reads.
    pub(crate) fn positions(&self) -> Vec<(PartitionId, u64)> {
        let positions = self.cursor.positions(&self.ends);
        self.homes.keys().map(|partition| (*partition, positions.get(*partition))).collect()
    }

    /// Where a partition belongs.
    pub(crate) fn home(&self, partition: PartitionId) -> Option<&Home> {
        self.homes.get(&partition)
    }

    /// Where the partitions that it reads belong.
    pub(crate) fn homes(&self) -> Arc<BTreeMap<PartitionId, Home>> {
        Arc::clone(&self.homes)
    }

    /// Nothing is there that was not looked at.
    pub(crate) fn is_at_end(&self) -> bool {
        let end = |partition| self.store.bounds(partition).map_or(0, |(_, end)| end);
        self.positions().iter().all(|(partition, next)| *next >= end(*partition))
    }

    fn look(&mut self) {
        let streams = self.store.streams();
        if !Arc::ptr_eq(&streams, &self.streams) {
            self.homes = Arc::new(homes(&self.scope, &streams));
            self.barriers = barriers(&self.scope, &streams);
            self.streams = streams;
        }
        let before = std::mem::take(&mut self.ends);
        self.cursor.fall_behind(&before);
        for partition in self.homes.keys() {
            let end = self.store.bounds(*partition).map_or(0, |(_, end)| end);
            self.ends.advance(*partition, end);
        }
    }

    async fn read(&self, reading: Reading) -> Result<Chunk, ReadError> {
        let Reading { partition, from, to } = reading;
        let room = self.bytes_max;
        let slice = match self.store.read_recent(partition, from, room) {
            Some(slice) => Ok(slice),
            None => {
                let (store, scope) = (self.store.clone(), Arc::clone(&self.scope));
                let read = move || match scope.narrow() {
                    Some(filters) => matching(&store, filters, (partition, from), room),
                    None => store.read(partition, from, room),
                };
                let read = tokio::task::spawn_blocking(read).await;
                read.unwrap_or_else(|error| Err(ReadError::Io(error.to_string())))
            }
        };
        let (slice, lost) = match slice {
            Ok(slice) => (slice, 0),
            Err(ReadError::OutOfRange { start, .. }) if start > from => {
                (Slice { next: start, start, ..Slice::default() }, start - from)
            }
            Err(error) => return Err(error),
        };
        let next = if lost == 0 { slice.next.min(to) } else { slice.next };
        let scope = Arc::clone(&self.scope);
        Ok(Chunk { partition, from, next, lost, batches: slice.batches, scope })
    }
}

/// The batches that hold a record that any of the filters matches, up to where all of them looked.
fn matching(
    store: &Store,
    filters: &[TopicFilter],
    (partition, from): (PartitionId, u64),
    bytes_max: usize,
) -> Result<Slice, ReadError> {
    let mut all: BTreeMap<u64, StoredBatch> = BTreeMap::new();
    let mut together: Option<Slice> = None;
    for filter in filters {
        let slice = store.read_matching(partition, filter, from, bytes_max)?;
        let next = together.as_ref().map_or(slice.next, |known| known.next.min(slice.next));
        all.extend(slice.batches.into_iter().map(|stored| (stored.base_offset, stored)));
        together = Some(Slice { batches: Vec::new(), next, ..slice });
    }
    let mut slice = together.unwrap_or_default();
    slice.batches = all.into_values().filter(|stored| stored.base_offset < slice.next).collect();
    Ok(slice)
}

fn homes(scope: &Scope, streams: &[Stream]) -> BTreeMap<PartitionId, Home> {
    let mut homes = BTreeMap::new();
    for stream in streams.iter().filter(|stream| scope.has(&stream.name)) {
        let name: Arc<str> = stream.name.as_str().into();
        for (index, partition) in (0..).zip(&stream.partitions) {
            homes.insert(*partition, Home { stream: Arc::clone(&name), index });
        }
    }
    homes
}

/// Every change of the number of partitions of a stream that is read.
fn barriers(scope: &Scope, streams: &[Stream]) -> Vec<Barrier> {
    let mut barriers = Vec::new();
    for stream in streams.iter().filter(|stream| scope.has(&stream.name)) {
        for layout in stream.layouts.iter().filter(|layout| !layout.ends.is_empty()) {
            let ends = layout.ends.iter().copied().chain(std::iter::repeat(0));
            barriers.push(Barrier::new(stream.partitions.iter().copied().zip(ends).collect()));
        }
    }
    barriers
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tidewire_proto::id::PartitionId;
    use tidewire_proto::record::BatchBuilder;
    use tidewire_proto::topic::TopicFilter;
    use tidewire_store::{
        Append, Commit, RealDisk, Store, StoreOptions, StreamConfig, StreamOptions,
    };
    use tokio::time::Instant;

    use super::{Chunk, Source};
    use crate::bridges::scope::Scope;
    use crate::tail::Tail;

    struct Log {
        store: Store,
        tail: Arc<Tail>,
        _folder: tempfile::TempDir,
    }

    impl Log {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let config = StreamConfig::default();
            let stream = |name: &str| StreamOptions {
                name: name.into(),
                partitions: 1,
                config: config.clone(),
            };
            let streams = vec![stream("mqtt"), stream("other")];
            let options = StoreOptions { streams, threads: false, ..StoreOptions::default() };
            let disk = Arc::new(RealDisk::new(folder.path()));
            let (store, _) = Store::open(disk, options).expect("opens");
            let tail = Arc::new(Tail::default());
            let _ends = store.follow(Arc::clone(&tail) as Arc<_>);
            Self { store, tail, _folder: folder }
        }

        fn append(&self, partition: u32, topics: &[&str]) {
            let mut batch = BatchBuilder::new();
            for topic in topics {
                batch.push(1, Some(topic.as_bytes()), Some(b"x"), &[]);
            }
            let appends = vec![Append::new(PartitionId(partition), batch.finish())];
            self.store.commit(Commit { appends, changes: Vec::new() }).expect("committed");
        }

        fn source(&self, streams: &[&str], filters: &[&str]) -> Source {
            let filter = |text: &&str| TopicFilter::parse(text).expect("valid");
            let streams = streams.iter().map(|it| (*it).to_owned()).collect();
            let scope = Scope { streams, filters: filters.iter().map(filter).collect() };
            Source::new((self.store.clone(), Arc::clone(&self.tail)), scope, &[], 1 << 20)
        }
    }

    fn topics(chunk: &Chunk) -> Vec<String> {
        let topic = |key: Option<&[u8]>| String::from_utf8_lossy(key.unwrap_or(b"")).into_owned();
        chunk.records().map(|(_, record)| topic(record.key)).collect()
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(future)
    }

    #[test]
    fn what_is_meant_comes_once_in_order_and_the_rest_is_passed() {
        let log = Log::new();
        log.append(0, &["a/1", "b/1", "a/2"]);
        log.append(1, &["a/3"]);
        log.append(0, &["b/2"]);
        let mut source = log.source(&["mqtt"], &["a/#"]);
        run(async {
            let chunk = source.next().await.expect("readable");
            assert_eq!((topics(&chunk), chunk.from), (vec!["a/1".into(), "a/2".into()], 0));
            let passed = source.positions();
            let more = async {
                log.append(1, &["a/4"]);
                log.append(0, &["a/5"]);
            };
            let (chunk, ()) = tokio::join!(source.next(), more);
            assert_eq!(topics(&chunk.expect("readable")), ["a/5"]);
            assert!(passed[0].1 >= 3 && source.positions() == [(PartitionId(0), 5)]);
        });
        assert_eq!(*source.home(PartitionId(0)).expect("read").stream, *"mqtt");
        assert!(source.home(PartitionId(1)).is_none());
    }

    #[test]
    fn what_was_deleted_before_it_was_read_is_told_of() {
        let log = Log::new();
        log.append(0, &["a", "b", "c"]);
        log.store.delete_below(&[(PartitionId(0), 2)]).expect("deleted");
        let mut source = log.source(&["mqtt"], &[]);
        run(async {
            let chunk = source.next().await.expect("readable");
            assert_eq!((chunk.lost, chunk.next, topics(&chunk).len()), (2, 2, 0));
            assert_eq!(topics(&source.next().await.expect("readable")), ["c"]);
        });
        assert!(source.positions() == [(PartitionId(0), 3)]);
    }

    #[test]
    fn what_is_not_meant_is_passed_over_and_that_is_told_in_time() {
        let log = Log::new();
        log.append(0, &["a/1", "b/1"]);
        log.append(1, &["b/2"]);
        let mut source = log.source(&[], &["none/#"]);
        run(async {
            let soon = Instant::now() + Duration::from_millis(20);
            assert!(source.next_by(soon).await.expect("readable").is_none());
            // At its own time, or a look later: all of it was passed over.
            while source.positions() != [(PartitionId(0), 2), (PartitionId(1), 1)] {
                assert!(source.next_by(Instant::now()).await.expect("readable").is_none());
            }
        });
    }

    #[test]
    fn a_cancelled_read_has_read_nothing() {
        let log = Log::new();
        let mut source = log.source(&[], &["a", "b"]);
        run(async {
            tokio::select! {
                biased;
                _ = source.next() => panic!("there is nothing"),
                () = tokio::task::yield_now() => (),
            }
            log.append(1, &["b"]);
            assert_eq!(topics(&source.next().await.expect("readable")), ["b"]);
        });
    }
}
