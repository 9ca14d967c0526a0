//! What goes into one transaction: records of chunks of our log as batches for partitions of the
//! target. Pure; sends nothing.

use std::collections::{BTreeSet, HashMap};

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{Batch, BatchBuilder, Header, Record};
use tidewire_proto::session::window::Place;

use crate::exports::judge::Why;
use crate::exports::rule::{Outgoing, Rule};

/// Dead letters of all bridges lie under it.
pub(crate) const DEAD: &[u8] = b"$dead/";

/// What a record takes in a batch besides its bytes, at most, and a header of it.
const RECORD_BYTES: usize = 64;
const HEADER_BYTES: usize = 12;

/// How large batches are, and what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// A batch is closed before it grows larger; a record that is larger goes alone.
    pub(crate) batch_bytes_max: usize,
    /// A larger record is not sent.
    pub(crate) record_bytes_max: usize,
    /// Records of one batch.
    pub(crate) batch_records_max: usize,
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
    pub(crate) batch: Batch,
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
    /// Which lane is whose, by topic and partition.
    places: HashMap<String, HashMap<u32, usize>>,
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
        let partitions = match known(&outgoing.topic) {
            Known::Partitions(partitions) => partitions,
            Known::Refused(why) => return self.poison.push((place, why)),
            Known::No => {
                self.unknown.insert(outgoing.topic);
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
        self.lane(&outgoing.topic, partition).push(place, record, (&outgoing, bytes), sizes);
    }

    /// Closes the last batches.
    pub(crate) fn finish(&mut self) {
        self.lanes.iter_mut().for_each(Lane::close);
    }

    /// The largest number of batches that go to one partition.
    pub(crate) fn rounds(&self) -> usize {
        self.lanes.iter().map(|lane| lane.ready.len()).max().unwrap_or(0)
    }

    fn lane(&mut self, topic: &str, partition: u32) -> &mut Lane {
        let next = self.lanes.len();
        if !self.places.contains_key(topic) {
            self.places.insert(topic.to_owned(), HashMap::new());
        }
        let known = self.places.get_mut(topic);
        let at = known.map_or(next, |lanes| *lanes.entry(partition).or_insert(next));
        if at == next {
            self.lanes.push(Lane::new(topic.to_owned(), partition));
        }
        &mut self.lanes[at]
    }
}

impl Lane {
    fn new(topic: String, partition: u32) -> Self {
        let (ready, places) = (Vec::new(), Vec::new());
        Self { topic, partition, ready, builder: BatchBuilder::new(), places }
    }

    fn push(
        &mut self,
        place: Place,
        record: &Record<'_>,
        (outgoing, bytes): (&Outgoing<'_>, usize),
        sizes: Sizes,
    ) {
        let is_full = self.builder.bytes() + bytes > sizes.batch_bytes_max
            || self.places.len() >= sizes.batch_records_max;
        if is_full {
            self.close();
        }
        let (key, value) = (outgoing.key.as_deref(), record.value);
        self.builder.push(record.timestamp_ms, key, value, &outgoing.headers);
        self.places.push(place);
    }

    fn close(&mut self) {
        if !self.builder.is_empty() {
            let places = std::mem::take(&mut self.places);
            self.ready.push(Ready { batch: self.builder.finish(), places });
        }
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
    use crate::exports::judge::Why;
    use crate::exports::rule::{Headers, Partition, Rule, topic};

    const SIZES: Sizes =
        Sizes { batch_bytes_max: 1_000, record_bytes_max: 5_000, batch_records_max: 100 };

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
