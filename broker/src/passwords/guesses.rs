//! How often wrong passwords may come, from an address and for a user: buckets that fill with time.
//! Time is handed in. Bounded; what fills up is forgotten.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use parking_lot::Mutex;

use crate::config::AuthConfig;
use crate::network::network_of;

/// Addresses and users that are remembered.
const REMEMBERED_MAX: usize = 65_536;
/// When there are more, so many are forgotten.
const FORGOTTEN: usize = REMEMBERED_MAX / 8;
const MINUTE_MS: i64 = 60_000;
/// Of a network that guesses too often for a user so many times as many passwords are compared with
/// those that are remembered from there: comparing costs nothing, and its user may be there too.
const COMPARED: i64 = 10;

/// What wrong passwords are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Of version 6 the network.
    Address(IpAddr),
    User(u64),
    /// What a network shows for a user while one of the two is spent.
    Compared(u64),
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// In parts of which one try takes `MINUTE_MS`.
    level: i64,
    at_ms: i64,
}

/// Whether a password may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may.
    Free,
    /// Not before others, which are being looked at, are found to be right.
    Behind,
    /// Too many wrong ones came.
    Spent,
}

/// All buckets.
#[derive(Debug)]
pub(crate) struct Guesses {
    buckets: AHashMap<Key, Bucket>,
    /// Tries that are being looked at: they may yet be wrong, and do not count before they are.
    pending: AHashMap<Key, i64>,
    per_address: i64,
    per_user: i64,
    hasher: RandomState,
}

impl Guesses {
    /// Those of a broker: one set for all ways to show a password.
    pub(crate) fn of(auth: &AuthConfig) -> Arc<Mutex<Self>> {
        let per_address = auth.wrong_passwords_per_address_max;
        Arc::new(Mutex::new(Self::new(per_address, auth.wrong_passwords_per_user_max)))
    }

    /// So many in a minute, at once or spread; 0: any number.
    pub(crate) fn new(per_address: u32, per_user: u32) -> Self {
        Self {
            buckets: AHashMap::new(),
            pending: AHashMap::new(),
            per_address: per_address.into(),
            per_user: per_user.into(),
            hasher: RandomState::new(),
        }
    }

    /// Whether a try from there, for this user, may be looked at.
    pub(crate) fn standing(&self, address: Option<IpAddr>, user: &str, now_ms: i64) -> Standing {
        let mut standing = Standing::Free;
        for (key, per_minute) in self.keys(address, user).into_iter().flatten() {
            let level = self.level(key, per_minute, now_ms);
            let pending = self.pending.get(&key).copied().unwrap_or(0);
            if level < MINUTE_MS {
                return Standing::Spent;
            }
            if level < (pending + 1) * MINUTE_MS {
                standing = Standing::Behind;
            }
        }
        standing
    }

    /// It was wrong.
    pub(crate) fn spend(&mut self, address: Option<IpAddr>, user: &str, now_ms: i64) {
        for (key, per_minute) in self.keys(address, user).into_iter().flatten() {
            self.take(key, per_minute, now_ms);
        }
    }

    /// Whether a try that is not looked at may be compared with what is remembered. Without a limit
    /// of its own, who is where a user is could guess as often as it likes, and be told.
    pub(super) fn may_compare(&self, address: Option<IpAddr>, user: &str, now_ms: i64) -> bool {
        let (key, per_minute) = self.compared(address, user);
        self.level(key, per_minute, now_ms) >= MINUTE_MS
    }

    /// It was, and nothing like it is remembered.
    pub(super) fn compared_in_vain(&mut self, address: Option<IpAddr>, user: &str, now_ms: i64) {
        let (key, per_minute) = self.compared(address, user);
        self.take(key, per_minute, now_ms);
    }

    fn take(&mut self, key: Key, per_minute: i64, now_ms: i64) {
        let level = (self.level(key, per_minute, now_ms) - MINUTE_MS).max(0);
        // Threads tell of it in any order: no time fills a bucket twice.
        let at_ms = match self.buckets.get(&key) {
            Some(bucket) => bucket.at_ms.max(now_ms),
            None => now_ms,
        };
        self.make_room(now_ms);
        self.buckets.insert(key, Bucket { level, at_ms });
    }

    /// A try is being looked at.
    pub(super) fn begin(&mut self, address: Option<IpAddr>, user: &str) {
        for (key, _) in self.keys(address, user).into_iter().flatten() {
            *self.pending.entry(key).or_insert(0) += 1;
        }
    }

    /// It has been.
    pub(super) fn end(&mut self, address: Option<IpAddr>, user: &str) {
        for (key, _) in self.keys(address, user).into_iter().flatten() {
            let Some(pending) = self.pending.get_mut(&key) else { continue };
            *pending -= 1;
            if *pending <= 0 {
                self.pending.remove(&key);
            }
        }
    }

    fn keys(&self, address: Option<IpAddr>, user: &str) -> [Option<(Key, i64)>; 2] {
        let of_address = address.map(|address| Key::Address(network_of(address)));
        let of_user = Key::User(self.hasher.hash_one(user));
        [
            of_address.filter(|_| self.per_address > 0).map(|key| (key, self.per_address)),
            // Of whom no name is said there is nothing to count.
            (self.per_user > 0 && !user.is_empty()).then_some((of_user, self.per_user)),
        ]
    }

    fn compared(&self, address: Option<IpAddr>, user: &str) -> (Key, i64) {
        let both = self.hasher.hash_one((address.map(network_of), user));
        (Key::Compared(both), self.per_comparison())
    }

    fn per_comparison(&self) -> i64 {
        COMPARED * self.per_address.max(self.per_user)
    }

    fn level(&self, key: Key, per_minute: i64, now_ms: i64) -> i64 {
        let full = per_minute * MINUTE_MS;
        self.buckets.get(&key).map_or(full, |bucket| {
            let filled = (now_ms - bucket.at_ms).max(0).saturating_mul(per_minute);
            bucket.level.saturating_add(filled).min(full)
        })
    }

    /// Forgets the fullest: they have least to tell, and who has very many addresses, or names very
    /// many users, empties none of their buckets.
    fn make_room(&mut self, now_ms: i64) {
        if self.buckets.len() < REMEMBERED_MAX {
            return;
        }
        // A minute fills any bucket.
        self.buckets.retain(|_, bucket| now_ms - bucket.at_ms < MINUTE_MS);
        if self.buckets.len() < REMEMBERED_MAX {
            return;
        }
        let mut by_want: Vec<(i64, Key)> =
            self.buckets.keys().map(|key| (self.want(*key, now_ms), *key)).collect();
        by_want.select_nth_unstable_by_key(FORGOTTEN, |(want, _)| *want);
        let fullest: AHashSet<Key> = by_want.iter().take(FORGOTTEN).map(|(_, key)| *key).collect();
        self.buckets.retain(|key, _| !fullest.contains(key));
    }

    /// Milliseconds until it is full.
    fn want(&self, key: Key, now_ms: i64) -> i64 {
        let per_minute = match key {
            Key::Address(_) => self.per_address,
            Key::User(_) => self.per_user,
            Key::Compared(_) => self.per_comparison(),
        };
        (per_minute * MINUTE_MS - self.level(key, per_minute, now_ms)) / per_minute.max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{Guesses, REMEMBERED_MAX, Standing};

    fn address(last: u8) -> Option<IpAddr> {
        Some([192, 0, 2, last].into())
    }

    impl Guesses {
        /// A wrong password; false: it was not looked at.
        fn guess(&mut self, address: Option<IpAddr>, user: &str, now_ms: i64) -> bool {
            let is_free = self.standing(address, user, now_ms) == Standing::Free;
            if is_free {
                self.spend(address, user, now_ms);
            }
            is_free
        }
    }

    #[test]
    fn an_address_and_a_user_have_so_many_tries_a_minute() {
        let mut guesses = Guesses::new(2, 3);
        let mut guess = |last, user: &str, now_ms| guesses.guess(address(last), user, now_ms);
        assert!(guess(1, "a", 0) && guess(1, "b", 0));
        assert!(!guess(1, "c", 0), "the address has had its two");
        assert!(guess(2, "a", 0) && guess(3, "a", 0));
        assert!(!guess(4, "a", 0), "the user has had its three");
        assert!(guess(4, "b", 0), "another user is not held back");
        assert!(!guess(1, "c", 29_000) && guess(1, "c", 30_000), "half a minute fills half");
    }

    #[test]
    fn what_is_being_looked_at_holds_others_back_and_counts_for_nothing() {
        let mut guesses = Guesses::new(1, 0);
        let standing = |guesses: &Guesses| guesses.standing(address(1), "b", 0);
        guesses.begin(address(1), "a");
        assert_eq!(standing(&guesses), Standing::Behind);
        guesses.end(address(1), "a");
        assert_eq!(standing(&guesses), Standing::Free);
        assert!(guesses.buckets.is_empty() && guesses.pending.is_empty());
        guesses.spend(address(1), "a", 0);
        assert_eq!(standing(&guesses), Standing::Spent);
        let mut free = Guesses::new(0, 0);
        assert!((0..1000).all(|_| free.guess(address(1), "a", 0)), "zero is no limit");
    }

    #[test]
    fn one_network_of_version_6_is_one_guesser() {
        let mut guesses = Guesses::new(1, 0);
        let at = |text: &str| Some(text.parse().expect("an address"));
        assert!(guesses.guess(at("2001:db8:1:2::1"), "a", 0));
        assert!(!guesses.guess(at("2001:db8:1:2:ffff::9"), "b", 0));
        assert!(guesses.guess(at("2001:db8:1:3::1"), "b", 0));
    }

    #[test]
    fn who_has_very_many_addresses_does_not_get_a_guesser_forgotten() {
        let mut guesses = Guesses::new(10, 0);
        for _ in 0..10 {
            assert!(guesses.guess(address(1), "a", 0));
        }
        let others = 0..u32::try_from(2 * REMEMBERED_MAX).expect("not that many");
        for number in others {
            guesses.spend(Some(Ipv4Addr::from_bits(0x0a00_0000 + number).into()), "b", 1);
        }
        assert!(guesses.buckets.len() <= REMEMBERED_MAX);
        assert_eq!(guesses.standing(address(1), "a", 1), Standing::Spent);
    }
}
