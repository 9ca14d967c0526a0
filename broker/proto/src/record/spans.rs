//! Where the records of a key are, in order, in a stream that has grown. Pure: the store knows
//! where a layout ended, this says what follows from it.

use super::route::partition_index;

/// How many partitions a stream had, from one change to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How many.
    pub partitions: u32,
    /// The offset behind its last record in each of them; empty for the layout that is in use.
    pub ends: Vec<u64>,
}

/// A part of one partition, by its index in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The index of the partition.
    pub index: u32,
    /// Its first offset.
    pub from: u64,
    /// The offset behind its last; it has no end yet without.
    pub to: Option<u64>,
}

/// Where the records of `key` are, oldest first. Whoever reads one span to its end before the next
/// sees them in the order in which they were appended. `layouts` are the stream's, oldest first.
#[must_use]
pub fn key_spans(layouts: &[Layout], key: &[u8]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut before: &[u64] = &[];
    for layout in layouts {
        let index = partition_index(key, layout.partitions);
        let end_in = |ends: &[u64]| ends.get(index as usize).copied();
        let from = end_in(before).unwrap_or(0);
        let to = end_in(&layout.ends);
        before = &layout.ends;
        match spans.last_mut() {
            // The key stayed where it was.
            Some(last) if last.index == index && last.to == Some(from) => last.to = to,
            _ if to == Some(from) => (),
            _ => spans.push(Span { index, from, to }),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::{Layout, Span, key_spans};
    use crate::record::partition_index;

    fn layout(partitions: u32, ends: &[u64]) -> Layout {
        Layout { partitions, ends: ends.to_vec() }
    }

    /// A key that is at `places[n]` when there are `counts[n]` partitions.
    fn key(counts: &[u32], places: &[u32]) -> Vec<u8> {
        let fits = |key: &Vec<u8>| {
            let at = |(count, place): (&u32, &u32)| partition_index(key, *count) == *place;
            counts.iter().zip(places).all(at)
        };
        (0..100_000_u32).map(|n| n.to_string().into_bytes()).find(fits).expect("there is one")
    }

    #[track_caller]
    fn check(layouts: &[Layout], places: &[u32], expected: &[(u32, u64, Option<u64>)]) {
        let counts: Vec<u32> = layouts.iter().map(|layout| layout.partitions).collect();
        let spans = key_spans(layouts, &key(&counts, places));
        let expected: Vec<_> =
            expected.iter().map(|&(index, from, to)| Span { index, from, to }).collect();
        assert_eq!(spans, expected);
    }

    #[test]
    fn a_stream_that_never_grew_has_one_span_per_key() {
        check(&[layout(4, &[])], &[2], &[(2, 0, None)]);
    }

    #[test]
    fn a_key_that_moves_is_read_to_the_end_of_its_old_place_first() {
        let layouts = [layout(2, &[10, 20]), layout(5, &[11, 21, 3, 4, 5]), layout(7, &[])];
        check(&layouts, &[1, 4, 4], &[(1, 0, Some(20)), (4, 0, None)]);
        check(&layouts, &[1, 0, 6], &[(1, 0, Some(20)), (0, 10, Some(11)), (6, 0, None)]);
        check(&layouts, &[0, 0, 0], &[(0, 0, None)]);
        // It comes back: the records of others in between are not its own.
        check(&layouts, &[0, 2, 0], &[(0, 0, Some(10)), (2, 0, Some(3)), (0, 11, None)]);
    }

    #[test]
    fn a_place_that_was_never_used_is_no_span() {
        let layouts = [layout(1, &[0]), layout(3, &[])];
        check(&layouts, &[0, 2], &[(2, 0, None)]);
    }
}
