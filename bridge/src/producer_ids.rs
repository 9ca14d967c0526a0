//! Numbers for idempotent producers: each is given once, also across crashes.

use tidewire_store::{Commit, CommitError, Table, TableChange};
use tokio::sync::Mutex;

/// The row of [`Table::Meta`] that says from where on numbers are free.
const KEY: &[u8] = b"producer-ids";
/// Reserved with one commit.
const BLOCK: i64 = 1000;
/// So that nobody takes one for "none" or for something else.
const FIRST: i64 = 1000;

/// The numbers that are reserved and not given yet.
#[derive(Default)]
pub(crate) struct ProducerIds {
    free: Mutex<std::ops::Range<i64>>,
}

impl ProducerIds {
    /// A number that nobody else has, or had.
    pub(crate) async fn next(
        &self,
        read: impl FnOnce(Table, &[u8]) -> Option<Vec<u8>>,
        commit: impl AsyncFnOnce(Commit) -> Result<(), CommitError>,
    ) -> Result<i64, CommitError> {
        let mut free = self.free.lock().await;
        if let Some(id) = free.next() {
            return Ok(id);
        }
        let stored = read(Table::Meta, KEY).and_then(|row| Some(*row.first_chunk()?));
        let from = stored.map_or(FIRST, i64::from_le_bytes);
        let value = Some(Box::from((from + BLOCK).to_le_bytes()));
        let change = TableChange::new(Table::Meta, KEY.into(), value);
        commit(Commit { appends: Vec::new(), changes: vec![change] }).await?;
        *free = from + 1..from + BLOCK;
        Ok(from)
    }
}
