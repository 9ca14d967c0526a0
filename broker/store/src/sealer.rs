//! Wakes and stops the thread that works on sealed segments. Never does its work.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tidewire_proto::id::PartitionId;

/// Wakes the thread and stops it.
#[derive(Debug, Default)]
pub(crate) struct Sealer {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
    arranging: Mutex<()>,
    /// The last time that was told.
    now_ms: AtomicI64,
}

#[derive(Debug, Default)]
struct State {
    work: bool,
    /// Segments that stay as they are, by partition and base.
    left_alone: HashSet<(PartitionId, u64)>,
}

impl Sealer {
    /// There may be something to do.
    pub(crate) fn wake(&self) {
        self.state.lock().work = true;
        self.changed.notify_all();
    }

    /// Held by whoever changes which segments there are: the checkpoint, sealing, retention.
    pub(crate) fn arranging(&self) -> MutexGuard<'_, ()> {
        self.arranging.lock()
    }

    /// The store has no clock of its own.
    pub(crate) fn set_now(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Not later than now.
    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    /// Stop soon, whatever is under way: it is begun again by the next start.
    pub(crate) fn close(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// False when closed.
    pub(crate) fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while !state.work {
            self.changed.wait(&mut state);
        }
        state.work = false;
        !self.is_closed()
    }

    /// Is this segment one that stays as it is?
    pub(crate) fn leaves_alone(&self, id: PartitionId, base: u64) -> bool {
        self.state.lock().left_alone.contains(&(id, base))
    }

    /// This segment stays as it is until the next start.
    pub(crate) fn leave_alone(&self, id: PartitionId, base: u64) {
        self.state.lock().left_alone.insert((id, base));
    }
}
