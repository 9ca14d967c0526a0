//! A data folder as the next start would find it, read without a trace and while a broker may be
//! writing. Never judges what it read.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use tidewire_proto::id::PartitionId;

use super::overlay::Overlay;
use crate::disk::{Disk, OpenMode};
use crate::engine::Engine;
use crate::error::OpenError;
use crate::folder;
use crate::options::StoreOptions;
use crate::recovery::{
    Rebuild, RecoveryReport, check_streams, load_streams, new_engine, restore_partitions,
};
use crate::tables::{Checkpoint, DATABASE_FILE, Database, DatabaseError, Manifest};
use crate::wal::{Found, ReplayError, Replayed, replay};

/// Memory for pages of the database.
pub(super) const CACHE_BYTES: usize = 32 << 20;
/// The part of the database's file that every commit changes.
const COMMIT_MARK_BYTES: usize = 320;
/// How often a folder that changes under our eyes is read again.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Why a folder could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// The folder is not there, is not ours, or is beyond us.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// A broker writes faster than we read.
    #[error(
        "the broker that runs on the folder checkpoints faster than the folder can be read; try \
         again when it is calmer, or on a copy"
    )]
    Busy,
}

/// The folder at one moment.
pub(super) struct View {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) engine: Engine,
    pub(super) checkpoint: Checkpoint,
    pub(super) manifest: Manifest,
    /// What the write-ahead log holds behind the checkpoint, or why it cannot be read to its end.
    pub(super) log: Result<Replayed, ReplayError>,
    pub(super) report: RecoveryReport,
}

impl View {
    /// Read the tables and the write-ahead log. `watch` hears of every frame.
    pub(super) fn load(
        disk: &Arc<dyn Disk>,
        watch: &mut dyn FnMut(&Found<'_>),
    ) -> Result<Self, LookError> {
        stable(disk, &mut |disk| load(disk, watch))
    }

    /// The number of the first frame that could not be read.
    pub(super) fn next_lsn(&self) -> u64 {
        self.checkpoint.next_lsn + self.report.frames
    }

    /// The stream of a partition and its place in it.
    pub(super) fn name_of(&self, id: PartitionId) -> (String, usize) {
        for stream in self.engine.catalog.streams().iter() {
            if let Some(index) = stream.partitions.iter().position(|known| *known == id) {
                return (stream.name.clone(), index);
            }
        }
        (format!("(partition {})", id.0), 0)
    }
}

/// What is done with a folder as it is at one moment.
type Work<'a, T> = dyn FnMut(&Arc<dyn Disk>) -> Result<T, OpenError> + 'a;

/// Do something with the folder that has to fall between two checkpoints.
pub(super) fn stable<T>(disk: &Arc<dyn Disk>, work: &mut Work<'_, T>) -> Result<T, LookError> {
    for _ in 0..ATTEMPTS {
        let before = commit_mark(&**disk);
        let overlay: Arc<dyn Disk> = Arc::new(Overlay::new(Arc::clone(disk)));
        let done = work(&overlay);
        if commit_mark(&**disk) == before {
            return done.map_err(LookError::Open);
        }
        std::thread::sleep(PAUSE);
    }
    Err(LookError::Busy)
}

/// `None` if the file is not there or too short: then no broker is changing it.
fn commit_mark(disk: &dyn Disk) -> Option<[u8; COMMIT_MARK_BYTES]> {
    let file = disk.open(DATABASE_FILE, OpenMode::Read).ok()?;
    let mut mark = [0; COMMIT_MARK_BYTES];
    file.read_exact_at(&mut mark, 0).ok()?;
    Some(mark)
}

/// The folder as it lies there; a broker must not be in the middle of a checkpoint.
pub(super) fn load(
    disk: &Arc<dyn Disk>,
    watch: &mut dyn FnMut(&Found<'_>),
) -> Result<View, OpenError> {
    folder::check(&**disk)?;
    if !Database::exists(&**disk)? {
        return Err(OpenError::Missing { file: DATABASE_FILE.into() });
    }
    let damaged = |error: DatabaseError| OpenError::Damaged {
        file: DATABASE_FILE.into(),
        position: 0,
        what: error.to_string(),
    };
    let database = Database::open(Arc::clone(disk), CACHE_BYTES).map_err(damaged)?;
    let (checkpoint, manifest) = database.load().map_err(damaged)?;
    let options = StoreOptions { streams: Vec::new(), threads: false, ..StoreOptions::default() };
    let engine = new_engine(Arc::clone(disk), options, database);
    load_streams(&engine)?;
    restore_partitions(&engine, manifest.clone())?;
    let mut rebuild = Rebuild::new(&engine);
    let (mut frames, mut bytes) = (0, 0);
    let log = replay(&**disk, checkpoint.epoch, checkpoint.next_lsn, &mut |found| {
        watch(&found);
        rebuild.take_up(&found)?;
        frames += 1;
        bytes += found.frame.bytes();
        Ok(())
    });
    if log.is_ok() {
        check_streams(&engine)?;
    }
    let torn = log.as_ref().ok().and_then(|replayed| replayed.torn.clone());
    let report = RecoveryReport { frames, bytes, torn, ..rebuild.report };
    Ok(View { disk: Arc::clone(disk), engine, checkpoint, manifest, log, report })
}

/// The names in a folder that may not be there.
pub(super) fn names_in(disk: &dyn Disk, folder: &str) -> io::Result<Vec<String>> {
    match disk.list(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}
