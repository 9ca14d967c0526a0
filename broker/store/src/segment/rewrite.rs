//! Writes a sealed segment anew: small batches become large ones, compressed, with a sparse and a
//! topic index beside them. Offsets, timestamps, headers and order are kept. Never decides when,
//! and never touches the old files.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidewire_proto::record::{Compression, Record, Repacker};

use super::archive::Located;
use super::index::SparseIndex;
use super::name::{BATCHES, TOPICS, file_name};
use super::topics::TopicsBuilder;
use super::window::{AHEAD_BYTES, Window, open};
use crate::disk::{Disk, File, OpenMode};
use crate::partition::{Refined, Segment};
use crate::read::StoredBatch;

/// Written at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Synced after so much, so that the writer's own syncs never wait for much.
const SYNC_BYTES: u64 = 8 << 20;

/// Whether a record stays: offset and record.
pub(crate) type Keep<'a> = dyn FnMut(u64, &Record<'_>) -> bool + 'a;

/// How a segment is written anew.
pub(crate) struct Recipe<'a> {
    pub(crate) compression: Compression,
    /// Records that come to about this much share a batch.
    pub(crate) batch_bytes: usize,
    /// `keep` takes out what newer records replace.
    pub(crate) compacted: bool,
    pub(crate) keep: &'a mut Keep<'a>,
    /// Give up soon when this is set.
    pub(crate) stop: &'a AtomicBool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Rewritten {
    /// All files of this segment are on disk; no row names it yet.
    Done(Segment),
    /// Some of it is damaged: it has to stay as it is.
    Damaged,
    /// It was told to stop.
    Stopped,
}

/// Write the segment anew under the name of its next generation.
pub(crate) fn rewrite(located: Located<'_>, recipe: Recipe<'_>) -> io::Result<Rewritten> {
    let generation = located.segment.refined.map_or(1, |refined| refined.generation + 1);
    let refined = Some(Refined { generation, compacted: recipe.compacted });
    let segment = Segment { bytes: 0, max_timestamp: i64::MIN, refined, ..*located.segment };
    let folder = &located.partition.folder;
    let temporary = format!("{}.tmp", file_name(folder, &segment, BATCHES));
    let file = located.disk.open(&temporary, OpenMode::Create)?;
    let mut rewriting = Rewriting {
        recipe,
        repacker: Repacker::new(segment.base),
        topics: TopicsBuilder::new(segment.base),
        out: Output { file, segment, chunk: Vec::new(), written: 0, synced: 0 },
    };
    let written = rewriting.write(located);
    let indexed = match written {
        // What is to take the place of a good file must be readable itself.
        Ok(Rewritten::Done(_)) => {
            let Output { file, segment, .. } = &rewriting.out;
            SparseIndex::build_whole(&**file, segment)
        }
        _ => Ok(SparseIndex::default()),
    };
    let (Ok(Rewritten::Done(_)), Ok(index)) = (&written, &indexed) else {
        // Nothing names it; the next attempt empties it anyway.
        let _ = located.disk.remove(&temporary);
        return indexed.and(written);
    };
    let Rewriting { topics, out, .. } = rewriting;
    located.disk.rename(&temporary, &file_name(folder, &out.segment, BATCHES))?;
    index.save(located.disk, folder, &out.segment)?;
    if let Some(bytes) = topics.finish() {
        save(located.disk, &file_name(folder, &out.segment, TOPICS), &bytes)?;
    }
    located.disk.sync_dir(folder)?;
    Ok(Rewritten::Done(out.segment))
}

/// A file beside a segment, durable but for its name.
pub(super) fn save(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}.tmp");
    let file = disk.open(&temporary, OpenMode::Create)?;
    file.write_all_at(&mut [IoSlice::new(bytes)], 0)?;
    file.sync_data()?;
    disk.rename(&temporary, name)
}

struct Rewriting<'a> {
    recipe: Recipe<'a>,
    repacker: Repacker,
    topics: TopicsBuilder,
    out: Output,
}

impl Rewriting<'_> {
    fn write(&mut self, located: Located<'_>) -> io::Result<Rewritten> {
        let file = open(located)?;
        let begin = (located.segment.base, 0);
        let mut window = Window::open(located, file, begin, AHEAD_BYTES * 16)?;
        while let Some(stored) = window.batch()? {
            if window.is_damaged() {
                break;
            }
            if self.recipe.stop.load(Ordering::Relaxed) {
                return Ok(Rewritten::Stopped);
            }
            if stored.batch.is_control() {
                self.control(&stored)?;
            } else {
                self.records(&stored)?;
            }
        }
        if window.is_damaged() {
            return Ok(Rewritten::Damaged);
        }
        self.flush(located.segment.next, false)?;
        self.out.finish()?;
        Ok(Rewritten::Done(self.out.segment))
    }

    fn records(&mut self, stored: &StoredBatch) -> io::Result<()> {
        for record in stored.batch.records() {
            let offset = stored.base_offset + u64::from(record.offset_delta);
            if !(self.recipe.keep)(offset, &record) {
                continue;
            }
            let full = self.repacker.bytes() >= self.recipe.batch_bytes;
            if full || !self.repacker.reaches(offset) {
                self.flush(offset, false)?;
            }
            self.push(offset, &record)?;
            if let Some(topic) = record.key {
                self.topics.add(topic, offset);
            }
        }
        Ok(())
    }

    /// What is not for readers stays apart from what is.
    fn control(&mut self, stored: &StoredBatch) -> io::Result<()> {
        self.flush(stored.base_offset, false)?;
        for record in stored.batch.records() {
            self.push(stored.base_offset + u64::from(record.offset_delta), &record)?;
        }
        self.flush(stored.next_offset(), true)
    }

    fn push(&mut self, offset: u64, record: &Record<'_>) -> io::Result<()> {
        let max_timestamp = &mut self.out.segment.max_timestamp;
        *max_timestamp = (*max_timestamp).max(record.timestamp_ms);
        if self.repacker.push(offset, record) {
            return Ok(());
        }
        Err(io::Error::other(format!("offset {offset} does not follow")))
    }

    /// End the batch before `next`.
    fn flush(&mut self, next: u64, control: bool) -> io::Result<()> {
        if self.repacker.base_offset() == next {
            return Ok(());
        }
        let bytes = self.repacker.finish(next, self.recipe.compression, control)?;
        self.out.put(&bytes)
    }
}

struct Output {
    file: Arc<dyn File>,
    segment: Segment,
    chunk: Vec<u8>,
    written: u64,
    synced: u64,
}

impl Output {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.chunk.extend_from_slice(bytes);
        self.segment.bytes += bytes.len() as u64;
        if self.chunk.len() >= CHUNK_BYTES {
            self.write()?;
        }
        if self.written - self.synced >= SYNC_BYTES {
            self.file.sync_data()?;
            self.synced = self.written;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_all_at(&mut [IoSlice::new(&self.chunk)], self.written)?;
        self.written += self.chunk.len() as u64;
        self.chunk.clear();
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.write()?;
        self.file.sync_data()
    }
}
