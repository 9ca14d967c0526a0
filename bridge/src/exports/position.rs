//! How far an export is, as it stands in the target's group beside the records, and in our row;
//! and which of the two is right. Pure.

use std::fmt::Write;

use tidewire_proto::id::PartitionId;
use tidewire_proto::session::window::Place;

/// The form that this build writes.
const VERSION: &str = "1";

/// How far an export is: committed in the target with the records, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Rises whenever somebody moves the export: marks of before say nothing any more.
    pub(crate) generation: u64,
    /// Rises with every transaction; it is the offset that the group commits.
    pub(crate) count: u64,
    /// What lies before these is in the target.
    pub(crate) positions: Vec<(PartitionId, u64)>,
}

/// What our row keeps beside the positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) generation: u64,
    pub(crate) count: u64,
    /// Records behind the positions that have a dead letter: not to be written again.
    pub(crate) buried: Vec<Place>,
}

impl Mark {
    /// As the metadata of an offset.
    pub(crate) fn encode(&self) -> String {
        let mut text = format!("{VERSION} {} {}", self.generation, self.count);
        put_places(&mut text, self.positions.iter().copied());
        text
    }

    /// From the metadata of an offset.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (generation, count, positions) = parse(text)?;
        Some(Self { generation, count, positions })
    }
}

impl Kept {
    /// As bytes of the row.
    pub(crate) fn encode(&self) -> Box<[u8]> {
        let mut text = format!("{VERSION} {} {}", self.generation, self.count);
        put_places(&mut text, self.buried.iter().map(|it| (it.partition, it.offset)));
        text.into_bytes().into()
    }

    /// From bytes of the row; nothing, if it is another form.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let read = || {
            let (generation, count, buried) = parse(std::str::from_utf8(bytes).ok()?)?;
            let place = |(partition, offset)| Place { partition, offset };
            Some(Self { generation, count, buried: buried.into_iter().map(place).collect() })
        };
        read().unwrap_or_default()
    }
}

/// Where the export goes on: what the target says counts, if it is of this generation and later
/// than our row, which is written after each of the target's transactions and before the next one
/// ends. So it is later by one: what is later by more was written by a log that had more than this
/// one, such as that of which this folder was a copy, and says nothing of this one. Answers whether
/// the target says so. Nothing is behind the end of the log.
pub(crate) fn resolve(
    row: &[(PartitionId, u64)],
    kept: &Kept,
    found: &[Mark],
    end: impl Fn(PartitionId) -> u64,
) -> (Mark, bool) {
    let is_newer = |mark: &&Mark| mark.generation == kept.generation && mark.count > kept.count;
    let best = found.iter().filter(is_newer).max_by_key(|mark| mark.count);
    let is_foreign = best.is_some_and(|mark| mark.count > kept.count.saturating_add(1));
    let best = best.filter(|_| !is_foreign);
    let offset = |(partition, offset): &(PartitionId, u64)| {
        let there = best.and_then(|mark| mark.positions.iter().find(|(it, _)| it == partition));
        let offset = there.map_or(*offset, |(_, there)| *there);
        (*partition, offset.min(end(*partition)))
    };
    // Marks of other generations count too, so that no number comes twice.
    let highest = found.iter().map(|mark| mark.count).max().unwrap_or(0);
    let latest = found.iter().map(|mark| mark.generation).max().unwrap_or(0);
    let generation = match is_foreign {
        true => latest.max(kept.generation).saturating_add(1),
        false => kept.generation,
    };
    let positions = row.iter().map(offset).collect();
    (Mark { generation, count: highest.max(kept.count), positions }, is_foreign)
}

/// Generation, count, and places.
type Said = (u64, u64, Vec<(PartitionId, u64)>);

fn put_places(text: &mut String, places: impl Iterator<Item = (PartitionId, u64)>) {
    for (partition, offset) in places {
        // Writing to a String cannot fail.
        let _ = write!(text, " {}={offset}", partition.0);
    }
}

fn parse(text: &str) -> Option<Said> {
    let mut words = text.split(' ');
    if words.next() != Some(VERSION) {
        return None;
    }
    let (generation, count) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let place = |word: &str| {
        let (partition, offset) = word.split_once('=')?;
        Some((PartitionId(partition.parse().ok()?), offset.parse().ok()?))
    };
    Some((generation, count, words.map(place).collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::session::window::Place;

    use super::{Kept, Mark, resolve};

    fn at(offsets: &[(u32, u64)]) -> Vec<(PartitionId, u64)> {
        offsets.iter().map(|(partition, offset)| (PartitionId(*partition), *offset)).collect()
    }

    fn mark(generation: u64, count: u64, offsets: &[(u32, u64)]) -> Mark {
        Mark { generation, count, positions: at(offsets) }
    }

    fn kept(generation: u64, count: u64) -> Kept {
        Kept { generation, count, buried: Vec::new() }
    }

    #[test]
    fn marks_read_back_as_they_were_written_and_nothing_else_is_one() {
        let all = mark(3, 9, &[(0, 5), (70_000, u64::MAX)]);
        assert_eq!(all.encode(), "1 3 9 0=5 70000=18446744073709551615");
        assert_eq!(Mark::parse(&all.encode()), Some(all));
        for text in ["", "1", "2 3 9 0=5", "1 3 9 0", "1 3 9 x=5", "somebody else's"] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
        let place = Place { partition: PartitionId(2), offset: 7 };
        let row = Kept { buried: vec![place], ..kept(1, 2) };
        assert_eq!(Kept::decode(&row.encode()), row);
        assert_eq!(Kept::decode(b""), Kept::default());
    }

    #[test]
    fn the_later_of_target_and_row_counts() {
        let row = at(&[(0, 5), (1, 0)]);
        let check = |kept: Kept, found: &[Mark], expected: Mark| {
            let resolved = resolve(&row, &kept, found, |_| u64::MAX);
            assert_eq!(resolved, (expected, false), "{kept:?} {found:?}");
        };
        check(kept(0, 0), &[], mark(0, 0, &[(0, 5), (1, 0)]));
        // We died between their commit and our row.
        check(kept(0, 4), &[mark(0, 5, &[(0, 9)])], mark(0, 5, &[(0, 9), (1, 0)]));
        // The group has forgotten, or lags as nobody asked it: its topic was deleted.
        check(kept(0, 4), &[mark(0, 3, &[(0, 1)])], mark(0, 4, &[(0, 5), (1, 0)]));
        // Each topic that had records has a mark: the last counts.
        let found = [mark(0, 6, &[(0, 8)]), mark(0, 7, &[(0, 9)]), mark(0, 5, &[(0, 7)])];
        check(kept(0, 6), &found, mark(0, 7, &[(0, 9), (1, 0)]));
        // Somebody moved it: what the target says is of before.
        check(kept(1, 4), &[mark(0, 9, &[(0, 9)])], mark(1, 9, &[(0, 5), (1, 0)]));
    }

    #[test]
    fn a_target_that_knows_more_than_one_transaction_more_is_not_believed() {
        let row = at(&[(0, 5), (1, 9)]);
        let found = [mark(3, 500, &[(0, 1_000_000), (1, 9)])];
        // A folder of before, or a new one under a name that is known there.
        let (resolved, is_foreign) = resolve(&row, &kept(3, 400), &found, |_| u64::MAX);
        assert_eq!((resolved, is_foreign), (mark(4, 500, &[(0, 5), (1, 9)]), true));
        // The log has lost its end, or it ended where the row of the copy did not.
        let (resolved, is_foreign) = resolve(&row, &kept(3, 499), &found, |_| 7);
        assert_eq!((resolved, is_foreign), (mark(3, 500, &[(0, 7), (1, 7)]), false));
    }

    /// Every history of a transaction and a row, each of which may be lost in a crash: what is in
    /// the target is written once.
    #[test]
    fn no_crash_between_target_and_row_repeats_or_leaves_out() {
        for history in 0_u32..1 << 12 {
            let (mut row, mut keeps) = (at(&[(0, 0)]), kept(0, 0));
            let (mut target, mut group) = (Vec::new(), Vec::new());
            for step in 0..6 {
                let (is_committed, is_noted) =
                    (history >> (2 * step) & 1 == 1, history >> (2 * step + 1) & 1 == 1);
                let (from, is_foreign) = resolve(&row, &keeps, &group, |_| u64::MAX);
                assert!(!is_foreign);
                let begin = from.positions[0].1;
                // Noted before anything is written.
                (row, keeps) = (from.positions, kept(0, from.count));
                if !is_committed {
                    continue;
                }
                target.extend(begin..begin + 2);
                let next = mark(0, from.count + 1, &[(0, begin + 2)]);
                group = vec![next.clone()];
                if is_noted {
                    (row, keeps) = (next.positions, kept(0, next.count));
                }
            }
            let expected: Vec<u64> = (0..target.len() as u64).collect();
            assert_eq!(target, expected, "{history:b}");
        }
    }
}
