//! A broker with a configuration file of the test's own.

use std::fs::{self, File};
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::broker::Broker;

/// A configuration file, which a test may rewrite between starts.
#[derive(Debug)]
pub struct Configured {
    folder: tempfile::TempDir,
}

impl Configured {
    /// A file with this text.
    ///
    /// # Panics
    /// When it cannot be written; so do all others here.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let config = Self { folder: tempfile::tempdir().expect("a folder") };
        config.write(text);
        config
    }

    /// Another text for the next start.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, text: &str) {
        // Replaced as a whole: what is there may be a pipe.
        let fresh = self.path().with_extension("new");
        fs::write(&fresh, text).expect("written");
        fs::rename(&fresh, self.path()).expect("replaced");
    }

    /// Puts a pipe in its place, does this, and returns when the file is being read: who reads it
    /// waits for what is written to the pipe, until that is dropped.
    ///
    /// # Panics
    /// When the system gives no pipe.
    #[must_use]
    pub fn held(&self, act: impl FnOnce()) -> File {
        let path = self.path();
        fs::remove_file(&path).expect("it was there");
        let (kind, rights) = (FileType::Fifo, Mode::RUSR | Mode::WUSR);
        mknodat(CWD, &path, kind, rights, 0).expect("a pipe");
        act();
        // Returns when there is a reader.
        File::options().write(true).open(&path).expect("it is read")
    }

    /// Starts a broker with the file on a fresh data folder.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(&self) -> Broker {
        self.start_with(&[])
    }

    /// Like `start`, with more flags.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_with(&self, flags: &[&str]) -> Broker {
        let path = self.path();
        let config = ["--config", path.to_str().expect("a path in UTF-8")];
        Broker::start_with(&[&config, flags].concat())
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("tidewire.toml")
    }
}
