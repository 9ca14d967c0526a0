//! How far consumer groups are behind, as gauges: by partition, and by member. Decides nothing.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::{Gauge, describe_gauge, gauge};
use tidewire_store::{Store, Stream};

use crate::groups::{Groups, Spot};
use crate::subscription;

const GROUP_LAG: &str = "tidewire_consumer_group_lag";
const MEMBER_LAG: &str = "tidewire_consumer_group_member_lag";
/// A series is never forgotten by whoever records it: beyond so many there are no new ones.
const SERIES_MAX: usize = 10_000;

/// All gauges there were so far.
#[derive(Default)]
pub(super) struct Lag {
    gauges: HashMap<Series, Gauge>,
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
        describe_gauge!(MEMBER_LAG, "The same of all partitions that a member reads.");
        Self::default()
    }

    /// How it is now; what is not there any more is behind by nothing.
    pub(super) fn show(&mut self, groups: &Groups, store: &Store) {
        let now = measure(groups, &store.streams(), &|stream, partition| {
            let id = stream.partitions.get(partition as usize)?;
            store.bounds(*id)
        });
        for series in now.keys() {
            if self.gauges.len() < SERIES_MAX && !self.gauges.contains_key(series) {
                self.gauges.insert(series.clone(), series.gauge());
            }
        }
        for (series, gauge) in &self.gauges {
            gauge.set(now.get(series).copied().unwrap_or(0) as f64);
        }
    }
}

impl Series {
    fn gauge(&self) -> Gauge {
        match self {
            Self::Partition { group, stream, partition } => gauge!(
                GROUP_LAG,
                "group" => Arc::clone(group),
                "stream" => Arc::clone(stream),
                "partition" => partition.to_string()
            ),
            Self::Member { group, client_id } => gauge!(
                MEMBER_LAG,
                "group" => Arc::clone(group),
                "client_id" => Arc::clone(client_id)
            ),
        }
    }
}

type Bounds<'a> = dyn Fn(&Stream, u32) -> Option<(u64, u64)> + 'a;

fn measure(groups: &Groups, streams: &[Stream], bounds: &Bounds<'_>) -> HashMap<Series, u64> {
    let behind = |spot: &Spot, offset: u64| {
        let stream = streams.iter().find(|stream| *stream.name == *spot.topic)?;
        let (from, to) = bounds(stream, spot.partition)?;
        Some(to.saturating_sub(offset.max(from)))
    };
    let mut measured = HashMap::new();
    for group in groups.names() {
        for (spot, committed) in groups.offsets(group) {
            let Some(behind) = behind(spot, committed.offset) else { continue };
            let (group, stream) = (Arc::clone(group), Arc::clone(&spot.topic));
            let series = Series::Partition { group, stream, partition: spot.partition };
            measured.insert(series, behind);
        }
        for member in groups.describe(group).into_iter().flat_map(|it| it.members) {
            let assigned = subscription::partitions(&member.assignment);
            let assigned = assigned.into_iter().flat_map(|(topic, partitions)| {
                let topic: Arc<str> = topic.into();
                partitions.into_iter().map(move |it| (Arc::clone(&topic), it))
            });
            let own = assigned.filter_map(|(topic, partition)| {
                let offset = groups.offset(group, &topic, partition)?.offset;
                behind(&Spot { topic, partition }, offset)
            });
            let series = Series::Member { group: Arc::clone(group), client_id: member.client_id };
            *measured.entry(series).or_insert(0) += own.sum::<u64>();
        }
    }
    measured
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidewire_proto::id::PartitionId;
    use tidewire_store::rows::group::{GroupRow, MemberRow};
    use tidewire_store::rows::offset::OffsetRow;
    use tidewire_store::{Stream, StreamConfig};

    use super::{Series, measure};
    use crate::groups::{Groups, Limits, Moment, Spot};

    #[test]
    fn lag_is_counted_by_partition_and_by_member() {
        let mut groups = Groups::new(Limits::default());
        let member = |id: &str, partition: u8| MemberRow {
            id: id.into(),
            client_id: "reader".into(),
            assignment: [&b"\0\0\0\0\0\x01\0\x04mqtt\0\0\0\x01\0\0\0"[..], &[partition]].concat(),
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
        let bounds = |_: &Stream, partition: u32| (partition < 4).then_some((10, 100));
        let measured = measure(&groups, &[stream], &bounds);
        let (group, topic): (Arc<str>, Arc<str>) = ("g".into(), "mqtt".into());
        let of = |partition| {
            let (group, stream) = (Arc::clone(&group), Arc::clone(&topic));
            measured.get(&Series::Partition { group, stream, partition }).copied()
        };
        assert_eq!([of(0), of(1), of(2), of(9)], [Some(10), Some(90), Some(0), None]);
        let member = Series::Member { group, client_id: "reader".into() };
        assert_eq!(measured.get(&member), Some(&100), "its partitions together");
    }
}
