//! One transactional id: who has it, and how far its transaction is. Knows no other id.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_store::rows::transaction::{Stage, TransactionRow};
use tidewire_store::{Table, TableChange};

use crate::groups::Moment;
use crate::transactions::held::Held;
use crate::transactions::refusal::Refusal;
use crate::transactions::request::{Producer, Ticket};

/// How far the transaction is.
#[derive(Debug)]
pub(super) enum State<B> {
    /// There is none; so the last one ended.
    Idle(Stage),
    /// There is one.
    Open(Held<B>),
    /// There was one, and it is gone. Its row says that it is open: nobody takes its end for that
    /// of the one before.
    Lost(Lost),
}

/// What is left of a transaction that is gone.
#[derive(Debug)]
pub(super) struct Lost {
    /// What whoever goes on with it hears.
    pub(super) why: Refusal,
    /// Where it may have written; `None` if nobody knows any more.
    pub(super) touched: Option<BTreeSet<PartitionId>>,
}

/// What is on its way to the disk. There is never more than one thing of an id.
#[derive(Debug)]
pub(super) enum Writing {
    /// Another producer takes over.
    Start { row: TransactionRow, ticket: Ticket },
    /// A transaction begins; so the one before ended.
    Begin { before: Stage, tickets: Vec<Ticket> },
    /// It ends well.
    Commit(Ticket),
    /// It does not.
    Abort(Ticket),
    /// The id is to be forgotten.
    Forget,
}

/// A transactional id.
#[derive(Debug)]
pub(super) struct Owner<B> {
    pub(super) id: Arc<str>,
    /// As its row has it, but for the stage.
    pub(super) row: TransactionRow,
    pub(super) state: State<B>,
    pub(super) writing: Option<(u64, Writing)>,
    /// When its transaction's time is over, as the agenda has it.
    pub(super) scheduled: Option<u64>,
}

impl<B> Owner<B> {
    /// Nobody has it yet.
    pub(super) fn new(id: Arc<str>) -> Self {
        let row = TransactionRow { producer: -1, epoch: -1, ..TransactionRow::default() };
        Self { id, row, state: State::Idle(Stage::None), writing: None, scheduled: None }
    }

    /// As it was stored. What was open then is lost.
    pub(super) fn restored(id: Arc<str>, row: TransactionRow) -> Self {
        let state = match row.stage {
            Stage::Open => State::Lost(Lost { why: Refusal::Lost, touched: None }),
            ended => State::Idle(ended),
        };
        Self { id, row, state, writing: None, scheduled: None }
    }

    pub(super) fn producer(&self) -> Producer {
        Producer { id: self.row.producer, epoch: self.row.epoch }
    }

    /// Is that the producer that has the id?
    pub(super) fn check(&self, producer: Producer) -> Result<(), Refusal> {
        if producer.id != self.row.producer {
            return Err(Refusal::Unknown);
        }
        match producer.epoch == self.row.epoch {
            true => Ok(()),
            false => Err(Refusal::Fenced),
        }
    }

    /// It has no transaction, and nothing of it is on its way to the disk.
    pub(super) fn is_idle(&self) -> bool {
        !matches!(self.state, State::Open(_)) && self.writing.is_none()
    }

    /// The transaction, if one is open and nothing of it is on its way to the disk.
    pub(super) fn open(&mut self) -> Result<&mut Held<B>, Refusal> {
        match (&mut self.state, &self.writing) {
            (State::Open(held), None) => Ok(held),
            (State::Lost(lost), None) => Err(lost.why),
            (_, Some(_)) => Err(Refusal::Busy),
            (State::Idle(_), None) => Err(Refusal::NotOpen),
        }
    }

    /// Who has it next, and how the row says so.
    pub(super) fn next(&self, fresh: Option<i64>) -> Option<Producer> {
        if self.is_used_up() {
            return Some(Producer { id: fresh?, epoch: 0 });
        }
        Some(Producer { epoch: self.row.epoch + 1, ..self.producer() })
    }

    /// It needs another number before somebody else can have it.
    pub(super) fn is_used_up(&self) -> bool {
        self.row.producer < 0 || self.row.epoch >= i16::MAX - 1
    }

    /// The change that stores that stage.
    pub(super) fn change(&self, stage: Stage, now: Moment) -> TableChange {
        stored(&self.id, TransactionRow { stage, at_ms: now.wall_ms, ..self.row })
    }

    /// Where the transaction may have written; `None` if nobody knows any more.
    pub(super) fn touched(&self) -> Option<BTreeSet<PartitionId>> {
        match &self.state {
            State::Open(held) => Some(held.partitions.clone()),
            State::Lost(lost) => lost.touched.clone(),
            State::Idle(_) => None,
        }
    }

    /// When the transaction's time is over.
    pub(super) fn due(&self) -> Option<u64> {
        match (&self.state, &self.writing) {
            (State::Open(held), None) => Some(held.since + u64::from(self.row.timeout_ms)),
            _ => None,
        }
    }
}

/// The change that stores a row.
pub(super) fn stored(id: &str, row: TransactionRow) -> TableChange {
    TableChange::new(Table::Transactions, id.as_bytes().into(), Some(row.encode()))
}
