//! Which topics there are, and what came at each: a cursor on the log that moves when somebody
//! asks. Nothing is read, and nobody waits, while nobody does (docs/decisions/0023-topics.md).

mod branches;
mod heard;
mod known;
mod shares;
mod walk;

use std::ops::{Bound, ControlFlow};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidewire_store::{ReadError, Store, Table};

pub(crate) use branches::{Asked, Branch, Page};
use heard::Heard;
use known::Known;
pub(crate) use known::Others;
use walk::Walk;

/// What one question may cost. What is older than so many records is passed over; what the time
/// does not suffice for waits for the next question.
const RECORDS_MAX: u64 = 2_000_000;
const TIME_MAX: Duration = Duration::from_secs(1);
/// Of that time, for what is retained.
const RETAINED_TIME_MAX: Duration = Duration::from_millis(500);

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
    retained: Retained,
}

/// How far the table of retained messages was read: once, as later ones are seen in the log.
#[derive(Debug)]
enum Retained {
    Behind(Box<[u8]>),
    Read,
}

impl Default for Retained {
    fn default() -> Self {
        // No topic is empty.
        Self::Behind(Box::default())
    }
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
        let State { known, walk, retained } = &mut *self.0.lock();
        let began = Instant::now();
        known.set_max(count_max as usize);
        walk.aim(store, RECORDS_MAX, now_ms);
        retained.read_on(store, known, began + RETAINED_TIME_MAX)?;
        walk.go(store, began + TIME_MAX, &mut |topic, heard| known.add(topic, heard));
        Ok(())
    }

    /// A page of what is known, from a key on, and what it is worth.
    pub(crate) fn page(&self, asked: &Asked, from: Option<&[u8]>, limit: usize) -> (Page, Extent) {
        let State { known, walk, .. } = &*self.0.lock();
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

impl Retained {
    /// Takes in topics whose retained message may be older than what is read of the log: at most
    /// half of all that may be known.
    fn read_on(
        &mut self,
        store: &Store,
        known: &mut Known,
        until: Instant,
    ) -> Result<(), ReadError> {
        let Self::Behind(last) = self else { return Ok(()) };
        let from = Bound::Excluded(last.clone());
        let from = from.as_ref().map(|key| &**key);
        let mut is_late = false;
        store.scan(Table::Retained, from, Bound::Unbounded, &mut |key, _| {
            if known.is_half_full() {
                return ControlFlow::Break(());
            }
            if Instant::now() >= until {
                is_late = true;
                return ControlFlow::Break(());
            }
            *last = key.into();
            if let Ok(topic) = std::str::from_utf8(key) {
                known.add(topic, &Heard::KEPT);
            }
            ControlFlow::Continue(())
        })?;
        if !is_late {
            *self = Self::Read;
        }
        Ok(())
    }
}
