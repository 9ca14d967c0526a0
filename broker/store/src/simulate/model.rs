//! What a store must hold: commits in the order of sending, some certain, some in doubt. Never
//! looks at a disk.

use std::collections::BTreeMap;

use super::traffic::{Record, Sent, Wrong};
use crate::commit::{CommitError, Outcome};
use crate::disk::sim::Loss;

/// A commit below this fits the smallest file there is.
const LIMIT_MIN: u64 = 10 << 10;

/// Table number and key.
type RowKey = (u8, Box<[u8]>);

/// All records and rows at one moment between two commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// By partition number, then by offset.
    pub(super) partitions: Vec<Vec<Record>>,
    pub(super) rows: BTreeMap<RowKey, Box<[u8]>>,
}

impl Contents {
    pub(super) fn end(&self, partition: u32) -> u64 {
        self.partitions.get(partition as usize).map_or(0, |records| records.len() as u64)
    }

    /// Do what the commit says; answers the offset of each append.
    fn apply(&mut self, sent: &Sent) -> Vec<u64> {
        let mut offsets = Vec::new();
        for (partition, records) in &sent.appends {
            let place = *partition as usize;
            if self.partitions.len() <= place {
                self.partitions.resize(place + 1, Vec::new());
            }
            offsets.push(self.end(*partition));
            self.partitions[place].extend_from_slice(records);
        }
        for change in &sent.changes {
            let key = (change.table.id(), change.key.clone());
            let Some(mut value) = change.value.clone() else {
                self.rows.remove(&key);
                continue;
            };
            if let Some(wanted) = change.offset_of {
                let number = value[wanted.at..].first_chunk_mut::<8>().expect("room for it");
                let offset = u64::from_le_bytes(*number) + offsets[wanted.append];
                *number = offset.to_le_bytes();
            }
            self.rows.insert(key, value);
        }
        offsets
    }

    /// The first difference, in words.
    fn difference(&self, found: &Self) -> Option<String> {
        for (partition, records) in (0..).zip(&found.partitions) {
            let expected = self.partitions.get(partition).map_or(&[][..], Vec::as_slice);
            if expected.len() != records.len() {
                let (there, due) = (records.len(), expected.len());
                return Some(format!("partition {partition} holds {there} records, not {due}"));
            }
            if let Some(offset) = (0..records.len()).find(|at| records[*at] != expected[*at]) {
                return Some(format!("partition {partition} holds another record at {offset}"));
            }
        }
        if self.rows == found.rows {
            return None;
        }
        let keys = self.rows.keys().chain(found.rows.keys());
        let key = keys.into_iter().find(|key| self.rows.get(*key) != found.rows.get(*key))?;
        let name = String::from_utf8_lossy(&key.1).into_owned();
        Some(format!("table {} has another value in {name:?}", key.0))
    }
}

/// What became of a commit as far as its sender knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waiting,
    Acknowledged,
    InDoubt,
}

/// How many commits of which fate a start found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settled {
    pub(super) in_doubt_found: u64,
    pub(super) unsynced_lost: u64,
}

/// The whole of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    /// As of the last open: on disk for good.
    settled: Contents,
    /// Sent since, in that order, and not refused.
    tail: Vec<(Sent, Fate)>,
    /// `settled` and what was acknowledged since: what readers see.
    visible: Contents,
    power_was_cut: bool,
    failed: bool,
}

impl Model {
    pub(super) fn visible(&self) -> &Contents {
        &self.visible
    }

    /// The store failed since it was opened.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    pub(super) fn sent(&mut self, mut sent: Sent) {
        if sent.wrong.is_some() {
            sent.leave_what_stays();
        }
        self.tail.push((sent, Fate::Waiting));
    }

    /// The store answered; answers in the order of sending.
    pub(super) fn answered(&mut self, outcome: &Outcome) -> Result<(), String> {
        let number = outcome.ticket;
        let place = self.tail.iter().position(|(sent, _)| sent.number == number);
        let place = place.ok_or_else(|| format!("commit {number} was answered twice"))?;
        let (sent, fate) = &mut self.tail[place];
        match &outcome.result {
            Ok(offsets) => {
                if let Some(wrong) = sent.wrong {
                    return Err(format!("commit {number} was taken in spite of {wrong:?}"));
                }
                if self.failed && sent.is_synced {
                    return Err(format!("commit {number} was acknowledged after a failure"));
                }
                *fate = Fate::Acknowledged;
                if self.failed {
                    // It was written, and the sync that others waited for failed after.
                    return Ok(());
                }
                let expected = self.visible.apply(sent);
                if offsets.as_slice() != expected {
                    let given = offsets.as_slice();
                    return Err(format!("commit {number} is at {given:?}, not {expected:?}"));
                }
            }
            Err(CommitError::Failed(_)) => {
                self.failed = true;
                *fate = Fate::InDoubt;
                if sent.wrong.is_some() {
                    self.tail.remove(place);
                }
            }
            Err(error) => {
                if !is_fair(error, sent) {
                    return Err(format!("commit {number} was refused: {error}"));
                }
                sent.leave_what_stays();
                match &outcome.stayed {
                    Ok(()) => {
                        *fate = Fate::Acknowledged;
                        self.visible.apply(sent);
                    }
                    Err(CommitError::Failed(_)) => {
                        self.failed = true;
                        *fate = Fate::InDoubt;
                    }
                    Err(_) => drop(self.tail.remove(place)),
                }
            }
        }
        Ok(())
    }

    /// Everything that was sent has its answer.
    pub(super) fn all_answered(&self) -> Result<(), String> {
        match self.tail.iter().find(|(_, fate)| *fate == Fate::Waiting) {
            Some((sent, _)) => Err(format!("commit {} was never answered", sent.number)),
            None => Ok(()),
        }
    }

    /// The store says that it stopped cleanly: all that it acknowledged is durable.
    pub(super) fn stopped(&mut self) -> Result<(), String> {
        if self.failed {
            return Err("a store that had failed says that it stopped cleanly".into());
        }
        self.settled.clone_from(&self.visible);
        self.tail.clear();
        Ok(())
    }

    /// The store is gone, and with it more or less of what was not synced.
    pub(super) fn crashed(&mut self, loss: Loss) {
        self.power_was_cut |= loss != Loss::Nothing;
    }

    /// The next start found this: the commits up to some place, at least those that were promised,
    /// and nothing else.
    pub(super) fn found(&mut self, found: &Contents) -> Result<Settled, String> {
        let promised = |(sent, fate): &(Sent, Fate)| {
            *fate == Fate::Acknowledged && (sent.is_synced || !self.power_was_cut)
        };
        let floor = self.tail.iter().rposition(promised).map_or(0, |last| last + 1);
        let mut contents = std::mem::take(&mut self.settled);
        for (sent, _) in &self.tail[..floor] {
            contents.apply(sent);
        }
        let Some(nearest) = contents.difference(found) else {
            return Ok(self.settle(contents, floor));
        };
        for place in floor..self.tail.len() {
            contents.apply(&self.tail[place].0);
            if contents.difference(found).is_none() {
                return Ok(self.settle(contents, place + 1));
            }
        }
        let promised = floor.checked_sub(1).map(|last| self.tail[last].0.number);
        Err(format!(
            "what is found is no prefix of the commits: {nearest} ({floor} promised since the last \
             open, the last of them {promised:?}; {} in doubt)",
            self.tail.len() - floor
        ))
    }

    fn settle(&mut self, contents: Contents, length: usize) -> Settled {
        let with = |range: &[(Sent, Fate)], wanted: Fate| {
            range.iter().filter(|(_, fate)| *fate == wanted).count() as u64
        };
        let counts = Settled {
            in_doubt_found: with(&self.tail[..length], Fate::InDoubt),
            unsynced_lost: with(&self.tail[length..], Fate::Acknowledged),
        };
        self.visible.clone_from(&contents);
        self.settled = contents;
        self.tail.clear();
        self.power_was_cut = false;
        self.failed = false;
        counts
    }
}

/// May a commit be refused like that?
fn is_fair(error: &CommitError, sent: &Sent) -> bool {
    match error {
        CommitError::DiskFull | CommitError::StreamFull(_) => sent.wrong.is_none(),
        CommitError::UnknownPartition(_) => sent.wrong == Some(Wrong::Partition),
        CommitError::Reserved => sent.wrong == Some(Wrong::Table),
        CommitError::TooLarge { bytes, limit } => bytes > limit && *limit > LIMIT_MIN,
        CommitError::Failed(_) | CommitError::Closed => false,
    }
}
