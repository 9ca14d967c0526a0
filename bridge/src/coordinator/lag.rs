//! How far consumer groups are behind, in records and in seconds, as gauges: by partition, by
//! stream and by member; and when they begin to lose something. Decides nothing.

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use metrics::{Gauge, describe_gauge, gauge};
use tidewire_proto::id::PartitionId;
use tidewire_store::Stream;

use crate::coordinator::age::Waiting;
use crate::coordinator::spots::{assigned, place_of};
use crate::forecasts::Forecasts;
use crate::group_series::{
    GROUP_LAG, GROUP_SECONDS, LAG, LEFT_OUT, LEFT_OUT_HELP, LOSES_IN, MEMBER_LAG, MEMBER_SECONDS,
    SECONDS, SERIES_MAX, label,
};
use crate::groups::{Groups, Spot};

/// Offsets that are looked at in one go, or a few more: others wait for as long.
const OFFSETS_AT_ONCE: usize = 500;

/// The gauges of what is there.
pub(super) struct Lag {
    gauges: HashMap<Series, Gauges>,
    left_out: Gauge,
    assigned: Assigned,
    round: Option<Round>,
}

/// Groups that are being measured, some at a time.
struct Round {
    left: Vec<Arc<str>>,
    streams: Arc<Vec<Stream>>,
    /// What members read, as it was understood before.
    before: HashMap<(Arc<str>, Arc<str>), Reads>,
    measured: HashMap<Series, Behind>,
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
    loses_in: Gauge,
}

/// How far behind something is, and the first record that is not read, of each partition.
#[derive(Default)]
pub(super) struct Behind {
    records: u64,
    unread: Vec<(PartitionId, u64)>,
}

/// Whose number a gauge shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Series {
    Group { group: Arc<str> },
    Stream { group: Arc<str>, stream: Arc<str> },
    Partition { group: Arc<str>, stream: Arc<str>, partition: u32 },
    Member { group: Arc<str>, client_id: Arc<str> },
}

impl Lag {
    /// Says what the series mean.
    pub(super) fn new() -> Self {
        describe_gauge!(GROUP_LAG, "Records behind what a group committed, by partition.");
        describe_gauge!(GROUP_SECONDS, "How long ago the first of those records came.");
        describe_gauge!(LAG, "Records behind what a group has done with, by stream.");
        describe_gauge!(SECONDS, "How long ago the first of those records came.");
        describe_gauge!(LOSES_IN, "Seconds until a group loses unread records; -1: never.");
        describe_gauge!(MEMBER_LAG, "Records behind, of all partitions that a member reads.");
        describe_gauge!(MEMBER_SECONDS, "How long ago the first of those records came.");
        describe_gauge!(LEFT_OUT, LEFT_OUT_HELP);
        let (gauges, assigned) = (HashMap::new(), Assigned::default());
        let left_out = gauge!(LEFT_OUT, "groups" => "consumer");
        Self { gauges, left_out, assigned, round: None }
    }

    /// Begins to measure all groups.
    pub(super) fn begin(&mut self, groups: &Groups, streams: Arc<Vec<Stream>>) {
        let (left, before) = (groups.names().cloned().collect(), self.assigned.begin(&streams));
        self.round = Some(Round { left, streams, before, measured: HashMap::new() });
    }

    /// Not all are measured that are to be.
    pub(super) fn is_measuring(&self) -> bool {
        self.round.is_some()
    }

    /// Measures some more; the result once all are measured.
    pub(super) fn measure(
        &mut self,
        groups: &Groups,
        bounds: &Bounds<'_>,
    ) -> Option<HashMap<Series, Behind>> {
        let round = self.round.as_mut()?;
        let mut looked = 0;
        while let Some(group) = round.left.pop() {
            looked += 1 + round.offsets((groups, &group), bounds);
            looked += round.members((groups, &group), &mut self.assigned, bounds);
            if looked >= OFFSETS_AT_ONCE {
                break;
            }
        }
        if !round.left.is_empty() {
            return None;
        }
        self.round.take().map(|round| round.measured)
    }

    /// How it is now; what is not there any more gives its place to others. Gives what has to be
    /// read to say it in seconds.
    pub(super) fn show(
        &mut self,
        mut now: HashMap<Series, Behind>,
        forecasts: &Forecasts,
        now_ms: i64,
    ) -> Vec<Waiting> {
        self.keep(&now);
        let show = |(series, gauges): (&Series, &Gauges)| {
            let behind = now.remove(series).unwrap_or_default();
            gauges.records.set(behind.records as f64);
            if matches!(series, Series::Group { .. }) {
                let loses_in = forecasts.of_places(&behind.unread, now_ms);
                gauges.loses_in.set(loses_in.map_or(-1.0, |seconds| seconds as f64));
            }
            Waiting { seconds: gauges.seconds.clone(), unread: behind.unread }
        };
        self.gauges.iter().map(show).collect()
    }

    /// A gauge for each that is measured now, as long as there is room, and for no other.
    fn keep(&mut self, now: &HashMap<Series, Behind>) {
        self.gauges.retain(|series, gauges| {
            let is_there = now.contains_key(series);
            if !is_there {
                gauges.clear();
            }
            is_there
        });
        for series in now.keys() {
            if self.gauges.len() < SERIES_MAX && !self.gauges.contains_key(series) {
                self.gauges.insert(series.clone(), series.gauges());
            }
        }
        self.left_out.set((now.len() - self.gauges.len()) as f64);
    }
}

impl Gauges {
    /// Whoever records them may not forget them.
    fn clear(&self) {
        self.records.set(0.0);
        self.seconds.set(0.0);
        self.loses_in.set(-1.0);
    }
}

impl Series {
    fn gauges(&self) -> Gauges {
        let (records, seconds) = match self {
            Self::Group { .. } => {
                let loses_in = self.gauge(LOSES_IN);
                return Gauges { records: Gauge::noop(), seconds: Gauge::noop(), loses_in };
            }
            Self::Stream { .. } => (LAG, SECONDS),
            Self::Partition { .. } => (GROUP_LAG, GROUP_SECONDS),
            Self::Member { .. } => (MEMBER_LAG, MEMBER_SECONDS),
        };
        let (records, seconds) = (self.gauge(records), self.gauge(seconds));
        Gauges { records, seconds, loses_in: Gauge::noop() }
    }

    fn gauge(&self, name: &'static str) -> Gauge {
        let short = |name: &str| label(name).into_owned();
        match self {
            Self::Group { group } => gauge!(name, "group" => short(group)),
            Self::Stream { group, stream } => gauge!(
                name,
                "group" => short(group),
                "stream" => Arc::clone(stream)
            ),
            Self::Partition { group, stream, partition } => gauge!(
                name,
                "group" => short(group),
                "stream" => Arc::clone(stream),
                "partition" => partition.to_string()
            ),
            Self::Member { group, client_id } => gauge!(
                name,
                "group" => short(group),
                "client_id" => short(client_id)
            ),
        }
    }
}

impl Behind {
    fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.unread.extend(&other.unread);
    }
}

/// Where a partition begins and ends.
type Bounds<'a> = dyn Fn(PartitionId) -> Option<(u64, u64)> + 'a;

impl Round {
    /// What a group committed; how much was looked at.
    fn offsets(&mut self, (groups, group): (&Groups, &Arc<str>), bounds: &Bounds<'_>) -> usize {
        let mut looked = 0;
        for (spot, committed) in groups.offsets(group) {
            looked += 1;
            let behind = behind(&self.streams, (spot, committed.offset), bounds);
            let Some(behind) = behind else { continue };
            let (group, stream) = (|| Arc::clone(group), || Arc::clone(&spot.topic));
            let of_group = Series::Group { group: group() };
            self.measured.entry(of_group).or_default().add(&behind);
            let of_stream = Series::Stream { group: group(), stream: stream() };
            self.measured.entry(of_stream).or_default().add(&behind);
            let (group, stream, partition) = (group(), stream(), spot.partition);
            self.measured.insert(Series::Partition { group, stream, partition }, behind);
        }
        looked
    }

    /// What the members of a group read; how much was looked at.
    fn members(
        &mut self,
        (groups, group): (&Groups, &Arc<str>),
        assigned: &mut Assigned,
        bounds: &Bounds<'_>,
    ) -> usize {
        let mut looked = 0;
        for member in groups.describe(group).into_iter().flat_map(|it| it.members) {
            let key = (Arc::clone(group), Arc::clone(&member.id));
            let known = self.before.remove(&key).filter(|known| known.said == member.assignment);
            let reads = known.unwrap_or_else(|| Reads::of(member.assignment, &self.streams));
            looked += 1 + reads.spots.len();
            let series = Series::Member { group: Arc::clone(group), client_id: member.client_id };
            let of_member = self.measured.entry(series).or_default();
            for spot in &reads.spots {
                let committed = groups.offset(group, &spot.topic, spot.partition);
                let behind = committed
                    .and_then(|committed| behind(&self.streams, (spot, committed.offset), bounds));
                behind.iter().for_each(|behind| of_member.add(behind));
            }
            assigned.known.insert(key, reads);
        }
        looked
    }
}

/// How far somebody is behind who reads this partition from there; `None` if it does not exist.
fn behind(streams: &[Stream], (spot, offset): (&Spot, u64), bounds: &Bounds<'_>) -> Option<Behind> {
    let id = place_of(streams, spot)?;
    let (from, to) = bounds(id)?;
    let first = offset.max(from);
    let unread = if first < to { vec![(id, first)] } else { Vec::new() };
    Some(Behind { records: to.saturating_sub(first), unread })
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
        let spots = assigned(&said, streams);
        Self { said, spots }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use tidewire_proto::id::PartitionId;
    use tidewire_store::rows::group::{GroupRow, MemberRow};
    use tidewire_store::rows::offset::OffsetRow;
    use tidewire_store::{Stream, StreamConfig};

    use super::{Behind, Lag, OFFSETS_AT_ONCE, SERIES_MAX, Series};
    use crate::forecasts::Forecasts;
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
        let (mut lag, streams) = (Lag::new(), Arc::new(vec![stream]));
        let mut measured = HashMap::new();
        for _ in 0..3 {
            lag.begin(&groups, Arc::clone(&streams));
            measured = lag.measure(&groups, &bounds).expect("they are few");
        }
        let known = &lag.assigned.known;
        let spots: usize = known.values().map(|reads| reads.spots.len()).sum();
        assert_eq!((known.len(), spots), (3, 3), "understood once, what exists");
        let (group, topic): (Arc<str>, Arc<str>) = ("g".into(), "mqtt".into());
        let of = |partition| {
            let (group, stream) = (Arc::clone(&group), Arc::clone(&topic));
            let behind = measured.get(&Series::Partition { group, stream, partition });
            behind.map(|behind| behind.records)
        };
        assert_eq!([of(0), of(1), of(2), of(9)], [Some(10), Some(90), Some(0), None]);
        let all = [(PartitionId(0), 90), (PartitionId(1), 10)];
        let of_stream = Series::Stream { group: Arc::clone(&group), stream: Arc::clone(&topic) };
        for series in [of_stream, Series::Group { group: Arc::clone(&group) }] {
            let mut unread = measured[&series].unread.clone();
            unread.sort_unstable();
            assert_eq!((measured[&series].records, &unread[..]), (100, &all[..]), "{series:?}");
        }
        let member = Series::Member { group, client_id: "reader".into() };
        let member = &measured[&member];
        assert_eq!(member.records, 100, "its partitions together");
        let unread = [(PartitionId(0), 90), (PartitionId(1), 10)];
        assert_eq!(member.unread, unread, "the first that is there and not read");
    }

    #[test]
    fn groups_that_are_gone_give_their_places_to_those_that_come() {
        let measured = |groups: std::ops::Range<usize>| {
            let series = groups.map(|n| Series::Group { group: n.to_string().into() });
            series.map(|series| (series, Behind::default())).collect::<HashMap<_, _>>()
        };
        let mut lag = Lag::new();
        lag.keep(&measured(0..SERIES_MAX + 5));
        assert_eq!(lag.gauges.len(), SERIES_MAX, "no more than so many");
        let later = measured(SERIES_MAX..SERIES_MAX + 100);
        lag.keep(&later);
        assert_eq!(lag.gauges.len(), 100);
        assert!(later.keys().all(|series| lag.gauges.contains_key(series)));
    }

    #[test]
    fn however_many_groups_there_are_others_have_their_turns_in_between() {
        const COUNT: usize = 5_000;
        let (mut groups, topic): (_, Arc<str>) = (Groups::new(Limits::default()), "mqtt".into());
        for group in 0..COUNT {
            let (spot, row) =
                (Spot { topic: Arc::clone(&topic), partition: 0 }, OffsetRow::default());
            groups.restore_offset(&format!("g{group}"), spot, row, Moment::default());
        }
        let (config, partitions) = (StreamConfig::default(), vec![PartitionId(0)]);
        let stream = Stream { name: "mqtt".into(), config, partitions, layouts: Vec::new() };
        let mut lag = Lag::new();
        lag.begin(&groups, Arc::new(vec![stream]));
        let mut turns = 1;
        let measured = loop {
            match lag.measure(&groups, &|_| Some((0, 7))) {
                Some(measured) => break measured,
                None => turns += 1,
            }
        };
        assert!(turns >= COUNT / OFFSETS_AT_ONCE && !lag.is_measuring(), "{turns}");
        assert_eq!(measured.len(), 3 * COUNT, "of each its own, its stream's and its partition's");
        assert!(measured.values().all(|behind| behind.records == 7));
        let shown = lag.show(measured, &Forecasts::default(), 0);
        assert_eq!(shown.len(), SERIES_MAX);
    }
}
