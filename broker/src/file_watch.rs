//! Looks whether files changed. Never opens one.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// What tells one state of a file from another; `None`: it is not there.
type Mark = Option<[i128; 4]>;

/// Files, and how they were when they were read.
#[derive(Debug)]
pub(crate) struct FileWatch {
    paths: Vec<PathBuf>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// When they were read.
    read: Vec<Mark>,
    /// At the last look.
    looked: Vec<Mark>,
}

impl FileWatch {
    /// To be made before the files are read.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let now = marks(&paths);
        Self { paths, seen: Mutex::new(Seen { read: now.clone(), looked: now }) }
    }

    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Whether they changed since they were read, and not since the last look: they are written
    /// by then. Taken for read when they have.
    pub(crate) fn is_settled(&self) -> bool {
        let now = marks(&self.paths);
        let mut seen = self.seen.lock();
        let is_settled = seen.looked == now && seen.read != now;
        if is_settled {
            seen.read.clone_from(&now);
        }
        seen.looked = now;
        is_settled
    }

    /// They are about to be read.
    pub(crate) fn note(&self) {
        let now = marks(&self.paths);
        *self.seen.lock() = Seen { read: now.clone(), looked: now };
    }
}

fn marks(paths: &[PathBuf]) -> Vec<Mark> {
    paths.iter().map(|path| mark(path)).collect()
}

fn mark(path: &Path) -> Mark {
    let data = std::fs::metadata(path).ok()?;
    let written = i128::from(data.mtime()) * 1_000_000_000 + i128::from(data.mtime_nsec());
    let changed = i128::from(data.ctime()) * 1_000_000_000 + i128::from(data.ctime_nsec());
    Some([data.ino().into(), data.size().into(), written, changed])
}
