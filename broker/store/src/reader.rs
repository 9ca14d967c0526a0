//! Reads batches from wherever they are: memory, write-ahead log, segments. Never holds the
//! writer up.

use std::io::ErrorKind;

use bytes::Bytes;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::Batch;

use crate::engine::Engine;
use crate::partition::{Partition, Place, Placed, Segment};
use crate::read::{Form, ReadError, Slice, StoredBatch};
use crate::segment::{self, Stretch};
use crate::wal::WalFile;

/// Batches from `from` on, up to about `bytes_max`, at least one if there is one.
pub(crate) fn read(
    engine: &Engine,
    id: PartitionId,
    from: u64,
    bytes_max: usize,
) -> Result<Slice, ReadError> {
    read_as(engine, id, (from, bytes_max), Form::Open)
}

/// The same, in the form that is wanted.
pub(crate) fn read_as(
    engine: &Engine,
    id: PartitionId,
    (from, bytes_max): (u64, usize),
    form: Form,
) -> Result<Slice, ReadError> {
    let partition = engine.catalog.partition(id).ok_or(ReadError::UnknownPartition)?;
    let mut from = from;
    loop {
        match partition.locate(from, bytes_max)? {
            Place::Here(slice) => return Ok(slice),
            // Otherwise the checkpoint moved them to a segment in between.
            Place::Wal(placed) => {
                if let Some(batches) = read_wal(engine, &placed, form)? {
                    return Ok(partition.slice(batches, from));
                }
            }
            Place::Segment(found) => {
                let wanted = (from, bytes_max);
                let read = read_segment(engine, &partition, &found, wanted, form)?;
                let Some(stretch) = read else { continue };
                if !stretch.batches.is_empty() {
                    let slice = partition.slice(stretch.batches, from);
                    return Ok(Slice { next: stretch.next, ..slice });
                }
                from = stretch.next;
            }
        }
    }
}

/// `None` if the segment is another one by now.
fn read_segment(
    engine: &Engine,
    partition: &Partition,
    segment: &Segment,
    (from, bytes_max): (u64, usize),
    form: Form,
) -> Result<Option<Stretch>, ReadError> {
    let located = engine.located(partition, segment);
    match segment::read(located, from, bytes_max, form) {
        Ok(stretch) => Ok(Some(stretch)),
        Err(_) if !partition.has(segment) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(segment::miss(located))),
        Err(error) => Err(ReadError::Io(error.to_string())),
    }
}

fn read_wal(
    engine: &Engine,
    placed: &[Placed],
    form: Form,
) -> Result<Option<Vec<StoredBatch>>, ReadError> {
    let mut batches = Vec::with_capacity(placed.len());
    let mut file = None;
    for one in placed {
        if file.as_ref().is_none_or(|file: &std::sync::Arc<WalFile>| file.epoch != one.epoch) {
            // Holding it keeps it from being used again while we read.
            file = engine.wal_files.read().get(&one.epoch).cloned();
        }
        let Some(file) = &file else { return Ok(None) };
        batches.push(read_placed(file, one, form)?);
    }
    Ok(Some(batches))
}

fn read_placed(file: &WalFile, placed: &Placed, form: Form) -> Result<StoredBatch, ReadError> {
    let read = file.file.read_vec(placed.bytes as usize, placed.position);
    let bytes = read.map_err(|error| ReadError::Io(error.to_string()))?;
    let damaged =
        |what: String| ReadError::Damaged { file: file.name(), position: placed.position, what };
    if Batch::base_offset_in(&bytes) != Some(placed.base) {
        return Err(damaged(format!("offset {} should be here", placed.base)));
    }
    let batch = Batch::parse(Bytes::from(bytes)).and_then(|batch| form.of(batch));
    let batch = batch.map_err(|error| damaged(error.to_string()))?;
    Ok(StoredBatch { base_offset: placed.base, batch })
}
