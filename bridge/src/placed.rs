//! Where a batch is, once that is known: told by the store's thread, awaited by handlers.

use parking_lot::Mutex;
use tidewire_store::CommitError;
use tokio::sync::Notify;

type Outcome = Result<u64, CommitError>;

/// The place of a batch whose transaction is not committed: none yet.
pub(crate) const NOWHERE: u64 = u64::MAX;

/// The place of one batch.
#[derive(Default)]
pub(crate) struct Placed {
    outcome: Mutex<Option<Outcome>>,
    told: Notify,
}

impl Placed {
    /// It is durable, and begins at this offset.
    pub(crate) fn known(base_offset: u64) -> Self {
        Self { outcome: Mutex::new(Some(Ok(base_offset))), told: Notify::new() }
    }

    /// Tells all who wait.
    pub(crate) fn tell(&self, outcome: Outcome) {
        *self.outcome.lock() = Some(outcome);
        self.told.notify_waiters();
    }

    /// As far as it is known now.
    pub(crate) fn now(&self) -> Option<Outcome> {
        self.outcome.lock().clone()
    }

    /// Waits until it is durable or refused.
    pub(crate) async fn outcome(&self) -> Outcome {
        loop {
            let mut told = std::pin::pin!(self.told.notified());
            // From here on nothing is missed.
            told.as_mut().enable();
            if let Some(outcome) = self.now() {
                return outcome;
            }
            told.await;
        }
    }
}
