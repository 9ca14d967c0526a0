//! The commits that the submitters of a history send, and what each must do. Sends nothing itself.

use bytes::Bytes;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::BatchBuilder;

use super::plan::one_of;
use crate::commit::{Append, Commit, OffsetOf, TableChange};
use crate::disk::sim::SimRandom;
use crate::stream::Durability;
use crate::table::Table;

/// The tables that histories use.
pub(super) const TABLES: [Table; 3] = [Table::Sessions, Table::Cursors, Table::Retained];

/// A record as it must be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) timestamp: i64,
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
}

/// A commit that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// Its place in the order of sending, from 0.
    pub(super) number: u64,
    pub(super) appends: Vec<(u32, Vec<Record>)>,
    pub(super) changes: Vec<TableChange>,
    /// What is wrong with it, if something is.
    pub(super) wrong: Option<Wrong>,
    /// Its acknowledgement promises that it is synced.
    pub(super) is_synced: bool,
}

impl Sent {
    /// It is refused: what stays of it may be there all the same.
    pub(super) fn leave_what_stays(&mut self) {
        self.appends.clear();
        self.changes.retain(|change| change.stays);
        self.is_synced = !self.changes.is_empty();
    }
}

/// Why a commit must be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Partition,
    Table,
    Size,
}

/// Makes commits.
pub(super) struct Traffic {
    random: SimRandom,
    number: u64,
}

impl Traffic {
    pub(super) fn new(random: SimRandom) -> Self {
        Self { random, number: 0 }
    }

    /// The next commit, as the model knows it and as the store is sent it.
    pub(super) fn next(&mut self, durability: &[Durability]) -> (Sent, Commit) {
        let number = self.number;
        self.number += 1;
        let appends = match self.random.below(10) {
            0..2 => 0,
            2..8 => 1,
            _ => 2 + self.random.below(2),
        };
        let changes = if self.random.percent(40) { 0 } else { 1 + self.random.below(3) };
        let mut sent = Sent {
            number,
            appends: Vec::new(),
            changes: Vec::new(),
            wrong: None,
            is_synced: changes > 0,
        };
        let partitions: Vec<u32> = (0..).take(durability.len()).collect();
        for _ in 0..appends {
            let partition = one_of(&mut self.random, &partitions);
            sent.is_synced |= durability[partition as usize] == Durability::Disk;
            let records = self.records(number);
            sent.appends.push((partition, records));
        }
        for _ in 0..changes {
            let change = self.change(&sent);
            sent.changes.push(change);
        }
        if self.random.percent(3) {
            self.spoil(&mut sent);
        }
        let commit = commit_of(&sent);
        (sent, commit)
    }

    /// A small commit that has to be synced.
    pub(super) fn plain(&mut self) -> (Sent, Commit) {
        let record = Record { timestamp: 7, key: None, value: Some(Bytes::from_static(b"plain")) };
        let appends = vec![(0, vec![record])];
        let number = self.number;
        self.number += 1;
        let sent = Sent { number, appends, changes: Vec::new(), wrong: None, is_synced: true };
        let commit = commit_of(&sent);
        (sent, commit)
    }

    fn records(&mut self, number: u64) -> Vec<Record> {
        let count = 1 + self.random.below(4) * self.random.below(2);
        let mut records = Vec::new();
        for index in 0..count {
            let length = match self.random.below(100) {
                0..70 => self.random.below(100),
                70..95 => self.random.below(900),
                _ => self.random.below(5000),
            };
            let mut value = format!("{number}.{index} ").into_bytes();
            value.extend(self.filler(length));
            let key = self.random.percent(70).then(|| format!("a/{}", number % 7).into());
            let value = (!self.random.percent(2)).then(|| value.into());
            let timestamp = 1_000_000 + i64::try_from(self.random.below(1 << 20)).expect("small");
            records.push(Record { timestamp, key, value });
        }
        records
    }

    /// Bytes that no other record has by chance.
    fn filler(&mut self, length: u64) -> Vec<u8> {
        let words = (0..length.div_ceil(8)).flat_map(|_| self.random.next().to_le_bytes());
        words.take(usize::try_from(length).expect("small")).collect()
    }

    fn change(&mut self, sent: &Sent) -> TableChange {
        let key = format!("row {}", self.random.below(12)).into_bytes().into();
        let points_to_record = !sent.appends.is_empty() && self.random.percent(40);
        if points_to_record {
            let append = self.random.below(sent.appends.len() as u64);
            let append = usize::try_from(append).expect("a few");
            let index = self.random.below(sent.appends[append].1.len() as u64);
            let mut value = vec![1];
            value.extend_from_slice(&index.to_le_bytes());
            value.extend_from_slice(format!(" {}", sent.number).as_bytes());
            let mut change = TableChange::new(Table::Retained, key, Some(value.into()));
            change.offset_of = Some(OffsetOf { append, at: 1 });
            return change;
        }
        let stays = self.random.percent(30);
        let table = one_of(&mut self.random, &TABLES);
        let length = self.random.below(200);
        let mut value = format!("{} ", sent.number).into_bytes();
        value.extend(self.filler(length));
        let value = (!self.random.percent(25)).then(|| value.into());
        let change = TableChange::new(table, key, value);
        if stays { change.that_stays() } else { change }
    }

    fn spoil(&mut self, sent: &mut Sent) {
        let wrong = one_of(&mut self.random, &[Wrong::Partition, Wrong::Table, Wrong::Size]);
        sent.wrong = Some(wrong);
        match wrong {
            Wrong::Partition => {
                let records = self.records(sent.number);
                sent.appends.push((900, records));
            }
            Wrong::Table => {
                let change = TableChange::new(Table::Streams, b"disk".as_slice().into(), None);
                sent.changes.push(change);
            }
            Wrong::Size => {
                let value = Some(Bytes::from(vec![b'x'; 40 << 10]));
                sent.appends.push((0, vec![Record { timestamp: 1, key: None, value }]));
            }
        }
    }
}

fn commit_of(sent: &Sent) -> Commit {
    let batch = |records: &[Record]| {
        let mut builder = BatchBuilder::new();
        for record in records {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            builder.push(record.timestamp, key, value, &[]);
        }
        builder.finish()
    };
    let append = |(partition, records): &(u32, Vec<Record>)| {
        Append::new(PartitionId(*partition), batch(records))
    };
    let appends = sent.appends.iter().map(append);
    Commit { appends: appends.collect(), changes: sent.changes.clone() }
}
