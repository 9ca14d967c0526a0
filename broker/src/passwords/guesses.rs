//! How often wrong passwords may come, from an address and for a user: buckets that fill with time.
//! Time is handed in. Bounded; what fills up is forgotten.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use ahash::{AHashMap, AHashSet};

/// Addresses and users that are remembered.
const REMEMBERED_MAX: usize = 65_536;
const MINUTE_MS: i64 = 60_000;

/// What wrong passwords are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Of version 6 the network: who has one address there has all.
    Address(u64),
    User(u64),
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// In parts of which one try takes `MINUTE_MS`.
    level: i64,
    at_ms: i64,
}

/// All buckets.
#[derive(Debug)]
pub(super) struct Guesses {
    buckets: AHashMap<Key, Bucket>,
    per_address: i64,
    per_user: i64,
    hasher: RandomState,
}

impl Guesses {
    /// So many in a minute, at once or spread; 0: any number.
    pub(super) fn new(per_address: u32, per_user: u32) -> Self {
        Self {
            buckets: AHashMap::new(),
            per_address: per_address.into(),
            per_user: per_user.into(),
            hasher: RandomState::new(),
        }
    }

    /// Takes a try from both buckets. False, and nothing is taken, when one of them is empty.
    pub(super) fn take(&mut self, address: Option<IpAddr>, user: &str, now_ms: i64) -> bool {
        let keys = self.keys(address, user);
        let has_room =
            |(key, per_minute): &(Key, i64)| self.level(*key, *per_minute, now_ms) >= MINUTE_MS;
        if !keys.iter().flatten().all(has_room) {
            return false;
        }
        for (key, per_minute) in keys.into_iter().flatten() {
            let level = self.level(key, per_minute, now_ms) - MINUTE_MS;
            self.make_room(now_ms);
            self.buckets.insert(key, Bucket { level, at_ms: now_ms });
        }
        true
    }

    /// The password was right, or was not looked at: the try did not count.
    pub(super) fn give_back(&mut self, address: Option<IpAddr>, user: &str) {
        for (key, per_minute) in self.keys(address, user).into_iter().flatten() {
            let Some(bucket) = self.buckets.get_mut(&key) else { continue };
            bucket.level += MINUTE_MS;
            if bucket.level >= per_minute * MINUTE_MS {
                self.buckets.remove(&key);
            }
        }
    }

    fn keys(&self, address: Option<IpAddr>, user: &str) -> [Option<(Key, i64)>; 2] {
        let of_address = address.map(|address| match address.to_canonical() {
            IpAddr::V4(v4) => Key::Address(v4.to_bits().into()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments().map(u64::from);
                Key::Address(a << 48 | b << 32 | c << 16 | d)
            }
        });
        let of_user = Key::User(self.hasher.hash_one(user));
        [
            of_address.filter(|_| self.per_address > 0).map(|key| (key, self.per_address)),
            (self.per_user > 0).then_some((of_user, self.per_user)),
        ]
    }

    fn level(&self, key: Key, per_minute: i64, now_ms: i64) -> i64 {
        let full = per_minute * MINUTE_MS;
        self.buckets.get(&key).map_or(full, |bucket| {
            let filled = (now_ms - bucket.at_ms).max(0).saturating_mul(per_minute);
            bucket.level.saturating_add(filled).min(full)
        })
    }

    fn make_room(&mut self, now_ms: i64) {
        if self.buckets.len() < REMEMBERED_MAX {
            return;
        }
        // A minute fills any bucket.
        self.buckets.retain(|_, bucket| now_ms - bucket.at_ms < MINUTE_MS);
        if self.buckets.len() >= REMEMBERED_MAX {
            let some: AHashSet<Key> =
                self.buckets.keys().copied().take(REMEMBERED_MAX / 8).collect();
            self.buckets.retain(|key, _| !some.contains(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::Guesses;

    fn address(last: u8) -> Option<IpAddr> {
        Some([192, 0, 2, last].into())
    }

    #[test]
    fn an_address_and_a_user_have_so_many_tries_a_minute() {
        let mut guesses = Guesses::new(2, 3);
        let mut take = |last, user: &str, now_ms| guesses.take(address(last), user, now_ms);
        assert!(take(1, "a", 0) && take(1, "b", 0));
        assert!(!take(1, "c", 0), "the address has had its two");
        assert!(take(2, "a", 0) && take(3, "a", 0));
        assert!(!take(4, "a", 0), "the user has had its three");
        assert!(take(4, "b", 0), "another user is not held back");
        assert!(!take(1, "c", 29_000) && take(1, "c", 30_000), "half a minute fills half");
    }

    #[test]
    fn what_was_right_does_not_count_and_zero_is_no_limit() {
        let mut guesses = Guesses::new(1, 0);
        for _ in 0..5 {
            assert!(guesses.take(address(1), "a", 0));
            guesses.give_back(address(1), "a");
        }
        assert!(guesses.buckets.is_empty());
        let mut free = Guesses::new(0, 0);
        assert!((0..1000).all(|_| free.take(address(1), "a", 0)));
    }

    #[test]
    fn one_network_of_version_6_is_one_guesser() {
        let mut guesses = Guesses::new(1, 0);
        let at = |text: &str| Some(text.parse().expect("an address"));
        assert!(guesses.take(at("2001:db8:1:2::1"), "a", 0));
        assert!(!guesses.take(at("2001:db8:1:2:ffff::9"), "b", 0));
        assert!(guesses.take(at("2001:db8:1:3::1"), "b", 0));
    }
}
