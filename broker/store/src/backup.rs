//! A copy of the data folder while it is in use: all that was durable when it was begun, and
//! perhaps some of what came after. Never holds a commit up.
//!
//! Files of segments are never changed, but for the last of a partition, which grows behind what
//! its row counts; those that nobody needs any more stay until the copy is made (`pins`). The
//! database is copied row by row, as it was at one moment, while checkpoints change it. Files of
//! the write-ahead log are copied frame by frame up to the first that is not whole, and are not
//! used again as long as we hold them. See docs/decisions/0020-backup.md.

use std::io::{self, ErrorKind, IoSlice};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::commit::{Commit, CommitError, TableChange};
use crate::disk::{Disk, File, OpenMode, RealDisk};
use crate::engine::Engine;
use crate::folder::VERSION;
use crate::frame::{Claim, Entry, FRAME_ALIGNMENT, FRAME_HEADER_BYTES, Frame};
use crate::partition::{Partition, Segment};
use crate::progress::Progress;
use crate::segment::{index_name, segment_name, topics_name};
use crate::store::Store;
use crate::table::Table;
use crate::tables::{DATABASE_FILE, DatabaseError, Snapshot};
use crate::wal::{FRAMES_FROM, WAL_DIR, WalFile};

/// The row that says which backup was made last: what is before it is in it.
const MARK_KEY: &[u8] = b"backup";
/// So much is copied at a time.
const CHUNK_BYTES: u64 = 1 << 20;
/// So much of a file is synced at a time: who breaks a backup off waits for no more.
const SYNCED_BYTES: u64 = 16 << 20;
const VERSION_TEMPORARY: &str = "VERSION.tmp";

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// When it was begun, in milliseconds since 1970: what was acknowledged before is in it.
    pub mark_ms: i64,
    /// Files.
    pub files: u64,
    /// Bytes of them that were copied.
    pub bytes: u64,
    /// Frames of the write-ahead log among them.
    pub frames: u64,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is something at that place.
    #[error("{0} is not empty: name a folder that is not there yet")]
    Occupied(String),
    /// The mark could not be made durable.
    #[error("its beginning cannot be noted: {0}")]
    Mark(#[from] CommitError),
    /// A file cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What was copied does not hold what it has to.
    #[error("{0}")]
    Damaged(String),
    /// Rows cannot be read or written.
    #[error("{0}")]
    Tables(String),
    /// The tables had to be opened again.
    #[error("the disk of the data folder was full meanwhile: make room there, and try again")]
    Full,
    /// It was told to stop.
    #[error("it was broken off")]
    BrokenOff,
}

/// Is told how far it is; says whether it is to go on.
pub type Watch<'w> = &'w mut dyn FnMut(Progress) -> ControlFlow<()>;

impl Store {
    /// Copies the data folder to another one, which begins there or is empty. Everything that was
    /// acknowledged before this was called is in the copy, and a broker starts on it. Works on
    /// disk, for as long as copying takes; may be called from any thread but those of the store.
    pub fn backup(
        &self,
        to: &Path,
        now_ms: i64,
        watch: Watch<'_>,
    ) -> Result<BackupReport, BackupError> {
        let is_free = match to.read_dir() {
            Err(error) if error.kind() == ErrorKind::NotFound => true,
            found => found?.next().is_none(),
        };
        if !is_free {
            return Err(BackupError::Occupied(to.display().to_string()));
        }
        self.backup_to(Arc::new(RealDisk::new(to)), now_ms, watch)
    }

    /// The same to a disk that is empty.
    pub(crate) fn backup_to(
        &self,
        target: Arc<dyn Disk>,
        now_ms: i64,
        watch: Watch<'_>,
    ) -> Result<BackupReport, BackupError> {
        let engine = &self.inner.engine;
        let mark = format!("{now_ms} {:016x}", engine.disk.random()).into_bytes();
        let row = TableChange::new(Table::Meta, MARK_KEY.into(), Some(mark.clone().into()));
        self.commit(Commit { appends: Vec::new(), changes: vec![row.that_stays()] })?;
        let report = BackupReport { mark_ms: now_ms, ..BackupReport::default() };
        let mut copy = Copy { engine, target, total: 0, report, watch };
        copy.all(&mark)?;
        Ok(copy.report)
    }
}

struct Copy<'c> {
    engine: &'c Engine,
    target: Arc<dyn Disk>,
    /// Bytes that there are to be, as far as known.
    total: u64,
    report: BackupReport,
    watch: Watch<'c>,
}

/// What there was at one moment.
struct Moment {
    tables: Snapshot,
    log: Vec<Arc<WalFile>>,
    /// Of each partition its folder and segments.
    segments: Vec<(String, Vec<Segment>)>,
}

impl Copy<'_> {
    fn all(&mut self, mark: &[u8]) -> Result<(), BackupError> {
        let engine = self.engine;
        let _pin = engine.pin();
        self.target.create_dir(WAL_DIR)?;
        let Moment { tables, log, segments } = self.moment()?;
        // Is what came before the mark filed already?
        let row = tables.get(Table::Meta, MARK_KEY).map_err(failed)?;
        let mut has_mark = row.is_some_and(|row| row == mark);
        self.tables(&tables)?;
        // Pages that it names are free again.
        drop(tables);
        for (folder, segments) in &segments {
            self.target.create_dir(folder)?;
            for segment in segments {
                self.segment(folder, segment)?;
            }
            self.target.sync_dir(folder)?;
        }
        let mut next = None;
        for file in &log {
            has_mark |= self.log_file(file, mark, &mut next)?;
        }
        self.target.sync_dir(WAL_DIR)?;
        if !has_mark {
            let words = "the write-ahead log cannot be read up to where the backup began: \
                         run tidewire log verify";
            return Err(BackupError::Damaged(words.into()));
        }
        self.version()
    }

    /// Nothing is filed at this moment: the tables say what the segments are, and the log from
    /// there on is held.
    fn moment(&mut self) -> Result<Moment, BackupError> {
        let engine = self.engine;
        let _arranging = engine.sealer.arranging();
        let tables = engine.tables.database().snapshot().map_err(failed)?;
        let log: Vec<_> = engine.wal_files.read().values().map(Arc::clone).collect();
        let of = |partition: &Arc<Partition>| (partition.folder.clone(), partition.holding().0);
        let segments: Vec<_> = engine.catalog.partitions().iter().map(of).collect();
        self.total = segments.iter().flat_map(|(_, all)| all).map(|it| it.bytes).sum();
        Ok(Moment { tables, log, segments })
    }

    fn tables(&mut self, tables: &Snapshot) -> Result<(), BackupError> {
        // Rows are less than their file: nobody counts them before they are copied.
        let about = self.engine.disk.open(DATABASE_FILE, OpenMode::Read)?.len()?;
        let (total, before) = (self.total, self.report.bytes);
        self.total += about;
        let target = Arc::clone(&self.target);
        let flow = tables.copy_to(&*target, &mut |bytes| self.tell(bytes)).map_err(failed)?;
        if flow.is_break() {
            return Err(BackupError::BrokenOff);
        }
        self.total = total + self.report.bytes - before;
        self.report.files += 1;
        Ok(())
    }

    fn segment(&mut self, folder: &str, segment: &Segment) -> Result<(), BackupError> {
        let name = segment_name(folder, segment);
        let file = self.engine.disk.open(&name, OpenMode::Read)?;
        self.file(&*file, &name, segment.bytes)?;
        for name in [index_name(folder, segment), topics_name(folder, segment)] {
            match self.engine.disk.open(&name, OpenMode::Read) {
                // One that is not sealed has none yet.
                Err(error) if error.kind() == ErrorKind::NotFound => (),
                file => {
                    let file = file?;
                    let bytes = file.len()?;
                    self.total += bytes;
                    self.file(&*file, &name, bytes)?;
                }
            }
        }
        Ok(())
    }

    /// The first so many bytes of a file.
    fn file(&mut self, from: &dyn File, name: &str, bytes: u64) -> Result<(), BackupError> {
        let to = self.target.open(name, OpenMode::Create)?;
        let mut at = 0;
        while at < bytes {
            let count = CHUNK_BYTES.min(bytes - at);
            let chunk = from.read_vec(usize::try_from(count).unwrap_or(usize::MAX), at)?;
            to.write_all_at(&mut [IoSlice::new(&chunk)], at)?;
            at += count;
            if at.is_multiple_of(SYNCED_BYTES) {
                to.sync_data()?;
            }
            self.copied(count)?;
        }
        to.sync_data()?;
        self.report.files += 1;
        Ok(())
    }

    fn copied(&mut self, bytes: u64) -> Result<(), BackupError> {
        match self.tell(bytes) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(BackupError::BrokenOff),
        }
    }

    fn tell(&mut self, bytes: u64) -> ControlFlow<()> {
        self.report.bytes += bytes;
        self.total = self.total.max(self.report.bytes);
        (self.watch)(Progress { done: self.report.bytes, total: self.total })
    }

    /// Its header and the whole frames behind it; what follows is zeros. True when the mark is
    /// among them.
    fn log_file(
        &mut self,
        from: &WalFile,
        mark: &[u8],
        next: &mut Option<u64>,
    ) -> Result<bool, BackupError> {
        let to = self.target.open(&from.name(), OpenMode::Create)?;
        let header_bytes = usize::try_from(FRAMES_FROM).unwrap_or(usize::MAX);
        let header = from.file.read_vec(header_bytes, 0)?;
        to.write_all_at(&mut [IoSlice::new(&header)], 0)?;
        let mut has_mark = false;
        let mut at = FRAMES_FROM;
        while let Some(bytes) = frame_bytes(from, at)? {
            let Some(frame) = Frame::parse(&bytes, from.sign(), from.salt) else { break };
            if next.is_some_and(|next| frame.lsn != next) {
                break;
            }
            *next = Some(frame.lsn + 1);
            has_mark |= frame.entries().any(|entry| is_mark(entry.ok(), mark));
            to.write_all_at(&mut [IoSlice::new(&bytes)], at)?;
            at = (at + bytes.len() as u64).next_multiple_of(FRAME_ALIGNMENT);
            self.report.frames += 1;
            self.copied(bytes.len() as u64)?;
        }
        to.set_len(from.bytes)?;
        to.sync_data()?;
        self.report.files += 1;
        Ok(has_mark)
    }

    /// Last: with it, everything else is there.
    fn version(&mut self) -> Result<(), BackupError> {
        let version = self.engine.disk.open(VERSION, OpenMode::Read)?;
        let bytes = version.len()?;
        self.file(&*version, VERSION_TEMPORARY, bytes)?;
        self.target.rename(VERSION_TEMPORARY, VERSION)?;
        Ok(self.target.sync_dir("")?)
    }
}

fn failed(error: DatabaseError) -> BackupError {
    match error.is_of_an_old_handle() {
        true => BackupError::Full,
        false => BackupError::Tables(error.to_string()),
    }
}

/// The bytes of what says to be a frame; `None`: nothing does.
fn frame_bytes(file: &WalFile, at: u64) -> io::Result<Option<Vec<u8>>> {
    let header_bytes = FRAME_HEADER_BYTES as u64;
    if at.saturating_add(header_bytes) > file.bytes {
        return Ok(None);
    }
    let header = file.file.read_vec(FRAME_HEADER_BYTES, at)?;
    let Some(claim) = Claim::read(&header, file.sign()) else { return Ok(None) };
    if at.saturating_add(claim.bytes) > file.bytes {
        return Ok(None);
    }
    let bytes = usize::try_from(claim.bytes).unwrap_or(usize::MAX);
    file.file.read_vec(bytes, at).map(Some)
}

fn is_mark(entry: Option<Entry<'_>>, mark: &[u8]) -> bool {
    let Some(Entry::Change { table: Table::Meta, key, value }) = entry else { return false };
    key == MARK_KEY && value == Some(mark)
}
