//! What transactions want done: answers to send, rows to store, batches to append. Does none.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_store::TableChange;

use crate::transactions::request::{Answer, Ticket};

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is in the log.
    Committed,
    /// Its producer did not want it.
    Aborted,
    /// Something of it was refused.
    Doomed,
    /// It took too long.
    TimedOut,
    /// Another producer has its transactional id.
    Fenced,
}

impl End {
    /// All there are.
    pub const ALL: [Self; 5] =
        [Self::Committed, Self::Aborted, Self::Doomed, Self::TimedOut, Self::Fenced];

    /// For metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Doomed => "refused",
            Self::TimedOut => "timed_out",
            Self::Fenced => "fenced",
        }
    }
}

/// Sequence numbers that are not to be held against a producer after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unnumbered {
    /// Whose.
    pub producer: i64,
    /// Where; without, wherever it wrote.
    pub partitions: Option<BTreeSet<PartitionId>>,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<B> {
    /// A request hears this.
    Answer(Ticket, Answer),
    /// One commit for the store. What became of it is to be told.
    Store {
        /// The number that it is told with.
        write: u64,
        /// The row.
        change: TableChange,
        /// To be removed with it.
        unnumbered: Option<Unnumbered>,
    },
    /// One commit with all that a transaction holds. What became of it is to be told.
    Commit {
        /// The number that it is told with.
        write: u64,
        /// Whose: `Transactions::held` has its batches and offsets.
        id: Arc<str>,
        /// The row.
        change: TableChange,
    },
    /// A transaction ended, and these are its batches: in the log, or gone.
    Ended(End, Vec<B>),
}

/// Gathers effects.
#[derive(Debug)]
pub(super) struct Out<B> {
    effects: Vec<Effect<B>>,
    writes: u64,
}

impl<B> Default for Out<B> {
    fn default() -> Self {
        Self { effects: Vec::new(), writes: 0 }
    }
}

impl<B> Out<B> {
    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.effects.push(Effect::Answer(ticket, answer));
    }

    pub(super) fn ended(&mut self, end: End, batches: Vec<B>) {
        self.effects.push(Effect::Ended(end, batches));
    }

    pub(super) fn store(&mut self, change: TableChange, unnumbered: Option<Unnumbered>) -> u64 {
        self.writes += 1;
        self.effects.push(Effect::Store { write: self.writes, change, unnumbered });
        self.writes
    }

    pub(super) fn commit(&mut self, id: &Arc<str>, change: TableChange) -> u64 {
        self.writes += 1;
        self.effects.push(Effect::Commit { write: self.writes, id: Arc::clone(id), change });
        self.writes
    }

    pub(super) fn take(&mut self) -> Vec<Effect<B>> {
        std::mem::take(&mut self.effects)
    }
}
