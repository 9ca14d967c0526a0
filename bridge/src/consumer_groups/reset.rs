//! Where the offsets of a group are to be moved to: pure but for what it asks of the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_store::{ReadError, Store, Stream};

use crate::coordinator::spots::place_of;
use crate::groups::{Refusal, Spot};

/// Offsets of a group that are to be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Of this stream alone; `None`: wherever the group committed something.
    pub stream: Option<String>,
    /// Of these partitions of it alone; none: of all.
    pub partitions: Vec<u32>,
    /// Where to.
    pub to: ResetTo,
}

/// Where offsets are moved to: never before the first record that is there, never behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetTo {
    /// To the first record that is there.
    Earliest,
    /// Behind the last.
    Latest,
    /// To the first record that came then or later, in milliseconds since 1970.
    Time(i64),
    /// By so many records, back if it is below zero; partitions without an offset stay without.
    Shift(i64),
    /// To this offset.
    Offset(u64),
}

/// An offset that is moved, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The stream.
    pub stream: Arc<str>,
    /// Which of its partitions.
    pub partition: u32,
    /// Where it is; `None`: the group has committed nothing there.
    pub from: Option<u64>,
    /// Where it will be.
    pub to: u64,
}

/// Why offsets were not moved.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// There is no such group.
    #[error("there is no such consumer group")]
    UnknownGroup,
    /// Its members would not notice, and commit what they have read.
    #[error("the group has members: stop them first")]
    HasMembers,
    /// There is no such stream.
    #[error("there is no stream {0:?}")]
    UnknownStream(String),
    /// The stream has no such partition.
    #[error("stream {0:?} has no partition {1}")]
    UnknownPartition(String, u32),
    /// Partitions are those of a stream.
    #[error("partitions are named, and no stream")]
    NoStream,
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Read(#[from] ReadError),
    /// The group takes no offsets now.
    #[error("the offsets cannot be stored: {0}")]
    Refused(Refusal),
    /// The Kafka port is closed.
    #[error("the Kafka port is closed")]
    Closed,
}

impl Reset {
    /// What is moved, in order, where the group committed this. Waits for the disk.
    pub(super) fn moves(
        &self,
        committed: &BTreeMap<Spot, u64>,
        store: &Store,
    ) -> Result<Vec<Move>, ResetError> {
        let streams = store.streams();
        let mut moves = Vec::new();
        for spot in self.spots(committed, &streams)? {
            // Of a stream that is not there any more.
            let Some(id) = place_of(&streams, &spot) else { continue };
            let from = committed.get(&spot).copied();
            let Some(to) = self.to.in_partition(store, id, from)? else { continue };
            moves.push(Move { stream: spot.topic, partition: spot.partition, from, to });
        }
        Ok(moves)
    }

    fn spots(
        &self,
        committed: &BTreeMap<Spot, u64>,
        streams: &[Stream],
    ) -> Result<Vec<Spot>, ResetError> {
        let Some(name) = &self.stream else {
            return match self.partitions.is_empty() {
                true => Ok(committed.keys().cloned().collect()),
                false => Err(ResetError::NoStream),
            };
        };
        let stream = streams.iter().find(|stream| stream.name == *name);
        let stream = stream.ok_or_else(|| ResetError::UnknownStream(name.clone()))?;
        let count = u32::try_from(stream.partitions.len()).unwrap_or(u32::MAX);
        if let Some(unknown) = self.partitions.iter().find(|index| **index >= count) {
            return Err(ResetError::UnknownPartition(name.clone(), *unknown));
        }
        let topic: Arc<str> = name.as_str().into();
        let is_meant = |index: &u32| self.partitions.is_empty() || self.partitions.contains(index);
        let spot = |partition| Spot { topic: Arc::clone(&topic), partition };
        Ok((0..count).filter(is_meant).map(spot).collect())
    }
}

impl ResetTo {
    /// `None`: there is nothing to move.
    fn in_partition(
        self,
        store: &Store,
        id: PartitionId,
        from: Option<u64>,
    ) -> Result<Option<u64>, ReadError> {
        let (first, end) = store.bounds(id).unwrap_or_default();
        let wanted = match self {
            Self::Earliest => first,
            Self::Latest => end,
            Self::Time(at_ms) => store.offset_at(id, at_ms)?,
            Self::Shift(by) => match from {
                Some(from) => from.saturating_add_signed(by),
                None => return Ok(None),
            },
            Self::Offset(offset) => offset,
        };
        Ok(Some(wanted.clamp(first, end)))
    }
}
