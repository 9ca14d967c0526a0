//! How long ago the first unread records came: reads the log for that, on the pool of readers, and
//! remembers it for as long as they stay unread. Knows no group.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::Gauge;
use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;
use tidewire_store::Store;

use crate::first::came_ms;

/// So many records are looked for in one round; those beyond have their turn in the next ones.
const READS_MAX: usize = 1_000;

/// A gauge, and the first unread record of each partition that it stands for.
pub(super) struct Waiting {
    pub(super) seconds: Gauge,
    pub(super) unread: Vec<(PartitionId, u64)>,
}

/// When records came that are unread, in milliseconds since 1970.
#[derive(Default)]
pub(super) struct Ages {
    known: HashMap<(PartitionId, u64), i64>,
}

/// Shows the age of the oldest unread record in each gauge. Does nothing while it is still at it.
pub(super) fn show(ages: &Arc<Mutex<Ages>>, store: &Store, waiting: Vec<Waiting>, now_ms: i64) {
    let (ages, store) = (Arc::clone(ages), store.clone());
    tokio::task::spawn_blocking(move || {
        let Some(mut ages) = ages.try_lock() else { return };
        ages.look(&waiting, |place| came_ms(&store, place));
        for one in &waiting {
            one.seconds.set(ages.seconds(&one.unread, now_ms));
        }
    });
}

impl Ages {
    /// Finds out what is not known, and forgets what nobody waits for.
    fn look(&mut self, waiting: &[Waiting], came: impl Fn((PartitionId, u64)) -> Option<i64>) {
        let (mut known, mut reads) = (HashMap::new(), 0);
        for place in waiting.iter().flat_map(|one| &one.unread) {
            if known.contains_key(place) {
                continue;
            }
            let found = match self.known.get(place) {
                Some(found) => Some(*found),
                None if reads < READS_MAX => {
                    reads += 1;
                    came(*place)
                }
                None => None,
            };
            known.extend(found.map(|found| (*place, found)));
        }
        self.known = known;
    }

    /// Of the oldest of them; 0 if nothing is unread.
    fn seconds(&self, unread: &[(PartitionId, u64)], now_ms: i64) -> f64 {
        let oldest = unread.iter().filter_map(|place| self.known.get(place)).min();
        oldest.map_or(0.0, |came| now_ms.saturating_sub(*came).max(0) as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use metrics::Gauge;
    use tidewire_proto::id::PartitionId;

    use super::{Ages, Waiting};

    #[test]
    fn the_oldest_unread_record_counts_and_is_looked_for_once() {
        let place = |partition: u32, offset| (PartitionId(partition), offset);
        let waiting = |unread: &[(PartitionId, u64)]| {
            vec![Waiting { seconds: Gauge::noop(), unread: unread.to_vec() }]
        };
        let (mut ages, reads) = (Ages::default(), Cell::new(0));
        let came = |(_, offset): (PartitionId, u64)| {
            reads.set(reads.get() + 1);
            i64::try_from(offset * 1000).ok()
        };
        let both = [place(1, 7), place(2, 5)];
        for (unread, expected) in [
            (&both[..], (5.0, 2)),
            (&both[..], (5.0, 2)),
            (&both[..1], (3.0, 2)),
            (&both[..], (5.0, 3)),
            (&[], (0.0, 3)),
        ] {
            ages.look(&waiting(unread), came);
            assert_eq!((ages.seconds(unread, 10_000), reads.get()), expected, "{unread:?}");
        }
        assert!(ages.known.is_empty());
        assert!(ages.seconds(&both, 0).abs() < f64::EPSILON, "a clock that went back");
    }
}
