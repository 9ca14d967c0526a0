//! Where a message is stored: which stream, which of its partitions. Stable for a topic.

use ahash::AHashMap;

use crate::id::PartitionId;
use crate::record::partition_index;
use crate::topic::{TopicFilter, levels};

/// About how many bytes of places are kept at a time. Beyond it the memory starts anew.
pub const PLACES_KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What an entry takes besides its topic.
const ENTRY_BYTES: usize = 64;

/// A stream as placement sees it.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// Topics that this stream takes; empty for the default stream.
    pub filters: Vec<TopicFilter>,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionId>,
    /// Whether QoS 0 messages are stored.
    pub log_qos0: bool,
}

/// Where messages of a topic go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The partition.
    pub partition: PartitionId,
    /// Whether QoS 0 messages of this topic are stored.
    pub log_qos0: bool,
}

/// All streams, the default last, and what was asked before.
#[derive(Debug)]
pub struct Placement {
    shelves: Vec<Shelf>,
    levels_max: usize,
    kept: AHashMap<Box<str>, Placed>,
    bytes: usize,
}

impl Placement {
    /// The last shelf takes whatever no other takes. `None` when a shelf has no partition.
    #[must_use]
    pub fn new(shelves: Vec<Shelf>, levels_max: u16) -> Option<Self> {
        let whole = !shelves.is_empty() && shelves.iter().all(|s| !s.partitions.is_empty());
        let levels_max = usize::from(levels_max);
        whole.then(|| Self { shelves, levels_max, kept: AHashMap::new(), bytes: 0 })
    }

    /// Where a message of this topic is stored. `None` when the topic has too many levels; asked
    /// here because a topic that was placed before need not be counted again.
    pub fn place(&mut self, topic: &str) -> Option<Placed> {
        if let Some(placed) = self.kept.get(topic) {
            return Some(*placed);
        }
        if levels(topic) > self.levels_max {
            return None;
        }
        if self.bytes >= PLACES_KEPT_BYTES_MAX {
            self.kept.clear();
            self.bytes = 0;
        }
        let placed = self.placed(topic);
        self.bytes += ENTRY_BYTES + topic.len();
        self.kept.insert(topic.into(), placed);
        Some(placed)
    }

    fn placed(&self, topic: &str) -> Placed {
        let takes = |shelf: &&Shelf| shelf.filters.iter().any(|filter| filter.matches(topic));
        let default = self.shelves.last().expect("checked when made");
        let shelf = self.shelves.iter().find(takes).unwrap_or(default);
        let count = u32::try_from(shelf.partitions.len()).unwrap_or(u32::MAX);
        let index = partition_index(topic.as_bytes(), count) as usize;
        Placed { partition: shelf.partitions[index], log_qos0: shelf.log_qos0 }
    }
}

#[cfg(test)]
mod tests {
    use super::{Placement, Shelf};
    use crate::id::PartitionId;
    use crate::topic::TopicFilter;

    fn placed(placement: &mut Placement, topic: &str) -> u32 {
        placement.place(topic).expect("few levels").partition.0
    }

    fn shelf(filters: &[&str], partitions: std::ops::Range<u32>) -> Shelf {
        let filters = filters.iter().map(|text| TopicFilter::parse(text).expect("valid")).collect();
        Shelf { filters, partitions: partitions.map(PartitionId).collect(), log_qos0: true }
    }

    #[test]
    fn the_first_stream_whose_filter_matches_takes_the_topic() {
        let mut placement = Placement::new(
            vec![shelf(&["a/#"], 0..2), shelf(&["a/b", "c"], 2..3), shelf(&[], 3..4)],
            9,
        )
        .expect("whole");
        assert!(placed(&mut placement, "a/b") < 2);
        assert_eq!(placed(&mut placement, "c"), 2);
        assert_eq!(placed(&mut placement, "else"), 3);
    }

    #[test]
    fn a_topic_always_has_the_same_place() {
        let fresh = || Placement::new(vec![shelf(&[], 0..16)], 9).expect("whole");
        let mut one = fresh();
        for topic in ["a", "a/b", "plant/7/temp", "é/x"] {
            assert_eq!(one.place(topic), fresh().place(topic));
            assert_eq!(one.place(topic), one.place(topic));
        }
    }

    #[test]
    fn a_stream_without_partitions_is_refused() {
        assert!(Placement::new(vec![], 9).is_none());
        assert!(Placement::new(vec![shelf(&["a"], 0..0), shelf(&[], 0..1)], 9).is_none());
    }

    #[test]
    fn a_topic_with_too_many_levels_has_no_place() {
        let mut placement = Placement::new(vec![shelf(&[], 0..1)], 3).expect("whole");
        assert!(placement.place("a/b/c").is_some());
        assert!(placement.place("a/b/c/").is_none());
    }
}
