//! Whose part of what is there for all somebody takes: that of a user, of an address, or nobody's;
//! and how much each has. Never says how large a part may be.

use std::net::IpAddr;

use ahash::{AHashMap, RandomState};
use parking_lot::Mutex;

use crate::link::Peer;
use crate::network::network_of;

/// Parts of the count that cores can change at the same time.
const SHARDS: usize = 16;

/// Somebody who takes a part. Two of one number share it: of a hundred thousand, hardly any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Payer(u32);

impl Payer {
    /// Nobody is held to a part: this process, or who it was is not known any more.
    pub(crate) const NOBODY: Self = Self(0);

    fn of_hash(hash: u64) -> Self {
        let folded = u32::try_from((hash >> 32) ^ (hash & u64::from(u32::MAX))).unwrap_or(1);
        Self(folded.max(1))
    }
}

/// What one of them has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// The same, and how many may add to it before that is counted.
#[derive(Debug, Default)]
struct Entry {
    part: Part,
    lent: u64,
}

/// Who they are, in numbers of this run of the broker.
#[derive(Debug, Default)]
pub(crate) struct Payers {
    hasher: RandomState,
}

impl Payers {
    /// A user, once it has shown who it is; before, where it comes from.
    pub(crate) fn of(&self, user: Option<&str>, peer: Peer) -> Payer {
        match (user, peer) {
            (_, Peer::InProcess) => Payer::NOBODY,
            (Some(user), _) => self.of_user(user),
            (None, Peer::Net(address)) => self.of_address(address.ip()),
            (None, Peer::Local(Some(uid))) => Payer::of_hash(self.hasher.hash_one(("uid", uid))),
            (None, Peer::Local(None)) => Payer::NOBODY,
        }
    }

    /// A user.
    pub(crate) fn of_user(&self, user: &str) -> Payer {
        Payer::of_hash(self.hasher.hash_one(("user", user)))
    }

    fn of_address(&self, address: IpAddr) -> Payer {
        Payer::of_hash(self.hasher.hash_one(("address", network_of(address))))
    }
}

/// How much each has of something.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    shards: [Mutex<AHashMap<Payer, Entry>>; SHARDS],
}

impl Parts {
    /// Somebody has one more.
    pub(crate) fn add(&self, payer: Payer, bytes: u64) {
        self.change(payer, Part { count: 1, bytes }, Part::default());
    }

    /// Somebody has one less.
    pub(crate) fn remove(&self, payer: Payer, bytes: u64) {
        self.change(payer, Part::default(), Part { count: 1, bytes });
    }

    /// So much came to somebody, and so much went.
    pub(crate) fn change(&self, payer: Payer, came: Part, went: Part) {
        if payer == Payer::NOBODY || came == went {
            return;
        }
        self.with(payer, |Entry { part, .. }| {
            part.count = (part.count + came.count).saturating_sub(went.count);
            part.bytes = (part.bytes + came.bytes).saturating_sub(went.bytes);
        });
    }

    /// One more may add to what somebody has before that is counted, if there is room: it is asked
    /// about what somebody has, and how many may do so then.
    pub(crate) fn lend(&self, payer: Payer, has_room: impl FnOnce(Part, u64) -> bool) -> bool {
        self.with(payer, |entry| {
            let is_lent = has_room(entry.part, entry.lent + 1);
            entry.lent += u64::from(is_lent);
            is_lent
        })
    }

    /// All that one of them added is counted.
    pub(crate) fn take_back(&self, payer: Payer) {
        self.with(payer, |entry| entry.lent = entry.lent.saturating_sub(1));
    }

    fn with<T>(&self, payer: Payer, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut parts = self.shard(payer).lock();
        let entry = parts.entry(payer).or_default();
        let answer = change(entry);
        if entry.part.count == 0 && entry.lent == 0 {
            parts.remove(&payer);
        }
        answer
    }

    /// What somebody has; of nobody, nothing is known.
    pub(crate) fn of(&self, payer: Payer) -> Part {
        self.with_lent(payer).0
    }

    /// The same, and how many may add to it before that is counted.
    pub(crate) fn with_lent(&self, payer: Payer) -> (Part, u64) {
        if payer == Payer::NOBODY {
            return Default::default();
        }
        let parts = self.shard(payer).lock();
        parts.get(&payer).map_or_else(Default::default, |entry| (entry.part, entry.lent))
    }

    fn shard(&self, payer: Payer) -> &Mutex<AHashMap<Payer, Entry>> {
        let place = usize::try_from(payer.0).unwrap_or(0) % SHARDS;
        &self.shards[place]
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::{Part, Parts, Payer, Payers};
    use crate::link::Peer;

    fn from(address: &str) -> Peer {
        Peer::Net(address.parse::<SocketAddr>().expect("an address"))
    }

    #[test]
    fn a_user_is_one_wherever_it_is_and_who_shows_nothing_is_where_it_comes_from() {
        let payers = Payers::default();
        let (here, there) = (from("192.0.2.1:5"), from("192.0.2.2:5"));
        assert_eq!(payers.of(Some("ann"), here), payers.of(Some("ann"), there));
        assert_eq!(payers.of(Some("ann"), here), payers.of_user("ann"));
        assert_ne!(payers.of(Some("ann"), here), payers.of(Some("bob"), here));
        assert_ne!(payers.of(None, here), payers.of(None, there));
        assert_eq!(payers.of(None, here), payers.of(None, from("192.0.2.1:6")));
        let network = payers.of(None, from("[2001:db8:1:2::1]:5"));
        assert_eq!(network, payers.of(None, from("[2001:db8:1:2::9]:5")));
        let uid = |uid| payers.of(None, Peer::Local(Some(uid)));
        assert!(uid(1) == uid(1) && uid(1) != uid(2));
        for peer in [Peer::InProcess, Peer::Local(None)] {
            assert_eq!(payers.of(None, peer), Payer::NOBODY);
        }
        assert_eq!(payers.of(Some("ann"), Peer::InProcess), Payer::NOBODY);
    }

    #[test]
    fn what_each_has_is_counted_and_who_has_nothing_is_forgotten() {
        let (parts, payers) = (Parts::default(), Payers::default());
        let (ann, bob) = (payers.of_user("ann"), payers.of_user("bob"));
        parts.add(ann, 10);
        parts.add(ann, 5);
        parts.add(Payer::NOBODY, 5);
        assert_eq!(parts.of(ann), Part { count: 2, bytes: 15 });
        assert_eq!((parts.of(bob), parts.of(Payer::NOBODY)), (Part::default(), Part::default()));
        parts.remove(ann, 10);
        parts.remove(bob, 10);
        parts.remove(ann, 5);
        assert_eq!(parts.of(ann), Part::default());
        assert!(parts.shards.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn what_is_lent_is_known_until_it_is_taken_back() {
        let (parts, payers) = (Parts::default(), Payers::default());
        let (ann, bob) = (payers.of_user("ann"), payers.of_user("bob"));
        parts.add(ann, 10);
        assert!(parts.lend(ann, |has, lent| has.count + lent <= 3));
        assert!(parts.lend(ann, |has, lent| has.count + lent <= 3));
        assert!(!parts.lend(ann, |has, lent| has.count + lent <= 3));
        assert!(parts.lend(bob, |has, lent| has.count + lent == 1));
        assert_eq!(parts.with_lent(ann), (Part { count: 1, bytes: 10 }, 2));
        parts.remove(ann, 10);
        [ann, ann, bob].iter().for_each(|payer| parts.take_back(*payer));
        assert!(parts.shards.iter().all(|shard| shard.lock().is_empty()));
    }
}
