//! Which number a share group has, by its filter. Shared by all cores; asked when a session
//! subscribes or ends, never per message.

use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;
use tidewire_proto::id::GroupId;

/// Numbers of groups, and how many subscriptions each has.
#[derive(Default)]
pub(crate) struct Shares {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_filter: AHashMap<Arc<str>, Entry>,
    next: u32,
}

struct Entry {
    id: GroupId,
    subscriptions: usize,
}

impl Shares {
    /// Takes up a group that was stored, with that many members.
    pub(crate) fn restore(&self, filter: Arc<str>, id: GroupId, subscriptions: usize) {
        let mut known = self.known.lock();
        known.next = known.next.max(id.0 + 1);
        known.by_filter.insert(filter, Entry { id, subscriptions });
    }

    /// One more subscription of this group; `None` when there are `groups_max` groups already.
    pub(crate) fn acquire(&self, filter: &Arc<str>, groups_max: usize) -> Option<GroupId> {
        let mut known = self.known.lock();
        if let Some(entry) = known.by_filter.get_mut(filter) {
            entry.subscriptions += 1;
            return Some(entry.id);
        }
        if known.by_filter.len() >= groups_max {
            return None;
        }
        let id = GroupId(known.next);
        known.next += 1;
        known.by_filter.insert(Arc::clone(filter), Entry { id, subscriptions: 1 });
        Some(id)
    }

    /// One subscription less. The last takes the number with it: it is never used again.
    pub(crate) fn release(&self, filter: &str) -> Option<GroupId> {
        let mut known = self.known.lock();
        let entry = known.by_filter.get_mut(filter)?;
        let id = entry.id;
        entry.subscriptions = entry.subscriptions.saturating_sub(1);
        if entry.subscriptions == 0 {
            known.by_filter.remove(filter);
        }
        Some(id)
    }

    /// The number of a group that somebody subscribes to.
    pub(crate) fn id_of(&self, filter: &str) -> Option<GroupId> {
        self.known.lock().by_filter.get(filter).map(|entry| entry.id)
    }
}

#[cfg(test)]
mod tests {
    use super::Shares;
    use std::sync::Arc;
    use tidewire_proto::id::GroupId;

    #[test]
    fn a_group_keeps_its_number_while_anyone_subscribes_and_it_is_never_used_again() {
        let shares = Shares::default();
        let (a, b): (Arc<str>, Arc<str>) = ("$share/g/a".into(), "$share/g/b".into());
        shares.restore(Arc::clone(&a), GroupId(7), 1);
        assert_eq!(shares.acquire(&a, 2), Some(GroupId(7)));
        assert_eq!(shares.acquire(&b, 2), Some(GroupId(8)));
        assert_eq!(shares.acquire(&"$share/g/c".into(), 2), None, "no more than two");
        shares.release(&a);
        assert_eq!(shares.id_of(&a), Some(GroupId(7)));
        shares.release(&a);
        assert_eq!(shares.id_of(&a), None);
        assert_eq!(shares.acquire(&a, 2), Some(GroupId(9)));
    }
}
