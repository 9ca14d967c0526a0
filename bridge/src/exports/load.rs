//! What goes into one transaction: records of chunks of our log as batches for partitions of the
//! target. Pure; sends nothing.

use std::collections::{BTreeSet, HashMap};
use std::io;

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{BatchBuilder, Header, Record};
use tidewire_proto::session::window::Place;

use crate::client::packed::{Packed, Packing, pack};
use crate::exports::judge::Why;
use crate::exports::rule::{Outgoing, Rule};

/// Dead letters of all bridges lie under it.
pub(crate) const DEAD: &[u8] = b"$dead/";

/// What a record takes in a batch besides its bytes, at most, and a header of it.
const RECORD_BYTES: usize = 64;
const HEADER_BYTES: usize = 12;

/// How large batches are, and how they are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// A batch is closed before it grows larger; a record that is larger goes alone.
    pub(crate) batch_bytes_max: usize,
    /// A larger record is not sent.
    pub(crate) record_bytes_max: usize,
    /// Records of one batch.
    pub(crate) batch_records_max: usize,
    pub(crate) packing: Packing,
}

/// What is known of a topic of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// So many partitions.
    Partitions(u32),
    /// Nothing can be written to it.
    Refused(Why),
    /// It has to be looked up.
    No,
}

/// One batch.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) packed: Packed,
    /// Before it was compressed.
    pub(crate) plain_bytes: usize,
    /// Where its records come from, in their order.
    pub(crate) places: Vec<Place>,
}

/// The batches of one partition of the target, in their order.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) ready: Vec<Ready>,
    builder: BatchBuilder,
    places: Vec<Place>,
    packing: Packing,
}

/// The lanes of one topic.
#[derive(Debug)]
struct Group {
    topic: String,
    known: Known,
    /// By partition; `None`: nothing goes there.
    lanes: Vec<Option<usize>>,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) records: usize,
    /// Records that cannot go, and why.
    pub(crate) poison: Vec<(Place, Why)>,
    /// Topics that have to be looked up before it is whole.
    pub(crate) unknown: BTreeSet<String>,
    /// Each batch goes in a request of its own.
    pub(crate) is_apart: bool,
    /// Why a batch could not be compressed.
    pub(crate) broken: Option<io::Error>,
    groups: Vec<Group>,
    /// Which group a topic has.
    names: HashMap<String, usize>,
    /// The group of the record before: most follow one of the same topic.
    last: usize,
}

/// Where a record comes from: its stream, which partition of it, and its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) stream: &'a str,
    pub(crate) index: u32,
    pub(crate) partition: PartitionId,
}

impl Load {
    /// Adds a record.
    pub(crate) fn add(
        &mut self,
        (rule, sizes): (&Rule, Sizes),
        origin: Origin<'_>,
        (offset, record): (u64, &Record<'_>),
        known: impl Fn(&str) -> Known,
    ) {
        let place = Place { partition: origin.partition, offset };
        if record.key.is_some_and(|key| key.starts_with(DEAD)) {
            return;
        }
        let outgoing = match rule.apply(origin.stream, record) {
            Ok(outgoing) => outgoing,
            Err(error) => return self.poison.push((place, Why::new(error.to_string()))),
        };
        let group = self.group(&outgoing.topic, known);
        let partitions = match &self.groups[group].known {
            Known::Partitions(partitions) => *partitions,
            Known::Refused(why) => return self.poison.push((place, why.clone())),
            Known::No => {
                self.unknown.insert(outgoing.topic.into_owned());
                return;
            }
        };
        let bytes = bytes_of(&outgoing, record);
        if bytes > sizes.record_bytes_max {
            let words = format!("{bytes} bytes are more than message_bytes_max of the bridge");
            return self.poison.push((place, Why { is_too_large: true, words }));
        }
        let partition = rule.partition(outgoing.key.as_deref(), origin.index, partitions);
        self.records += 1;
        let lane = self.lane(group, partition, sizes.packing);
        if let Err(error) = lane.push(place, record, (&outgoing, bytes), sizes) {
            self.broken = Some(error);
        }
    }

    /// Closes the last batches.
    pub(crate) fn finish(&mut self) {
        for lane in &mut self.lanes {
            if let Err(error) = lane.close() {
                self.broken = Some(error);
            }
        }
    }

    /// It can be sent as it is: nothing is missing, and nothing is left out.
    pub(crate) fn is_whole(&self) -> bool {
        self.unknown.is_empty() && self.poison.is_empty() && self.broken.is_none()
    }

    /// The largest number of batches that go to one partition.
    pub(crate) fn rounds(&self) -> usize {
        self.lanes.iter().map(|lane| lane.ready.len()).max().unwrap_or(0)
    }

    /// What is known of a topic is asked for once.
    fn group(&mut self, topic: &str, known: impl Fn(&str) -> Known) -> usize {
        if self.groups.get(self.last).is_none_or(|group| group.topic != topic) {
            self.last = match self.names.get(topic) {
                Some(at) => *at,
                None => {
                    let (known, lanes) = (known(topic), Vec::new());
                    self.groups.push(Group { topic: topic.to_owned(), known, lanes });
                    self.names.insert(topic.to_owned(), self.groups.len() - 1);
                    self.groups.len() - 1
                }
            };
        }
        self.last
    }

    fn lane(&mut self, group: usize, partition: u32, packing: Packing) -> &mut Lane {
        let group = &mut self.groups[group];
        let index = usize::try_from(partition).unwrap_or(usize::MAX);
        if group.lanes.len() <= index {
            group.lanes.resize(index + 1, None);
        }
        let at = *group.lanes[index].get_or_insert_with(|| {
            self.lanes.push(Lane::new(group.topic.clone(), partition, packing));
            self.lanes.len() - 1
        });
        &mut self.lanes[at]
    }
}

impl Lane {
    fn new(topic: String, partition: u32, packing: Packing) -> Self {
        let (ready, places) = (Vec::new(), Vec::new());
        Self { topic, partition, ready, builder: BatchBuilder::new(), places, packing }
    }

    fn push(
        &mut self,
        place: Place,
        record: &Record<'_>,
        (outgoing, bytes): (&Outgoing<'_>, usize),
        sizes: Sizes,
    ) -> io::Result<()> {
        let is_full = self.builder.bytes() + bytes > sizes.batch_bytes_max
            || self.places.len() >= sizes.batch_records_max;
        let closed = if is_full { self.close() } else { Ok(()) };
        let (key, value) = (outgoing.key.as_deref(), record.value);
        self.builder.push(record.timestamp_ms, key, value, &outgoing.headers);
        self.places.push(place);
        closed
    }

    fn close(&mut self) -> io::Result<()> {
        if !self.builder.is_empty() {
            let (places, batch) = (std::mem::take(&mut self.places), self.builder.finish());
            let (packed, plain_bytes) = (pack(&batch, self.packing)?, batch.bytes().len());
            self.ready.push(Ready { packed, plain_bytes, places });
        }
        Ok(())
    }
}

fn bytes_of(outgoing: &Outgoing<'_>, record: &Record<'_>) -> usize {
    let of = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let header = |it: &Header<'_>| HEADER_BYTES + it.key.len() + of(it.value);
    let headers: usize = outgoing.headers.iter().map(header).sum();
    RECORD_BYTES + of(outgoing.key.as_deref()) + of(record.value) + headers
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::record::{BatchBuilder, KeyRule};
    use tidewire_proto::session::window::Place;

    use super::{Known, Load, Origin, Sizes};
    use crate::client::Packing;
    use crate::exports::judge::Why;
    use crate::exports::rule::{Headers, Partition, Rule, topic};

    const SIZES: Sizes = Sizes {
        batch_bytes_max: 1_000,
        record_bytes_max: 5_000,
        batch_records_max: 100,
        packing: Packing::None,
    };

    fn load(records: &[(&str, usize)], sizes: Sizes) -> Load {
        let mut builder = BatchBuilder::new();
        for (key, bytes) in records {
            builder.push(1, Some(key.as_bytes()), Some(&vec![7; *bytes]), &[]);
        }
        let batch = builder.finish();
        let rule = Rule {
            topic: topic("${level:0}").expect("a template"),
            key: Some(KeyRule::Topic),
            headers: Headers::All,
            partition: Partition::Key,
        };
        let known = |topic: &str| match topic {
            "new" => Known::No,
            "bad" => Known::Refused(Why::new("no")),
            _ => Known::Partitions(1),
        };
        let mut load = Load::default();
        let origin = Origin { stream: "mqtt", index: 0, partition: PartitionId(3) };
        for (offset, record) in (10..).zip(batch.records()) {
            load.add((&rule, sizes), origin, (offset, &record), known);
        }
        load.finish();
        load
    }

    fn places(load: &Load) -> Vec<Vec<u64>> {
        let ready = load.lanes.iter().flat_map(|lane| &lane.ready);
        ready.map(|it| it.places.iter().map(|place| place.offset).collect()).collect()
    }

    #[test]
    fn records_of_a_partition_keep_their_order_in_batches_of_their_size() {
        let records = [("a/1", 400), ("b/1", 10), ("a/2", 300), ("a/3", 400), ("a", 4_000)];
        let load = load(&records, SIZES);
        assert_eq!(places(&load), [vec![10, 12], vec![13], vec![14], vec![11]]);
        assert_eq!((load.records, load.rounds()), (5, 3));
        assert!(load.poison.is_empty() && load.unknown.is_empty());
    }

    #[test]
    fn halved_batches_end_with_one_record_each() {
        let sizes = Sizes { batch_records_max: 1, ..SIZES };
        assert_eq!(places(&load(&[("a", 1), ("a", 2)], sizes)), [vec![10], vec![11]]);
    }

    #[test]
    fn what_cannot_go_is_named_and_holds_nothing_up() {
        let records = [("bad/1", 1), ("new", 1), ("a", 9_000), ("$dead/x", 1), ("a", 1)];
        let load = load(&records, SIZES);
        let place = |offset| Place { partition: PartitionId(3), offset };
        let poison: Vec<_> = load.poison.iter().map(|(place, _)| *place).collect();
        assert_eq!(poison, [place(10), place(12)]);
        assert!(load.poison[1].1.is_too_large);
        assert!(load.unknown.contains("new"));
        assert_eq!(places(&load), [vec![14]]);
    }
}
