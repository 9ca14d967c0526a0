//! Where a message is stored: which stream, which of its partitions. Stable for a topic.

use ahash::AHashMap;

use crate::id::PartitionId;
use crate::mqtt::Properties;
use crate::record::{KeyRule, partition_index};
use crate::topic::{TopicFilter, levels};

/// About how many bytes of places are kept at a time. Beyond it the memory starts anew.
pub const PLACES_KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How many where there is one stream. When they are full they stay as they are: of others the key
/// is hashed each time, which takes no longer than to find a topic among very many.
const ONE_SHELF_KEPT_BYTES_MAX: usize = 512 * 1024;
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
    /// Whether readers are told who published.
    pub names_publisher: bool,
    /// What of a message chooses the partition.
    pub key: KeyRule,
}

/// Where messages of a topic go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The partition.
    pub partition: PartitionId,
    /// Whether QoS 0 messages of this topic are stored.
    pub log_qos0: bool,
    /// Whether readers are told who published.
    pub names_publisher: bool,
}

/// All streams, the default last, and what was asked before.
#[derive(Debug)]
pub struct Placement {
    shelves: Vec<Shelf>,
    levels_max: usize,
    kept: AHashMap<Box<str>, Kept>,
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

    /// Where a message is stored. `None` when its topic has too many levels; asked here because a
    /// topic that was placed before need not be counted again.
    pub fn place(
        &mut self,
        topic: &str,
        client_id: &str,
        properties: Properties<'_>,
    ) -> Option<Placed> {
        let kept = match self.kept.get(topic) {
            Some(kept) => *kept,
            None => self.keep(topic)?,
        };
        let shelf = &self.shelves[kept.shelf];
        let partition = kept.partition.unwrap_or_else(|| {
            let named = |name: &str| {
                let mut found = properties.user_properties();
                found.find(|(key, _)| *key == name).map(|(_, value)| value)
            };
            shelf.partition_of(shelf.key.key_of(topic, client_id, named))
        });
        let Shelf { log_qos0, names_publisher, .. } = *shelf;
        Some(Placed { partition, log_qos0, names_publisher })
    }

    #[cold]
    fn keep(&mut self, topic: &str) -> Option<Kept> {
        if levels(topic) > self.levels_max {
            return None;
        }
        if self.bytes >= self.bytes_max() {
            if self.shelves.len() == 1 {
                return Some(self.look(topic));
            }
            self.kept.clear();
            self.bytes = 0;
        }
        let kept = self.look(topic);
        self.bytes += ENTRY_BYTES + topic.len();
        self.kept.insert(topic.into(), kept);
        Some(kept)
    }

    fn bytes_max(&self) -> usize {
        if self.shelves.len() == 1 { ONE_SHELF_KEPT_BYTES_MAX } else { PLACES_KEPT_BYTES_MAX }
    }

    fn look(&self, topic: &str) -> Kept {
        let takes = |shelf: &Shelf| shelf.filters.iter().any(|filter| filter.matches(topic));
        let index = self.shelves.iter().position(takes).unwrap_or(self.shelves.len() - 1);
        let shelf = &self.shelves[index];
        let partition = match shelf.key {
            KeyRule::Topic | KeyRule::Level(_) => {
                Some(shelf.partition_of(shelf.key.key_of(topic, "", |_| None)))
            }
            // Another message of this topic may go elsewhere.
            KeyRule::ClientId | KeyRule::UserProperty(_) => None,
        };
        Kept { shelf: index, partition }
    }
}

impl Shelf {
    fn partition_of(&self, key: &str) -> PartitionId {
        let count = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
        self.partitions[partition_index(key.as_bytes(), count) as usize]
    }
}

/// What is known of a topic.
#[derive(Clone, Copy, Debug)]
struct Kept {
    shelf: usize,
    /// The same for all its messages, where the stream's key rule asks only for the topic.
    partition: Option<PartitionId>,
}

#[cfg(test)]
mod tests {
    use super::{Placement, Shelf};
    use crate::id::PartitionId;
    use crate::mqtt::{Properties, PropertiesBuilder};
    use crate::record::KeyRule;
    use crate::topic::TopicFilter;

    fn placed(placement: &mut Placement, topic: &str) -> u32 {
        placement.place(topic, "me", Properties::EMPTY).expect("few levels").partition.0
    }

    fn shelf(filters: &[&str], partitions: std::ops::Range<u32>) -> Shelf {
        let filters = filters.iter().map(|text| TopicFilter::parse(text).expect("valid")).collect();
        let partitions = partitions.map(PartitionId).collect();
        let key = KeyRule::Topic;
        Shelf { filters, partitions, log_qos0: true, names_publisher: false, key }
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
            assert_eq!(placed(&mut one, topic), placed(&mut fresh(), topic));
            assert_eq!(placed(&mut one, topic), placed(&mut one, topic));
        }
    }

    #[test]
    fn a_topic_has_the_same_place_whether_it_is_kept_or_there_are_too_many() {
        for shelves in [vec![shelf(&[], 0..16)], vec![shelf(&["0/#"], 0..4), shelf(&[], 4..16)]] {
            let mut many = Placement::new(shelves.clone(), 3).expect("whole");
            let topic = |number: u32| format!("{}/{number:0200}", number % 3);
            for number in 0..100_000 {
                placed(&mut many, &topic(number));
            }
            assert!(many.bytes <= super::PLACES_KEPT_BYTES_MAX + 300);
            assert!(shelves.len() > 1 || many.bytes <= super::ONE_SHELF_KEPT_BYTES_MAX + 300);
            for number in (0..100_000).step_by(1000) {
                let mut fresh = Placement::new(shelves.clone(), 3).expect("whole");
                assert_eq!(placed(&mut many, &topic(number)), placed(&mut fresh, &topic(number)));
            }
            assert!(many.place("too/many/levels/here", "", Properties::EMPTY).is_none());
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
        assert!(placement.place("a/b/c", "", Properties::EMPTY).is_some());
        assert!(placement.place("a/b/c/", "", Properties::EMPTY).is_none());
    }

    #[test]
    fn a_key_rule_gathers_what_it_names_and_spreads_the_rest() {
        let spread = |key: KeyRule| {
            let shelf = Shelf { key, ..shelf(&[], 0..64) };
            let mut placement = Placement::new(vec![shelf], 9).expect("whole");
            move |topic: &str, client_id: &str, plant: &str| {
                let mut properties = PropertiesBuilder::default();
                properties.user("plant", plant).expect("fits");
                let placed = placement.place(topic, client_id, properties.as_properties());
                placed.expect("few levels").partition
            }
        };
        let mut by_level = spread(KeyRule::Level(1));
        assert_eq!(by_level("a/7/x", "c", "p"), by_level("b/7/y", "d", "q"));
        assert_ne!(by_level("a/7/x", "c", "p"), by_level("a/8/x", "c", "p"));
        let mut by_client = spread(KeyRule::ClientId);
        assert_eq!(by_client("a", "c", "p"), by_client("b", "c", "q"));
        assert_ne!(by_client("a", "c", "p"), by_client("a", "d", "p"));
        let mut by_plant = spread(KeyRule::UserProperty("plant".into()));
        assert_eq!(by_plant("a", "c", "p"), by_plant("b", "d", "p"));
        assert_ne!(by_plant("a", "c", "p"), by_plant("a", "c", "q"));
    }
}
