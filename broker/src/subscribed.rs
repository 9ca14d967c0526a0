//! How many subscriptions all sessions have, and had at most: said for each client when its own
//! change, so that the most is known however short it was. Never looks at one.

use ahash::{AHashMap, RandomState};
use parking_lot::Mutex;

/// So many, of one client or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) all: u64,
    /// Those of them that are shared.
    pub(crate) shared: u64,
}

/// Of each client that has some, by the hash of its id: what is said twice counts once. Two clients
/// of one hash count as one, as in [`Ledger`](crate::ledger::Ledger).
#[derive(Default)]
pub(crate) struct Subscribed {
    hasher: RandomState,
    counts: Mutex<Counts>,
}

/// What one client has, in half the room: there is one for each.
#[derive(Clone, Copy, Default)]
struct Own {
    all: u32,
    shared: u32,
}

#[derive(Default)]
struct Counts {
    known: AHashMap<u64, Own>,
    now: Count,
    most: Count,
}

impl Subscribed {
    /// The client has so many.
    pub(crate) fn put(&self, client_id: &[u8], count: Count) {
        let short = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let own = Own { all: short(count.all), shared: short(count.shared) };
        self.counts.lock().put(self.hasher.hash_one(client_id), own);
    }

    /// One more was found of a client of which not all are known.
    pub(crate) fn found(&self, client_id: &[u8], is_shared: bool) {
        let hash = self.hasher.hash_one(client_id);
        let mut counts = self.counts.lock();
        let Own { all, shared } = counts.known.get(&hash).copied().unwrap_or_default();
        counts.put(hash, Own { all: all + 1, shared: shared + u32::from(is_shared) });
    }

    /// How many there were at most: of all, and of those that are shared.
    pub(crate) fn most(&self) -> Count {
        self.counts.lock().most
    }
}

impl Counts {
    fn put(&mut self, hash: u64, own: Own) {
        let before = match own.all {
            0 => self.known.remove(&hash),
            _ => self.known.insert(hash, own),
        };
        let before = before.unwrap_or_default();
        self.now.all = self.now.all + u64::from(own.all) - u64::from(before.all);
        self.now.shared = self.now.shared + u64::from(own.shared) - u64::from(before.shared);
        self.most.all = self.most.all.max(self.now.all);
        self.most.shared = self.most.shared.max(self.now.shared);
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, Subscribed};

    #[test]
    fn the_most_that_all_clients_had_at_once_stays_known() {
        let subscribed = Subscribed::default();
        for (client_id, all, shared, most) in [
            ("a", 3, 1, (3, 1)),
            ("a", 3, 1, (3, 1)),
            ("b", 2, 2, (5, 3)),
            ("a", 0, 0, (5, 3)),
            ("b", 4, 0, (5, 3)),
            ("a", 2, 0, (6, 3)),
            ("c", 0, 0, (6, 3)),
        ] {
            subscribed.put(client_id.as_bytes(), Count { all, shared });
            let found = subscribed.most();
            assert_eq!((found.all, found.shared), most, "{client_id} {all}");
        }
        subscribed.found(b"b", true);
        subscribed.found(b"d", false);
        assert_eq!(subscribed.most(), Count { all: 8, shared: 3 });
    }
}
