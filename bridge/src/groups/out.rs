//! What groups want done: answers to send, rows to store. Does neither.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tidewire_store::TableChange;

use crate::groups::offset::Committed;
use crate::groups::refusal::Refusal;
use crate::groups::request::{Answer, Spot, Ticket};

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A request hears this.
    Answer(Ticket, Answer),
    /// One commit for the store. What became of it is to be told, in the order of these.
    Store {
        /// The number that it is told with.
        write: u64,
        /// The rows.
        changes: Vec<TableChange>,
    },
}

/// What goes on when rows are durable, or are not.
#[derive(Debug)]
pub(super) enum Then {
    /// The members hear what they read.
    Assign { generation: i32, assignments: HashMap<Arc<str>, Bytes> },
    /// The offsets are the group's.
    Commit { ticket: Option<Ticket>, offsets: Vec<(Spot, Committed)> },
    /// Somebody hears that it is done.
    Tell { ticket: Ticket, answer: Answer },
    /// The offsets are gone.
    Forget { ticket: Option<Ticket>, spots: Vec<Spot> },
    /// The group is gone.
    End { ticket: Option<Ticket> },
    /// If not, it is tried again with whatever its members of the newer kind do next.
    Readers,
    /// Nobody waits for it.
    Nothing,
}

/// A write that is under way.
#[derive(Debug)]
pub(super) struct Pending {
    /// Whose.
    pub(super) group: Arc<str>,
    pub(super) then: Then,
}

/// Gathers effects.
#[derive(Debug, Default)]
pub(super) struct Out {
    effects: Vec<Effect>,
    pending: HashMap<u64, Pending>,
    writes: u64,
}

impl Out {
    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.effects.push(Effect::Answer(ticket, answer));
    }

    pub(super) fn refuse(&mut self, ticket: Ticket, why: Refusal) {
        self.answer(ticket, Answer::Refused(why));
    }

    pub(super) fn store(&mut self, group: &Arc<str>, changes: Vec<TableChange>, then: Then) {
        self.writes += 1;
        self.pending.insert(self.writes, Pending { group: Arc::clone(group), then });
        self.effects.push(Effect::Store { write: self.writes, changes });
    }

    /// A write that somebody else hands to the store.
    pub(super) fn outside(&mut self, group: &Arc<str>, then: Then) -> u64 {
        self.writes += 1;
        self.pending.insert(self.writes, Pending { group: Arc::clone(group), then });
        self.writes
    }

    /// What was to happen after a write.
    pub(super) fn settle(&mut self, write: u64) -> Option<Pending> {
        self.pending.remove(&write)
    }

    pub(super) fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}
