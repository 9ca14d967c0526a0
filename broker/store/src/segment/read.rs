//! Reads batches from a segment. Every batch is checked; a damaged one is named, never served.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tidewire_proto::record::{BATCH_HEADER_BYTES, Batch, Outline};

use super::index::{IndexCache, segment_name};
use crate::disk::{Disk, File, OpenMode};
use crate::partition::{Partition, Segment};
use crate::read::{ReadError, StoredBatch};

/// Read beyond what was asked for, because the place to start is not exact.
const SLACK_BYTES: u64 = 64 << 10;

/// Batches from the one that holds `from` on, up to about `bytes_max` and the segment's end.
pub(crate) fn read(
    disk: &dyn Disk,
    indexes: &IndexCache,
    partition: &Partition,
    segment: &Segment,
    (from, bytes_max): (u64, usize),
) -> Result<Vec<StoredBatch>, ReadError> {
    let name = segment_name(&partition.folder, segment.base);
    let file = disk.open(&name, OpenMode::Read).map_err(io_error)?;
    let place = (partition.id, partition.folder.as_str());
    let index = indexes.index(disk, &*file, place, segment).map_err(io_error)?;
    let position = index.position(from);
    let mut window = Window { name, file, end: segment.bytes, position, bytes: Bytes::new() };
    window.load(bytes_max as u64 + SLACK_BYTES)?;
    let mut batches: Vec<StoredBatch> = Vec::new();
    let (mut taken, mut expected) = (0, None);
    while let Some(outline) = window.outline()? {
        if expected.is_some_and(|expected| expected != outline.base_offset) {
            return Err(window.damaged(format!("a batch has offset {}", outline.base_offset)));
        }
        expected = Some(outline.next_offset);
        if !batches.is_empty() && taken + outline.bytes > bytes_max {
            break;
        }
        let position = window.position;
        let bytes = window.take(outline.bytes)?;
        if outline.next_offset <= from {
            continue;
        }
        let batch = Batch::parse(bytes).map_err(|error| ReadError::Damaged {
            file: window.name.clone(),
            position,
            what: error.to_string(),
        })?;
        taken += outline.bytes;
        batches.push(StoredBatch { base_offset: outline.base_offset, batch });
    }
    Ok(batches)
}

/// The part of the file that is in memory.
struct Window {
    name: String,
    file: Arc<dyn File>,
    /// Bytes of the file that count.
    end: u64,
    /// Where in the file `bytes` begins.
    position: u64,
    bytes: Bytes,
}

impl Window {
    /// Have at least `bytes` in memory, or all that there is.
    fn load(&mut self, bytes: u64) -> Result<(), ReadError> {
        let length = bytes.min(self.end - self.position);
        let length = usize::try_from(length).map_err(|_| self.damaged("too long".into()))?;
        if length > self.bytes.len() {
            let mut loaded = vec![0; length];
            self.file.read_exact_at(&mut loaded, self.position).map_err(io_error)?;
            self.bytes = Bytes::from(loaded);
        }
        Ok(())
    }

    /// Offset and length of the next batch; `None` at the end of the segment.
    fn outline(&mut self) -> Result<Option<Outline>, ReadError> {
        if self.position >= self.end {
            return Ok(None);
        }
        self.load(BATCH_HEADER_BYTES as u64)?;
        let fits = |batch: &Outline| self.position + batch.bytes as u64 <= self.end;
        let outline = Batch::outline(&self.bytes).filter(fits);
        let nothing = || self.damaged("no batch begins here".into());
        outline.ok_or_else(nothing).map(Some)
    }

    fn take(&mut self, length: usize) -> Result<Bytes, ReadError> {
        self.load(length as u64)?;
        self.position += length as u64;
        Ok(self.bytes.split_to(length))
    }

    fn damaged(&self, what: String) -> ReadError {
        ReadError::Damaged { file: self.name.clone(), position: self.position, what }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn io_error(error: io::Error) -> ReadError {
    ReadError::Io(error.to_string())
}
