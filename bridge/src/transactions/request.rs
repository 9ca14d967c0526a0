//! What producers ask for and what they hear. Plain data.

use std::sync::Arc;

use tidewire_proto::id::PartitionId;

use crate::transactions::refusal::Refusal;

/// One request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A producer, as it says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// The number that it was given.
    pub id: i64,
    /// Which one of those that had the number, one after the other.
    pub epoch: i16,
}

/// A producer wants to begin, and ends whatever had its transactional id before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// How long its transactions may take, in milliseconds.
    pub timeout_ms: i32,
    /// Who it is, if it goes on after an error.
    pub known: Option<Producer>,
    /// A number that nobody has, if it needs one (see `needs_number`).
    pub fresh: Option<i64>,
}

/// What a transaction is to write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These partitions.
    Partitions(Vec<PartitionId>),
    /// The offsets of this consumer group.
    Group(Arc<str>),
}

/// What a request that waited hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Who it is from now on.
    Producer(Producer),
    /// It is done, and durable.
    Done,
    /// No.
    Refused(Refusal),
}
