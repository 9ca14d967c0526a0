//! Which batches stay in memory: the newest of all partitions together, up to a bound.

use std::collections::VecDeque;
use std::sync::Arc;

use tidewire_proto::record::Batch;

use crate::partition::Partition;

/// What a batch costs besides its bytes.
const OVERHEAD_BYTES: u64 = 128;

/// The order in which batches leave memory.
pub(super) struct RecentBudget {
    bytes_max: u64,
    bytes: u64,
    oldest_first: VecDeque<(Arc<Partition>, u64)>,
}

impl RecentBudget {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, oldest_first: VecDeque::new() }
    }

    /// Account for one more batch, which its partition already holds, and let the oldest go for
    /// it. The newest stays even if it is over the bound by itself.
    pub(super) fn remember(&mut self, partition: &Arc<Partition>, batch: &Batch) {
        let cost = batch.bytes().len() as u64 + OVERHEAD_BYTES;
        self.bytes += cost;
        self.oldest_first.push_back((Arc::clone(partition), cost));
        while self.bytes > self.bytes_max && self.oldest_first.len() > 1 {
            let Some((oldest, cost)) = self.oldest_first.pop_front() else { break };
            self.bytes -= cost;
            oldest.forget_oldest();
        }
    }
}
