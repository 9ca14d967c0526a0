//! One partition in memory: where each batch is, and the newest batches themselves. Never reads a
//! file.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::Batch;

use crate::read::{ReadError, Slice, StoredBatch};
use crate::sieve::{Block, Sieves, Sifted};
use crate::stream::Durability;

/// A batch that lies in a file of the write-ahead log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) base: u64,
    /// The offset behind its last record.
    pub(crate) next: u64,
    pub(crate) epoch: u64,
    /// Where in the file the batch begins.
    pub(crate) position: u64,
    pub(crate) bytes: u32,
    pub(crate) max_timestamp: i64,
}

/// A file of checkpointed batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    /// The offset behind its last record.
    pub(crate) next: u64,
    /// Bytes that count.
    pub(crate) bytes: u64,
    pub(crate) max_timestamp: i64,
    /// Nothing is added to it any more.
    pub(crate) sealed: bool,
    /// What was made of it since it is sealed.
    pub(crate) refined: Option<Refined>,
}

/// What became of a sealed segment: it was given a topic index, most often with its batches written
/// anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refined {
    /// Counts how often; part of the files' names.
    pub(crate) generation: u32,
    /// Records that newer ones replace were taken out.
    pub(crate) compacted: bool,
}

impl Segment {
    /// 0 for the files that the checkpoint wrote.
    pub(crate) fn generation(&self) -> u32 {
        self.refined.map_or(0, |refined| refined.generation)
    }

    /// One may have grown since the other was looked at.
    fn is_same_file(&self, other: &Self) -> bool {
        (self.base, self.generation()) == (other.base, other.generation())
    }
}

/// Where the batches from an offset on are.
#[derive(Debug)]
pub(crate) enum Place {
    /// In memory, or there are none.
    Here(Slice),
    /// In the write-ahead log; at least one.
    Wal(Vec<Placed>),
    /// In a segment.
    Segment(Segment),
}

/// Where the first record of a time can be.
#[derive(Debug)]
pub(crate) enum TimePlace {
    /// In this segment or behind it.
    Segment(Segment),
    /// In the batch that holds this offset, or behind it.
    From(u64),
    /// There is none; this is the partition's end.
    End(u64),
}

/// One partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) id: PartitionId,
    /// An acknowledgement waits for the disk.
    must_sync: AtomicBool,
    /// Its folder of segments, relative to the data folder.
    pub(crate) folder: String,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The first offset of the segments there are, or could be.
    start: u64,
    /// What lies before is no more, whether or not it is in a segment yet.
    deleted_below: u64,
    end: u64,
    recent: VecDeque<StoredBatch>,
    placed: VecDeque<Placed>,
    segments: Vec<Segment>,
    /// Of segments without a topic index, by base.
    sieves: BTreeMap<u64, Arc<Sieves>>,
}

impl Partition {
    pub(crate) fn new(id: PartitionId, folder: String) -> Self {
        Self { id, must_sync: AtomicBool::new(true), folder, state: RwLock::default() }
    }

    /// Take up what an acknowledgement promises.
    pub(crate) fn set_durability(&self, durability: Durability) {
        self.must_sync.store(durability == Durability::Disk, Ordering::Relaxed);
    }

    /// Must a commit with an append to it be synced before it is acknowledged?
    pub(crate) fn must_sync(&self) -> bool {
        self.must_sync.load(Ordering::Relaxed)
    }

    /// Take up what the checkpoint says.
    pub(crate) fn restore(&self, start: u64, end: u64, mut segments: Vec<Segment>) {
        // Early builds did not note it of every segment that another follows.
        if let Some((_, before)) = segments.split_last_mut() {
            before.iter_mut().for_each(|segment| segment.sealed = true);
        }
        let mut state = self.state.write();
        let deleted_below = state.deleted_below;
        *state = State { start, deleted_below, end, segments, ..State::default() };
    }

    /// First offset, and the offset behind the last record.
    pub(crate) fn bounds(&self) -> (u64, u64) {
        let state = self.state.read();
        (state.first(), state.end)
    }

    /// Where its segments begin: what lies between that and its first offset is still to go.
    pub(crate) fn segments_start(&self) -> u64 {
        self.state.read().start
    }

    /// From now on nobody reads what lies before this offset; for ever.
    pub(crate) fn delete_below(&self, offset: u64) {
        let mut state = self.state.write();
        state.deleted_below = state.deleted_below.max(offset);
    }

    /// Does it end behind what was deleted? While the log is read anew it may not.
    pub(crate) fn reaches_its_start(&self) -> bool {
        let state = self.state.read();
        state.deleted_below <= state.end
    }

    /// A batch became durable at the end, and stays in memory for a while if it is given.
    pub(crate) fn push(&self, placed: Placed, batch: Option<Batch>) {
        let mut state = self.state.write();
        if let Some(batch) = batch {
            state.recent.push_back(StoredBatch { base_offset: placed.base, batch });
        }
        state.end = placed.next;
        state.placed.push_back(placed);
    }

    /// Let the oldest batch in memory go.
    pub(crate) fn forget_oldest(&self) {
        self.state.write().recent.pop_front();
    }

    /// The batches that lie in one file of the write-ahead log, the oldest there is.
    pub(crate) fn placed_in(&self, epoch: u64) -> Vec<Placed> {
        let state = self.state.read();
        state.placed.iter().take_while(|placed| placed.epoch <= epoch).copied().collect()
    }

    pub(crate) fn last_segment(&self) -> Option<Segment> {
        self.state.read().segments.last().copied()
    }

    /// Is it still one of the partition's files?
    pub(crate) fn has(&self, segment: &Segment) -> bool {
        let state = self.state.read();
        let index = state.segments.partition_point(|known| known.base < segment.base);
        state.segments.get(index).is_some_and(|known| known.is_same_file(segment))
    }

    /// The segments to which nothing is added any more, oldest first.
    pub(crate) fn sealed_segments(&self) -> Vec<Segment> {
        self.state.read().segments.iter().filter(|segment| segment.sealed).copied().collect()
    }

    /// The sealed segment with this offset.
    pub(crate) fn sealed_at(&self, offset: u64) -> Option<Segment> {
        let state = self.state.read();
        let index = state.segments.partition_point(|segment| segment.next <= offset);
        let segment = state.segments.get(index)?;
        (segment.sealed && segment.base <= offset).then_some(*segment)
    }

    /// The segments, oldest first, and the bytes of what is in none yet.
    pub(crate) fn holding(&self) -> (Vec<Segment>, u64) {
        let state = self.state.read();
        let open_bytes = state.placed.iter().map(|placed| u64::from(placed.bytes)).sum();
        (state.segments.clone(), open_bytes)
    }

    /// What it holds, in segments and before.
    pub(crate) fn bytes(&self) -> u64 {
        let state = self.state.read();
        let open_bytes = state.placed.iter().map(|placed| u64::from(placed.bytes)).sum::<u64>();
        open_bytes + state.segments.iter().map(|segment| segment.bytes).sum::<u64>()
    }

    /// What lies before `start` is no more.
    pub(crate) fn start_at(&self, start: u64) {
        let mut state = self.state.write();
        state.segments.retain(|segment| segment.next > start);
        state.drop_sieves();
        state.start = state.start.max(start);
    }

    /// Base and generation of each segment, and the base of the last.
    pub(crate) fn segment_files(&self) -> (Vec<(u64, u32)>, u64) {
        let state = self.state.read();
        let file = |segment: &Segment| (segment.base, segment.generation());
        let frontier = state.segments.last().map_or(0, |last| last.base);
        (state.segments.iter().map(file).collect(), frontier)
    }

    /// Other files hold a segment now, or the same with more beside them.
    pub(crate) fn replace(&self, segment: Segment) {
        let mut state = self.state.write();
        if let Ok(index) = state.segments.binary_search_by_key(&segment.base, |known| known.base) {
            state.segments[index] = segment;
            state.drop_sieves();
        }
    }

    /// The segments that have no topic index yet, oldest first.
    pub(crate) fn unrefined_segments(&self) -> Vec<Segment> {
        let state = self.state.read();
        state.segments.iter().filter(|segment| segment.refined.is_none()).copied().collect()
    }

    /// Is there a segment with this base, and without a topic index?
    pub(crate) fn lacks_index(&self, base: u64) -> bool {
        let state = self.state.read();
        let found = state.segments.binary_search_by_key(&base, |segment| segment.base);
        found.is_ok_and(|index| state.segments[index].refined.is_none())
    }

    /// The sieves of the segment with this base.
    pub(crate) fn sieves(&self, base: u64) -> Option<Arc<Sieves>> {
        self.state.read().sieves.get(&base).cloned()
    }

    /// From now on a segment without a topic index has these.
    pub(crate) fn set_sieves(&self, base: u64, sieves: Sieves) {
        let mut state = self.state.write();
        state.sieves.insert(base, Arc::new(sieves));
        state.drop_sieves();
    }

    /// What the sieves take in memory.
    pub(crate) fn sieve_bytes(&self) -> usize {
        self.state.read().sieves.values().map(|sieves| sieves.memory()).sum()
    }

    /// Where a topic may be, from this offset on, in a segment that has sieves for it.
    pub(crate) fn sift(&self, from: u64, hash: u64) -> Option<(Segment, Sifted)> {
        let (segment, sieves) = self.state.read().sieves_at(from)?;
        Some((segment, sieves.sift(from, hash)?))
    }

    /// The block with an offset, in a segment that has sieves for it.
    pub(crate) fn block_at(&self, offset: u64) -> Option<(Segment, Block)> {
        let (segment, sieves) = self.state.read().sieves_at(offset)?;
        Some((segment, sieves.block_at(offset)?))
    }

    /// The checkpoint holds what lay in that file; `segments` are new or have grown.
    pub(crate) fn checkpointed(&self, epoch: u64, segments: &[Segment]) {
        let mut state = self.state.write();
        if let Some(first) = segments.first() {
            state.segments.pop_if(|last| last.base == first.base);
            state.segments.extend_from_slice(segments);
        }
        while state.placed.pop_front_if(|placed| placed.epoch <= epoch).is_some() {}
    }

    /// From memory alone; `None` if it has to come from a file.
    pub(crate) fn read_recent(&self, from: u64, bytes_max: usize) -> Option<Slice> {
        self.state.read().recent_slice(from, bytes_max)
    }

    /// Is there, or will be, a record with this offset?
    pub(crate) fn check(&self, offset: u64) -> Result<(), ReadError> {
        self.state.read().check(offset)
    }

    /// Where the batches from `from` on are, up to about `bytes_max`.
    pub(crate) fn locate(&self, from: u64, bytes_max: usize) -> Result<Place, ReadError> {
        let state = self.state.read();
        state.check(from)?;
        if let Some(slice) = state.recent_slice(from, bytes_max) {
            return Ok(Place::Here(slice));
        }
        if state.placed.front().is_some_and(|first| first.base <= from) {
            return Ok(Place::Wal(state.placed_from(from, bytes_max)));
        }
        let index = state.segments.partition_point(|segment| segment.next <= from);
        match state.segments.get(index) {
            Some(segment) => Ok(Place::Segment(*segment)),
            None => Ok(Place::Here(state.slice(Vec::new(), from))),
        }
    }

    /// An answer with batches that came from a file.
    pub(crate) fn slice(&self, batches: Vec<StoredBatch>, from: u64) -> Slice {
        self.state.read().slice(batches, from)
    }

    /// Where the first record at or behind `from` that is not older than this can be.
    pub(crate) fn locate_time(&self, from: u64, timestamp_ms: i64) -> TimePlace {
        let state = self.state.read();
        let from = from.max(state.first());
        let index = state.segments.partition_point(|segment| segment.next <= from);
        let young = |max_timestamp: i64| max_timestamp >= timestamp_ms;
        let mut segments = state.segments[index..].iter();
        if let Some(segment) = segments.find(|segment| young(segment.max_timestamp)) {
            return TimePlace::Segment(*segment);
        }
        let index = state.placed.partition_point(|placed| placed.next <= from);
        let mut placed = state.placed.range(index..);
        match placed.find(|placed| young(placed.max_timestamp)) {
            Some(placed) => TimePlace::From(placed.base.max(from)),
            None => TimePlace::End(state.end),
        }
    }
}

impl State {
    /// The first offset that is there.
    fn first(&self) -> u64 {
        self.start.max(self.deleted_below.min(self.end))
    }

    fn check(&self, offset: u64) -> Result<(), ReadError> {
        let (start, end) = (self.first(), self.end);
        match (start..=end).contains(&offset) {
            true => Ok(()),
            false => Err(ReadError::OutOfRange { offset, start, end }),
        }
    }

    fn sieves_at(&self, offset: u64) -> Option<(Segment, Arc<Sieves>)> {
        let index = self.segments.partition_point(|segment| segment.next <= offset);
        let segment = self.segments.get(index).filter(|segment| segment.base <= offset)?;
        Some((*segment, Arc::clone(self.sieves.get(&segment.base)?)))
    }

    /// Only segments without a topic index need them.
    fn drop_sieves(&mut self) {
        let Self { segments, sieves, .. } = self;
        sieves.retain(|base, _| {
            let index = segments.partition_point(|segment| segment.base < *base);
            segments
                .get(index)
                .is_some_and(|segment| segment.base == *base && segment.refined.is_none())
        });
    }

    fn recent_slice(&self, from: u64, bytes_max: usize) -> Option<Slice> {
        if from == self.end {
            return Some(self.slice(Vec::new(), from));
        }
        let is_here = (self.first()..=self.end).contains(&from);
        if !is_here || self.recent.front()?.base_offset > from {
            return None;
        }
        let index = self.recent.partition_point(|stored| stored.next_offset() <= from);
        let mut bytes = 0;
        let mut batches = Vec::new();
        for stored in self.recent.range(index..) {
            bytes += stored.batch.bytes().len();
            if bytes > bytes_max && !batches.is_empty() {
                break;
            }
            batches.push(stored.clone());
        }
        Some(self.slice(batches, from))
    }

    fn placed_from(&self, from: u64, bytes_max: usize) -> Vec<Placed> {
        let index = self.placed.partition_point(|placed| placed.next <= from);
        let mut bytes = 0;
        let within = |placed: &&Placed| {
            let is_first = bytes == 0;
            bytes += placed.bytes as usize;
            is_first || bytes <= bytes_max
        };
        self.placed.range(index..).take_while(within).copied().collect()
    }

    fn slice(&self, batches: Vec<StoredBatch>, from: u64) -> Slice {
        let next = batches.last().map_or(from, StoredBatch::next_offset);
        Slice { batches, next, start: self.first(), end: self.end }
    }
}
