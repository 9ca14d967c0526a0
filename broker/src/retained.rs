//! How many retained messages there are and how much they take: counted at the start, kept up
//! by what each commit claims. Never holds a topic or a payload; the messages are in the store's
//! table.

mod claims;
mod footprint;
mod shard;
#[cfg(test)]
mod tests;

use std::ops::{Bound, ControlFlow};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ahash::{AHashSet, RandomState};
use parking_lot::Mutex;
use tidewire_store::rows::retained;
use tidewire_store::{Commit, ReadError, Store, Table, TableChange};

use claims::{Claim, LOAN_BYTES, LOAN_CLAIMS, Loan};
use shard::{Moved, SHARDS, Shard, shard_of};

pub(crate) use claims::Claims;
pub(crate) use footprint::Footprint;

use crate::high_water::HighWater;
use crate::live::Live;
use crate::payer::{Part, Parts, Payer};

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

/// The retained messages by the hash of their topic. Two topics of one hash would be counted as
/// one: with a million topics that happens once in millions of brokers.
pub(crate) struct RetainedIndex {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    messages: AtomicU64,
    most: HighWater,
    bytes: AtomicU64,
    /// Commits that are being gathered and may grant claims before these are counted.
    lent: AtomicU64,
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
            lent: AtomicU64::new(0),
            limits: Live::new(limits),
            parts: Parts::default(),
            may_expire: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
        }
    }

    /// Other limits hold from now on; what is there stays, and what is lent may still be added.
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
                let hash = self.hash(topic);
                self.keep(&mut self.shard(hash).lock(), hash, |_| footprint_of(topic, row));
            }
            ControlFlow::Continue(())
        })?;
        self.most.note(self.totals().0);
        Ok(())
    }

    /// How many there are, and how many bytes they take.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.messages.load(Ordering::SeqCst), self.bytes.load(Ordering::SeqCst))
    }

    /// How many there were at most, between commits.
    pub(crate) fn most(&self) -> u64 {
        self.most.most()
    }

    /// A message is to be kept for this topic by the next commit of this core, whose claims these
    /// are, or (`None`) the one that is kept is to go. False when that would be too much. What
    /// takes nothing more is always granted.
    ///
    /// Far from the limits a claim costs no lock and no shared sum: it is granted out of what is
    /// lent, and all are counted together.
    pub(crate) fn claim(
        &self,
        claims: &mut Claims,
        topic: &str,
        kept: Option<Footprint>,
        core: usize,
    ) -> bool {
        let hash = self.hash(topic);
        if self.is_lent(claims, kept, core) {
            claims.push(hash, topic, kept);
            return true;
        }
        self.count(claims, core);
        let is_granted = self.claim_hash(hash, kept, Some(core));
        if is_granted {
            claims.push(hash, topic, kept);
            claims.are_counted();
        }
        is_granted
    }

    /// The same by a commit of this one claim. The answer is `None` when it would be too much.
    pub(crate) fn claim_one(
        &self,
        topic: &str,
        kept: Option<Footprint>,
        core: usize,
    ) -> Option<Claims> {
        self.claim_alone(topic, kept, Some(core))
    }

    /// The same by a commit that is not in the order of anybody's claims.
    pub(crate) fn claim_ahead(&self, topic: &str, kept: Option<Footprint>) -> Option<Claims> {
        self.claim_alone(topic, kept, None)
    }

    fn claim_alone(
        &self,
        topic: &str,
        kept: Option<Footprint>,
        core: Option<usize>,
    ) -> Option<Claims> {
        let hash = self.hash(topic);
        if !self.claim_hash(hash, kept, core) {
            return None;
        }
        let mut claims = Claims::default();
        claims.push(hash, topic, kept);
        claims.are_counted();
        Some(claims)
    }

    fn claim_hash(&self, hash: u64, kept: Option<Footprint>, core: Option<usize>) -> bool {
        let shard = &mut *self.shard(hash).lock();
        let moved = self.keep(shard, hash, |before| kept.map(|kept| kept.in_place_of(before)));
        if let Err(refused) = self.check(moved) {
            self.keep(shard, hash, |_| moved.before);
            if let Refused::OfAll { messages, bytes } = refused {
                self.tell_of_limit(messages, bytes);
            }
            return false;
        }
        self.note_granted(kept.is_none());
        shard.await_outcome(hash, core);
        true
    }

    /// Counts what is not counted yet of a core's claims; it must be, before their commit is
    /// handed over.
    pub(crate) fn count(&self, claims: &mut Claims, core: usize) {
        let mut is_less = false;
        for of_shard in claims.uncounted().chunk_by(Claim::is_in_shard_of) {
            let Some(first) = of_shard.first() else { continue };
            let shard = &mut *self.shard(first.hash).lock();
            let mut tally = Tally::default();
            for claim in of_shard {
                let kept = |before| claim.kept.map(|kept| kept.in_place_of(before));
                tally.note(self, shard.change(claim.hash, kept));
                shard.await_outcome(claim.hash, Some(core));
                is_less |= claim.kept.is_none();
            }
            tally.tell(self);
        }
        claims.are_counted();
        self.note_granted(is_less);
        if let Some(loan) = claims.loan.take() {
            loan.payers().iter().for_each(|payer| self.parts.take_back(*payer));
            self.lent.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn note_granted(&self, is_less: bool) {
        // Others may claim at this moment what they will not get.
        self.most.note(self.totals().0.min(self.limits.messages_max));
        if is_less {
            self.is_full.store(false, Ordering::Relaxed);
        }
    }

    /// Whether a claim needs not be counted now: it takes nothing, or there is room for it in what
    /// is lent.
    fn is_lent(&self, claims: &mut Claims, kept: Option<Footprint>, core: usize) -> bool {
        let Some(kept) = kept else { return true };
        if !claims.loan.as_ref().is_some_and(|loan| loan.has_room_for(kept)) {
            if u64::from(kept.bytes) > LOAN_BYTES || !self.has_room(self.loans() + 1) {
                return false;
            }
            self.count(claims, core);
            claims.loan = self.lend_to(kept.payer);
        }
        let Some(loan) = &mut claims.loan else { return false };
        if !loan.is_of(kept.payer) && !self.lend_part(kept.payer) {
            return false;
        }
        loan.take(kept);
        true
    }

    /// Lets a commit that is being gathered grant claims before they are counted.
    fn lend_to(&self, payer: Payer) -> Option<Loan> {
        let mut loan = Loan::new();
        if !loan.is_of(payer) && !self.lend_part(payer) {
            return None;
        }
        loan.is_also_of(payer);
        if self.lend() {
            return Some(loan);
        }
        loan.payers().iter().for_each(|payer| self.parts.take_back(*payer));
        None
    }

    fn lend(&self) -> bool {
        let more = |loans| self.has_room(loans + 1).then_some(loans + 1);
        if self.lent.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_err() {
            return false;
        }
        // Others may have claimed in between, who did not see it.
        let has_room = self.has_room(self.loans());
        if !has_room {
            self.lent.fetch_sub(1, Ordering::SeqCst);
        }
        has_room
    }

    fn loans(&self) -> u64 {
        self.lent.load(Ordering::SeqCst)
    }

    /// Out of somebody's part as out of the whole.
    fn lend_part(&self, payer: Payer) -> bool {
        let RetainedLimits { messages_per_payer_max, bytes_per_payer_max, .. } = *self.limits;
        self.parts.lend(payer, |has, loans| {
            let lent = lent_in(loans);
            (messages_per_payer_max == 0 || is_far(messages_per_payer_max, has.count, lent.count))
                && (bytes_per_payer_max == 0 || is_far(bytes_per_payer_max, has.bytes, lent.bytes))
        })
    }

    fn has_room(&self, loans: u64) -> bool {
        let (lent, (messages, bytes)) = (lent_in(loans), self.totals());
        is_far(self.limits.messages_max, messages, lent.count)
            && is_far(self.limits.bytes_max, bytes, lent.bytes)
    }

    /// Whether what was just counted is within the limits.
    fn check(&self, Moved { before, after }: Moved) -> Result<(), Refused> {
        let grows = |kept: &Footprint| before.is_none_or(|before| kept.bytes > before.bytes);
        let Some(kept) = after.filter(grows) else { return Ok(()) };
        // In this order: what was counted, and so is lent no longer, is in the sums.
        let lent = lent_in(self.loans());
        let (messages, bytes) = self.totals();
        let is_over = before.is_none() && messages + lent.count > self.limits.messages_max;
        if is_over || bytes + lent.bytes > self.limits.bytes_max {
            return Err(Refused::OfAll { messages, bytes });
        }
        match self.is_beyond_part(kept.payer, before) {
            true => Err(Refused::OfOne),
            false => Ok(()),
        }
    }

    /// Whether somebody has more than one may, with what was just counted in place of `before`.
    fn is_beyond_part(&self, payer: Payer, before: Option<Footprint>) -> bool {
        let RetainedLimits { messages_per_payer_max, bytes_per_payer_max, .. } = *self.limits;
        if payer == Payer::NOBODY || (messages_per_payer_max == 0 && bytes_per_payer_max == 0) {
            return false;
        }
        let (has, loans) = self.parts.with_lent(payer);
        let lent = lent_in(loans);
        let is_more = before.is_none_or(|before| before.payer != payer);
        let (messages, bytes) = (has.count + lent.count, has.bytes + lent.bytes);
        (is_more && messages_per_payer_max > 0 && messages > messages_per_payer_max)
            || (bytes_per_payer_max > 0 && bytes > bytes_per_payer_max)
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

    /// The outcome of the claims' commit is known.
    pub(crate) fn settle(&self, claims: &Claims, store: &Store, is_durable: bool) {
        for of_shard in claims.each().chunk_by(Claim::is_in_shard_of) {
            let Some(first) = of_shard.first() else { continue };
            let shard = &mut *self.shard(first.hash).lock();
            for claim in of_shard {
                if shard.settle(claim.hash, is_durable) {
                    self.look_up(shard, claim.hash, claims.topic(claim), store);
                }
            }
        }
    }

    /// No commit is on its way, and while the shard is locked none will be.
    fn look_up(&self, shard: &mut Shard, hash: u64, topic: &str, store: &Store) {
        match store.get(Table::Retained, topic.as_bytes()) {
            Ok(row) => {
                let kept = row.and_then(|row| footprint_of(topic, &row));
                let payer = |known: Option<Footprint>| known.map_or(Payer::NOBODY, |it| it.payer);
                self.keep(shard, hash, |known| kept.map(|kept| kept.paid_by(payer(known))));
            }
            Err(error) => tracing::error!(%error, "a retained message cannot be read"),
        }
    }

    fn keep(
        &self,
        shard: &mut Shard,
        topic: u64,
        to: impl FnOnce(Option<Footprint>) -> Option<Footprint>,
    ) -> Moved {
        let moved = shard.change(topic, to);
        let mut tally = Tally::default();
        tally.note(self, moved);
        tally.tell(self);
        moved
    }

    fn hash(&self, topic: &str) -> u64 {
        self.hasher.hash_one(topic)
    }

    fn shard(&self, topic: u64) -> &Mutex<Shard> {
        &self.shards[shard_of(topic)]
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
            let hash = std::str::from_utf8(topic).map(|topic| self.hash(topic));
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
            for (topic, footprint) in shard.lock().each() {
                if footprint.stale_ms < before_ms {
                    stale.insert(topic);
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
        let hash = self.hash(text);
        let shard = &mut *self.shard(hash).lock();
        let is_stale = |kept: Footprint| kept.stale_ms < before_ms;
        if shard.is_awaited(hash) || !shard.get(hash).is_some_and(is_stale) {
            return;
        }
        let change = TableChange::new(Table::Retained, topic.into(), None).that_stays();
        store.submit(Commit { appends: Vec::new(), changes: vec![change] }, None);
        self.keep(shard, hash, |_| None);
    }
}

/// Why a claim is not granted.
enum Refused {
    /// With all that there is.
    OfAll { messages: u64, bytes: u64 },
    /// With what its payer has.
    OfOne,
}

/// What came and what went, of somebody or of all.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    came: Part,
    went: Part,
}

/// What changes of one shard come to. They are told to the sums while it is locked: so no sum that
/// others see is ever below zero.
#[derive(Default)]
struct Tally {
    all: Flow,
    /// Of this one, and not told yet.
    payer: Payer,
    part: Flow,
    may_expire: bool,
}

impl Tally {
    fn note(&mut self, index: &RetainedIndex, Moved { before, after }: Moved) {
        let part = |it: Option<Footprint>| it.map(|it| (it.payer, u64::from(it.bytes)));
        let (before, kept) = (part(before), part(after));
        self.may_expire |= after.is_some_and(|kept| kept.stale_ms != i64::MAX);
        // Most often it is the same publisher's, of the same size.
        if before == kept {
            return;
        }
        if let Some((payer, bytes)) = kept {
            add(&mut self.all.came, bytes);
            add(&mut self.of(index, payer).came, bytes);
        }
        if let Some((payer, bytes)) = before {
            add(&mut self.all.went, bytes);
            add(&mut self.of(index, payer).went, bytes);
        }
    }

    fn of(&mut self, index: &RetainedIndex, payer: Payer) -> &mut Flow {
        if payer != self.payer {
            self.tell_part(index);
            self.payer = payer;
        }
        &mut self.part
    }

    fn tell_part(&mut self, index: &RetainedIndex) {
        let Flow { came, went } = std::mem::take(&mut self.part);
        index.parts.change(self.payer, came, went);
    }

    fn tell(mut self, index: &RetainedIndex) {
        self.tell_part(index);
        let Flow { came, went } = self.all;
        change(&index.messages, went.count, came.count);
        change(&index.bytes, went.bytes, came.bytes);
        if self.may_expire {
            index.may_expire.store(true, Ordering::Relaxed);
        }
    }
}

fn add(part: &mut Part, bytes: u64) {
    part.count += 1;
    part.bytes += bytes;
}

/// What may have been granted out of so many loans and is not counted, at most.
const fn lent_in(loans: u64) -> Part {
    Part { count: loans * LOAN_CLAIMS, bytes: loans * LOAN_BYTES }
}

/// Whether so much can be lent: half of the limit is enough for it and what is there, and it is
/// small beside the limit. So who claims is refused for what was lent only where nearly all is
/// taken, and half of it came since.
const fn is_far(limit: u64, has: u64, lent: u64) -> bool {
    lent <= limit / 16 && has.saturating_add(lent) <= limit / 2
}

/// In one step.
fn change(sum: &AtomicU64, before: u64, after: u64) {
    if before != after {
        sum.fetch_add(after.wrapping_sub(before), Ordering::SeqCst);
    }
}

fn footprint_of(topic: &str, row: &[u8]) -> Option<Footprint> {
    let (_, kept) = retained::decode(row).ok()?;
    Some(Footprint::of(topic, &kept))
}
