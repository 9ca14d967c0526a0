//! One partition in memory: where each batch is, and the newest batches themselves. Never reads a
//! file.

use std::collections::VecDeque;

use parking_lot::RwLock;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::Batch;

use crate::read::{ReadError, Slice, StoredBatch};
use crate::stream::StreamConfig;

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
    pub(crate) sealed: bool,
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

/// One partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) id: PartitionId,
    pub(crate) config: StreamConfig,
    /// Its folder of segments, relative to the data folder.
    pub(crate) folder: String,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    start: u64,
    end: u64,
    recent: VecDeque<StoredBatch>,
    placed: VecDeque<Placed>,
    segments: Vec<Segment>,
}

impl Partition {
    pub(crate) fn new(id: PartitionId, config: StreamConfig, folder: String) -> Self {
        Self { id, config, folder, state: RwLock::default() }
    }

    /// Take up what the checkpoint says.
    pub(crate) fn restore(&self, start: u64, end: u64, segments: Vec<Segment>) {
        *self.state.write() = State { start, end, segments, ..State::default() };
    }

    /// First offset, and the offset behind the last record.
    pub(crate) fn bounds(&self) -> (u64, u64) {
        let state = self.state.read();
        (state.start, state.end)
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

    /// Where the batches from `from` on are, up to about `bytes_max`.
    pub(crate) fn locate(&self, from: u64, bytes_max: usize) -> Result<Place, ReadError> {
        let state = self.state.read();
        if from < state.start || from > state.end {
            let (start, end) = (state.start, state.end);
            return Err(ReadError::OutOfRange { offset: from, start, end });
        }
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
}

impl State {
    fn recent_slice(&self, from: u64, bytes_max: usize) -> Option<Slice> {
        if from == self.end {
            return Some(self.slice(Vec::new(), from));
        }
        if from > self.end || self.recent.front()?.base_offset > from {
            return None;
        }
        let index = self.recent.partition_point(|stored| next_of(stored) <= from);
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
        let next = batches.last().map_or(from, next_of);
        Slice { batches, next, start: self.start, end: self.end }
    }
}

fn next_of(stored: &StoredBatch) -> u64 {
    stored.base_offset + u64::from(stored.batch.last_offset_delta()) + 1
}
