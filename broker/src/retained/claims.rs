//! The claims of one commit, and what it may grant before they are counted. Never counts them.

use std::ops::Range;

use super::footprint::Footprint;
use super::shard::shard_of;
use crate::payer::Payer;

/// Claims that may be granted before they are counted.
pub(super) const LOAN_CLAIMS: u64 = 512;
/// What these may take, in bytes.
pub(super) const LOAN_BYTES: u64 = 1 << 20;
/// Of so many payers they may be: each is looked for among them.
const LOAN_PAYERS: usize = 16;
/// The next commit gets room for so many claims at once, at most,
const CLAIMS_AT_ONCE: usize = 1024;
/// and for so many bytes of topics.
const TOPIC_BYTES_AT_ONCE: usize = 32 << 10;

/// A claim that was granted.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) hash: u64,
    pub(super) kept: Option<Footprint>,
    topic: Range<usize>,
}

impl Claim {
    pub(super) fn is_in_shard_of(&self, other: &Self) -> bool {
        shard_of(self.hash) == shard_of(other.hash)
    }
}

/// What is left of what the index lent.
#[derive(Debug)]
pub(super) struct Loan {
    claims: u64,
    bytes: u64,
    /// Out of whose parts it was lent too.
    payers: Vec<Payer>,
}

impl Loan {
    pub(super) const fn new() -> Self {
        Self { claims: LOAN_CLAIMS, bytes: LOAN_BYTES, payers: Vec::new() }
    }

    /// Whether there is as much left, and it may be out of this payer's part.
    pub(super) fn has_room_for(&self, kept: Footprint) -> bool {
        let is_known = self.is_of(kept.payer) || self.payers.len() < LOAN_PAYERS;
        is_known && self.claims > 0 && self.bytes >= u64::from(kept.bytes)
    }

    /// Whether it is lent out of this payer's part already, or needs not be.
    pub(super) fn is_of(&self, payer: Payer) -> bool {
        // Mostly it is who came last.
        payer == Payer::NOBODY || self.payers.iter().rev().any(|known| *known == payer)
    }

    pub(super) fn is_also_of(&mut self, payer: Payer) {
        if !self.is_of(payer) {
            self.payers.push(payer);
        }
    }

    pub(super) fn take(&mut self, kept: Footprint) {
        self.is_also_of(kept.payer);
        self.claims = self.claims.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(u64::from(kept.bytes));
    }

    pub(super) fn payers(&self) -> &[Payer] {
        &self.payers
    }
}

/// Claims that were granted, in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    topics: String,
    each: Vec<Claim>,
    /// So many of them are counted.
    counted: usize,
    /// The others are granted out of this.
    pub(super) loan: Option<Loan>,
}

impl Claims {
    pub(crate) fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// All of them, and none is left here.
    pub(crate) fn take(&mut self) -> Self {
        // The next commit mostly has about as many.
        let topics = String::with_capacity(self.topics.len().min(TOPIC_BYTES_AT_ONCE));
        let each = Vec::with_capacity(self.each.len().min(CLAIMS_AT_ONCE));
        std::mem::replace(self, Self { topics, each, ..Self::default() })
    }

    /// It was granted, and is counted or not.
    pub(super) fn push(&mut self, hash: u64, topic: &str, kept: Option<Footprint>) {
        let from = self.topics.len();
        self.topics.push_str(topic);
        self.each.push(Claim { hash, kept, topic: from..self.topics.len() });
    }

    /// Those that are not counted, in the order of their shards; those of one topic stay in
    /// theirs.
    pub(super) fn uncounted(&mut self) -> &[Claim] {
        let uncounted = self.each.get_mut(self.counted..).unwrap_or_default();
        uncounted.sort_by_key(|claim| shard_of(claim.hash));
        uncounted
    }

    pub(super) fn are_counted(&mut self) {
        self.counted = self.each.len();
    }

    pub(super) fn each(&self) -> &[Claim] {
        &self.each
    }

    pub(super) fn topic(&self, claim: &Claim) -> &str {
        self.topics.get(claim.topic.clone()).unwrap_or_default()
    }
}
