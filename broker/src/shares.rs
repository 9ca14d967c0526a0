//! Which number a share group has, by its filter, and whose sessions subscribe to it: who is named
//! twice counts once. Shared by all cores; asked when a session subscribes or ends, never per
//! message.

use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use parking_lot::Mutex;
use tidewire_proto::id::GroupId;

/// Numbers of groups, and the clients that subscribe to each.
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
    clients: AHashSet<Arc<str>>,
}

impl Shares {
    /// Takes up a group that was stored, with its members.
    pub(crate) fn restore(&self, filter: Arc<str>, id: GroupId, members: Vec<Arc<str>>) {
        let mut known = self.known.lock();
        known.next = known.next.max(id.0 + 1);
        let clients = members.into_iter().collect();
        known.by_filter.insert(filter, Entry { id, clients });
    }

    /// The client subscribes to this group; `None` when there are `groups_max` groups already.
    pub(crate) fn acquire(
        &self,
        filter: &Arc<str>,
        client_id: &Arc<str>,
        groups_max: usize,
    ) -> Option<GroupId> {
        let mut known = self.known.lock();
        if let Some(entry) = known.by_filter.get_mut(filter) {
            entry.clients.insert(Arc::clone(client_id));
            return Some(entry.id);
        }
        if known.by_filter.len() >= groups_max {
            return None;
        }
        let id = GroupId(known.next);
        known.next += 1;
        let clients = AHashSet::from_iter([Arc::clone(client_id)]);
        known.by_filter.insert(Arc::clone(filter), Entry { id, clients });
        Some(id)
    }

    /// The client subscribes to it no longer; `None` when it did not. The last takes the number
    /// with it: it is never used again.
    pub(crate) fn release(&self, filter: &str, client_id: &str) -> Option<GroupId> {
        let mut known = self.known.lock();
        let entry = known.by_filter.get_mut(filter)?;
        let id = entry.id;
        let was_there = entry.clients.remove(client_id);
        if entry.clients.is_empty() {
            known.by_filter.remove(filter);
        }
        was_there.then_some(id)
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
        let [one, two]: [Arc<str>; 2] = ["one".into(), "two".into()];
        shares.restore(Arc::clone(&a), GroupId(7), vec![Arc::clone(&one)]);
        assert_eq!(shares.acquire(&a, &two, 2), Some(GroupId(7)));
        assert_eq!(shares.acquire(&b, &one, 2), Some(GroupId(8)));
        assert_eq!(shares.acquire(&"$share/g/c".into(), &one, 2), None, "no more than two");
        assert_eq!(shares.release(&a, &one), Some(GroupId(7)));
        assert_eq!(shares.id_of(&a), Some(GroupId(7)));
        assert_eq!(shares.release(&a, &two), Some(GroupId(7)));
        assert_eq!(shares.id_of(&a), None);
        assert_eq!(shares.acquire(&a, &one, 2), Some(GroupId(9)));
    }

    #[test]
    fn who_subscribes_or_leaves_twice_counts_once() {
        let shares = Shares::default();
        let filter = "$share/g/a".into();
        let [one, two]: [Arc<str>; 2] = ["one".into(), "two".into()];
        for client_id in [&one, &one, &two] {
            assert_eq!(shares.acquire(&filter, client_id, 1), Some(GroupId(0)));
        }
        assert_eq!(shares.release(&filter, &one), Some(GroupId(0)));
        assert_eq!(shares.release(&filter, &one), None);
        assert_eq!(shares.id_of(&filter), Some(GroupId(0)), "the other is there");
    }
}
