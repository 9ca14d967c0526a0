//! What waits for its time on one core. Knows times and names; never reads a clock.

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::AHashMap;
use tidewire_proto::id::{GroupId, PartitionId};
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
    /// What a share group could not read.
    Unread(GroupId),
}

impl Due {
    /// When, in milliseconds of the Unix epoch; what has no such time is due.
    pub(crate) fn due_ms(&self) -> i64 {
        match self {
            Self::Will(_, due_ms) => *due_ms,
            Self::Message(key) => key.due_ms,
            Self::Letters(_) | Self::Unread(_) => 0,
        }
    }
}

/// All that waits, by its time in milliseconds since the start. A client waits once.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(i64, Due)>,
    /// Where each client stands in the queue.
    wills: AHashMap<Arc<str>, (i64, i64)>,
    /// Partitions that refused a message, and when it is tried again: younger ones wait with it.
    refusing: AHashMap<PartitionId, i64>,
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

    /// Tries a refused message again then, or with those of its partition that wait already.
    pub(crate) fn set_again(&mut self, at_ms: i64, key: DelayedKey, to: Option<PartitionId>) {
        let at_ms = to.map_or(at_ms, |to| *self.refusing.entry(to).or_insert(at_ms));
        self.queue.insert((at_ms, Due::Message(key)));
    }

    /// Whether a message that waited until then may go. If not it waits with older ones.
    pub(crate) fn may_go(&mut self, at_ms: i64, key: DelayedKey, to: PartitionId) -> bool {
        match self.refusing.get(&to) {
            Some(again_ms) if at_ms < *again_ms => {
                self.queue.insert((*again_ms, Due::Message(key)));
                false
            }
            // The first of those that wait.
            Some(_) => self.refusing.remove(&to).is_some(),
            None => true,
        }
    }

    /// Whether messages wait for room there.
    pub(crate) fn is_refusing(&self, partition: PartitionId) -> bool {
        self.refusing.contains_key(&partition)
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

    /// Takes the first whose time has come, and says when that was.
    pub(crate) fn pop(&mut self, now_ms: i64) -> Option<(i64, Due)> {
        if !self.is_due(now_ms) {
            return None;
        }
        let (at_ms, due) = self.queue.pop_first()?;
        if let Due::Will(client_id, _) = &due {
            self.wills.remove(client_id);
        }
        Some((at_ms, due))
    }
}

#[cfg(test)]
mod tests {
    use super::{Due, Timers};
    use tidewire_proto::id::PartitionId;
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
        assert_eq!(timers.pop(20), Some((10, message(1))));
        assert_eq!(timers.pop(20), Some((20, Due::Will("c".into(), 5))));
        assert_eq!(timers.pop(20), None);
        assert_eq!(timers.pop(30), Some((30, message(3))));
    }

    #[test]
    fn a_client_waits_once_and_not_at_all_when_it_is_back() {
        let mut timers = Timers::default();
        timers.set(10, Due::Will("c".into(), 1));
        timers.set(20, Due::Will("c".into(), 2));
        assert!(!timers.is_due(19));
        assert_eq!(timers.pop(20), Some((20, Due::Will("c".into(), 2))));
        timers.set(10, Due::Will("c".into(), 3));
        timers.forget(&"c".into());
        assert_eq!(timers.pop(99), None);
    }

    #[test]
    fn messages_behind_a_refused_one_go_with_it_and_after_it_again_and_again() {
        let (full, free) = (PartitionId(1), PartitionId(2));
        let key = |serial| DelayedKey { due_ms: 0, started_ms: 0, serial };
        let mut timers = Timers::default();
        assert!(timers.may_go(1, key(1), full) && timers.may_go(2, key(2), full));
        // The younger one is heard of first, and later than the older one was to be.
        timers.set_again(10, key(2), Some(full));
        timers.set_again(20, key(1), Some(full));
        assert!(timers.is_refusing(full) && !timers.is_refusing(free));
        assert!(!timers.may_go(9, key(3), full), "it would overtake two");
        assert!(timers.may_go(9, key(4), free), "nobody is before it");
        assert_eq!(timers.pop(12), Some((10, message(1))));
        assert!(timers.may_go(10, key(1), full));
        timers.set_again(30, key(1), Some(full));
        for serial in [2, 3] {
            assert_eq!(timers.pop(12), Some((10, message(serial))));
            assert!(!timers.may_go(10, key(serial), full), "the first found no room");
        }
        assert_eq!(timers.pop(29), None);
        for serial in [1, 2, 3] {
            assert_eq!(timers.pop(30), Some((30, message(serial))));
            assert!(timers.may_go(30, key(serial), full));
        }
        assert!(!timers.is_refusing(full));
    }
}
