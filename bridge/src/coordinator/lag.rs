//! How far consumer groups are behind, in records and in seconds, as gauges: by partition, and by
//! member. Decides nothing.

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use metrics::{Gauge, describe_gauge, gauge};
use tidewire_proto::id::PartitionId;
use tidewire_store::{Store, Stream};

use crate::coordinator::age::Waiting;
use crate::groups::{Groups, Spot};
use crate::subscription;

const GROUP_LAG: &str = "tidewire_consumer_group_lag";
const GROUP_SECONDS: &str = "tidewire_consumer_group_lag_seconds";
const MEMBER_LAG: &str = "tidewire_consumer_group_member_lag";
const MEMBER_SECONDS: &str = "tidewire_consumer_group_member_lag_seconds";
/// A series is never forgotten by whoever records it: beyond so many there are no new ones.
const SERIES_MAX: usize = 10_000;

/// All gauges there were so far.
#[derive(Default)]
pub(super) struct Lag {
    gauges: HashMap<Series, Gauges>,
    assigned: Assigned,
}

/// What members read, by group and id. Understood once: it may be long, and most of it may not
/// exist.
#[derive(Default)]
struct Assigned {
    known: HashMap<(Arc<str>, Arc<str>), Reads>,
    /// The streams by which it was understood.
    streams: Arc<Vec<Stream>>,
}

struct Reads {
    said: Bytes,
    spots: BTreeSet<Spot>,
}

struct Gauges {
    records: Gauge,
    seconds: Gauge,
}

/// How far behind something is, and the first record that is not read, of each partition.
#[derive(Default)]
struct Behind {
    records: u64,
    unread: Vec<(PartitionId, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Series {
    Partition { group: Arc<str>, stream: Arc<str>, partition: u32 },
    Member { group: Arc<str>, client_id: Arc<str> },
}

impl Lag {
    /// Says what the series mean.
    pub(super) fn new() -> Self {
        describe_gauge!(GROUP_LAG, "Records behind what a group committed, by partition.");
        describe_gauge!(GROUP_SECONDS, "How long ago the first of those records came.");
        describe_gauge!(MEMBER_LAG, "Records behind, of all partitions that a member reads.");
        describe_gauge!(MEMBER_SECONDS, "How long ago the first of those records came.");
        Self::default()
    }

    /// How it is now; what is not there any more is behind by nothing. Gives what has to be read to
    /// say it in seconds.
    pub(super) fn show(&mut self, groups: &Groups, store: &Store) -> Vec<Waiting> {
        let mut now =
            measure(groups, (&mut self.assigned, store.streams()), &|id| store.bounds(id));
        for series in now.keys() {
            if self.gauges.len() < SERIES_MAX && !self.gauges.contains_key(series) {
                self.gauges.insert(series.clone(), series.gauges());
            }
        }
        let show = |(series, gauges): (&Series, &Gauges)| {
            let behind = now.remove(series).unwrap_or_default();
            gauges.records.set(behind.records as f64);
            Waiting { seconds: gauges.seconds.clone(), unread: behind.unread }
        };
        self.gauges.iter().map(show).collect()
    }
}

impl Series {
    fn gauges(&self) -> Gauges {
        let (records, seconds) = match self {
            Self::Partition { .. } => (GROUP_LAG, GROUP_SECONDS),
            Self::Member { .. } => (MEMBER_LAG, MEMBER_SECONDS),
        };
        Gauges { records: self.gauge(records), seconds: self.gauge(seconds) }
    }

    fn gauge(&self, name: &'static str) -> Gauge {
        match self {
            Self::Partition { group, stream, partition } => gauge!(
                name,
                "group" => Arc::clone(group),
                "stream" => Arc::clone(stream),
                "partition" => partition.to_string()
            ),
            Self::Member { group, client_id } => gauge!(
                name,
                "group" => Arc::clone(group),
                "client_id" => Arc::clone(client_id)
            ),
        }
    }
}

impl Behind {
    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.unread.extend(other.unread);
    }
}

type Bounds<'a> = dyn Fn(PartitionId) -> Option<(u64, u64)> + 'a;

fn measure(
    groups: &Groups,
    (assigned, streams): (&mut Assigned, Arc<Vec<Stream>>),
    bounds: &Bounds<'_>,
) -> HashMap<Series, Behind> {
    let behind = |spot: &Spot, offset: u64| {
        let stream = streams.iter().find(|stream| *stream.name == *spot.topic)?;
        let id = *stream.partitions.get(spot.partition as usize)?;
        let (from, to) = bounds(id)?;
        let first = offset.max(from);
        let unread = if first < to { vec![(id, first)] } else { Vec::new() };
        Some(Behind { records: to.saturating_sub(first), unread })
    };
    let mut before = assigned.begin(&streams);
    let mut measured: HashMap<Series, Behind> = HashMap::new();
    for group in groups.names() {
        for (spot, committed) in groups.offsets(group) {
            let Some(behind) = behind(spot, committed.offset) else { continue };
            let (group, stream) = (Arc::clone(group), Arc::clone(&spot.topic));
            let series = Series::Partition { group, stream, partition: spot.partition };
            measured.insert(series, behind);
        }
        for member in groups.describe(group).into_iter().flat_map(|it| it.members) {
            let key = (Arc::clone(group), Arc::clone(&member.id));
            let known = before.remove(&key).filter(|known| known.said == member.assignment);
            let reads = known.unwrap_or_else(|| Reads::of(member.assignment, &streams));
            let own = reads.spots.iter().filter_map(|spot| {
                let offset = groups.offset(group, &spot.topic, spot.partition)?.offset;
                behind(spot, offset)
            });
            let series = Series::Member { group: Arc::clone(group), client_id: member.client_id };
            let of_member = measured.entry(series).or_default();
            own.for_each(|behind| of_member.add(behind));
            assigned.known.insert(key, reads);
        }
    }
    measured
}

impl Assigned {
    /// What was known; nothing if there are other streams now.
    fn begin(&mut self, streams: &Arc<Vec<Stream>>) -> HashMap<(Arc<str>, Arc<str>), Reads> {
        let before = mem::take(&mut self.known);
        match Arc::ptr_eq(&self.streams, streams) {
            true => before,
            false => {
                self.streams = Arc::clone(streams);
                HashMap::new()
            }
        }
    }
}

impl Reads {
    /// Each partition once, if it exists.
    fn of(said: Bytes, streams: &[Stream]) -> Self {
        let mut spots = BTreeSet::new();
        for (topic, partitions) in subscription::partitions(&said) {
            let Some(stream) = streams.iter().find(|stream| stream.name == topic) else { continue };
            let topic: Arc<str> = topic.into();
            let exists = |it: &u32| (*it as usize) < stream.partitions.len();
            let spot = |partition| Spot { topic: Arc::clone(&topic), partition };
            spots.extend(partitions.into_iter().filter(exists).map(spot));
        }
        Self { said, spots }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidewire_proto::id::PartitionId;
    use tidewire_store::rows::group::{GroupRow, MemberRow};
    use tidewire_store::rows::offset::OffsetRow;
    use tidewire_store::{Stream, StreamConfig};

    use super::{Assigned, Series, measure};
    use crate::groups::{Groups, Limits, Moment, Spot};

    #[test]
    fn lag_is_counted_by_partition_and_by_member() {
        let mut groups = Groups::new(Limits::default());
        let member = |id: &str, partition: u8| MemberRow {
            id: id.into(),
            client_id: "reader".into(),
            // Named twice, it is read once.
            assignment: [
                &b"\0\0\0\0\0\x01\0\x04mqtt\0\0\0\x02\0\0\0"[..],
                &[partition, 0, 0, 0, partition],
            ]
            .concat(),
            ..MemberRow::default()
        };
        let members = vec![member("a", 0), member("b", 1), member("c", 3)];
        let now = Moment::default();
        groups.restore("g", GroupRow { generation: 1, members, ..GroupRow::default() }, now);
        for (partition, offset) in [(0, 90), (1, 3), (2, 100), (9, 1)] {
            let row = OffsetRow { offset, ..OffsetRow::default() };
            groups.restore_offset("g", Spot { topic: "mqtt".into(), partition }, row, now);
        }
        let stream = Stream {
            name: "mqtt".into(),
            config: StreamConfig::default(),
            partitions: (0..4).map(PartitionId).collect(),
            layouts: Vec::new(),
        };
        let bounds = |_: PartitionId| Some((10, 100));
        let (mut assigned, streams) = (Assigned::default(), Arc::new(vec![stream]));
        let mut measured = measure(&groups, (&mut assigned, Arc::clone(&streams)), &bounds);
        for _ in 0..2 {
            measured = measure(&groups, (&mut assigned, Arc::clone(&streams)), &bounds);
        }
        let spots: usize = assigned.known.values().map(|reads| reads.spots.len()).sum();
        assert_eq!((assigned.known.len(), spots), (3, 3), "understood once, what exists");
        let (group, topic): (Arc<str>, Arc<str>) = ("g".into(), "mqtt".into());
        let of = |partition| {
            let (group, stream) = (Arc::clone(&group), Arc::clone(&topic));
            let behind = measured.get(&Series::Partition { group, stream, partition });
            behind.map(|behind| behind.records)
        };
        assert_eq!([of(0), of(1), of(2), of(9)], [Some(10), Some(90), Some(0), None]);
        let member = Series::Member { group, client_id: "reader".into() };
        let member = &measured[&member];
        assert_eq!(member.records, 100, "its partitions together");
        let unread = [(PartitionId(0), 90), (PartitionId(1), 10)];
        assert_eq!(member.unread, unread, "the first that is there and not read");
    }
}
