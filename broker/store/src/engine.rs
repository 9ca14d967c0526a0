//! The parts that the writer, the checkpointer and the readers share. Owns them; does nothing.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, RwLock};

use crate::catalog::Catalog;
use crate::commit::Follower;
use crate::disk::Disk;
use crate::health::HealthCell;
use crate::holds::Holds;
use crate::options::StoreOptions;
use crate::partition::{Partition, Segment};
use crate::queue::Queue;
use crate::sealer::Sealer;
use crate::segment::{self, Archive, Drafts, Located};
use crate::sieve::SIEVE_BYTES_MAX;
use crate::tables::{Checkpoint, Layer, Tables};
use crate::wal::{Supply, WalFile};

/// One open store.
pub(crate) struct Engine {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: StoreOptions,
    pub(crate) catalog: Catalog,
    pub(crate) tables: Tables,
    pub(crate) queue: Queue,
    pub(crate) supply: Supply,
    pub(crate) full_files: FullFiles,
    pub(crate) archive: Archive,
    pub(crate) sealer: Sealer,
    pub(crate) drafts: Drafts,
    pub(crate) holds: Holds,
    pub(crate) health: HealthCell,
    pub(crate) pins: Pins,
    /// Files of the write-ahead log that batches are read from.
    pub(crate) wal_files: RwLock<BTreeMap<u64, Arc<WalFile>>>,
    /// Held while a group commit becomes visible, so that registering falls between two.
    pub(crate) followers: Mutex<Vec<Arc<dyn Follower>>>,
}

impl Engine {
    /// A segment and what is needed to read it.
    pub(crate) fn located<'a>(
        &'a self,
        partition: &'a Partition,
        segment: &'a Segment,
    ) -> Located<'a> {
        Located { disk: &*self.disk, archive: &self.archive, partition, segment }
    }
}

impl Engine {
    /// Files of segments stay as long as this is held.
    pub(crate) fn pin(&self) -> Pin<'_> {
        self.pins.0.lock().holders += 1;
        Pin(self)
    }

    /// Remove the files of a segment that no row names any more: now, or when they are not pinned.
    pub(crate) fn remove_segment(&self, partition: &Arc<Partition>, segment: Segment) {
        let mut pinned = self.pins.0.lock();
        if pinned.holders > 0 {
            return pinned.gone.push((Arc::clone(partition), segment));
        }
        drop(pinned);
        segment::remove(&*self.disk, partition, &segment);
    }
}

/// Segments that nobody needs any more, while somebody copies them.
#[derive(Default)]
pub(crate) struct Pins(Mutex<Pinned>);

#[derive(Default)]
struct Pinned {
    holders: usize,
    gone: Vec<(Arc<Partition>, Segment)>,
}

/// Who copies them.
pub(crate) struct Pin<'a>(&'a Engine);

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut pinned = self.0.pins.0.lock();
        pinned.holders -= 1;
        if pinned.holders > 0 {
            return;
        }
        let gone = std::mem::take(&mut pinned.gone);
        drop(pinned);
        for (partition, segment) in gone {
            segment::remove(&*self.0.disk, &partition, &segment);
        }
    }
}

impl Engine {
    /// Do work that others wait for. If it panics the store has failed, and whoever waits is told.
    pub(crate) fn guard<T>(&self, who: &str, work: impl FnOnce() -> T) -> Result<T, Arc<str>> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|_| self.has_panicked(who))
    }

    /// Nothing that somebody waits for comes any more: say so, with the reason.
    pub(crate) fn has_panicked(&self, who: &str) -> Arc<str> {
        let reason = self.health.fail(&format!("a panic in {who}"));
        self.supply.fail(Arc::clone(&reason));
        reason
    }

    /// Is there memory for more sieves?
    pub(crate) fn has_room_for_sieves(&self) -> bool {
        let partitions = self.catalog.partitions();
        partitions.iter().map(|one| one.sieve_bytes()).sum::<usize>() < SIEVE_BYTES_MAX
    }
}

/// A file of the write-ahead log that the writer is done with.
pub(crate) struct FullFile {
    pub(crate) file: Arc<WalFile>,
    /// Table changes in it.
    pub(crate) layer: Arc<Layer>,
    /// Where recovery starts once all of it is checkpointed.
    pub(crate) then: Checkpoint,
}

/// Files that wait for their checkpoint, oldest first.
#[derive(Default)]
pub(crate) struct FullFiles {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Arc<FullFile>>,
    closed: bool,
}

impl FullFiles {
    pub(crate) fn push(&self, file: FullFile) {
        self.state.lock().waiting.push_back(Arc::new(file));
        self.changed.notify_all();
    }

    /// No more will come.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// The oldest, waiting for one; `None` when closed and empty. It stays first until
    /// [`pop`](Self::pop).
    pub(crate) fn wait_first(&self) -> Option<Arc<FullFile>> {
        let mut state = self.state.lock();
        loop {
            if let Some(first) = state.waiting.front() {
                return Some(Arc::clone(first));
            }
            if state.closed {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }

    /// The oldest, if there is one.
    pub(crate) fn first(&self) -> Option<Arc<FullFile>> {
        self.state.lock().waiting.front().cloned()
    }

    /// The oldest is checkpointed.
    pub(crate) fn pop(&self) {
        self.state.lock().waiting.pop_front();
    }

    /// Wait until something changes, at most this long.
    pub(crate) fn pause(&self, time: std::time::Duration) {
        let mut state = self.state.lock();
        if !state.closed {
            self.changed.wait_for(&mut state, time);
        }
    }
}
