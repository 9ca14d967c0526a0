//! Reads a store as its users would, and checks on the way what must hold of any store. Never
//! knows what was sent.

use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::Batch;
use tidewire_proto::topic::TopicFilter;

use super::model::Contents;
use super::traffic::{Record, TABLES};
use crate::disk::sim::SimRandom;
use crate::read::ReadError;
use crate::store::Store;

/// Everything that the store holds.
pub(super) fn contents(
    store: &Store,
    partitions: usize,
    random: &mut SimRandom,
) -> Result<Contents, String> {
    let mut contents = Contents::default();
    for id in (0..).take(partitions) {
        let bounds = store.bounds(PartitionId(id));
        let (start, end) = bounds.ok_or_else(|| format!("partition {id} is gone"))?;
        if start != 0 {
            return Err(format!("partition {id} starts at {start}"));
        }
        let mut records = Vec::new();
        while (records.len() as u64) < end {
            records.extend(read(store, id, records.len() as u64, random)?);
        }
        search(store, id, &records, random)?;
        contents.partitions.push(records);
    }
    if let Some(damage) = store.quarantined().1.first() {
        return Err(format!("{} is damaged at byte {}", damage.file, damage.position));
    }
    for table in TABLES {
        let visit = &mut |key: &[u8], value: &[u8]| {
            contents.rows.insert((table.id(), key.into()), value.into());
            ControlFlow::Continue(())
        };
        let scanned = store.scan(table, Bound::Unbounded, Bound::Unbounded, visit);
        scanned.map_err(|error| format!("a table cannot be read: {error}"))?;
    }
    Ok(contents)
}

/// Some of what the store holds, compared with what it must hold.
pub(super) fn glance(
    store: &Store,
    expected: &Contents,
    random: &mut SimRandom,
) -> Result<(), String> {
    for (id, records) in (0..).zip(&expected.partitions) {
        let end = records.len() as u64;
        let bounds = store.bounds(PartitionId(id));
        if bounds != Some((0, end)) {
            return Err(format!("partition {id} shows {bounds:?}, not {end}"));
        }
        if end == 0 || random.percent(50) {
            continue;
        }
        let from = random.below(end);
        let found = read(store, id, from, random)?;
        let place = usize::try_from(from).expect("small");
        if records.get(place..place + found.len()) != Some(found.as_slice()) {
            return Err(format!("partition {id} shows other records from {from} on"));
        }
    }
    for table in TABLES {
        let key = format!("row {}", random.below(12)).into_bytes().into_boxed_slice();
        let found = store.get(table, &key).map_err(|error| error.to_string())?;
        if found.as_deref() != expected.rows.get(&(table.id(), key)).map(|row| &**row) {
            return Err(format!("{table:?} shows another row"));
        }
    }
    Ok(())
}

/// Every record of a topic is found, and of no other.
fn search(
    store: &Store,
    id: u32,
    records: &[Record],
    random: &mut SimRandom,
) -> Result<(), String> {
    let topic = format!("a/{}", random.below(8));
    let is_wanted = |record: &Record| record.key.as_deref() == Some(topic.as_bytes());
    let places = (0..).zip(records).filter(|(_, record)| is_wanted(record));
    let expected: Vec<u64> = places.map(|(offset, _)| offset).collect();
    let filter = TopicFilter::parse(&topic).expect("a topic is a filter");
    let failed = |error: ReadError| format!("partition {id}, {topic}: {error}");
    let (mut from, end) = (0, records.len() as u64);
    let mut found = Vec::new();
    while from < end {
        let more = store.find(PartitionId(id), &filter, from, 1_000).map_err(failed)?;
        if more.next <= from {
            return Err(format!("partition {id} finds nothing from {from} on and does not move"));
        }
        found.extend(more.offsets);
        from = more.next;
    }
    if found == expected {
        return Ok(());
    }
    Err(format!("partition {id} has {topic} at {expected:?} and finds {found:?}"))
}

/// The records of one read, from exactly `from` on; at least one.
fn read(store: &Store, id: u32, from: u64, random: &mut SimRandom) -> Result<Vec<Record>, String> {
    let bytes_max = 1 << random.below(16);
    let slice = store.read(PartitionId(id), from, bytes_max);
    let slice = slice.map_err(|error| format!("partition {id} at {from}: {error}"))?;
    let first = slice.batches.first().map_or(from, |batch| batch.base_offset);
    let mut records = Vec::new();
    let mut next = first;
    for stored in &slice.batches {
        // From memory or from disk: the checksum has to be right.
        Batch::parse(stored.batch.bytes().clone())
            .and_then(|batch| batch.validate())
            .map_err(|error| format!("partition {id} at {next}: {error}"))?;
        for record in stored.batch.records() {
            if stored.base_offset + u64::from(record.offset_delta) != next {
                return Err(format!("partition {id} has a gap at {next}"));
            }
            next += 1;
            records.push(Record {
                timestamp: record.timestamp_ms,
                key: record.key.map(Bytes::copy_from_slice),
                value: record.value.map(Bytes::copy_from_slice),
            });
        }
    }
    if first > from || next <= from || next != slice.next {
        return Err(format!("partition {id} answers {first}..{next} to a read from {from}"));
    }
    let before = usize::try_from(from - first).expect("small");
    records.drain(..before);
    Ok(records)
}
