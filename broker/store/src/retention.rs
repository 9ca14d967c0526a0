//! Which segments of a stream have had their time. Pure: decides, never deletes.

use tidewire_proto::id::PartitionId;

use crate::partition::Segment;
use crate::stream::{OnLimit, Retention};

/// A partition as the rule sees it.
#[derive(Clone, Debug)]
pub(crate) struct Holding {
    pub(crate) id: PartitionId,
    /// Segments, oldest first.
    pub(crate) segments: Vec<Segment>,
    /// Bytes that are in no segment yet.
    pub(crate) open_bytes: u64,
    /// The first offset that is to stay, if it were for those who delete by order.
    pub(crate) start: u64,
    /// The offset behind the last record.
    pub(crate) end: u64,
    /// The first offset that some reader has not read.
    pub(crate) held_from: Option<u64>,
}

/// What follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// So many of the oldest segments go, for each partition in turn.
    pub(crate) delete: Vec<usize>,
    /// What the stream holds after.
    pub(crate) bytes: u64,
    /// What of it is there for its readers alone.
    pub(crate) held_bytes: u64,
    /// New records have to be refused.
    pub(crate) refuse: bool,
    /// What readers lose if all goes on as it does, soonest first.
    pub(crate) losses: Vec<Loss>,
}

/// Records that go, read or not, if all goes on as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Whose.
    pub partition: PartitionId,
    /// Those before this offset.
    pub before: u64,
    /// In how many milliseconds.
    pub in_ms: u64,
}

/// What is further away is not foreseen.
const LOSSES_MAX: usize = 1000;

/// The rule. What is over a limit goes, oldest first, unless a reader has not read it; what is
/// over the limit for that goes anyway, or new records are refused.
pub(crate) fn decide(rule: &Retention, stream: &[Holding], now_ms: i64) -> Verdict {
    let mut state = Deciding { rule, stream, now_ms, delete: vec![0; stream.len()], bytes: 0 };
    state.bytes = stream.iter().map(bytes_of).sum();
    while let Some(index) =
        state.oldest(|state, index| state.is_due(index) && !state.is_held(index))
    {
        state.delete(index);
    }
    let mut refuse = false;
    while state.bytes > rule.hold_bytes {
        match (rule.on_limit, state.oldest(|_, _| true)) {
            (OnLimit::DeleteOldest, Some(index)) => state.delete(index),
            (OnLimit::DeleteOldest, None) => break,
            (OnLimit::Refuse, _) => {
                // Nobody is to be waited for: what is there, is there for its time.
                refuse = (0..stream.len()).any(|index| state.waits(index));
                break;
            }
        }
    }
    let held_bytes = state.held_bytes();
    let losses = state.losses();
    let Deciding { delete, bytes, .. } = state;
    Verdict { delete, bytes, held_bytes, refuse, losses }
}

fn bytes_of(holding: &Holding) -> u64 {
    holding.open_bytes + holding.segments.iter().map(|segment| segment.bytes).sum::<u64>()
}

struct Deciding<'a> {
    rule: &'a Retention,
    stream: &'a [Holding],
    now_ms: i64,
    delete: Vec<usize>,
    bytes: u64,
}

impl Deciding<'_> {
    /// The oldest segment of that partition which stays so far.
    fn front(&self, index: usize) -> Option<&Segment> {
        self.stream[index].segments.get(self.delete[index])
    }

    /// The partition whose oldest segment is the oldest of those that are asked for.
    fn oldest(&self, wanted: impl Fn(&Self, usize) -> bool) -> Option<usize> {
        (0..self.stream.len())
            .filter(|index| self.front(*index).is_some() && wanted(self, *index))
            .min_by_key(|index| self.front(*index).map(|segment| segment.max_timestamp))
    }

    fn delete(&mut self, index: usize) {
        let bytes = self.front(index).map_or(0, |segment| segment.bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.delete[index] += 1;
    }

    fn is_due(&self, index: usize) -> bool {
        let over = self.rule.bytes.is_some_and(|limit| self.bytes > limit);
        let start = self.stream[index].start;
        let is_due = |segment: &Segment| {
            segment.next <= start || self.is_old(segment) || (over && segment.sealed)
        };
        self.front(index).is_some_and(is_due)
    }

    fn is_old(&self, segment: &Segment) -> bool {
        let age = u64::try_from(self.now_ms.saturating_sub(segment.max_timestamp));
        self.rule.age_ms.is_some_and(|limit| age.is_ok_and(|age| age > limit))
    }

    fn is_held(&self, index: usize) -> bool {
        let held_from = self.stream[index].held_from.unwrap_or(u64::MAX);
        self.front(index).is_some_and(|segment| segment.next > held_from)
    }

    /// The oldest of what is left stays for a reader.
    fn waits(&self, index: usize) -> bool {
        let Holding { end, held_from, .. } = self.stream[index];
        match self.front(index) {
            Some(_) => self.is_held(index),
            None => held_from.is_some_and(|from| from < end),
        }
    }

    /// Bytes of segments that would go if nobody waited for them.
    fn held_bytes(&self) -> u64 {
        let mut after = Deciding { delete: self.delete.clone(), ..*self };
        while let Some(index) = after.oldest(|state, index| state.is_due(index)) {
            after.delete(index);
        }
        self.bytes - after.bytes
    }

    /// When what is there goes, held or not, if the stream grows as it did so far; nothing, if
    /// nobody loses by it.
    fn losses(&self) -> Vec<Loss> {
        let loses = self.rule.on_limit == OnLimit::DeleteOldest && self.rule.hold_bytes < u64::MAX;
        let is_held = self.oldest(|state, index| state.is_held(index)).is_some();
        let Some((time, bytes)) = self.pace().filter(|_| loses && is_held) else {
            return Vec::new();
        };
        let room = self.rule.hold_bytes.saturating_sub(self.bytes);
        let mut after = Deciding { delete: self.delete.clone(), ..*self };
        let mut losses = Vec::new();
        while let Some(index) = after.oldest(|_, _| losses.len() < LOSSES_MAX) {
            let grows_by = u128::from(room) + u128::from(self.bytes - after.bytes);
            let in_ms = grows_by * u128::from(time) / u128::from(bytes.max(1));
            let in_ms = u64::try_from(in_ms).unwrap_or(u64::MAX);
            let before = after.front(index).map_or(0, |segment| segment.next);
            losses.push(Loss { partition: self.stream[index].id, before, in_ms });
            after.delete(index);
        }
        losses
    }

    /// In how many milliseconds how many bytes came, as far as they are there.
    fn pace(&self) -> Option<(u64, u64)> {
        let left = self.stream.iter().zip(&self.delete);
        let segments = left.flat_map(|(holding, gone)| &holding.segments[*gone..]);
        let (mut first, mut last, mut bytes) = (i64::MAX, i64::MIN, 0);
        for segment in segments {
            first = first.min(segment.max_timestamp);
            last = last.max(segment.max_timestamp);
            bytes += segment.bytes;
        }
        let time = u64::try_from(last.saturating_sub(first)).ok().filter(|time| *time > 0)?;
        Some((time, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::{Holding, Verdict, decide};
    use crate::partition::Segment;
    use crate::stream::{OnLimit, Retention};
    use tidewire_proto::id::PartitionId;

    /// Segments of 10 offsets and 100 bytes, one for each of these newest timestamps.
    fn holding(timestamps: &[i64], held_from: Option<u64>) -> Holding {
        let segment = |(base, timestamp): (u64, &i64)| Segment {
            base: base * 10,
            next: base * 10 + 10,
            bytes: 100,
            max_timestamp: *timestamp,
            sealed: true,
            refined: None,
        };
        let segments: Vec<_> = (0..).zip(timestamps).map(segment).collect();
        let end = segments.len() as u64 * 10 + 5;
        Holding { id: PartitionId(0), segments, open_bytes: 50, start: 0, end, held_from }
    }

    fn rule(
        age_ms: Option<u64>,
        bytes: Option<u64>,
        hold_bytes: u64,
        on_limit: OnLimit,
    ) -> Retention {
        Retention { age_ms, bytes, hold_bytes, on_limit }
    }

    #[track_caller]
    fn check(rule: &Retention, stream: &[Holding], expected: &[usize]) -> Verdict {
        let verdict = decide(rule, stream, 1_000);
        assert_eq!(verdict.delete, expected, "{verdict:?}");
        verdict
    }

    const MAX: u64 = u64::MAX;

    #[test]
    fn nothing_goes_without_a_limit() {
        let stream = [holding(&[1, 2, 3], None)];
        let verdict = check(&Retention::default(), &stream, &[0]);
        assert_eq!((verdict.bytes, verdict.refuse), (350, false));
    }

    #[test]
    fn what_is_too_old_goes_from_the_front() {
        let stream = [holding(&[100, 900, 300, 950], None), holding(&[1_500], None)];
        check(&rule(Some(600), None, MAX, OnLimit::Refuse), &stream, &[1, 0]);
        check(&rule(Some(50), None, MAX, OnLimit::Refuse), &stream, &[3, 0]);
        check(&rule(Some(0), None, MAX, OnLimit::Refuse), &stream, &[4, 0]);
    }

    #[test]
    fn what_is_too_much_goes_oldest_first_over_all_partitions() {
        let stream = [holding(&[1, 4, 5], None), holding(&[2, 3, 6], None)];
        let verdict = check(&rule(None, Some(400), MAX, OnLimit::Refuse), &stream, &[1, 2]);
        assert_eq!(verdict.bytes, 400);
        check(&rule(None, Some(0), MAX, OnLimit::Refuse), &stream, &[3, 3]);
    }

    #[test]
    fn what_a_reader_has_not_read_is_held() {
        let stream = [holding(&[1, 2, 3], Some(15))];
        let verdict = check(&rule(Some(10), None, MAX, OnLimit::Refuse), &stream, &[1]);
        assert_eq!((verdict.held_bytes, &*verdict.losses), (200, &[][..]));
        let stream = [holding(&[1, 2, 3], Some(30))];
        check(&rule(Some(10), None, MAX, OnLimit::Refuse), &stream, &[3]);
    }

    #[test]
    fn what_was_deleted_by_order_goes_whatever_its_age() {
        let deleted = |start| [Holding { start, ..holding(&[1, 2, 3], Some(start)) }];
        let endless = Retention::default();
        check(&endless, &deleted(9), &[0]);
        check(&endless, &deleted(10), &[1]);
        check(&endless, &deleted(35), &[3]);
    }

    #[test]
    fn at_the_hard_limit_the_streams_choice_decides() {
        let stream = [holding(&[1, 2, 3], Some(0))];
        let verdict = check(&rule(Some(10), None, 200, OnLimit::Refuse), &stream, &[0]);
        assert!(verdict.refuse);
        let verdict = check(&rule(Some(10), None, 200, OnLimit::DeleteOldest), &stream, &[2]);
        assert_eq!((verdict.refuse, verdict.bytes), (false, 150));
        let verdict = check(&rule(Some(10), None, 350, OnLimit::Refuse), &stream, &[0]);
        assert!(!verdict.refuse);
    }

    #[test]
    fn nothing_is_refused_where_no_reader_is_in_the_way() {
        let refuses = |held_from, age_ms| {
            let stream = [holding(&[1, 2, 3], held_from), holding(&[4], None)];
            decide(&rule(age_ms, None, 20, OnLimit::Refuse), &stream, 1_000).refuse
        };
        assert!(!refuses(None, None), "there are no readers");
        assert!(!refuses(Some(35), None), "all was read");
        assert!(!refuses(Some(15), None), "the oldest was read, and stays for other reasons");
        assert!(refuses(Some(5), None));
        // Segments go for their age, and what is in none is held or not.
        assert!(refuses(Some(34), Some(10)));
        assert!(!refuses(Some(35), Some(10)));
    }

    #[test]
    fn loss_is_announced_before_it_happens() {
        // 300 bytes in 200 ms, and room for 150 more.
        let stream = [holding(&[700, 800, 900], Some(5))];
        let verdict = check(&rule(Some(10), None, 500, OnLimit::DeleteOldest), &stream, &[0]);
        let losses = verdict.losses.iter().map(|loss| (loss.before, loss.in_ms));
        let expected = [(10, 100), (20, 166), (30, 233)];
        assert_eq!(losses.collect::<Vec<_>>(), expected, "one segment after the other");
        let stream = [holding(&[700, 800, 900], Some(30))];
        let verdict = check(&rule(None, None, 500, OnLimit::DeleteOldest), &stream, &[0]);
        assert_eq!(verdict.losses, [], "everything was read");
    }
}
