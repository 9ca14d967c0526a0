//! Finds the records of an MQTT filter in a partition: through the topic indexes of sealed
//! segments, for a single topic through the sieves of the others, by reading the rest. Always in
//! the order of offsets.

use tidewire_proto::id::PartitionId;
use tidewire_proto::topic::{TopicFilter, matches};

use crate::engine::Engine;
use crate::partition::{Partition, Segment};
use crate::read::{Found, ReadError, Slice, StoredBatch};
use crate::sieve::{Sifted, topic_hash};
use crate::{reader, segment};

/// What has no topic index is read this much at a time.
const STEP_BYTES: usize = 256 << 10;
/// One call reads at most about this much of what has no topic index.
const SCAN_BYTES_MAX: usize = 4 << 20;

/// The first `limit` offsets from `from` on whose topics match.
pub(crate) fn find(
    engine: &Engine,
    id: PartitionId,
    filter: &TopicFilter,
    from: u64,
    limit: usize,
) -> Result<Found, ReadError> {
    let partition = engine.catalog.partition(id).ok_or(ReadError::UnknownPartition)?;
    partition.check(from)?;
    let filter = filter.without_share();
    let topic = only_topic(filter);
    let mut found = Found { offsets: Vec::new(), next: from };
    let mut scanned = 0;
    while found.offsets.len() < limit && scanned < SCAN_BYTES_MAX {
        let room = limit - found.offsets.len();
        if let Some(segment) = partition.sealed_at(found.next)
            && let Some(lookup) = {
                let located = engine.located(&partition, &segment);
                segment::find(located, filter, found.next, room)
            }
            && let Some(lookup) = usable(&partition, &segment, lookup)
        {
            found.offsets.extend_from_slice(&lookup.offsets);
            let last = found.offsets.last().copied().unwrap_or(found.next);
            found.next = if lookup.is_complete { segment.next } else { last + 1 };
            continue;
        }
        let slice = match topic.and_then(|topic| sift(engine, &partition, topic, found.next)) {
            Some(slice) => slice,
            None => reader::read(engine, id, found.next, STEP_BYTES)?,
        };
        if slice.next == found.next {
            break;
        }
        scanned += slice.batches.iter().map(|stored| stored.batch.bytes().len()).sum::<usize>();
        found.take(&slice, filter, room);
    }
    Ok(found)
}

/// The batches that hold records from `from` on whose topics match.
pub(crate) fn read_matching(
    engine: &Engine,
    id: PartitionId,
    filter: &TopicFilter,
    from: u64,
    bytes_max: usize,
) -> Result<Slice, ReadError> {
    let partition = engine.catalog.partition(id).ok_or(ReadError::UnknownPartition)?;
    partition.check(from)?;
    let filter = filter.without_share();
    let topic = only_topic(filter);
    let mut from = from;
    let mut scanned = 0;
    loop {
        if let Some(segment) = partition.sealed_at(from)
            && let Some(stretch) = {
                let located = engine.located(&partition, &segment);
                segment::read_matching(located, filter, from, bytes_max)
            }
            && let Some(stretch) = usable(&partition, &segment, stretch)
        {
            if !stretch.batches.is_empty() {
                let slice = partition.slice(stretch.batches, from);
                return Ok(Slice { next: stretch.next, ..slice });
            }
            from = stretch.next;
            continue;
        }
        let mut slice = match topic.and_then(|topic| sift(engine, &partition, topic, from)) {
            Some(slice) => slice,
            None => reader::read(engine, id, from, bytes_max.min(STEP_BYTES))?,
        };
        let is_end = slice.next == from;
        scanned += slice.batches.iter().map(|stored| stored.batch.bytes().len()).sum::<usize>();
        slice.batches.retain(|stored| holds(stored, filter));
        if !slice.batches.is_empty() || is_end || scanned >= SCAN_BYTES_MAX {
            return Ok(slice);
        }
        from = slice.next;
    }
}

/// The hash of the one topic that can match, if there is only one.
fn only_topic(filter: &str) -> Option<u64> {
    (!filter.contains(['+', '#'])).then(|| topic_hash(filter.as_bytes()))
}

/// The next batches that may hold a topic, or none and where to go on. `None` where no sieve says,
/// or the segment went away meanwhile.
fn sift(engine: &Engine, partition: &Partition, topic: u64, from: u64) -> Option<Slice> {
    let (segment, sifted) = partition.sift(from, topic)?;
    let stretch = match sifted {
        Sifted::Nothing { next } => return Some(passed(partition, next)),
        Sifted::Block(block) => {
            segment::read_block(engine.located(partition, &segment), block, from).ok()?
        }
    };
    let slice = partition.slice(stretch.batches, from);
    Some(Slice { next: stretch.next, ..slice })
}

fn passed(partition: &Partition, next: u64) -> Slice {
    Slice { next, ..partition.slice(Vec::new(), next) }
}

/// A topic index that cannot be read is no answer: the segment is read instead.
fn usable<T>(partition: &Partition, segment: &Segment, answer: std::io::Result<T>) -> Option<T> {
    answer
        .inspect_err(|error| {
            if partition.has(segment) {
                let (folder, base) = (&partition.folder, segment.base);
                tracing::warn!(folder, base, %error, "a topic index is of no use");
            }
        })
        .ok()
}

impl Found {
    /// Add what matches in a slice, up to `room` offsets.
    fn take(&mut self, slice: &Slice, filter: &str, room: usize) {
        let from = self.next;
        let mut left = room;
        for stored in slice.batches.iter().filter(|stored| !stored.batch.is_control()) {
            for record in stored.batch.records() {
                let offset = stored.base_offset + u64::from(record.offset_delta);
                if offset < from || !is_match(record.key, filter) {
                    continue;
                }
                self.offsets.push(offset);
                left -= 1;
                if left == 0 {
                    self.next = offset + 1;
                    return;
                }
            }
        }
        self.next = slice.next;
    }
}

fn holds(stored: &StoredBatch, filter: &str) -> bool {
    !stored.batch.is_control() && stored.batch.records().any(|record| is_match(record.key, filter))
}

fn is_match(key: Option<&[u8]>, filter: &str) -> bool {
    let topic = key.and_then(|key| str::from_utf8(key).ok());
    topic.is_some_and(|topic| matches(filter, topic))
}
