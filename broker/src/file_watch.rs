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
    /// Held while they are read: of two readings the later one is in force.
    turn: Mutex<()>,
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
        Self {
            paths,
            seen: Mutex::new(Seen { read: now.clone(), looked: now }),
            turn: Mutex::new(()),
        }
    }

    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Has them read, and what was read put in force, when they have changed and are written.
    pub(crate) fn look<R>(&self, read: impl FnOnce() -> R) -> Option<R> {
        let _turn = self.turn.lock();
        self.is_settled().then(read)
    }

    /// The same as soon as they have changed: for files that are small and replaced as a whole. One
    /// that is read half written changes once more.
    pub(crate) fn look_at_once<R>(&self, read: impl FnOnce() -> R) -> Option<R> {
        let _turn = self.turn.lock();
        let has_changed = marks(&self.paths) != self.seen.lock().read;
        has_changed.then(|| {
            self.note();
            read()
        })
    }

    /// The same now, changed or not.
    pub(crate) fn reload<R>(&self, read: impl FnOnce() -> R) -> R {
        let _turn = self.turn.lock();
        self.note();
        read()
    }

    /// Whether they changed since they were read, and not since the last look: they are written
    /// by then. Taken for read when they have.
    fn is_settled(&self) -> bool {
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
    fn note(&self) {
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use parking_lot::Mutex;

    use super::FileWatch;

    #[test]
    fn of_two_readings_at_once_the_later_one_is_in_force() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "old").expect("written");
        let watch = FileWatch::new(vec![path.clone()]);
        let in_force = Mutex::new(String::new());
        let load = || std::fs::read_to_string(&path).expect("it is there");
        let (has_read, is_read) = channel();
        let (go, may_go) = channel();
        std::thread::scope(|scope| {
            let (watch, in_force, load) = (&watch, &in_force, &load);
            scope.spawn(move || {
                watch.reload(|| {
                    let text = load();
                    has_read.send(()).expect("it waits");
                    may_go.recv().expect("it comes");
                    *in_force.lock() = text;
                });
            });
            is_read.recv().expect("it reads");
            std::fs::write(&path, "new").expect("written");
            assert!(watch.turn.try_lock().is_none(), "nobody else reads meanwhile");
            let later = scope.spawn(move || watch.reload(|| *in_force.lock() = load()));
            go.send(()).expect("it waits");
            later.join().expect("no panic");
        });
        assert_eq!(*in_force.lock(), "new");
    }
}
