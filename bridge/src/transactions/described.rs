//! A transactional id as tools are told of it. Decides nothing.

use std::collections::BTreeSet;

use tidewire_proto::id::PartitionId;
use tidewire_store::rows::transaction::Stage;

use crate::transactions::owner::{Owner, State, Writing};
use crate::transactions::request::Producer;

/// One transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// How far it is, in Kafka's words.
    pub state: &'static str,
    /// Who has it.
    pub producer: Producer,
    /// How long a transaction of it may be open.
    pub timeout_ms: u32,
    /// When the open transaction began, in milliseconds of the Unix epoch.
    pub since_ms: Option<i64>,
    /// Where the open transaction may write.
    pub partitions: BTreeSet<PartitionId>,
}

impl Described {
    pub(super) fn of<B>(owner: &Owner<B>) -> Self {
        let held = match &owner.state {
            State::Open(held) => Some(held),
            State::Idle(_) | State::Lost(_) => None,
        };
        let partitions = held.map(|held| held.partitions.iter().copied().collect());
        Self {
            state: state(owner),
            producer: owner.producer(),
            timeout_ms: owner.row.timeout_ms,
            since_ms: held.map(|held| held.since_ms),
            partitions: partitions.unwrap_or_default(),
        }
    }
}

fn state<B>(owner: &Owner<B>) -> &'static str {
    match (&owner.state, &owner.writing) {
        (_, Some((_, Writing::Commit(_)))) => "PrepareCommit",
        (_, Some((_, Writing::Abort(_)))) => "PrepareAbort",
        (_, Some((_, Writing::Forget))) => "Dead",
        (State::Open(_), _) => "Ongoing",
        // Nothing of it is left, nor will be.
        (State::Lost(_), _) | (State::Idle(Stage::Aborted), _) => "CompleteAbort",
        (State::Idle(Stage::Committed), _) => "CompleteCommit",
        (State::Idle(Stage::None | Stage::Open), _) => "Empty",
    }
}
