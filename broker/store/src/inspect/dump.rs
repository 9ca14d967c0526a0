//! Shows what a folder holds: records of partitions, or frames of the write-ahead log. Never
//! stops at damage it can step over; says what it stepped over.

use std::ops::ControlFlow;
use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{Batch, Record};

use super::finding::{Affected, Finding};
use super::segments;
use super::verify::look_twice;
use super::view::{LookError, View};
use crate::disk::Disk;
use crate::frame::Entry;
use crate::read::{ReadError, StoredBatch};
use crate::reader;
use crate::table::Table;
use crate::wal::{Found, replay};

/// Read at once.
const READ_BYTES: usize = 1 << 20;

/// Which records are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this stream alone.
    pub stream: Option<String>,
    /// Of this partition of each stream alone.
    pub partition: Option<usize>,
    /// From this offset on.
    pub from: u64,
}

/// A record and its place.
#[derive(Clone, Copy, Debug)]
pub struct ShownRecord<'a> {
    /// Its stream.
    pub stream: &'a str,
    /// Which partition of the stream.
    pub partition: usize,
    /// Its offset.
    pub offset: u64,
    /// Not a message, but what the partition keeps besides.
    pub is_control: bool,
    /// The record.
    pub record: Record<'a>,
}

/// A frame of the write-ahead log.
#[derive(Clone, Debug)]
pub struct ShownFrame<'a> {
    /// Its number: one commit to disk.
    pub number: u64,
    /// Its file.
    pub file: String,
    /// Where in it.
    pub position: u64,
    /// How long it is.
    pub bytes: u64,
    /// What it says, in order.
    pub entries: Vec<ShownEntry<'a>>,
}

/// One thing that a frame says.
#[derive(Clone, Debug)]
pub enum ShownEntry<'a> {
    /// Records at the end of a partition.
    Append {
        /// Its stream.
        stream: String,
        /// Which partition of the stream.
        partition: usize,
        /// The first offset.
        from: u64,
        /// The offset behind the last.
        to: u64,
        /// Bytes of the batch.
        bytes: usize,
    },
    /// A row set, or removed when there is no value.
    Change {
        /// Which table.
        table: Table,
        /// Which row.
        key: &'a [u8],
        /// Its new content.
        value: Option<&'a [u8]>,
    },
}

/// Show records in the order of streams, partitions and offsets. The answer tells what was
/// stepped over, in words.
pub fn dump(
    disk: &Arc<dyn Disk>,
    wanted: &Wanted,
    visit: &mut dyn FnMut(ShownRecord<'_>) -> ControlFlow<()>,
) -> Result<Vec<String>, LookError> {
    let (view, damage) = look_twice(disk)?;
    let mut notes = Vec::new();
    let mut dump = Dump { disk, view, notes: &mut notes, visit };
    let streams = dump.view.engine.catalog.streams();
    let is_wanted = |name: &str| wanted.stream.as_deref().is_none_or(|only| only == name);
    'streams: for stream in streams.iter().filter(|stream| is_wanted(&stream.name)) {
        for (index, id) in stream.partitions.iter().enumerate() {
            if wanted.partition.is_some_and(|only| only != index) {
                continue;
            }
            if dump.partition(*id, wanted.from)?.is_break() {
                break 'streams;
            }
        }
    }
    dump.note_quarantined();
    notes.extend(damage.map(|found| {
        let Finding { file, position, what, .. } = found;
        format!("{file}, byte {position}: {what}: the log is shown up to there")
    }));
    Ok(notes)
}

/// Show the frames that are not checkpointed. The answer tells where the log could not be read.
pub fn dump_log(
    disk: &Arc<dyn Disk>,
    visit: &mut dyn FnMut(ShownFrame<'_>) -> ControlFlow<()>,
) -> Result<Vec<String>, LookError> {
    let (view, _) = look_twice(disk)?;
    let mut is_over = false;
    let (epoch, first) = (view.checkpoint.epoch, view.checkpoint.next_lsn);
    let shown = replay(&*view.disk, epoch, first, &mut |found| {
        is_over = is_over || visit(frame(&view, &found)).is_break();
        Ok(())
    });
    Ok(shown
        .err()
        .map(|error| format!("the log is shown up to here: {error}"))
        .into_iter()
        .collect())
}

fn frame<'a>(view: &View, found: &Found<'a>) -> ShownFrame<'a> {
    let entries = found.frame.entries().flatten().map(|entry| match entry {
        Entry::Change { table, key, value } => ShownEntry::Change { table, key, value },
        Entry::Append { partition, batch, .. } => {
            let (stream, index) = view.name_of(partition);
            let outline = Batch::outline(batch);
            let (from, to) = outline.map_or((0, 0), |it| (it.base_offset, it.next_offset));
            ShownEntry::Append { stream, partition: index, from, to, bytes: batch.len() }
        }
    });
    ShownFrame {
        number: found.frame.lsn,
        file: found.file.name(),
        position: found.position,
        bytes: found.frame.bytes(),
        entries: entries.collect(),
    }
}

struct Dump<'a> {
    disk: &'a Arc<dyn Disk>,
    view: View,
    notes: &'a mut Vec<String>,
    visit: &'a mut dyn FnMut(ShownRecord<'_>) -> ControlFlow<()>,
}

impl Dump<'_> {
    fn partition(&mut self, id: PartitionId, wanted: u64) -> Result<ControlFlow<()>, LookError> {
        let (stream, index) = self.view.name_of(id);
        let mut from = wanted;
        let mut failed_at = None;
        loop {
            match reader::read(&self.view.engine, id, from, READ_BYTES) {
                Ok(slice) if slice.batches.is_empty() => return Ok(ControlFlow::Continue(())),
                Ok(slice) => {
                    if self.show((&stream, index), &slice.batches, from).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    from = slice.next;
                }
                Err(ReadError::OutOfRange { start, .. }) if from < start => from = start,
                Err(ReadError::OutOfRange { .. } | ReadError::UnknownPartition) => {
                    return Ok(ControlFlow::Continue(()));
                }
                // A broker may have moved it meanwhile: only what fails twice is damaged.
                Err(_) if failed_at != Some(from) => {
                    failed_at = Some(from);
                    self.note_quarantined();
                    self.view = View::load(self.disk, &mut |_| ())?;
                }
                Err(error) => {
                    let to = self.behind_damage(id, from);
                    let (stream, partition) = (stream.clone(), index);
                    let place = Affected { stream, partition, from, to };
                    self.notes.push(format!("{place}: {error}"));
                    from = to;
                }
            }
        }
    }

    /// What reading stepped over.
    fn note_quarantined(&mut self) {
        for damaged in self.view.engine.archive.quarantined().1 {
            let (stream, partition) = self.view.name_of(damaged.partition);
            let place = Affected { stream, partition, from: damaged.from, to: damaged.to };
            let (file, position, what) = (damaged.file, damaged.position, damaged.what);
            self.notes.push(format!("{place}: {file}, byte {position}: {what}"));
        }
    }

    fn show(
        &mut self,
        (stream, partition): (&str, usize),
        batches: &[StoredBatch],
        from: u64,
    ) -> ControlFlow<()> {
        for stored in batches {
            let is_control = stored.batch.is_control();
            // A batch that is whole and cannot be opened is for verify to name.
            let Ok(batch) = stored.batch.clone().open() else { continue };
            for record in batch.records() {
                let offset = stored.base_offset + u64::from(record.offset_delta);
                if offset >= from {
                    (self.visit)(ShownRecord { stream, partition, offset, is_control, record })?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Where to go on when not even damage can be stepped over: behind the segment.
    fn behind_damage(&self, id: PartitionId, from: u64) -> u64 {
        let holds = |one: &segments::Placed| {
            one.partition == id && (one.segment.base..one.segment.next).contains(&from)
        };
        let placed = segments::all(&self.view).into_iter().find(holds);
        placed.map_or(from + 1, |placed| placed.segment.next)
    }
}
