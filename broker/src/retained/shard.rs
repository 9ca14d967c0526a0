//! Part of the retained messages: what each topic has, and whose outcome is awaited. Never sums
//! them up.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::footprint::Footprint;

/// Parts of the count that cores can change at the same time.
pub(super) const SHARDS: usize = 64;

/// Which one a topic is in: by bits that the tables of a shard tell its topics apart by least.
pub(super) fn shard_of(topic: u64) -> usize {
    usize::try_from((topic >> 40) % SHARDS as u64).unwrap_or(0)
}

/// Claims of one topic whose outcome is awaited.
#[derive(Debug)]
struct Pending {
    topic: u64,
    count: u32,
    /// Who made them; `None`: somebody whose commits come in no order.
    core: Option<usize>,
    /// Cores commit in no order among each other, and a commit may fail: what the store has in the
    /// end is looked up then.
    is_unsure: bool,
}

/// What a topic had, and what it has now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    pub(super) before: Option<Footprint>,
    pub(super) after: Option<Footprint>,
}

/// Topics go by their hash, which both tables use as it is.
#[derive(Debug, Default)]
pub(super) struct Shard {
    kept: HashTable<(u64, Footprint)>,
    pending: HashTable<Pending>,
}

impl Shard {
    pub(super) fn get(&self, topic: u64) -> Option<Footprint> {
        self.kept.find(topic, |(known, _)| *known == topic).map(|(_, kept)| *kept)
    }

    /// What a topic has from now on is made of what it had.
    pub(super) fn change(
        &mut self,
        topic: u64,
        to: impl FnOnce(Option<Footprint>) -> Option<Footprint>,
    ) -> Moved {
        match self.kept.entry(topic, |(known, _)| *known == topic, |(known, _)| *known) {
            Entry::Occupied(mut there) => {
                let before = Some(there.get().1);
                let after = to(before);
                match after {
                    Some(kept) => there.get_mut().1 = kept,
                    None => drop(there.remove()),
                }
                Moved { before, after }
            }
            Entry::Vacant(place) => {
                let after = to(None);
                if let Some(kept) = after {
                    place.insert((topic, kept));
                }
                Moved { before: None, after }
            }
        }
    }

    /// One more claim's outcome is awaited.
    pub(super) fn await_outcome(&mut self, topic: u64, core: Option<usize>) {
        let place = self.pending.entry(topic, |known| known.topic == topic, |known| known.topic);
        let new = || Pending { topic, count: 0, core, is_unsure: false };
        let mut place = place.or_insert_with(new);
        let pending = place.get_mut();
        pending.count += 1;
        pending.is_unsure |= core.is_none() || pending.core != core;
    }

    /// The outcome of one is known. True when it was the last, and only the store knows what came
    /// of them all.
    pub(super) fn settle(&mut self, topic: u64, is_durable: bool) -> bool {
        let Ok(mut there) = self.pending.find_entry(topic, |known| known.topic == topic) else {
            return false;
        };
        let pending = there.get_mut();
        pending.count -= 1;
        pending.is_unsure |= !is_durable;
        pending.count == 0 && there.remove().0.is_unsure
    }

    pub(super) fn is_awaited(&self, topic: u64) -> bool {
        self.pending.find(topic, |known| known.topic == topic).is_some()
    }

    #[cfg(test)]
    pub(super) fn awaits_nothing(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (u64, Footprint)> {
        self.kept.iter().copied()
    }
}
