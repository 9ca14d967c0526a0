//! Moves batches from the write-ahead log to the end of a partition's segments, synced. Whether
//! they count is decided by the checkpoint after.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;
use std::vec;

use bytes::Bytes;
use tidewire_proto::record::Batch;

use super::draft::{Draft, Drafts};
use super::index::SparseIndex;
use super::name::{BATCHES, file_name};
use super::sieves::save_run;
use crate::disk::{Disk, File, OpenMode};
use crate::partition::{Partition, Placed, Segment};
use crate::parts::Parts;
use crate::read::StoredBatch;
use crate::sieve::{Run, RunBuilder, Sieves};
use crate::wal::WalFile;

/// Written and synced at once. The disk takes it bit by bit: a sync of a whole file would keep the
/// writer's own syncs waiting behind it.
const CHUNK_BYTES: usize = 1 << 20;

/// Where the batches come from and where they go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sources<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) wal: &'a WalFile,
    pub(crate) segment_bytes_max: u64,
    /// Make sieves of what moves.
    pub(crate) sift: bool,
    /// Batches of which lengths stay as they are when a segment is full; none: it is written anew
    /// in any case.
    pub(crate) good_bytes: &'a Range<usize>,
    pub(crate) drafts: &'a Drafts,
}

impl Sources<'_> {
    fn has_room(&self, segment: &Segment, one: &Placed) -> bool {
        segment.bytes + u64::from(one.bytes) <= self.segment_bytes_max
    }
}

/// A segment that is new or has grown.
#[derive(Debug)]
pub(crate) struct Grown {
    pub(crate) segment: Segment,
    /// The sieves of what was added, and how long the file of them is.
    pub(crate) sieves: Option<(Run, Option<u64>)>,
}

/// Why batches did not move.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{file} is damaged at byte {position}: {what}")]
    Damaged { file: String, position: u64, what: String },
}

/// Append the batches in order; returns the segments that are new or have grown.
pub(crate) fn append(
    sources: Sources<'_>,
    partition: &Partition,
    placed: &[Placed],
) -> Result<Vec<Grown>, AppendError> {
    let mut touched: Vec<Grown> = Vec::new();
    let mut open: Option<OpenSegment> = None;
    let mut incoming = Incoming { wal: sources.wal, partition, recent: Vec::new().into_iter() };
    for one in placed {
        let batch = incoming.next(one)?;
        if let Some(full) = open.take_if(|open| !sources.has_room(&open.segment, one)) {
            touched.push(full.end(sources, partition, true)?);
        }
        let target = match &mut open {
            Some(target) => target,
            None => open.insert(target(sources, partition, one, &mut touched)?),
        };
        target.push(one, &batch, sources.good_bytes)?;
    }
    if let Some(open) = open {
        touched.push(open.end(sources, partition, false)?);
    }
    Ok(touched)
}

/// The segment that takes a batch: the last one, or a new one. The last one is sealed if there is
/// no room in it, and also if its file is lost: what was in it must not stop what comes.
fn target(
    sources: Sources<'_>,
    partition: &Partition,
    one: &Placed,
    touched: &mut Vec<Grown>,
) -> Result<OpenSegment, AppendError> {
    let (disk, folder) = (sources.disk, partition.folder.as_str());
    let sifting = |open: OpenSegment| open.sifting(partition, sources);
    let last = touched.last().map(|grown| grown.segment).or_else(|| partition.last_segment());
    if let Some(last) = last.filter(|segment| !segment.sealed) {
        match OpenSegment::open(disk, folder, last) {
            Ok(open) if sources.has_room(&last, one) => return Ok(sifting(open)),
            Ok(full) => touched.push(full.end(sources, partition, true)?),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tracing::error!(folder, base = last.base, "a segment is lost; a new one begins");
                let segment = Segment { sealed: true, ..last };
                touched.push(Grown { segment, sieves: None });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sifting(OpenSegment::create(disk, folder, one.base)?))
}

/// Nothing is added to this segment any more.
pub(crate) fn close(disk: &dyn Disk, folder: &str, segment: Segment) -> io::Result<Segment> {
    Ok(OpenSegment::open(disk, folder, segment)?.finish(disk, folder, true)?.segment)
}

/// The batches that move, from memory as long as they are there.
struct Incoming<'a> {
    wal: &'a WalFile,
    partition: &'a Partition,
    recent: vec::IntoIter<StoredBatch>,
}

impl Incoming<'_> {
    fn next(&mut self, placed: &Placed) -> Result<Batch, AppendError> {
        match self.recent.next().or_else(|| self.look(placed)) {
            Some(found) if is_sound(&found, placed) => Ok(found.batch),
            _ => {
                self.recent = Vec::new().into_iter();
                fetch(self.wal, placed)
            }
        }
    }

    /// Takes no more at a time than is written at a time: what is taken stays in memory.
    fn look(&mut self, placed: &Placed) -> Option<StoredBatch> {
        let slice = self.partition.read_recent(placed.base, CHUNK_BYTES)?;
        self.recent = slice.batches.into_iter();
        self.recent.next()
    }
}

/// Is it that batch, and as it was acknowledged? Memory may fail too, and the log has it still.
fn is_sound(found: &StoredBatch, placed: &Placed) -> bool {
    let bytes = found.batch.bytes();
    found.base_offset == placed.base
        && bytes.len() == placed.bytes as usize
        && Batch::parse(bytes.clone()).is_ok()
}

/// The batch as it lies in the write-ahead log, checked: damage must not move on.
fn fetch(wal: &WalFile, placed: &Placed) -> Result<Batch, AppendError> {
    let mut bytes = vec![0; placed.bytes as usize];
    wal.file.read_exact_at(&mut bytes, placed.position)?;
    let bytes = Bytes::from(bytes);
    let what = match Batch::parse(bytes.clone()) {
        Ok(batch) if Batch::base_offset_in(&bytes) == Some(placed.base) => return Ok(batch),
        Ok(_) => format!("the batch at offset {} has another offset", placed.base),
        Err(error) => error.to_string(),
    };
    Err(AppendError::Damaged { file: wal.name(), position: placed.position, what })
}

struct OpenSegment {
    segment: Segment,
    file: Arc<dyn File>,
    /// A new file has this name until it is synced.
    temporary: Option<String>,
    chunk: Parts,
    written: u64,
    /// Of what is added, and how long the file of the earlier ones is.
    sieves: Option<(RunBuilder, Option<u64>)>,
    draft: Option<Draft>,
}

impl OpenSegment {
    fn open(disk: &dyn Disk, folder: &str, segment: Segment) -> io::Result<Self> {
        let file = disk.open(&file_name(folder, &segment, BATCHES), OpenMode::Write)?;
        let (temporary, chunk, written) = (None, Parts::default(), segment.bytes);
        Ok(Self { segment, file, temporary, chunk, written, sieves: None, draft: None })
    }

    fn create(disk: &dyn Disk, folder: &str, base: u64) -> io::Result<Self> {
        create_folder(disk, folder)?;
        let temporary = format!("{folder}/{base:020}.tmp");
        let file = disk.open(&temporary, OpenMode::Create)?;
        let segment = Segment {
            base,
            next: base,
            bytes: 0,
            max_timestamp: i64::MIN,
            sealed: false,
            refined: None,
        };
        let (temporary, chunk) = (Some(temporary), Parts::default());
        Ok(Self { segment, file, temporary, chunk, written: 0, sieves: None, draft: None })
    }

    /// Make sieves of what is added, if there are some of all that is there; and a draft of its
    /// topic index.
    fn sifting(mut self, partition: &Partition, sources: Sources<'_>) -> Self {
        let Segment { base, next, bytes, .. } = self.segment;
        let draft = sources.drafts.take((partition.id, base), bytes);
        if !sources.sift {
            return self;
        }
        let known = match partition.sieves(base) {
            Some(known) => Some(known.file_bytes()).filter(|_| known.reach(bytes)),
            None => (bytes == 0).then(|| Sieves::new().file_bytes()),
        };
        self.sieves = known.map(|file_bytes| (RunBuilder::new(next, bytes), file_bytes));
        let is_first = bytes == 0 && !sources.good_bytes.is_empty();
        self.draft = draft.or_else(|| is_first.then(|| Draft::new(base)));
        self
    }

    fn push(
        &mut self,
        placed: &Placed,
        batch: &Batch,
        good_bytes: &Range<usize>,
    ) -> Result<(), AppendError> {
        let (sieves, draft) = (self.sieves.as_mut(), self.draft.as_mut());
        match (sieves, draft.filter(|draft| !draft.is_void())) {
            (Some((sieves, _)), Some(draft)) => {
                let is_open = sieves.add_showing(batch, placed.next, |topic, offset_delta| {
                    draft.add(topic, placed.base + u64::from(offset_delta));
                });
                draft.end_batch(placed.bytes, good_bytes);
                if !is_open {
                    draft.make_void();
                }
            }
            (Some((sieves, _)), None) => sieves.add(batch, placed.next),
            (None, _) => self.draft = None,
        }
        self.chunk.put_batch(placed.base, batch);
        self.segment.bytes += u64::from(placed.bytes);
        self.segment.next = placed.next;
        self.segment.max_timestamp = self.segment.max_timestamp.max(placed.max_timestamp);
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush()?;
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&mut self.chunk.slices(), self.written)?;
        self.written += self.chunk.len() as u64;
        self.chunk.clear();
        Ok(())
    }

    /// Its draft is kept before it is known whether what was added counts: it is one of a segment
    /// of just its length, or of none.
    fn end(mut self, sources: Sources<'_>, partition: &Partition, seal: bool) -> io::Result<Grown> {
        let draft = self.draft.take();
        let grown = self.finish(sources.disk, &partition.folder, seal)?;
        if let Some(draft) = draft {
            sources.drafts.put((partition.id, grown.segment.base), draft);
        }
        Ok(grown)
    }

    fn finish(mut self, disk: &dyn Disk, folder: &str, seal: bool) -> io::Result<Grown> {
        self.flush()?;
        self.file.sync_data()?;
        if let Some(temporary) = &self.temporary {
            disk.rename(temporary, &file_name(folder, &self.segment, BATCHES))?;
        }
        if seal {
            self.segment.sealed = true;
            SparseIndex::build(&*self.file, &self.segment)?.save(disk, folder, &self.segment)?;
        }
        if seal || self.temporary.is_some() {
            disk.sync_dir(folder)?;
        }
        let segment = self.segment;
        let sieves = self.sieves.and_then(|(builder, file_bytes)| {
            let run = builder.finish()?;
            let file_bytes = save_run(disk, folder, &segment, (&run, file_bytes));
            Some((run, file_bytes))
        });
        Ok(Grown { segment, sieves })
    }
}

/// The folder and every one above it, durable.
fn create_folder(disk: &dyn Disk, folder: &str) -> io::Result<()> {
    disk.create_dir(folder)?;
    let mut above = folder;
    while let Some((parent, _)) = above.rsplit_once('/') {
        disk.sync_dir(parent)?;
        above = parent;
    }
    disk.sync_dir("")
}
