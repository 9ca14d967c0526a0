//! What a kind of bridge has to be able to do. Does nothing itself.

use std::pin::Pin;
use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_store::rows::bridge::BridgeRow;

use crate::bridges::desk::Desk;
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

    /// Its row, to read on elsewhere.
    fn moved(&self, row: BridgeRow, positions: Vec<(PartitionId, u64)>) -> BridgeRow {
        BridgeRow { positions, ..row }
    }
}
