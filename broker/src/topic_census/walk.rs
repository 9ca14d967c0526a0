//! How far the log was read for the census, and reading on. Keeps no topic.

use std::collections::HashMap;
use std::time::Instant;

use tidewire_proto::id::PartitionId;
use tidewire_proto::message::Message;
use tidewire_store::{ReadError, Slice, Store, StoredBatch};

use super::heard::Heard;
use super::shares::shares;

/// Read at once.
const READ_BYTES: usize = 1 << 20;

/// Where in each partition the next record is that was not looked at.
#[derive(Debug, Default)]
pub(super) struct Walk {
    next: HashMap<PartitionId, u64>,
    /// When the first record came that was looked at; `None`: none was yet.
    pub(super) since_ms: Option<i64>,
    /// Records since then that were passed over.
    pub(super) skipped: u64,
    /// Records that wait for the next question.
    pub(super) waiting: u64,
    /// How often it was read on. Each time another partition is the first: one question may not
    /// suffice for all of them.
    turns: usize,
}

/// Is told what came, topic by topic.
pub(super) type Tell<'a> = dyn FnMut(&str, &Heard) + 'a;

impl Walk {
    /// Decides where to read on: at most so many records are, the newest.
    pub(super) fn aim(&mut self, store: &Store, records_max: u64, now_ms: i64) {
        let unread = self.unread(store);
        let lengths: Vec<u64> = unread.iter().map(|(_, from, end)| end - from).collect();
        let is_first = self.since_ms.is_none();
        for ((id, from, end), length) in unread.iter().zip(shares(&lengths, records_max)) {
            let place = end - length;
            let before = self.next.insert(*id, place).unwrap_or(*from);
            if !is_first {
                self.skipped += place.saturating_sub(before);
            }
        }
        if is_first {
            let firsts = self.next.iter().filter_map(|(id, place)| came(store, *id, *place));
            self.since_ms = Some(firsts.min().unwrap_or(now_ms));
        }
    }

    /// Reads on, to the end or as long as it may.
    pub(super) fn go(&mut self, store: &Store, until: Instant, tell: &mut Tell<'_>) {
        let mut unread = self.unread(store);
        let first = self.turns % unread.len().max(1);
        unread.rotate_left(first);
        self.turns += 1;
        for (id, mut place, end) in unread {
            while place < end && Instant::now() < until {
                let Ok(slice) = store.read(id, place, READ_BYTES) else { break };
                tell_slice(&slice, place, tell);
                // What did not come further would be read for ever.
                let further = slice.next.max(place + 1);
                self.next.insert(id, further);
                place = further;
            }
        }
        self.waiting = self.unread(store).iter().map(|(_, from, end)| end - from).sum();
    }

    /// Each partition: from where on it is there and was not looked at, and its end.
    fn unread(&self, store: &Store) -> Vec<(PartitionId, u64, u64)> {
        let streams = store.streams();
        let partitions = streams.iter().flat_map(|stream| &stream.partitions);
        let unread = partitions.filter_map(|id| {
            let (start, end) = store.bounds(*id)?;
            let from = self.next.get(id).map_or(start, |next| (*next).max(start));
            Some((*id, from.min(end), end))
        });
        unread.collect()
    }
}

/// When the record at an offset came.
fn came(store: &Store, id: PartitionId, offset: u64) -> Option<i64> {
    let slice: Result<Slice, ReadError> = store.read(id, offset, 1);
    slice.ok()?.batches.first().map(|stored| stored.batch.base_timestamp())
}

/// Sums what came at each topic of the slice first: it is a few topics many times.
fn tell_slice(slice: &Slice, from: u64, tell: &mut Tell<'_>) {
    let mut found: HashMap<&str, Heard> = HashMap::new();
    let batches = slice.batches.iter().filter(|stored| !stored.batch.is_control());
    for stored in batches {
        gather(stored, from, &mut found);
    }
    for (topic, heard) in &found {
        tell(topic, heard);
    }
}

fn gather<'a>(stored: &'a StoredBatch, from: u64, found: &mut HashMap<&'a str, Heard>) {
    for record in stored.batch.records() {
        // The first batch of a slice may begin before it.
        if stored.base_offset + u64::from(record.offset_delta) < from {
            continue;
        }
        let Some(message) = Message::of(&record) else { continue };
        let one = Heard::one(message.payload.len(), message.received_ms, message.retain);
        found.entry(message.topic).or_default().add(&one);
    }
}
