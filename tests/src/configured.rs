//! A broker with a configuration file of the test's own.

use std::fs;
use std::path::PathBuf;

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
        fs::write(self.path(), text).expect("written");
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
