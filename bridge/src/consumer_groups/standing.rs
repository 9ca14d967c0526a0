//! How far a consumer group is, by partition and by member. Never changes a group.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_store::Store;

use crate::coordinator::Coordinator;
use crate::coordinator::spots::{assigned, place_of};
use crate::first::came_ms;
use crate::forecasts::Forecasts;
use crate::groups::{Committed, Described, DescribedMember, Phase, Spot};
use crate::lag::Lag;

/// How far a consumer group is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLag {
    /// Its name.
    pub group: Arc<str>,
    /// Whether its members share out among themselves (`classic`) or are told (`consumer`).
    pub kind: &'static str,
    /// How far its members are, as Kafka's tools call it.
    pub phase: &'static str,
    /// All its partitions together.
    pub lag: Lag,
    /// What it committed, and what its members read, in order.
    pub partitions: Vec<PartitionLag>,
    /// Who is in it.
    pub members: Vec<MemberLag>,
}

/// How far a consumer group is in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    /// The stream.
    pub stream: Arc<str>,
    /// Which of its partitions.
    pub partition: u32,
    /// The next offset that the group wants; `None` while it has committed none.
    pub committed: Option<u64>,
    /// When it committed, in milliseconds since 1970.
    pub committed_ms: Option<i64>,
    /// The first offset that is there.
    pub first: u64,
    /// The offset behind the last record.
    pub end: u64,
    /// How far it is behind; `None` while it has committed nothing.
    pub lag: Option<Lag>,
    /// The member that reads it.
    pub member: Option<Arc<str>>,
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberLag {
    /// The id that the group gave it.
    pub member: Arc<str>,
    /// The id that it gave itself.
    pub instance: Option<Arc<str>>,
    /// What its connection calls itself.
    pub client_id: Arc<str>,
    /// Where it connected from.
    pub host: Arc<str>,
    /// How many partitions it reads.
    pub partitions: usize,
    /// All of those together.
    pub lag: Lag,
}

/// A group as it is this moment.
pub(super) struct Seen {
    described: Described,
    offsets: BTreeMap<Spot, Committed>,
}

impl Seen {
    /// `None`: there is no such group.
    pub(super) fn of(coordinator: &Coordinator, group: &str) -> Option<Self> {
        coordinator.look(|groups| {
            let described = groups.describe(group)?;
            let offsets = groups.offsets(group).map(|(spot, it)| (spot.clone(), it.clone()));
            Some(Self { described, offsets: offsets.collect() })
        })
    }

    /// Nobody is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.described.phase == Phase::Empty && self.described.members.is_empty()
    }

    /// What it committed.
    pub(super) fn committed(&self) -> BTreeMap<Spot, u64> {
        self.offsets.iter().map(|(spot, it)| (spot.clone(), it.offset)).collect()
    }

    /// How far it is in the log.
    pub(super) fn measure(self, store: &Store, forecasts: &Forecasts, now_ms: i64) -> GroupLag {
        let Self { described, offsets } = self;
        let streams = store.streams();
        let mut read_by: BTreeMap<Spot, Arc<str>> = BTreeMap::new();
        for member in &described.members {
            for spot in assigned(&member.assignment, &streams) {
                read_by.insert(spot, Arc::clone(&member.id));
            }
        }
        let mut spots: Vec<&Spot> = offsets.keys().chain(read_by.keys()).collect();
        spots.sort_unstable();
        spots.dedup();
        let partition = |spot: &Spot| {
            let id = place_of(&streams, spot)?;
            let (first, end) = store.bounds(id).unwrap_or_default();
            let committed = offsets.get(spot);
            let from = committed.map(|it| it.offset.max(first));
            Some(PartitionLag {
                stream: Arc::clone(&spot.topic),
                partition: spot.partition,
                committed: committed.map(|it| it.offset),
                committed_ms: committed.map(|it| it.committed_ms),
                first,
                end,
                lag: from.map(|from| behind((store, forecasts), (id, from, end), now_ms)),
                member: read_by.get(spot).cloned(),
            })
        };
        let partitions: Vec<_> = spots.into_iter().filter_map(partition).collect();
        GroupLag {
            lag: together(partitions.iter()),
            members: members(&described, &partitions),
            group: described.name,
            kind: described.kind,
            phase: described.phase.name(),
            partitions,
        }
    }
}

/// Of the records from `from` on.
fn behind(
    (store, forecasts): (&Store, &Forecasts),
    (id, from, end): (PartitionId, u64, u64),
    now_ms: i64,
) -> Lag {
    if from >= end {
        return Lag::default();
    }
    let waited_ms = came_ms(store, (id, from)).map_or(0, |came_ms| now_ms.saturating_sub(came_ms));
    Lag {
        messages: end - from,
        seconds: u64::try_from(waited_ms / 1000).unwrap_or(0),
        loses_in_s: forecasts.of_places(&[(id, from)], now_ms),
    }
}

fn members(described: &Described, partitions: &[PartitionLag]) -> Vec<MemberLag> {
    let mut own: BTreeMap<&str, Vec<&PartitionLag>> = BTreeMap::new();
    for partition in partitions {
        if let Some(member) = &partition.member {
            own.entry(member).or_default().push(partition);
        }
    }
    let member = |it: &DescribedMember| {
        let own = own.remove(&*it.id).unwrap_or_default();
        MemberLag {
            member: Arc::clone(&it.id),
            instance: it.instance.clone(),
            client_id: Arc::clone(&it.client_id),
            host: Arc::clone(&it.host),
            partitions: own.len(),
            lag: together(own.into_iter()),
        }
    };
    described.members.iter().map(member).collect()
}

fn together<'a>(partitions: impl Iterator<Item = &'a PartitionLag>) -> Lag {
    partitions.filter_map(|partition| partition.lag).fold(Lag::default(), Lag::and)
}
