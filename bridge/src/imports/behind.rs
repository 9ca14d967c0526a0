//! How far an import is behind the topics that it reads. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bridges::board::Behind;

/// What is known of each partition.
#[derive(Debug, Default)]
pub(crate) struct Partitions(BTreeMap<(Arc<str>, i32), Known>);

#[derive(Clone, Copy, Debug)]
struct Known {
    messages: u64,
    /// When the last record that was read came, or when there was nothing behind it.
    since_ms: i64,
}

impl Partitions {
    /// An answer said where a partition ends, and we are there now. The last record that was read
    /// is of this time.
    pub(crate) fn note(
        &mut self,
        (topic, partition): (&Arc<str>, i32),
        (next, end): (i64, i64),
        (read_ms, now_ms): (Option<i64>, i64),
    ) {
        let messages = u64::try_from(end.saturating_sub(next)).unwrap_or(0);
        let place = (Arc::clone(topic), partition);
        let known = self.0.entry(place).or_insert(Known { messages, since_ms: now_ms });
        known.messages = messages;
        known.since_ms = match (messages, read_ms) {
            (0, _) => now_ms,
            (_, Some(read_ms)) => read_ms.min(now_ms),
            (_, None) => known.since_ms,
        };
    }

    /// All of them together.
    pub(crate) fn behind(&self) -> Behind {
        let waiting = self.0.values().filter(|known| known.messages > 0);
        let since_ms = waiting.clone().map(|known| known.since_ms).min();
        Behind { messages: waiting.map(|known| known.messages).sum(), since_ms }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Partitions;

    #[test]
    fn what_is_not_read_is_counted_and_the_oldest_says_how_old() {
        let (mut all, topic) = (Partitions::default(), Arc::from("a"));
        let mut check = |partition, at, times, expected| {
            all.note((&topic, partition), at, times);
            let behind = all.behind();
            assert_eq!((behind.messages, behind.since_ms), expected);
        };
        check(0, (5, 5), (None, 1_000), (0, None));
        check(0, (5, 9), (None, 1_500), (4, Some(1_000)));
        check(1, (10, 40), (Some(700), 2_000), (34, Some(700)));
        check(1, (40, 40), (Some(1_900), 2_000), (4, Some(1_000)));
        check(0, (9, 9), (Some(1_200), 2_500), (0, None));
        // A clock over there that is ahead says nothing of the future.
        check(0, (9, 10), (Some(9_999), 3_000), (1, Some(3_000)));
    }
}
