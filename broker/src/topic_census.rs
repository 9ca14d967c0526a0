//! Which topics there are, and what came at each: a cursor on the log that moves when somebody
//! asks. Nothing is read, and nobody waits, while nobody does (docs/decisions/0023-topics.md).

mod branches;
mod heard;
mod known;
mod shares;
mod walk;

use std::ops::{Bound, ControlFlow};
use std::time::Duration;

use parking_lot::Mutex;
use tidewire_store::{ReadError, Store, Table};

pub(crate) use branches::{Asked, Branch, Page};
use heard::Heard;
use known::Known;
pub(crate) use known::Others;
use walk::{Bounds, Walk};

/// What one question may cost.
const BOUNDS: Bounds = Bounds { records: 2_000_000, time: Duration::from_secs(1) };

/// How much was counted, and how much was not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) since_ms: i64,
    /// Topics that are known.
    pub(crate) topics: u64,
    pub(crate) others: Others,
    /// Records that were passed over, because too many had come since the last question.
    pub(crate) skipped: u64,
    /// Records that are left for the next question.
    pub(crate) waiting: u64,
}

/// All topics, as far as they are known.
#[derive(Debug, Default)]
pub(crate) struct TopicCensus(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: Known,
    walk: Walk,
}

impl TopicCensus {
    /// Takes in what came since the last time, for so many topics. Reads the log: never on a
    /// thread that others wait for.
    pub(crate) fn catch_up(
        &self,
        store: &Store,
        count_max: u32,
        now_ms: i64,
    ) -> Result<(), ReadError> {
        let State { known, walk } = &mut *self.0.lock();
        known.set_max(count_max as usize);
        if walk.aim(store, BOUNDS.records, now_ms) {
            // Older than what is read, or passed over.
            take_retained(store, known, count_max)?;
        }
        walk.go(store, BOUNDS.time, &mut |topic, heard| known.add(topic, heard));
        Ok(())
    }

    /// A page of what is known, from a key on, and what it is worth.
    pub(crate) fn page(&self, asked: &Asked, from: Option<&[u8]>, limit: usize) -> (Page, Extent) {
        let State { known, walk } = &*self.0.lock();
        let extent = Extent {
            since_ms: walk.since_ms.unwrap_or_default(),
            topics: known.len() as u64,
            others: known.others(),
            skipped: walk.skipped,
            waiting: walk.waiting,
        };
        (branches::branches(known, asked, from, limit), extent)
    }

    /// Nobody is to know: what was is forgotten.
    pub(crate) fn forget(&self) {
        *self.0.lock() = State::default();
    }
}

/// Topics with a retained message, as many as may be known.
fn take_retained(store: &Store, known: &mut Known, count_max: u32) -> Result<(), ReadError> {
    let mut left = count_max;
    store.scan(Table::Retained, Bound::Unbounded, Bound::Unbounded, &mut |key, _| {
        if left == 0 {
            return ControlFlow::Break(());
        }
        left -= 1;
        if let Ok(topic) = std::str::from_utf8(key) {
            known.add(topic, &Heard::KEPT);
        }
        ControlFlow::Continue(())
    })
}
