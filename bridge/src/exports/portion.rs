//! The parts of the log that an export writes at a time, read one after the other: the next one
//! while the one before is on its way. Writes nothing, and notes no position.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidewire_proto::id::PartitionId;
use tidewire_store::ReadError;
use tokio::time::Instant;

use crate::bridges::source::{Chunk, Home, Source};

/// How long a part waits for what is in the log already.
const READ: Duration = Duration::from_millis(500);

/// So much of the log as goes at a time.
#[derive(Debug)]
pub(crate) struct Portion {
    pub(crate) chunks: Vec<Chunk>,
    /// What lies before these is in it, or in those before it, or was not meant.
    pub(crate) next: Vec<(PartitionId, u64)>,
    /// Where its partitions belong.
    pub(crate) homes: Arc<BTreeMap<PartitionId, Home>>,
    /// There is no more room in it.
    is_full: bool,
}

/// Reads them.
pub(crate) struct Portions {
    source: Source,
    bytes_max: usize,
    linger: Duration,
}

impl Portions {
    /// Of about so many bytes; at the end of the log, more is waited for so long.
    pub(crate) fn new(source: Source, bytes_max: usize, linger: Duration) -> Self {
        Self { source, bytes_max, linger }
    }

    /// Where it reads next.
    pub(crate) fn positions(&self) -> Vec<(PartitionId, u64)> {
        self.source.positions()
    }

    /// Waits so long for something to come. Cancelled, nothing was read.
    ///
    /// # Errors
    /// When the log cannot be read now.
    pub(crate) async fn next(&mut self, within: Duration) -> Result<Option<Portion>, ReadError> {
        let first = self.source.next_by(Instant::now() + within).await?;
        let Some(first) = first else { return Ok(None) };
        let linger = Instant::now() + self.linger;
        self.gather(first, linger).await.map(Some)
    }

    /// What is in the log already behind a part that was full. Behind others more will have come
    /// when they are written: that goes together then.
    ///
    /// # Errors
    /// When the log cannot be read now.
    pub(crate) async fn behind(&mut self, before: &Portion) -> Result<Option<Portion>, ReadError> {
        if !before.is_full || self.source.is_at_end() {
            return Ok(None);
        }
        let first = self.source.next_by(Instant::now() + READ).await?;
        let Some(first) = first else { return Ok(None) };
        self.gather(first, Instant::now()).await.map(Some)
    }

    async fn gather(&mut self, first: Chunk, linger: Instant) -> Result<Portion, ReadError> {
        let mut bytes = first.bytes();
        let mut chunks = vec![first];
        while bytes < self.bytes_max {
            // What is there may not be for us: who waits for it may wait in vain.
            let until = match self.source.is_at_end() {
                true => linger,
                false => Instant::now() + READ,
            };
            let Some(more) = self.source.next_by(until).await? else { break };
            bytes += more.bytes();
            chunks.push(more);
        }
        let (next, homes) = (self.source.positions(), self.source.homes());
        Ok(Portion { chunks, next, homes, is_full: bytes >= self.bytes_max })
    }
}
