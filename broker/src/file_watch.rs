//! Looks whether files changed. Never opens one.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// What tells one state of a file from another; `None`: it is not there.
type Mark = Option<[i128; 5]>;

/// What came of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// What stands there is in force.
    Taken,
    /// It is wrong: to read it again helps when it has changed.
    Wrong,
    /// It could not be read. The reason may pass without a change of the file: the next look reads
    /// again, or who lost a right by the change would keep it.
    Unread,
}

impl Reading {
    /// Of a file that could not be read; what is no text is wrong, however often it is read.
    pub(crate) fn of_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Wrong,
            _ => Self::Unread,
        }
    }

    /// For the log, where something is said of it.
    pub(crate) fn what_next(self) -> &'static str {
        match self {
            Self::Unread => "; it is tried again",
            Self::Taken | Self::Wrong => "",
        }
    }
}

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
    /// How often in a row they could not be read as they are.
    unread: u32,
    /// How they were at the last time that they could not.
    failed: Vec<Mark>,
}

impl FileWatch {
    /// To be made before the files are read.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let now = marks(&paths);
        Self {
            paths,
            seen: Mutex::new(Seen { read: now.clone(), looked: now, unread: 0, failed: vec![] }),
            turn: Mutex::new(()),
        }
    }

    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Has them read, and what was read put in force, when they have changed and are written: they
    /// are by then when they have not changed since the last look. Who reads is told whether the
    /// log is to hear of it when that is in vain.
    pub(crate) fn look(&self, read: impl FnOnce(bool) -> Reading) -> Option<Reading> {
        let _turn = self.turn.lock();
        let now = marks(&self.paths);
        let is_settled = {
            let mut seen = self.seen.lock();
            let is_settled = seen.looked == now && seen.read != now;
            seen.looked.clone_from(&now);
            is_settled
        };
        is_settled.then(|| self.read(now, read))
    }

    /// The same as soon as they have changed: for files that are small and replaced as a whole. One
    /// that is read half written changes once more.
    pub(crate) fn look_at_once(&self, read: impl FnOnce(bool) -> Reading) -> Option<Reading> {
        let _turn = self.turn.lock();
        let now = marks(&self.paths);
        let has_changed = now != self.seen.lock().read;
        has_changed.then(|| self.read(now, read))
    }

    /// The same now, changed or not.
    pub(crate) fn reload(&self, read: impl FnOnce(bool) -> Reading) -> Reading {
        let _turn = self.turn.lock();
        self.seen.lock().unread = 0;
        self.read(marks(&self.paths), read)
    }

    /// Reads them; they have these marks, by which they are known as read unless that is in vain.
    fn read(&self, now: Vec<Mark>, read: impl FnOnce(bool) -> Reading) -> Reading {
        // Each second would be too often for the log: the first time, the second, the fourth, …
        let is_told = {
            let mut seen = self.seen.lock();
            if seen.failed != now {
                seen.unread = 0;
            }
            (seen.unread + 1).is_power_of_two()
        };
        let reading = read(is_told);
        let mut seen = self.seen.lock();
        match reading {
            Reading::Unread => {
                seen.unread = seen.unread.saturating_add(1).min(u32::MAX - 1);
                seen.looked.clone_from(&now);
                seen.failed = now;
            }
            Reading::Taken | Reading::Wrong => {
                *seen = Seen { read: now.clone(), looked: now, unread: 0, failed: vec![] };
            }
        }
        reading
    }
}

fn marks(paths: &[PathBuf]) -> Vec<Mark> {
    paths.iter().map(|path| mark(path)).collect()
}

fn mark(path: &Path) -> Mark {
    let data = std::fs::metadata(path).ok()?;
    let written = i128::from(data.mtime()) * 1_000_000_000 + i128::from(data.mtime_nsec());
    let changed = i128::from(data.ctime()) * 1_000_000_000 + i128::from(data.ctime_nsec());
    Some([data.dev().into(), data.ino().into(), data.size().into(), written, changed])
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use parking_lot::Mutex;

    use super::{FileWatch, Reading};

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
                watch.reload(|_| {
                    let text = load();
                    has_read.send(()).expect("it waits");
                    may_go.recv().expect("it comes");
                    *in_force.lock() = text;
                    Reading::Taken
                });
            });
            is_read.recv().expect("it reads");
            std::fs::write(&path, "new").expect("written");
            assert!(watch.turn.try_lock().is_none(), "nobody else reads meanwhile");
            let later = scope.spawn(move || {
                watch.reload(|_| {
                    *in_force.lock() = load();
                    Reading::Taken
                })
            });
            go.send(()).expect("it waits");
            later.join().expect("no panic");
        });
        assert_eq!(*in_force.lock(), "new");
    }

    /// A file that is watched and has changed.
    fn changed() -> (tempfile::TempDir, FileWatch) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "old").expect("written");
        let watch = FileWatch::new(vec![path.clone()]);
        std::fs::write(&path, "changed").expect("written");
        (folder, watch)
    }

    #[test]
    fn what_could_not_be_read_is_read_again_at_the_next_look_though_it_has_not_changed() {
        let (_folder, watch) = changed();
        assert_eq!(watch.look(|_| Reading::Taken), None, "it may be on its way");
        for _ in 0..3 {
            assert_eq!(watch.look(|_| Reading::Unread), Some(Reading::Unread));
        }
        assert_eq!(watch.look(|_| Reading::Taken), Some(Reading::Taken));
        assert_eq!(watch.look(|_| Reading::Taken), None, "once is enough");
        let (_folder, watch) = changed();
        for reading in [Reading::Unread, Reading::Unread, Reading::Taken] {
            assert_eq!(watch.look_at_once(|_| reading), Some(reading));
        }
        assert_eq!(watch.look_at_once(|_| Reading::Taken), None);
        let (_folder, watch) = changed();
        assert_eq!(watch.reload(|_| Reading::Unread), Reading::Unread);
        assert_eq!(watch.look(|_| Reading::Taken), Some(Reading::Taken));
    }

    #[test]
    fn what_is_wrong_is_not_read_again_until_it_changes() {
        let (folder, watch) = changed();
        assert_eq!(watch.look_at_once(|_| Reading::Wrong), Some(Reading::Wrong));
        assert_eq!(watch.look_at_once(|_| Reading::Taken), None);
        assert_eq!(watch.look(|_| Reading::Taken), None);
        std::fs::write(folder.path().join("file"), "another").expect("written");
        assert_eq!(watch.look_at_once(|_| Reading::Taken), Some(Reading::Taken));
    }

    #[test]
    fn the_log_hears_less_and_less_of_what_cannot_be_read() {
        let (_folder, watch) = changed();
        let mut told = Vec::new();
        for count in 1..=20 {
            watch.look_at_once(|is_told| {
                told.extend(is_told.then_some(count));
                Reading::Unread
            });
        }
        assert_eq!(told, [1, 2, 4, 8, 16]);
        watch.reload(|is_told| {
            assert!(is_told, "somebody asks for it");
            Reading::Taken
        });
    }
}
