//! What waits for its time on one core. Knows times and names; never reads a clock.

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::AHashMap;
use tidewire_proto::id::GroupId;
use tidewire_store::rows::delayed::DelayedKey;

/// Something whose time comes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The will of a client that is away; with the time its row names.
    Will(Arc<str>, i64),
    /// A message that was published with a delay.
    Message(DelayedKey),
    /// Dead letters of a share group.
    Letters(GroupId),
}

impl Due {
    /// When, in milliseconds of the Unix epoch; what has no such time is due.
    pub(crate) fn due_ms(&self) -> i64 {
        match self {
            Self::Will(_, due_ms) => *due_ms,
            Self::Message(key) => key.due_ms,
            Self::Letters(_) => 0,
        }
    }
}

/// All that waits, by its time in milliseconds since the start. A client waits once.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(i64, Due)>,
    /// Where each client stands in the queue.
    wills: AHashMap<Arc<str>, (i64, i64)>,
}

impl Timers {
    /// Waits until then. A client's earlier time is forgotten.
    pub(crate) fn set(&mut self, at_ms: i64, due: Due) {
        if let Due::Will(client_id, due_ms) = &due {
            let (client_id, due_ms) = (Arc::clone(client_id), *due_ms);
            self.forget(&client_id);
            self.wills.insert(client_id, (at_ms, due_ms));
        }
        self.queue.insert((at_ms, due));
    }

    /// The client is back: nothing is due for it.
    pub(crate) fn forget(&mut self, client_id: &Arc<str>) {
        if let Some((at_ms, due_ms)) = self.wills.remove(client_id) {
            self.queue.remove(&(at_ms, Due::Will(Arc::clone(client_id), due_ms)));
        }
    }

    /// Whether something's time has come.
    pub(crate) fn is_due(&self, now_ms: i64) -> bool {
        self.queue.first().is_some_and(|(at_ms, _)| *at_ms <= now_ms)
    }

    /// Takes the first whose time has come.
    pub(crate) fn pop(&mut self, now_ms: i64) -> Option<Due> {
        if !self.is_due(now_ms) {
            return None;
        }
        let (_, due) = self.queue.pop_first()?;
        if let Due::Will(client_id, _) = &due {
            self.wills.remove(client_id);
        }
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::{Due, Timers};
    use tidewire_store::rows::delayed::DelayedKey;

    fn message(serial: u64) -> Due {
        Due::Message(DelayedKey { due_ms: 0, started_ms: 0, serial })
    }

    #[test]
    fn what_waits_comes_in_the_order_of_time_and_never_early() {
        let mut timers = Timers::default();
        timers.set(30, message(3));
        timers.set(10, message(1));
        timers.set(20, Due::Will("c".into(), 5));
        assert_eq!(timers.pop(9), None);
        assert_eq!(timers.pop(20), Some(message(1)));
        assert_eq!(timers.pop(20), Some(Due::Will("c".into(), 5)));
        assert_eq!(timers.pop(20), None);
        assert_eq!(timers.pop(30), Some(message(3)));
    }

    #[test]
    fn a_client_waits_once_and_not_at_all_when_it_is_back() {
        let mut timers = Timers::default();
        timers.set(10, Due::Will("c".into(), 1));
        timers.set(20, Due::Will("c".into(), 2));
        assert!(!timers.is_due(19));
        assert_eq!(timers.pop(20), Some(Due::Will("c".into(), 2)));
        timers.set(10, Due::Will("c".into(), 3));
        timers.forget(&"c".into());
        assert_eq!(timers.pop(99), None);
    }
}
