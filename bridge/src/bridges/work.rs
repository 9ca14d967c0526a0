//! What a kind of bridge has to be able to do. Does nothing itself.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_store::rows::bridge::BridgeRow;

use crate::bridges::desk::Desk;
use crate::bridges::order::Order;
use crate::bridges::scope::Scope;

/// A bridge at work, until it ends. Dropped, it has lost nothing that is durable: whoever rests,
/// rewinds or skips a bridge drops it and begins anew.
pub(crate) type Running = Pin<Box<dyn Future<Output = Ended>>>;

/// A try of the other side: what there is, or what is wrong, in words.
pub(crate) type Testing = Pin<Box<dyn Future<Output = Result<String, String>>>>;

/// How a bridge ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to leave.
    Left,
    /// Something went wrong, in words; it may go well another time.
    Failed(String),
    /// Something is wrong that stays so until somebody mends it.
    Hopeless(String),
}

/// A kind of bridge, ready to be run.
pub(crate) trait Work: Send + Sync {
    /// What it reads from the log, if anything.
    fn scope(&self) -> Option<&Scope>;

    /// Runs, on the thread of the bridges. Leaves soon when its desk says so.
    fn run(self: Arc<Self>, desk: Desk) -> Running;

    /// Tries the other side without moving a message.
    fn test(self: Arc<Self>) -> Testing;

    /// Whether it reads what is not in our log, at places that it can be moved to.
    fn reads_elsewhere(&self) -> bool {
        false
    }

    /// Its row when it is to read on elsewhere, of a kind that reads nothing from our log. `None`:
    /// it has no such place.
    fn told(&self, _row: BridgeRow, _order: &Order) -> Option<BridgeRow> {
        None
    }

    /// Its row, to read on elsewhere.
    fn moved(&self, row: BridgeRow, positions: Vec<(PartitionId, u64)>) -> BridgeRow {
        BridgeRow { positions, ..row }
    }

    /// Its row, to read on elsewhere in one partition; in the others it goes on where it is.
    fn moved_in(&self, row: BridgeRow, (partition, offset): (PartitionId, u64)) -> BridgeRow {
        let mut positions: BTreeMap<PartitionId, u64> = row.positions.iter().copied().collect();
        positions.insert(partition, offset);
        self.moved(row, positions.into_iter().collect())
    }

    /// Its row, when so many records of a partition that has these bounds are passed over, counted
    /// from the first that it is not done with. `None`: it does not read the partition.
    fn skipped(
        &self,
        row: BridgeRow,
        (partition, (from, end)): (PartitionId, (u64, u64)),
        records: u64,
    ) -> Option<BridgeRow> {
        let known = row.positions.iter().find(|(known, _)| *known == partition);
        let known = known.map(|(_, offset)| *offset)?;
        let offset = known.saturating_add(records).clamp(from, end);
        Some(self.moved_in(row, (partition, offset)))
    }
}
