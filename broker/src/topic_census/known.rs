//! The topics that are known, within a bound, in the order of their levels. Pure: reads no log.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::heard::Heard;

/// Bytes that names have on average at most: a bound also where topics are long.
const NAME_BYTES_MEAN_MAX: usize = 128;
/// A topic with a longer name is not told apart: it would take the place of many, and a cursor that
/// names it would be longer than requests may be.
const NAME_BYTES_MAX: usize = 1024;

/// A topic as it is sorted: a level before all that is below it, and that before whatever else
/// begins with the same letters. No topic has the byte 0.
pub(super) fn key_of(topic: &str) -> Vec<u8> {
    topic.bytes().map(|byte| if byte == b'/' { 0 } else { byte }).collect()
}

/// The topic of a key.
pub(super) fn topic_of(key: &[u8]) -> String {
    let bytes = key.iter().map(|byte| if *byte == 0 { b'/' } else { *byte }).collect();
    // A key begins and ends where levels do.
    String::from_utf8(bytes).unwrap_or_default()
}

/// What came at topics that had to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Others {
    /// How many; one that came back and had to go again counts again.
    pub(crate) topics: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

/// All topics that are known.
#[derive(Debug, Default)]
pub(super) struct Known {
    topics: BTreeMap<Box<[u8]>, Heard>,
    name_bytes: usize,
    count_max: usize,
    others: Others,
}

impl Known {
    /// So many may be known from now on.
    pub(super) fn set_max(&mut self, count_max: usize) {
        self.count_max = count_max;
        self.shrink();
    }

    pub(super) fn len(&self) -> usize {
        self.topics.len()
    }

    pub(super) fn others(&self) -> Others {
        self.others
    }

    /// Whether half of the places are taken.
    pub(super) fn is_half_full(&self) -> bool {
        !self.fits(self.topics.len() * 2, self.name_bytes * 2)
    }

    /// This came at a topic.
    pub(super) fn add(&mut self, topic: &str, heard: &Heard) {
        if topic.len() > NAME_BYTES_MAX {
            return self.others.add(heard);
        }
        let key = key_of(topic);
        if let Some(known) = self.topics.get_mut(&*key) {
            known.add(heard);
            return;
        }
        self.name_bytes += key.len();
        self.topics.insert(key.into(), *heard);
        self.shrink();
    }

    /// Topics between two keys, in their order.
    pub(super) fn range(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl Iterator<Item = (&[u8], &Heard)> {
        self.topics.range::<[u8], _>((from, to)).map(|(key, heard)| (&**key, heard))
    }

    fn fits(&self, count: usize, name_bytes: usize) -> bool {
        count <= self.count_max && name_bytes <= self.count_max * NAME_BYTES_MEAN_MAX
    }

    /// If there are too many, a tenth goes at once: so the next ones cost nothing.
    fn shrink(&mut self) {
        let (mut count, mut name_bytes) = (self.topics.len(), self.name_bytes);
        if self.fits(count, name_bytes) {
            return;
        }
        let ranked = self.topics.iter().map(|(key, heard)| (heard.rank(), &**key));
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable();
        let mut going: Vec<Box<[u8]>> = Vec::new();
        for (_, key) in ranked {
            if self.fits(count + count / 10, name_bytes + name_bytes / 10) {
                break;
            }
            count -= 1;
            name_bytes -= key.len();
            going.push(key.into());
        }
        self.name_bytes = name_bytes;
        for key in going {
            let Some(heard) = self.topics.remove(&key) else { continue };
            self.others.add(&heard);
        }
    }
}

impl Others {
    fn add(&mut self, heard: &Heard) {
        self.topics += 1;
        self.messages += heard.messages;
        self.bytes += heard.bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::{Known, NAME_BYTES_MAX, NAME_BYTES_MEAN_MAX, key_of, topic_of};
    use crate::topic_census::heard::Heard;

    fn known(count_max: usize) -> Known {
        let mut known = Known::default();
        known.set_max(count_max);
        known
    }

    fn names(known: &Known) -> Vec<String> {
        let all = known.range(Bound::Unbounded, Bound::Unbounded);
        all.map(|(key, _)| topic_of(key)).collect()
    }

    #[test]
    fn a_level_stands_before_what_is_below_it_and_that_before_its_neighbours() {
        let mut known = known(100);
        for topic in ["a0", "a/b", "a-b", "a", "/a", "a/b/c", "a/"] {
            known.add(topic, &Heard::one(1, 1, false));
        }
        assert_eq!(names(&known), ["/a", "a", "a/", "a/b", "a/b/c", "a-b", "a0"]);
        assert_eq!(topic_of(&key_of("gr\u{fc}n//x/")), "gr\u{fc}n//x/");
    }

    #[test]
    fn there_are_never_more_topics_than_may_be_and_nothing_that_came_is_lost() {
        let mut known = known(50);
        for number in 0..1000 {
            known.add(&format!("made/up/{number}"), &Heard::one(2, number, false));
            assert!(known.len() <= 50);
        }
        let kept: u64 =
            known.range(Bound::Unbounded, Bound::Unbounded).map(|(_, heard)| heard.messages).sum();
        assert_eq!(kept + known.others().messages, 1000);
        assert_eq!(known.others().topics, known.others().messages);
        assert_eq!(known.others().bytes, 2 * known.others().messages);
        known.set_max(7);
        assert!(known.len() <= 7);
    }

    #[test]
    fn names_are_bounded_by_their_bytes_and_long_ones_are_not_told_apart() {
        let mut known = known(100);
        let long = "x".repeat(NAME_BYTES_MAX - 3);
        for number in 0..50 {
            known.add(&format!("{long}{number:03}"), &Heard::one(1, number, false));
            assert!(known.name_bytes <= 100 * NAME_BYTES_MEAN_MAX);
            let held: usize = names(&known).iter().map(String::len).sum();
            assert_eq!(held, known.name_bytes);
        }
        let (kept, others) = (known.len() as u64, known.others());
        assert!(kept > 5 && kept + others.topics == 50, "{kept} {others:?}");
        known.add(&format!("{long}0000"), &Heard::one(1, 1, false));
        assert_eq!((known.len() as u64, known.others().topics), (kept, others.topics + 1));
    }

    #[test]
    fn topics_that_live_outlast_what_is_made_up_and_what_is_retained_and_silent() {
        let mut known = known(50);
        for number in 0..50 {
            known.add(&format!("kept/{number}"), &Heard::KEPT);
        }
        for number in 0..10_000 {
            if number % 10 == 0 {
                known.add("alive", &Heard::one(1, number, false));
            }
            known.add(&format!("reply/{number}"), &Heard::one(1, number, false));
        }
        let left = names(&known);
        assert!(left.contains(&"alive".into()), "{left:?}");
        assert!(left.contains(&"reply/9999".into()), "the newest are those that stay: {left:?}");
    }

    #[test]
    fn half_of_the_places_are_taken_by_half_of_the_topics_or_of_the_bytes() {
        let mut few = known(10);
        (0..5).for_each(|number| few.add(&number.to_string(), &Heard::KEPT));
        assert!(!few.is_half_full());
        few.add("another", &Heard::KEPT);
        assert!(few.is_half_full());
        let mut long = known(10);
        long.add(&"x".repeat(NAME_BYTES_MAX), &Heard::KEPT);
        assert!(long.is_half_full());
    }
}
