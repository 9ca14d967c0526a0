//! How many retained messages there are and how much they take: counted at the start, kept up
//! with every claim. Never holds a topic or a payload; the messages are in the store's table.

mod footprint;

use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ahash::{AHashMap, AHashSet, RandomState};
use parking_lot::Mutex;
use tidewire_store::rows::retained;
use tidewire_store::{Commit, ReadError, Store, Table, TableChange};

pub(crate) use footprint::Footprint;

use crate::high_water::HighWater;
use crate::live::Live;
use crate::payer::{Parts, Payer};

/// Parts of the count that cores can change at the same time.
const SHARDS: usize = 64;
/// A stale message is deleted only this long after: no commit that renews it is still on its way.
const GRACE_MS: i64 = 60_000;

/// What all retained messages may take together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetainedLimits {
    pub(crate) messages_max: u64,
    pub(crate) bytes_max: u64,
    /// Of one user; 0: as many as of all.
    pub(crate) messages_per_payer_max: u64,
    pub(crate) bytes_per_payer_max: u64,
}

/// A claim that was granted. Its outcome is told with it.
#[derive(Debug)]
pub(crate) struct Claimed {
    topic: Box<str>,
    hash: u64,
}

/// Claims of one topic whose outcome is awaited.
#[derive(Debug)]
struct Pending {
    count: u32,
    /// Who made them; `None`: somebody whose commits come in no order.
    core: Option<usize>,
    /// Cores commit in no order among each other, and a commit may fail: what the store has in the
    /// end is looked up then.
    is_unsure: bool,
}

#[derive(Debug, Default)]
struct Shard {
    kept: AHashMap<u64, Footprint>,
    pending: AHashMap<u64, Pending>,
}

/// The retained messages by the hash of their topic. Two topics of one hash would be counted as
/// one: with a million topics that happens once in millions of brokers.
pub(crate) struct RetainedIndex {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    messages: AtomicU64,
    most: HighWater,
    bytes: AtomicU64,
    limits: Live<RetainedLimits>,
    parts: Parts,
    /// Some may become stale.
    may_expire: AtomicBool,
    /// The limit was told about and is still in the way.
    is_full: AtomicBool,
}

impl RetainedIndex {
    pub(crate) fn new(limits: RetainedLimits) -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            messages: AtomicU64::new(0),
            most: HighWater::default(),
            bytes: AtomicU64::new(0),
            limits: Live::new(limits),
            parts: Parts::default(),
            may_expire: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
        }
    }

    /// Other limits hold from now on; what is there stays.
    pub(crate) fn set_limits(&self, limits: RetainedLimits) {
        if *self.limits != limits {
            self.limits.set(limits);
            self.is_full.store(false, Ordering::Relaxed);
        }
    }

    /// Counts what the store holds.
    pub(crate) fn load(&self, store: &Store) -> Result<(), ReadError> {
        let (from, to) = (Bound::Unbounded, Bound::Unbounded);
        store.scan(Table::Retained, from, to, &mut |topic, row| {
            if let Ok(topic) = std::str::from_utf8(topic) {
                let hash = self.hasher.hash_one(topic);
                self.replace(&mut self.shard(hash).lock(), hash, footprint_of(topic, row));
            }
            ControlFlow::Continue(())
        })?;
        self.most.note(self.totals().0);
        Ok(())
    }

    /// How many there are, and how many bytes they take.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.messages.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// How many there were at most.
    pub(crate) fn most(&self) -> u64 {
        self.most.most()
    }

    /// A message is to be kept for this topic by a commit of this core, or (`None`) the one that is
    /// kept is to go. The answer is `None` when that would be too much. What takes nothing more is
    /// always granted.
    pub(crate) fn claim(
        &self,
        topic: &str,
        kept: Option<Footprint>,
        core: usize,
    ) -> Option<Claimed> {
        self.claim_for(topic, kept, Some(core))
    }

    /// The same by a commit that is not in the order of anybody's claims.
    pub(crate) fn claim_ahead(&self, topic: &str, kept: Option<Footprint>) -> Option<Claimed> {
        self.claim_for(topic, kept, None)
    }

    fn claim_for(
        &self,
        topic: &str,
        kept: Option<Footprint>,
        core: Option<usize>,
    ) -> Option<Claimed> {
        let hash = self.hasher.hash_one(topic);
        let shard = &mut *self.shard(hash).lock();
        let kept = kept.map(|kept| kept.in_place_of(shard.kept.get(&hash).copied()));
        let before = self.replace(shard, hash, kept);
        let (messages, bytes) = self.totals();
        let grows = kept.is_some_and(|kept| before.is_none_or(|before| kept.bytes > before.bytes));
        let is_over = messages > self.limits.messages_max && before.is_none();
        if grows && (is_over || bytes > self.limits.bytes_max) {
            self.replace(shard, hash, before);
            self.tell_of_limit(messages, bytes);
            return None;
        }
        if grows && kept.is_some_and(|kept| self.is_beyond_part(kept.payer, before)) {
            self.replace(shard, hash, before);
            return None;
        }
        // Others may claim at this moment what they will not get.
        self.most.note(messages.min(self.limits.messages_max));
        if kept.is_none() {
            self.is_full.store(false, Ordering::Relaxed);
        }
        let new = Pending { count: 0, core, is_unsure: false };
        let pending = shard.pending.entry(hash).or_insert(new);
        pending.count += 1;
        pending.is_unsure |= core.is_none() || pending.core != core;
        Some(Claimed { topic: topic.into(), hash })
    }

    /// Whether somebody has more than one may, with what was just counted in place of `before`.
    fn is_beyond_part(&self, payer: Payer, before: Option<Footprint>) -> bool {
        let RetainedLimits { messages_per_payer_max, bytes_per_payer_max, .. } = *self.limits;
        if messages_per_payer_max == 0 && bytes_per_payer_max == 0 {
            return false;
        }
        let has = self.parts.of(payer);
        let is_more = before.is_none_or(|before| before.payer != payer);
        (is_more && messages_per_payer_max > 0 && has.count > messages_per_payer_max)
            || (bytes_per_payer_max > 0 && has.bytes > bytes_per_payer_max)
    }

    fn tell_of_limit(&self, messages: u64, bytes: u64) {
        if self.is_full.swap(true, Ordering::Relaxed) {
            return;
        }
        let RetainedLimits { messages_max, bytes_max, .. } = *self.limits;
        tracing::warn!(
            messages,
            messages_max,
            bytes,
            bytes_max,
            "no more messages are retained; raise mqtt.retained_messages_max or \
             mqtt.retained_bytes_max, or clear some"
        );
    }

    /// The outcome of the claim's commit is known.
    pub(crate) fn settle(&self, claimed: &Claimed, store: &Store, is_durable: bool) {
        let hash = claimed.hash;
        let shard = &mut *self.shard(hash).lock();
        let Some(pending) = shard.pending.get_mut(&hash) else { return };
        pending.count -= 1;
        pending.is_unsure |= !is_durable;
        if pending.count > 0 {
            return;
        }
        let is_unsure = pending.is_unsure;
        shard.pending.remove(&hash);
        if !is_unsure {
            return;
        }
        // No commit is on its way, and while we hold the lock none will be.
        match store.get(Table::Retained, claimed.topic.as_bytes()) {
            Ok(row) => {
                let kept = row.and_then(|row| footprint_of(&claimed.topic, &row));
                let payer = shard.kept.get(&hash).map_or(Payer::NOBODY, |known| known.payer);
                self.replace(shard, hash, kept.map(|kept| kept.paid_by(payer)));
            }
            Err(error) => tracing::error!(%error, "a retained message cannot be read"),
        }
    }

    fn replace(&self, shard: &mut Shard, topic: u64, kept: Option<Footprint>) -> Option<Footprint> {
        let before = match kept {
            Some(kept) => shard.kept.insert(topic, kept),
            None => shard.kept.remove(&topic),
        };
        if kept.is_some_and(|kept| kept.stale_ms != i64::MAX) {
            self.may_expire.store(true, Ordering::Relaxed);
        }
        change(&self.messages, before.is_some().into(), kept.is_some().into());
        let bytes = |footprint: Option<Footprint>| footprint.map_or(0, |it| u64::from(it.bytes));
        change(&self.bytes, bytes(before), bytes(kept));
        self.move_part(before, kept);
        before
    }

    fn move_part(&self, before: Option<Footprint>, kept: Option<Footprint>) {
        let part = |it: Option<Footprint>| it.map(|it| (it.payer, u64::from(it.bytes)));
        // Most often it is the same publisher's, of the same size.
        if part(before) == part(kept) {
            return;
        }
        if let Some((payer, bytes)) = part(kept) {
            self.parts.add(payer, bytes);
        }
        if let Some((payer, bytes)) = part(before) {
            self.parts.remove(payer, bytes);
        }
    }

    fn shard(&self, topic: u64) -> &Mutex<Shard> {
        let part = usize::try_from(topic % SHARDS as u64).unwrap_or(0);
        &self.shards[part]
    }

    /// Deletes what is stale from the store; says how many there were.
    pub(crate) fn sweep(&self, store: &Store, now_ms: i64) -> Result<usize, ReadError> {
        let stale = self.stale(now_ms - GRACE_MS);
        if stale.is_empty() {
            return Ok(0);
        }
        let mut topics: Vec<Box<[u8]>> = Vec::new();
        let (from, to) = (Bound::Unbounded, Bound::Unbounded);
        store.scan(Table::Retained, from, to, &mut |topic, _| {
            let hash = std::str::from_utf8(topic).map(|topic| self.hasher.hash_one(topic));
            if hash.is_ok_and(|hash| stale.contains(&hash)) {
                topics.push(topic.into());
            }
            ControlFlow::Continue(())
        })?;
        for topic in &topics {
            self.delete_stale(store, topic, now_ms - GRACE_MS);
        }
        Ok(topics.len())
    }

    fn stale(&self, before_ms: i64) -> AHashSet<u64> {
        let mut stale = AHashSet::new();
        if !self.may_expire.swap(false, Ordering::Relaxed) {
            return stale;
        }
        let mut others = false;
        for shard in &self.shards {
            for (topic, footprint) in &shard.lock().kept {
                if footprint.stale_ms < before_ms {
                    stale.insert(*topic);
                } else {
                    others |= footprint.stale_ms != i64::MAX;
                }
            }
        }
        if others {
            self.may_expire.store(true, Ordering::Relaxed);
        }
        stale
    }

    /// The deletion is handed over while nobody else can claim the topic: a message that is
    /// published from now on is committed after it, and stays.
    fn delete_stale(&self, store: &Store, topic: &[u8], before_ms: i64) {
        let Ok(text) = std::str::from_utf8(topic) else { return };
        let hash = self.hasher.hash_one(text);
        let shard = &mut *self.shard(hash).lock();
        let is_stale = |kept: &Footprint| kept.stale_ms < before_ms;
        if shard.pending.contains_key(&hash) || !shard.kept.get(&hash).is_some_and(is_stale) {
            return;
        }
        let change = TableChange::new(Table::Retained, topic.into(), None).that_stays();
        store.submit(Commit { appends: Vec::new(), changes: vec![change] }, None);
        self.replace(shard, hash, None);
    }
}

/// In one step: a sum that others see in between is never below zero.
fn change(sum: &AtomicU64, before: u64, after: u64) {
    if before != after {
        sum.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }
}

fn footprint_of(topic: &str, row: &[u8]) -> Option<Footprint> {
    let (_, kept) = retained::decode(row).ok()?;
    Some(Footprint::of(topic, &kept))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::message::Published;
    use tidewire_proto::mqtt::{Properties, PropertiesBuilder, PropertyId, PropertyValue};
    use tidewire_proto::qos::Qos;
    use tidewire_proto::record::BatchBuilder;
    use tidewire_store::rows::retained;
    use tidewire_store::{Commit, RealDisk, Store, StoreOptions, Table, TableChange};

    use super::{Footprint, GRACE_MS, RetainedIndex, RetainedLimits};
    use crate::payer::{Payer, Payers};

    const fn footprint(bytes: u32) -> Option<Footprint> {
        Some(Footprint { bytes, payer: Payer::NOBODY, stale_ms: i64::MAX })
    }

    fn index(messages_max: u64, bytes_max: u64) -> RetainedIndex {
        let (messages_per_payer_max, bytes_per_payer_max) = (0, 0);
        RetainedIndex::new(RetainedLimits {
            messages_max,
            bytes_max,
            messages_per_payer_max,
            bytes_per_payer_max,
        })
    }

    #[test]
    fn one_user_has_a_part_of_what_is_there_for_all_and_pays_for_what_it_makes_larger() {
        let payers = Payers::default();
        let (ann, bob) = (payers.of_user("ann"), payers.of_user("bob"));
        let index = RetainedIndex::new(RetainedLimits {
            messages_max: 100,
            bytes_max: 1000,
            messages_per_payer_max: 2,
            bytes_per_payer_max: 100,
        });
        let claim = |topic: &str, bytes: u32, payer: Payer| {
            let kept = footprint(bytes).map(|kept| kept.paid_by(payer));
            index.claim(topic, kept, 0).is_some()
        };
        assert!(claim("a", 10, ann) && claim("b", 10, ann));
        assert!(!claim("c", 1, ann), "as many as one may have");
        assert!(claim("c", 10, bob));
        assert!(claim("c", 10, ann), "no larger: it stays his");
        assert!(!claim("c", 11, ann), "larger: it would be hers");
        assert!(claim("a", 90, ann));
        assert!(!claim("a", 91, ann), "as many bytes");
        assert!(claim("b", 90, bob), "larger: it is his now");
        assert!(claim("d", 10, ann), "she has one less");
        assert!(!claim("e", 1, bob) && claim("e", 1, Payer::NOBODY));
        assert!(index.claim("b", None, 0).is_some());
        assert!(claim("f", 1, bob));
        assert_eq!(index.totals(), (5, 90 + 10 + 10 + 1 + 1));
    }

    #[test]
    fn the_count_is_exact_through_overwrites_and_clears() {
        let index = index(10, 1000);
        for (topic, kept, expected) in [
            ("a", footprint(10), (1, 10)),
            ("a", footprint(30), (1, 30)),
            ("b", footprint(5), (2, 35)),
            ("a", None, (1, 5)),
            ("a", None, (1, 5)),
            ("b", None, (0, 0)),
        ] {
            assert!(index.claim(topic, kept, 0).is_some());
            assert_eq!(index.totals(), expected, "{topic} {kept:?}");
        }
    }

    #[test]
    fn at_the_limit_only_what_takes_no_more_is_granted() {
        let index = index(2, 100);
        assert!(index.claim("a", footprint(60), 0).is_some());
        assert!(index.claim("b", footprint(50), 0).is_none(), "bytes");
        assert!(index.claim("b", footprint(40), 0).is_some());
        assert!(index.claim("c", footprint(0), 0).is_none(), "messages");
        assert!(index.claim("a", footprint(61), 0).is_none(), "an overwrite that grows");
        assert_eq!(index.totals(), (2, 100));
        assert!(index.claim("a", footprint(60), 0).is_some());
        assert!(index.claim("a", footprint(10), 0).is_some());
        assert!(index.claim("a", None, 0).is_some());
        assert!(index.claim("c", footprint(60), 0).is_some());
    }

    #[test]
    fn a_lowered_limit_still_lets_messages_be_renewed() {
        let index = index(1, 10);
        for topic in ["a", "b"] {
            // As they are found at the start.
            let hash = index.hasher.hash_one(topic);
            index.replace(&mut index.shard(hash).lock(), hash, footprint(20));
        }
        assert!(index.claim("a", footprint(20), 0).is_some());
        assert!(index.claim("a", footprint(21), 0).is_none());
        assert!(index.claim("c", footprint(1), 0).is_none());
    }

    fn store() -> (TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Arc::new(RealDisk::new(folder.path().join("data")));
        let (store, _) = Store::open(disk, StoreOptions::default()).expect("a store");
        (folder, store)
    }

    /// The row of a topic, and what it counts for.
    fn row(topic: &str, payload: &[u8]) -> (Option<Box<[u8]>>, Option<Footprint>) {
        let message = Published {
            topic,
            payload,
            qos: Qos::AtLeastOnce,
            retain: true,
            properties: Properties::EMPTY,
            origin: None,
        };
        let mut builder = BatchBuilder::new();
        message.push_to(&mut builder, 0);
        let kept = builder.finish();
        let footprint = Footprint::of(topic, &kept);
        (Some(retained::encode(PartitionId(0), 0, &kept)), Some(footprint))
    }

    fn commit(store: &Store, topic: &str, row: Option<Box<[u8]>>) {
        let change = TableChange::new(Table::Retained, topic.as_bytes().into(), row);
        let commit = Commit { appends: Vec::new(), changes: vec![change] };
        store.commit(commit).expect("the disk takes it");
    }

    #[test]
    fn the_count_is_exact_when_two_cores_set_and_clear_one_topic_at_once() {
        let (_folder, store) = store();
        let (row, kept) = row("a", b"x");
        let bytes = u64::from(kept.expect("a message").bytes);
        for (claims, commits, expected) in [
            ([kept, None], [None, row.clone()], (1, bytes)),
            ([None, kept], [row.clone(), None], (0, 0)),
            ([kept, None], [row.clone(), None], (0, 0)),
        ] {
            let index = index(10, 1000);
            let claimed = [0, 1].map(|core| index.claim("a", claims[core], core).expect("room"));
            // Cores commit in no order.
            commits.into_iter().for_each(|row| commit(&store, "a", row));
            claimed.iter().for_each(|claimed| index.settle(claimed, &store, true));
            assert_eq!(index.totals(), expected, "{claims:?}");
            commit(&store, "a", None);
        }
    }

    #[test]
    fn the_count_is_exact_when_a_transaction_commits_what_it_claimed_before_others() {
        let (_folder, store) = store();
        let (row, kept) = row("a", b"x");
        let bytes = u64::from(kept.expect("a message").bytes);
        for (held, plain, of_held, expected) in
            [(kept, None, row.clone(), (1, bytes)), (None, kept, None, (0, 0))]
        {
            let index = index(10, 1000);
            let held = index.claim_ahead("a", held).expect("room");
            let plain = index.claim("a", plain, 0).expect("room");
            index.settle(&plain, &store, true);
            commit(&store, "a", of_held);
            index.settle(&held, &store, true);
            assert_eq!(index.totals(), expected);
        }
    }

    #[test]
    fn a_claim_whose_commit_failed_leaves_what_the_store_has() {
        let (_folder, store) = store();
        let (large, of_large) = row("a", &[b'x'; 100]);
        let (_, of_small) = row("a", b"x");
        let bytes = u64::from(of_large.expect("a message").bytes);
        let index = index(10, 1000);
        let first = index.claim("a", of_small, 0).expect("room");
        let second = index.claim("a", of_large, 1).expect("room");
        commit(&store, "a", large);
        index.settle(&second, &store, true);
        index.settle(&first, &store, false);
        assert_eq!(index.totals(), (1, bytes));
        let third = index.claim("a", None, 0).expect("room");
        assert_eq!(index.totals(), (0, 0));
        index.settle(&third, &store, false);
        assert_eq!(index.totals(), (1, bytes));
        assert!(index.shards.iter().all(|shard| shard.lock().pending.is_empty()));
    }

    /// Keeps a message that was received at 0 and is stale after a second.
    fn keep_for_a_second(store: &Store, topic: &str) {
        let mut properties = PropertiesBuilder::new();
        properties.push(PropertyId::MessageExpiry, PropertyValue::FourByte(1)).expect("valid");
        let message = Published {
            topic,
            payload: b"x",
            qos: Qos::AtLeastOnce,
            retain: true,
            properties: properties.as_properties(),
            origin: None,
        };
        let mut builder = BatchBuilder::new();
        message.push_to(&mut builder, 0);
        commit(store, topic, Some(retained::encode(PartitionId(0), 0, &builder.finish())));
    }

    #[test]
    fn what_is_stale_is_deleted_unless_it_was_renewed_meanwhile() {
        let (_folder, store) = store();
        for topic in ["stale", "renewed"] {
            keep_for_a_second(&store, topic);
        }
        let index = index(10, 1000);
        index.load(&store).unwrap();
        assert_eq!(index.totals().0, 2);
        assert_eq!(index.sweep(&store, GRACE_MS).unwrap(), 0, "too early");
        assert!(index.claim("renewed", footprint(10), 0).is_some());
        assert_eq!(index.sweep(&store, GRACE_MS + 1001).unwrap(), 1);
        assert_eq!(index.totals(), (1, 10));
        // Commits are in order: behind this one the deletion is done.
        store.commit(Commit::default()).unwrap();
        assert!(store.get(Table::Retained, b"stale").unwrap().is_none());
        assert!(store.get(Table::Retained, b"renewed").unwrap().is_some());
        store.shutdown().unwrap();
    }

    #[test]
    fn cores_that_claim_at_a_time_never_get_more_than_there_is() {
        let index = Arc::new(index(100, u64::MAX));
        let claims = (0..4).map(|core| {
            let index = Arc::clone(&index);
            std::thread::spawn(move || {
                let claim =
                    |n: &u32| index.claim(&format!("{core}/{n}"), footprint(1), core).is_some();
                (0..100_u32).filter(claim).count()
            })
        });
        let threads: Vec<_> = claims.collect();
        let granted: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(granted <= 100 && granted > 90, "{granted}");
        assert_eq!(index.totals().0, granted as u64);
    }
}
