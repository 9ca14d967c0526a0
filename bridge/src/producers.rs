//! Idempotent producers: what each appended last to each partition, and the numbers that they are
//! given. In memory what the store's rows say, so that a batch that comes again is known, also
//! after a crash. Never appends.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::mem;
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
    /// Rows of what is not known any more, until they are taken.
    gone: Mutex<Vec<TableChange>>,
}

struct Known {
    epoch: i16,
    /// What the next batch has to begin with: behind all that was appended, and behind what clients
    /// do not send again. Nobody knows of a producer that is not known: any number is taken.
    next: Option<i32>,
    /// Oldest first.
    batches: VecDeque<Batch>,
    next_slot: u8,
    used_ms: i64,
}

struct Batch {
    first: i32,
    last: i32,
    /// Nothing if its commit failed: it may come again.
    placed: Option<Arc<Placed>>,
}

/// What is to be done with a batch.
pub(crate) enum Verdict {
    /// Append it, in one commit with these changes. It counts as appended from here on; if the
    /// commit fails, [`Producers::forget`] it.
    Append(Arc<Placed>, Vec<TableChange>),
    /// It was appended before, or is being appended.
    Repeat(Arc<Placed>),
    /// Its sequence was used already, for what is not known any more, or never was in the log.
    Behind,
    Refuse(ResponseError),
}

/// A producer in one partition, as tools are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    /// -1 if nothing of this epoch is known.
    pub(crate) last_sequence: i32,
    pub(crate) used_ms: i64,
}

impl Producers {
    /// Who is known in these partitions, by number.
    pub(crate) fn describe(
        &self,
        partitions: &BTreeSet<PartitionId>,
    ) -> BTreeMap<PartitionId, Vec<Described>> {
        let mut described: BTreeMap<PartitionId, Vec<Described>> = BTreeMap::new();
        for ((id, partition), known) in self.known.lock().iter() {
            if !partitions.contains(partition) {
                continue;
            }
            let last_sequence = known.batches.back().map_or(-1, |batch| batch.last);
            let (epoch, used_ms) = (known.epoch, known.used_ms);
            let one = Described { id: *id, epoch, last_sequence, used_ms };
            described.entry(*partition).or_default().push(one);
        }
        described.values_mut().for_each(|all| all.sort_unstable_by_key(|one| one.id));
        described
    }

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
        Ok(Self { known: Mutex::new(known.collect()), gone: Mutex::default() })
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
            known.begin(sender.epoch);
        }
        let last = later(sender.sequence, records.saturating_sub(1));
        let is_same = |batch: &&Batch| (batch.first, batch.last) == (sender.sequence, last);
        let before = known.batches.iter().filter(is_same).find_map(|it| it.placed.clone());
        if let Some(placed) = before {
            return Verdict::Repeat(placed);
        }
        match known.next {
            Some(next) if sender.sequence == next => (),
            Some(next) if is_behind(sender.sequence, next) => {
                let late = known.append_late(sender, partition, last, now_ms);
                return late
                    .map_or(Verdict::Behind, |(placed, row)| Verdict::Append(placed, vec![row]));
            }
            Some(_) => return Verdict::Refuse(ResponseError::OutOfOrderSequenceNumber),
            // Of a producer that is not known any more any number is taken, as by Kafka.
            None => (),
        }
        let (placed, change) = known.append(sender, partition, last, now_ms);
        if all.len() > KNOWN_MAX {
            self.gone.lock().extend(forget_oldest(&mut all));
        }
        Verdict::Append(placed, vec![change])
    }

    /// The changes that remove what was forgotten because there was too much. To be committed at
    /// once: later there may be newer rows under the same keys.
    pub(crate) fn take_gone(&self) -> Vec<TableChange> {
        mem::take(&mut self.gone.lock())
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
        let Some(known) = all.get_mut(&(producer, partition)) else { return };
        if let Some(batch) = known.batches.iter_mut().find(|batch| batch.is_at(placed)) {
            batch.placed = None;
        }
        // All that failed behind the last that did not comes again, oldest first.
        while let Some(batch) = known.batches.pop_back_if(|batch| batch.placed.is_none()) {
            known.next = Some(batch.first);
        }
    }

    /// This batch will never be in the log, and does not come again: its transaction is gone.
    /// Whoever sends its numbers once more sends something else.
    pub(crate) fn give_up(&self, producer: i64, partition: PartitionId, placed: &Arc<Placed>) {
        if let Some(known) = self.known.lock().get_mut(&(producer, partition)) {
            known.batches.retain(|batch| !batch.is_at(placed));
        }
    }

    /// A batch of so many records was refused, and its producer does not send it again, but counts
    /// on behind it.
    pub(crate) fn use_up(&self, sender: Sender, partition: PartitionId, records: u32) {
        if sender.sequence < 0 || sender.epoch < 0 {
            return;
        }
        let mut all = self.known.lock();
        let known = all.entry((sender.id, partition)).or_insert_with(|| Known::new(sender.epoch));
        if sender.epoch < known.epoch {
            return;
        }
        if sender.epoch > known.epoch {
            known.begin(sender.epoch);
        }
        let behind = later(sender.sequence, records);
        if known.next.is_none_or(|next| is_behind(next, behind)) {
            known.next = Some(behind);
        }
    }
}

impl Known {
    fn new(epoch: i16) -> Self {
        Self { epoch, next: None, batches: VecDeque::new(), next_slot: 0, used_ms: 0 }
    }

    /// Another epoch begins at 0.
    fn begin(&mut self, epoch: i16) {
        self.epoch = epoch;
        self.next = None;
        self.batches.clear();
    }

    /// Rows of the newest epoch, in the order in which they were appended.
    fn of(mut rows: Vec<(u8, ProducerRow)>) -> Option<Self> {
        let epoch = rows.iter().map(|(_, row)| row.epoch).max()?;
        rows.sort_by_key(|(_, row)| row.base_offset);
        let (newest_slot, newest) = *rows.last()?;
        let batch = |(_, row): &(u8, ProducerRow)| Batch {
            first: row.first,
            last: row.last,
            placed: Some(Arc::new(Placed::known(row.base_offset))),
        };
        let own = rows.iter().filter(|(_, row)| row.epoch == epoch);
        let batches: VecDeque<Batch> = own.map(batch).collect();
        // One that came late lies behind some that it was sent before.
        let next = batches
            .iter()
            .map(|batch| later(batch.last, 1))
            .reduce(|next, other| if is_behind(next, other) { other } else { next });
        let next_slot = (newest_slot + 1) % BATCHES_KEPT;
        Some(Self { epoch, next, batches, next_slot, used_ms: newest.at_ms })
    }

    fn append(
        &mut self,
        sender: Sender,
        partition: PartitionId,
        last: i32,
        now_ms: i64,
    ) -> (Arc<Placed>, TableChange) {
        let (placed, row) = self.row(sender, partition, last, now_ms);
        let first = sender.sequence;
        self.next = Some(later(last, 1));
        self.batches.push_back(Batch { first, last, placed: Some(Arc::clone(&placed)) });
        if self.batches.len() > usize::from(BATCHES_KEPT) {
            self.batches.pop_front();
        }
        (placed, row)
    }

    /// A batch whose commit failed while those behind it were on their way, and did not: it goes
    /// behind them. `None`: it is not one of those.
    fn append_late(
        &mut self,
        sender: Sender,
        partition: PartitionId,
        last: i32,
        now_ms: i64,
    ) -> Option<(Arc<Placed>, TableChange)> {
        let is_it = |batch: &Batch| {
            batch.placed.is_none() && (batch.first, batch.last) == (sender.sequence, last)
        };
        let index = self.batches.iter().position(is_it)?;
        let (placed, row) = self.row(sender, partition, last, now_ms);
        self.batches.get_mut(index)?.placed = Some(Arc::clone(&placed));
        Some((placed, row))
    }

    /// Where it will be, and the row that says so.
    fn row(
        &mut self,
        sender: Sender,
        partition: PartitionId,
        last: i32,
        now_ms: i64,
    ) -> (Arc<Placed>, TableChange) {
        let (placed, first) = (Arc::new(Placed::default()), sender.sequence);
        let key = ProducerKey { producer: sender.id, partition, slot: self.next_slot };
        let row = ProducerRow { base_offset: 0, at_ms: now_ms, epoch: sender.epoch, first, last };
        let mut change = TableChange::new(Table::Producers, key.encode(), Some(row.encode()));
        change.offset_of = Some(OffsetOf { append: 0, at: OFFSET_AT });
        self.next_slot = (self.next_slot + 1) % BATCHES_KEPT;
        self.used_ms = now_ms;
        (placed, change)
    }
}

impl Batch {
    fn is_at(&self, placed: &Arc<Placed>) -> bool {
        self.placed.as_ref().is_some_and(|own| Arc::ptr_eq(own, placed))
    }
}

/// Takes the pairs out that were used longest ago, and gives the changes that remove their rows.
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

/// Is it one that came before, and not one that is still to come? They go round and round.
fn is_behind(sequence: i32, next: i32) -> bool {
    let ahead = (i64::from(sequence) - i64::from(next)).rem_euclid(i64::from(i32::MAX) + 1);
    ahead > i64::from(i32::MAX) / 2
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kafka_protocol::ResponseError;
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::record::BatchBuilder;
    use tidewire_store::rows::producer::ProducerRow;
    use tidewire_store::{Append, Commit, RealDisk, Store, StoreOptions};

    use super::{KNOWN_MAX, Known, Producers, Verdict, is_behind, later};
    use crate::foreign::Sender;
    use crate::placed::Placed;

    const HERE: PartitionId = PartitionId(1);

    /// What becomes of a batch: appended, repeated or refused.
    fn judge(producers: &Producers, epoch: i16, sequence: i32, records: u32) -> String {
        let sender = Sender { id: 7, epoch, sequence };
        match producers.judge(sender, HERE, records, 1) {
            Verdict::Append(..) => "append".into(),
            Verdict::Repeat(_) => "repeat".into(),
            Verdict::Behind => "behind".into(),
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
        assert_eq!(judge(&producers, 0, 0, 1), "behind");
    }

    /// Near a full disk the store may take the second of two that are on their way, and not the
    /// first.
    #[test]
    fn a_batch_whose_commit_failed_before_others_that_did_not_comes_behind_them() {
        let producers = Producers::default();
        let sender = |sequence| Sender { id: 7, epoch: 0, sequence };
        let mut sent = Vec::new();
        for sequence in 0..3 {
            let Verdict::Append(placed, _) = producers.judge(sender(sequence), HERE, 1, 1) else {
                panic!("they are in order")
            };
            sent.push(placed);
        }
        producers.forget(7, HERE, &sent[0]);
        assert_eq!(judge(&producers, 0, 0, 2), "behind", "it is not the one");
        let Verdict::Append(placed, _) = producers.judge(sender(0), HERE, 1, 1) else {
            panic!("it may come late")
        };
        assert_eq!(judge(&producers, 0, 0, 1), "repeat");
        producers.forget(7, HERE, &placed);
        assert_eq!(judge(&producers, 0, 3, 1), "append", "the others need not wait for it");
        assert_eq!(judge(&producers, 0, 0, 1), "append", "and it may come later still");
        assert_eq!(judge(&producers, 0, 4, 1), "append");
    }

    #[test]
    fn what_came_late_is_known_after_a_restart() {
        let row = |base_offset, first| ProducerRow {
            base_offset,
            at_ms: 1,
            epoch: 0,
            first,
            last: first,
        };
        let rows = vec![(0, row(10, 5)), (1, row(11, 6)), (2, row(12, 4))];
        let known = Known::of(rows).expect("rows");
        assert_eq!((known.next, known.next_slot), (Some(7), 3));
        let round = vec![(0, row(10, i32::MAX)), (1, row(11, 0))];
        assert_eq!(Known::of(round).expect("rows").next, Some(1));
    }

    #[test]
    fn a_batch_whose_commit_failed_may_come_again() {
        let producers = Producers::default();
        let sender = Sender { id: 7, epoch: 0, sequence: 0 };
        let Verdict::Append(placed, _) = producers.judge(sender, HERE, 1, 1) else {
            panic!("it is the first")
        };
        producers.forget(7, HERE, &placed);
        assert_ne!(judge(&producers, 0, 1, 1), "append", "not before the one that failed");
        assert_eq!(judge(&producers, 0, 0, 1), "append");
    }

    fn appended(producers: &Producers, sequence: i32, records: u32) -> Arc<Placed> {
        match producers.judge(Sender { id: 7, epoch: 0, sequence }, HERE, records, 1) {
            Verdict::Append(placed, _) => placed,
            _ => panic!("it is not appended"),
        }
    }

    #[test]
    fn batches_whose_commits_failed_come_again_in_their_order() {
        for is_last_first in [false, true] {
            let producers = Producers::default();
            appended(&producers, 0, 2);
            let mut failed = [(2, 2), (4, 1)].map(|(first, n)| appended(&producers, first, n));
            if is_last_first {
                failed.reverse();
            }
            failed.iter().for_each(|placed| producers.forget(7, HERE, placed));
            assert_ne!(judge(&producers, 0, 4, 1), "append");
            assert_eq!(judge(&producers, 0, 2, 2), "append");
            assert_eq!(judge(&producers, 0, 4, 1), "append");
        }
    }

    #[test]
    fn what_was_refused_for_good_is_used_and_never_a_repeat() {
        let producers = Producers::default();
        let refused = |epoch, sequence, records| {
            producers.use_up(Sender { id: 7, epoch, sequence }, HERE, records);
        };
        appended(&producers, 0, 4);
        refused(0, 4, 2);
        refused(0, 6, 1);
        // One that comes late changes nothing.
        refused(0, 4, 2);
        assert_eq!(judge(&producers, 0, 4, 2), "behind");
        assert_eq!(judge(&producers, 0, 0, 4), "repeat");
        assert_eq!(judge(&producers, 0, 7, 1), "append");
        // Of another epoch all are unused; of the one before nobody counts on.
        refused(1, 0, 3);
        refused(0, 8, 9);
        assert_eq!(judge(&producers, 1, 0, 3), "behind");
        assert_eq!(judge(&producers, 1, 3, 1), "append");
    }

    #[test]
    fn what_was_given_up_is_used_and_never_a_repeat() {
        let producers = Producers::default();
        appended(&producers, 0, 2);
        let given_up = appended(&producers, 2, 2);
        producers.give_up(7, HERE, &given_up);
        assert_eq!(judge(&producers, 0, 2, 2), "behind");
        let retried = appended(&producers, 4, 1);
        producers.forget(7, HERE, &retried);
        assert_eq!(judge(&producers, 0, 4, 1), "append", "that one does come again");
        assert_eq!(judge(&producers, 0, 0, 2), "repeat");
    }

    #[test]
    fn behind_the_largest_number_the_smallest_is_not_behind() {
        let last = i32::MAX;
        for (sequence, next, expected) in [
            (0, 5, true),
            (5, 5, false),
            (6, 5, false),
            (last, 3, true),
            (3, last, false),
            (last - 1, last, true),
        ] {
            assert_eq!(is_behind(sequence, next), expected, "{sequence} {next}");
        }
    }

    #[test]
    fn what_is_forgotten_is_removed_at_once_and_not_with_what_may_wait() {
        let producers = Producers::default();
        let all = i64::try_from(KNOWN_MAX).unwrap();
        for id in 0..=all {
            let sender = Sender { id, epoch: 0, sequence: 0 };
            let Verdict::Append(_, changes) = producers.judge(sender, HERE, 1, id) else {
                panic!("it is the first")
            };
            assert_eq!(changes.len(), 1, "its own row");
        }
        let gone = producers.take_gone();
        assert!(gone.len() > KNOWN_MAX / 8 && gone.iter().all(|change| change.value.is_none()));
        assert!(producers.take_gone().is_empty());
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
