//! What one open transaction holds, and which offsets wait in all of them. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidewire_proto::id::PartitionId;

use crate::groups::{Spot, Wanted};
use crate::transactions::request::Part;

/// What an offset takes besides its texts.
const OFFSET_BYTES: usize = 128;

/// Offsets by group and place.
pub type Offsets = BTreeMap<Arc<str>, BTreeMap<Spot, Wanted>>;

/// An open transaction.
#[derive(Debug)]
pub struct Held<B> {
    /// When it began, on the clock that only rises.
    pub(super) since: u64,
    /// When it began, in milliseconds of the Unix epoch.
    pub since_ms: i64,
    /// Where it may write.
    pub partitions: BTreeSet<PartitionId>,
    /// Whose offsets it may commit.
    pub groups: BTreeSet<Arc<str>>,
    /// In the order in which they came.
    pub batches: Vec<B>,
    /// What its consumer groups are to have read.
    pub offsets: Offsets,
    /// Of all of it.
    pub bytes: usize,
}

impl<B> Held<B> {
    pub(super) fn new(since: u64, since_ms: i64) -> Self {
        Self {
            since,
            since_ms,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
            batches: Vec::new(),
            offsets: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// It is to write there too. Gives how many bytes it holds more.
    pub(super) fn admit(&mut self, part: Part) -> usize {
        let more = self.bytes_with(&part);
        match part {
            Part::Partitions(partitions) => self.partitions.extend(partitions),
            Part::Group(group) => drop(self.groups.insert(group)),
        }
        self.bytes += more;
        more
    }

    /// How many bytes more it would hold.
    pub(super) fn bytes_with(&self, part: &Part) -> usize {
        match part {
            Part::Group(group) if !self.groups.contains(group) => OFFSET_BYTES + group.len(),
            _ => 0,
        }
    }
}

/// Bytes that offsets take.
pub(super) fn bytes_of(wanted: &[Wanted]) -> usize {
    let one = |it: &Wanted| OFFSET_BYTES + it.metadata.len() + it.spot.topic.len();
    wanted.iter().map(one).sum()
}

/// How many transactions have an offset for a place that is not committed yet.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<Arc<str>, BTreeMap<Spot, u32>>);

impl Waiting {
    pub(super) fn add(&mut self, group: &Arc<str>, spot: &Spot) {
        let spots = self.0.entry(Arc::clone(group)).or_default();
        *spots.entry(spot.clone()).or_default() += 1;
    }

    pub(super) fn remove(&mut self, offsets: &Offsets) {
        for (group, wanted) in offsets {
            let Some(spots) = self.0.get_mut(group) else { continue };
            for spot in wanted.keys() {
                match spots.get_mut(spot) {
                    Some(count) if *count > 1 => *count -= 1,
                    _ => drop(spots.remove(spot)),
                }
            }
            if spots.is_empty() {
                self.0.remove(group);
            }
        }
    }

    pub(super) fn has(&self, group: &str, spot: &Spot) -> bool {
        self.0.get(group).is_some_and(|spots| spots.contains_key(spot))
    }
}
