//! A batch of an open transaction: judged and written anew, and not in the log before the commit.
//! Never commits itself.

use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::Batch;
use tidewire_store::rows::retained;
use tidewire_store::{Append, Commit, OffsetOf, Table, TableChange};

use crate::placed::Placed;
use crate::retained::Settle;

/// What is held for a message that is to be kept, besides its topic and itself.
const KEPT_BYTES: usize = 128;
/// What is held for a batch besides its bytes.
const BATCH_BYTES: usize = 512;

/// A message that is to be kept for later subscribers, or that clears what is.
pub(crate) struct Kept {
    /// Its place in the batch.
    pub(crate) place: u32,
    pub(crate) topic: Box<[u8]>,
    /// The form in which it is kept.
    pub(crate) form: Option<Batch>,
}

impl Kept {
    /// The row, in one commit with the append of this number.
    pub(crate) fn row(&self, partition: PartitionId, append: usize) -> TableChange {
        let row = self.form.as_ref().map(|form| retained::encode(partition, self.place, form));
        let mut change = TableChange::new(Table::Retained, self.topic.clone(), row);
        change.offset_of = Some(OffsetOf { append, at: retained::OFFSET_AT });
        change
    }

    fn at(&self, at_ms: i64) -> Self {
        let form = self.form.as_ref().map(|form| form.restamped(at_ms));
        Self { place: self.place, topic: self.topic.clone(), form }
    }
}

/// One batch.
pub(crate) struct HeldBatch {
    /// Whose it is.
    pub(crate) producer: i64,
    /// As its producer's numbers know it.
    pub(crate) placed: Arc<Placed>,
    pub(crate) partition: PartitionId,
    pub(crate) batch: Batch,
    /// What the producer appended last, as its rows say it.
    pub(crate) changes: Vec<TableChange>,
    pub(crate) kept: Vec<Kept>,
    pub(crate) claims: Vec<Settle>,
}

impl HeldBatch {
    /// Adds it to a commit: its records come when that is.
    pub(crate) fn put_into(&self, commit: &mut Commit, at_ms: i64) {
        let append = commit.appends.len();
        commit.appends.push(Append::new(self.partition, self.batch.restamped(at_ms)));
        let placed = |change: &TableChange| {
            let offset_of = change.offset_of.map(|wanted| OffsetOf { append, ..wanted });
            TableChange { offset_of, ..change.clone() }
        };
        commit.changes.extend(self.changes.iter().map(placed));
        let rows = self.kept.iter().map(|kept| kept.at(at_ms).row(self.partition, append));
        commit.changes.extend(rows);
    }

    /// It is in the log, or never will be.
    pub(crate) fn settle(self, is_durable: bool) {
        self.claims.into_iter().for_each(|settle| settle(is_durable));
    }
}

/// What a batch will hold, and what it takes in the commit: a message that is kept is in its row
/// once more.
pub(crate) fn bytes_of<'a>(batch: usize, kept: impl Iterator<Item = (&'a str, usize)>) -> usize {
    let kept: usize = kept.map(|(topic, bytes)| KEPT_BYTES + topic.len() + 2 * bytes).sum();
    BATCH_BYTES + batch + kept
}
