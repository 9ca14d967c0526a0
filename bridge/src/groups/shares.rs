//! Who is to read what: each topic as even as can be, all topics together too, and with as little
//! change as can be. Knows no group.

use std::collections::BTreeSet;

/// Rounds in which shares are moved from who has more to who has less. Each makes it more even; it
/// rarely takes three.
const ROUNDS_MAX: usize = 8;

/// A topic that is to be shared out.
pub(super) struct Topic {
    /// Its partitions.
    pub(super) count: u32,
    pub(super) readers: Vec<Reader>,
}

/// One of its readers.
pub(super) struct Reader {
    /// Which one of all.
    pub(super) place: usize,
    /// What it had before.
    pub(super) had: Vec<u32>,
    /// It gets one more than the others.
    is_larger: bool,
}

impl Reader {
    pub(super) fn new(place: usize, had: Vec<u32>) -> Self {
        Self { place, had, is_larger: false }
    }
}

impl Topic {
    /// What each of its readers gets at least.
    fn least(&self) -> usize {
        (self.count as usize).checked_div(self.readers.len()).unwrap_or(0)
    }

    /// How many get one more.
    fn rest(&self) -> usize {
        (self.count as usize).checked_rem(self.readers.len()).unwrap_or(0)
    }
}

/// The partitions that each reader of each topic gets. There are so many readers in all.
pub(super) fn share(topics: &mut [Topic], readers: usize) -> Vec<Vec<BTreeSet<u32>>> {
    let mut totals = vec![0; readers];
    for topic in &*topics {
        let least = topic.least();
        topic.readers.iter().for_each(|it| totals[it.place] += least);
    }
    topics.iter_mut().for_each(|topic| keep(topic, &mut totals));
    topics.iter_mut().for_each(|topic| fill(topic, &mut totals));
    for _ in 0..ROUNDS_MAX {
        let mut is_even = true;
        for topic in &mut *topics {
            while level(topic, &mut totals) {
                is_even = false;
            }
        }
        if is_even {
            break;
        }
    }
    topics.iter().map(deal).collect()
}

/// Who had more than the least goes on to, as far as there is more.
fn keep(topic: &mut Topic, totals: &mut [usize]) {
    let (least, rest) = (topic.least(), topic.rest());
    for reader in topic.readers.iter_mut().filter(|it| it.had.len() > least).take(rest) {
        reader.is_larger = true;
        totals[reader.place] += 1;
    }
}

/// What is left goes to those who have least.
fn fill(topic: &mut Topic, totals: &mut [usize]) {
    let given = topic.readers.iter().filter(|it| it.is_larger).count();
    let left = topic.rest().saturating_sub(given);
    let mut others: Vec<_> = topic.readers.iter_mut().filter(|it| !it.is_larger).collect();
    others.sort_by_key(|it| totals[it.place]);
    for reader in others.into_iter().take(left) {
        reader.is_larger = true;
        totals[reader.place] += 1;
    }
}

/// Moves one share to who has less, if that makes it more even.
fn level(topic: &mut Topic, totals: &mut [usize]) -> bool {
    let places = topic.readers.iter().enumerate();
    let total = |(_, it): &(usize, &Reader)| totals[it.place];
    let most = places.clone().filter(|(_, it)| it.is_larger).max_by_key(total);
    let least = places.filter(|(_, it)| !it.is_larger).min_by_key(total);
    let (Some((from, most)), Some((to, least))) = (most, least) else { return false };
    if totals[most.place] < totals[least.place] + 2 {
        return false;
    }
    totals[most.place] -= 1;
    totals[least.place] += 1;
    topic.readers[from].is_larger = false;
    topic.readers[to].is_larger = true;
    true
}

/// Each keeps what it had, up to its share, and gets what is missing of what is left.
fn deal(topic: &Topic) -> Vec<BTreeSet<u32>> {
    let mut free: BTreeSet<u32> = (0..topic.count).collect();
    let share = |reader: &Reader| topic.least() + usize::from(reader.is_larger);
    let mut kept = |reader: &Reader| {
        let had = reader.had.iter().copied().filter(|it| free.contains(it));
        let kept: BTreeSet<u32> = had.take(share(reader)).collect();
        for partition in &kept {
            free.remove(partition);
        }
        kept
    };
    let mut dealt: Vec<BTreeSet<u32>> = topic.readers.iter().map(&mut kept).collect();
    for (reader, has) in topic.readers.iter().zip(&mut dealt) {
        while has.len() < share(reader) {
            let Some(partition) = free.pop_first() else { break };
            has.insert(partition);
        }
    }
    dealt
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{prop, proptest};

    use super::{Reader, Topic, share};

    /// What each reader has of each topic.
    type Shares = Vec<Vec<BTreeSet<u32>>>;

    /// All readers read all topics.
    fn shared(counts: &[u32], readers: usize, before: &Shares) -> Shares {
        let had = |topic: usize, reader: usize| {
            let had = before.get(topic).and_then(|it| it.get(reader));
            had.map_or_else(Vec::new, |it| it.iter().copied().collect())
        };
        let topic = |(topic, count): (usize, &u32)| Topic {
            count: *count,
            readers: (0..readers).map(|it| Reader::new(it, had(topic, it))).collect(),
        };
        share(&mut counts.iter().enumerate().map(topic).collect::<Vec<_>>(), readers)
    }

    fn totals(shares: &Shares, readers: usize) -> Vec<usize> {
        let of = |reader: usize| shares.iter().map(|topic| topic[reader].len()).sum();
        (0..readers).map(of).collect()
    }

    #[test]
    fn many_small_topics_are_shared_by_all_readers() {
        let (counts, mut before) = ([1; 20], Shares::new());
        for readers in 1..=5 {
            before = shared(&counts, readers, &before);
            let totals = totals(&before, readers);
            let (most, least) = (totals.iter().max(), totals.iter().min());
            assert!(most <= least.map(|it| it + 1).as_ref(), "{totals:?}");
        }
        assert_eq!(totals(&before, 5), [4; 5]);
        // The last one goes: nobody else gives anything up.
        let after = shared(&counts, 4, &before);
        assert_eq!(totals(&after, 4), [5; 4]);
        for (topic, shares) in before.iter().enumerate() {
            let kept = (0..4).all(|reader| shares[reader].is_subset(&after[topic][reader]));
            assert!(kept, "{topic}");
        }
        assert_eq!(shared(&counts, 4, &after), after, "and then it stays");
    }

    proptest! {
        #[test]
        fn every_partition_has_one_reader_and_all_have_as_many(
            counts in prop::collection::vec(0_u32..7, 0..12),
            readers in prop::collection::vec(1_usize..7, 1..5)
        ) {
            let mut before = Shares::new();
            for readers in readers {
                before = shared(&counts, readers, &before);
                for (topic, count) in before.iter().zip(&counts) {
                    let dealt: Vec<u32> = topic.iter().flatten().copied().collect();
                    let all: BTreeSet<u32> = dealt.iter().copied().collect();
                    assert_eq!((dealt.len(), all), (*count as usize, (0..*count).collect()));
                }
                let totals = totals(&before, readers);
                let (most, least) = (totals.iter().max(), totals.iter().min());
                assert!(most <= least.map(|it| it + 1).as_ref(), "{totals:?}");
            }
        }
    }
}
