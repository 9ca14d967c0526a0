//! Judges whether a batch that a search met behind damage is one of its segment: a payload may hold
//! batches of its own, one behind the other. Pure: never reads a file.

use std::collections::HashSet;
use std::io;

use tidewire_proto::record::{BATCH_HEADER_BYTES, Outline};

use crate::partition::Segment;

/// What a look at one header counts for.
const STEP_COSTS: u64 = 128;
/// So many times a segment's length are looked at for one damaged place. Whoever filled a payload
/// with batches could keep readers busy for hours otherwise.
const WORK_MAX: u64 = 4;
/// Places that are remembered.
const REFUTED_MAX: usize = 1 << 20;

/// The header at a position, if one can be there.
pub(crate) type OutlineAt<'a> = dyn FnMut(u64) -> io::Result<Option<Outline>> + 'a;

/// A place where a batch begins, and its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) position: u64,
    pub(crate) base: u64,
}

/// Follows batches to a place that is known: one that was noted when the segment was whole, or its
/// end.
#[derive(Debug)]
pub(crate) struct Chain {
    segment: Segment,
    /// Bytes that are there.
    end: u64,
    /// Rising.
    known: Vec<Place>,
    /// From here no known place is reached.
    refuted: HashSet<Place>,
    work_left: u64,
}

impl Chain {
    /// In a segment of which so many bytes are there.
    pub(crate) fn new(segment: Segment, end: u64, mut known: Vec<Place>) -> Self {
        known.retain(|place| place.position < end && place.base < segment.next);
        known.sort_unstable();
        let work_left = segment.bytes.saturating_mul(WORK_MAX);
        Self { segment, end, known, refuted: HashSet::new(), work_left }
    }

    /// The first known place from a position on.
    pub(crate) fn known_from(&self, position: u64) -> Option<Place> {
        let index = self.known.partition_point(|place| place.position < position);
        self.known.get(index).copied()
    }

    /// So many bytes were looked at in vain.
    pub(crate) fn count(&mut self, bytes: u64) {
        self.work_left = self.work_left.saturating_sub(bytes);
    }

    /// The search costs too much: it is to go on at a known place.
    pub(crate) fn is_spent(&self) -> bool {
        self.work_left == 0
    }

    /// Does a chain of batches lead from the one at `position` to the next known place, or to the
    /// end?
    pub(crate) fn reaches(
        &mut self,
        position: u64,
        first: &Outline,
        outline_at: &mut OutlineAt<'_>,
    ) -> io::Result<bool> {
        let aim = self.known_from(position + 1);
        let mut at = Place { position: position + first.bytes as u64, base: first.next_offset };
        let mut trail = Vec::new();
        let reaches = loop {
            if let Some(verdict) = self.arrives(at, aim) {
                break verdict;
            }
            if self.is_spent() || self.refuted.contains(&at) {
                break false;
            }
            trail.push(at);
            self.count(STEP_COSTS);
            let Some(next) = self.step(at, aim, outline_at)? else { break false };
            at = next;
        };
        if !reaches && self.refuted.len() < REFUTED_MAX {
            self.refuted.extend(trail);
        }
        Ok(reaches)
    }

    /// Is this the place that was aimed at, or one that cannot lead there?
    fn arrives(&self, at: Place, aim: Option<Place>) -> Option<bool> {
        let Segment { next: last, bytes, .. } = self.segment;
        if let Some(aim) = aim
            && at.position >= aim.position
        {
            return Some(at == aim);
        }
        if at.base > last {
            return Some(false);
        }
        // Of a file that is cut short the last batch is not all there.
        let is_short = self.end < bytes;
        let is_end = at.position == bytes && at.base == last;
        let has_header = at.position + BATCH_HEADER_BYTES as u64 <= self.end;
        (!has_header).then_some(is_end || is_short)
    }

    /// The batch behind the one that begins here. If this one has not the offset that it should
    /// have it is damaged, and the one behind it says so; or it is right, and what led here is not.
    fn step(
        &self,
        at: Place,
        aim: Option<Place>,
        outline_at: &mut OutlineAt<'_>,
    ) -> io::Result<Option<Place>> {
        let Some(found) = outline_at(at.position)? else { return Ok(None) };
        let position = at.position + found.bytes as u64;
        if found.base_offset == at.base {
            return Ok(Some(Place { position, base: found.next_offset }));
        }
        let Segment { next: last, bytes, .. } = self.segment;
        let base = match aim {
            Some(aim) if aim.position == position => Some(aim.base),
            _ if position == bytes => Some(last),
            _ => outline_at(position)?.map(|behind| behind.base_offset),
        };
        let is_later = |base: &u64| (at.base + 1..=last).contains(base);
        let later = base.filter(|base| is_later(base) && found.next_offset != *base);
        Ok(later.map(|base| Place { position, base }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidewire_proto::record::Outline;

    use super::{Chain, Place, STEP_COSTS, WORK_MAX};
    use crate::partition::Segment;

    const BYTES: u64 = 100;

    /// A header at a position: what offset, how many records, how long.
    type Headers = BTreeMap<u64, (u64, u64, u64)>;

    /// A segment of batches of ten records, a hundred bytes each.
    fn segment(batches: u64) -> (Segment, Headers) {
        let (base, next, max_timestamp) = (0, batches * 10, 0);
        let bytes = batches * BYTES;
        let segment = Segment { base, next, bytes, max_timestamp, sealed: true, refined: None };
        (segment, (0..batches).map(|n| (n * BYTES, (n * 10, 10, BYTES))).collect())
    }

    fn outline((base_offset, records, bytes): (u64, u64, u64)) -> Outline {
        let bytes = usize::try_from(bytes).expect("small");
        Outline { base_offset, next_offset: base_offset + records, bytes, max_timestamp: 0 }
    }

    /// Whether the batch at that position is taken for one of the segment, and how many headers
    /// were looked at.
    fn judge(chain: &mut Chain, headers: &Headers, position: u64) -> (bool, u64) {
        let mut looks = 0;
        let first = outline(headers[&position]);
        let reaches = chain.reaches(position, &first, &mut |position| {
            looks += 1;
            Ok(headers.get(&position).copied().map(outline))
        });
        (reaches.expect("no disk"), looks)
    }

    #[test]
    fn only_what_leads_to_the_end_or_a_known_place_is_a_batch_of_the_segment() {
        let (segment, mut headers) = segment(20);
        // Within the batch at 500: a chain that ends before its end, one that runs past it, one
        // with offsets that do not fit what follows.
        headers.extend([(510, (51, 2, 20)), (530, (53, 2, 20)), (550, (55, 2, 20))]);
        headers.extend([(511, (51, 2, 60)), (571, (53, 2, 80))]);
        headers.extend([(512, (52, 2, 44)), (556, (54, 2, 44))]);
        let place = |position: u64| Place { position, base: position / 10 };
        for known in [vec![], vec![place(0), place(600)], vec![place(600), place(1200)]] {
            let mut chain = Chain::new(segment, segment.bytes, known.clone());
            for forged in [510, 530, 511, 571, 512, 556] {
                assert!(!judge(&mut chain, &headers, forged).0, "{forged}, {known:?}");
            }
            assert!(judge(&mut chain, &headers, 600).0 && judge(&mut chain, &headers, 700).0);
        }
    }

    #[test]
    fn a_damaged_offset_on_the_way_is_passed_and_a_lost_header_is_not() {
        let (segment, mut headers) = segment(20);
        headers.insert(900, (7_090, 10, BYTES));
        let mut chain = Chain::new(segment, segment.bytes, vec![]);
        assert!(judge(&mut chain, &headers, 600).0);
        headers.remove(&1_200);
        let mut chain = Chain::new(segment, segment.bytes, vec![]);
        assert!(!judge(&mut chain, &headers, 600).0 && judge(&mut chain, &headers, 1_300).0);
        // Unless a place between the two is known.
        let known = vec![Place { position: 1_000, base: 100 }];
        assert!(judge(&mut Chain::new(segment, segment.bytes, known), &headers, 600).0);
    }

    #[test]
    fn the_rest_of_a_file_that_is_cut_short_is_served() {
        let (segment, headers) = segment(20);
        let mut chain = Chain::new(segment, 1_720, vec![]);
        assert!(judge(&mut chain, &headers, 600).0);
    }

    #[test]
    fn a_payload_full_of_batches_costs_a_bounded_search() {
        let (segment, mut headers) = segment(100_000);
        headers.remove(&500_000);
        // Each leads to all behind it, and none to where the segment goes on.
        let mut chain = Chain::new(segment, segment.bytes, vec![]);
        let looks = |chain: &mut Chain, headers: &Headers, from: u64, to: u64| {
            let starts = headers.range(from..to).map(|(position, _)| *position);
            starts.map(|position| judge(chain, headers, position).1).sum::<u64>()
        };
        let seen = looks(&mut chain, &headers, 0, 500_000);
        assert!(seen <= 2 * 5_000, "{seen} headers: a way that leads nowhere is gone once");
        // And each by a way of its own.
        for n in 0..5_000 {
            headers.insert(n * BYTES + 1, (n * 10, 1, 500_000 - n * BYTES - 1));
            headers.insert(n * BYTES + 2, (n * 10 + 1, 3, 500_100 - n * BYTES - 2));
        }
        let mut chain = Chain::new(segment, segment.bytes, vec![]);
        for _ in 0..50 {
            let seen = looks(&mut chain, &headers, 0, 500_000);
            chain.count(segment.bytes / 10);
            assert!(seen <= segment.bytes * WORK_MAX / STEP_COSTS, "{seen}");
        }
        assert!(chain.is_spent());
    }
}
