//! What all cores have counted since the start, for ourselves: what goes to a recorder cannot be
//! read again. As far as they have flushed it.

use parking_lot::Mutex;

use super::per_core::CoreCounters;

/// The sums of all cores.
#[derive(Debug, Default)]
pub(crate) struct Totals(Mutex<CoreCounters>);

impl Totals {
    /// Counts in what a core is about to flush.
    pub(crate) fn gather(&self, more: &CoreCounters) {
        self.0.lock().gather(more);
    }

    /// What they come to now.
    pub(crate) fn now(&self) -> CoreCounters {
        self.0.lock().clone()
    }
}
