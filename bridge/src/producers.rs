//! Idempotent producers: what each appended last to each partition, and the numbers that they are
//! given. In memory what the store's rows say, so that a batch that comes again is known, also
//! after a crash. Never appends.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::ops::ControlFlow;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;
use tidewire_store::rows::producer::{BATCHES_KEPT, OFFSET_AT, ProducerKey, ProducerRow};
use tidewire_store::{OffsetOf, ReadError, Store, Table, TableChange};

use crate::foreign::Sender;
use crate::placed::Placed;

/// Pairs of a producer and a partition that are known at a time; beyond it those that were used
/// longest ago are forgotten, an eighth of them at once.
const KNOWN_MAX: usize = 100_000;

/// All that is known.
#[derive(Default)]
pub(crate) struct Producers {
    known: Mutex<HashMap<(i64, PartitionId), Known>>,
}

struct Known {
    epoch: i16,
    /// Oldest first.
    batches: VecDeque<Batch>,
    next_slot: u8,
    used_ms: i64,
}

struct Batch {
    first: i32,
    last: i32,
    placed: Arc<Placed>,
}

/// What is to be done with a batch.
pub(crate) enum Verdict {
    /// Append it, in one commit with these changes. It counts as appended from here on; if the
    /// commit fails, [`Producers::forget`] it.
    Append(Arc<Placed>, Vec<TableChange>),
    /// It was appended before, or is being appended.
    Repeat(Arc<Placed>),
    Refuse(ResponseError),
}

impl Producers {
    /// What the store knows.
    pub(crate) fn load(store: &Store) -> Result<Self, ReadError> {
        let mut rows: BTreeMap<(i64, PartitionId), Vec<(u8, ProducerRow)>> = BTreeMap::new();
        let (from, to) = (Bound::Unbounded, Bound::Unbounded);
        store.scan(Table::Producers, from, to, &mut |key, row| {
            match (ProducerKey::decode(key), ProducerRow::decode(row)) {
                (Ok(key), Ok(row)) => {
                    rows.entry((key.producer, key.partition)).or_default().push((key.slot, row));
                }
                _ => tracing::error!("a row of an idempotent producer cannot be read"),
            }
            ControlFlow::Continue(())
        })?;
        let known = rows.into_iter().filter_map(|(key, rows)| Some((key, Known::of(rows)?)));
        Ok(Self { known: Mutex::new(known.collect()) })
    }

    /// Judges a batch of so many records.
    pub(crate) fn judge(
        &self,
        sender: Sender,
        partition: PartitionId,
        records: u32,
        now_ms: i64,
    ) -> Verdict {
        if sender.sequence < 0 || sender.epoch < 0 {
            return Verdict::Refuse(ResponseError::OutOfOrderSequenceNumber);
        }
        let mut all = self.known.lock();
        let known = all.entry((sender.id, partition)).or_insert_with(|| Known::new(sender.epoch));
        if sender.epoch < known.epoch {
            return Verdict::Refuse(ResponseError::InvalidProducerEpoch);
        }
        let is_new_epoch = sender.epoch > known.epoch;
        if is_new_epoch && sender.sequence != 0 {
            return Verdict::Refuse(ResponseError::OutOfOrderSequenceNumber);
        }
        if is_new_epoch {
            known.epoch = sender.epoch;
            known.batches.clear();
        }
        let last = later(sender.sequence, records.saturating_sub(1));
        let is_same = |batch: &&Batch| (batch.first, batch.last) == (sender.sequence, last);
        if let Some(before) = known.batches.iter().find(is_same) {
            return Verdict::Repeat(Arc::clone(&before.placed));
        }
        // Of a producer that is not known any more any number is taken, as by Kafka.
        let expected = known.batches.back().map_or(sender.sequence, |batch| later(batch.last, 1));
        if sender.sequence != expected {
            return Verdict::Refuse(ResponseError::OutOfOrderSequenceNumber);
        }
        let (placed, change) = known.append(sender, partition, last, now_ms);
        let mut changes = vec![change];
        if all.len() > KNOWN_MAX {
            changes.extend(forget_oldest(&mut all));
        }
        Verdict::Append(placed, changes)
    }

    /// What was appended there is not known any more after a restart, if these changes are
    /// committed: any number is taken then. Without partitions it is forgotten everywhere, now.
    pub(crate) fn forget_numbers(
        &self,
        producer: i64,
        partitions: Option<&BTreeSet<PartitionId>>,
    ) -> Vec<TableChange> {
        let gone: Vec<PartitionId> = match partitions {
            Some(partitions) => partitions.iter().copied().collect(),
            None => {
                let mut all = self.known.lock();
                let own = all.extract_if(|(id, _), _| *id == producer);
                own.map(|((_, partition), _)| partition).collect()
            }
        };
        gone.into_iter().flat_map(|partition| removed(producer, partition)).collect()
    }

    /// The commit with this batch failed: it may come again.
    pub(crate) fn forget(&self, producer: i64, partition: PartitionId, placed: &Arc<Placed>) {
        let mut all = self.known.lock();
        if let Some(known) = all.get_mut(&(producer, partition)) {
            known.batches.retain(|batch| !Arc::ptr_eq(&batch.placed, placed));
        }
    }
}

impl Known {
    fn new(epoch: i16) -> Self {
        Self { epoch, batches: VecDeque::new(), next_slot: 0, used_ms: 0 }
    }

    /// Rows of the newest epoch, in the order in which they were appended.
    fn of(mut rows: Vec<(u8, ProducerRow)>) -> Option<Self> {
        let epoch = rows.iter().map(|(_, row)| row.epoch).max()?;
        rows.sort_by_key(|(_, row)| row.base_offset);
        let (newest_slot, newest) = *rows.last()?;
        let batch = |(_, row): &(u8, ProducerRow)| Batch {
            first: row.first,
            last: row.last,
            placed: Arc::new(Placed::known(row.base_offset)),
        };
        let batches = rows.iter().filter(|(_, row)| row.epoch == epoch).map(batch).collect();
        let next_slot = (newest_slot + 1) % BATCHES_KEPT;
        Some(Self { epoch, batches, next_slot, used_ms: newest.at_ms })
    }

    fn append(
        &mut self,
        sender: Sender,
        partition: PartitionId,
        last: i32,
        now_ms: i64,
    ) -> (Arc<Placed>, TableChange) {
        let placed = Arc::new(Placed::default());
        let first = sender.sequence;
        self.batches.push_back(Batch { first, last, placed: Arc::clone(&placed) });
        if self.batches.len() > usize::from(BATCHES_KEPT) {
            self.batches.pop_front();
        }
        let key = ProducerKey { producer: sender.id, partition, slot: self.next_slot };
        let row = ProducerRow { base_offset: 0, at_ms: now_ms, epoch: sender.epoch, first, last };
        let mut change = TableChange::new(Table::Producers, key.encode(), Some(row.encode()));
        change.offset_of = Some(OffsetOf { append: 0, at: OFFSET_AT });
        self.next_slot = (self.next_slot + 1) % BATCHES_KEPT;
        self.used_ms = now_ms;
        (placed, change)
    }
}

/// Takes the pairs out that were used longest ago; their rows go with the next commit.
fn forget_oldest(all: &mut HashMap<(i64, PartitionId), Known>) -> Vec<TableChange> {
    let mut oldest: Vec<_> = all.iter().map(|(key, known)| (known.used_ms, *key)).collect();
    let eighth = oldest.len() / 8;
    oldest.select_nth_unstable(eighth);
    let mut changes = Vec::new();
    for (_, key) in oldest.into_iter().take(eighth) {
        all.remove(&key);
        changes.extend(removed(key.0, key.1));
    }
    changes
}

/// The rows of a pair go.
fn removed(producer: i64, partition: PartitionId) -> impl Iterator<Item = TableChange> {
    (0..BATCHES_KEPT).map(move |slot| {
        let key = ProducerKey { producer, partition, slot };
        TableChange::new(Table::Producers, key.encode(), None)
    })
}

/// Sequence numbers begin again at 0 behind the largest.
fn later(sequence: i32, by: u32) -> i32 {
    let sum = i64::from(sequence) + i64::from(by);
    i32::try_from(sum % (i64::from(i32::MAX) + 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kafka_protocol::ResponseError;
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::record::BatchBuilder;
    use tidewire_store::{Append, Commit, RealDisk, Store, StoreOptions};

    use super::{Producers, Verdict, later};
    use crate::foreign::Sender;

    const HERE: PartitionId = PartitionId(1);

    /// What becomes of a batch: appended, repeated or refused.
    fn judge(producers: &Producers, epoch: i16, sequence: i32, records: u32) -> String {
        let sender = Sender { id: 7, epoch, sequence };
        match producers.judge(sender, HERE, records, 1) {
            Verdict::Append(..) => "append".into(),
            Verdict::Repeat(_) => "repeat".into(),
            Verdict::Refuse(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn the_sequence_decides_what_becomes_of_a_batch() {
        let producers = Producers::default();
        let gap = format!("{:?}", ResponseError::OutOfOrderSequenceNumber);
        let fenced = format!("{:?}", ResponseError::InvalidProducerEpoch);
        let steps = [
            (0, 0, 10, "append"),
            (0, 0, 10, "repeat"),
            (0, 10, 1, "append"),
            (0, 12, 1, &gap),
            (0, 11, 5, "append"),
            (0, 10, 1, "repeat"),
            (0, 0, 10, "repeat"),
            // Another epoch begins anew, and ends the one before.
            (1, 16, 1, &gap),
            (1, 0, 1, "append"),
            (0, 16, 1, &fenced),
        ];
        for (epoch, sequence, records, expected) in steps {
            assert_eq!(judge(&producers, epoch, sequence, records), expected, "{sequence}");
        }
    }

    #[test]
    fn only_the_last_five_batches_are_known() {
        let producers = Producers::default();
        for sequence in 0..6 {
            assert_eq!(judge(&producers, 0, sequence, 1), "append");
        }
        assert_eq!(judge(&producers, 0, 1, 1), "repeat");
        assert_ne!(judge(&producers, 0, 0, 1), "repeat");
    }

    #[test]
    fn a_batch_whose_commit_failed_may_come_again() {
        let producers = Producers::default();
        let sender = Sender { id: 7, epoch: 0, sequence: 0 };
        let Verdict::Append(placed, _) = producers.judge(sender, HERE, 1, 1) else {
            panic!("it is the first")
        };
        producers.forget(7, HERE, &placed);
        assert_eq!(judge(&producers, 0, 0, 1), "append");
    }

    #[test]
    fn sequence_numbers_begin_again_behind_the_largest() {
        assert_eq!(later(i32::MAX, 1), 0);
        assert_eq!(later(i32::MAX - 1, 3), 1);
        assert_eq!(later(5, 0), 5);
    }

    #[test]
    fn what_was_appended_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let disk = || Arc::new(RealDisk::new(folder.path().join("data")));
        let (store, _) = Store::open(disk(), StoreOptions::default()).unwrap();
        let producers = Producers::load(&store).unwrap();
        for sequence in 0..7 {
            let sender = Sender { id: 7, epoch: 3, sequence };
            let Verdict::Append(_, changes) = producers.judge(sender, HERE, 1, 1) else {
                panic!("they are in order")
            };
            let mut builder = BatchBuilder::new();
            builder.push(1, None, None, &[]);
            let appends = vec![Append::new(HERE, builder.finish())];
            store.commit(Commit { appends, changes }).unwrap();
        }
        store.shutdown().unwrap();
        drop(store);
        let (store, _) = Store::open(disk(), StoreOptions::default()).unwrap();
        let producers = Producers::load(&store).unwrap();
        let sender = Sender { id: 7, epoch: 3, sequence: 4 };
        let Verdict::Repeat(placed) = producers.judge(sender, HERE, 1, 1) else {
            panic!("it was appended")
        };
        assert_eq!(placed.now(), Some(Ok(4)));
        assert_eq!(judge(&producers, 3, 7, 1), "append");
        assert_eq!(judge(&producers, 2, 8, 1), "InvalidProducerEpoch");
        store.shutdown().unwrap();
    }
}
