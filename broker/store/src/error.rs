//! Why a store does not open or close: each in words that name the file and what to do.

use std::io;
use std::sync::Arc;

/// Why the store did not open. Nothing on disk was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has the folder.
    #[error("the data folder is in use by another process; stop it or choose another folder")]
    Locked,
    /// A newer build wrote the folder.
    #[error("the data folder has format {found}, this build knows up to {known}: use a newer one")]
    NewerVersion {
        /// The folder's.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A file that must be there is not.
    #[error("{file} is missing from the data folder: restore it, or the folder, from a backup")]
    Missing {
        /// Relative to the data folder.
        file: String,
    },
    /// Bytes that must be right are not.
    #[error(
        "{file} is damaged at byte {position}: {what}; restore it, or the folder, from a backup"
    )]
    Damaged {
        /// Relative to the data folder.
        file: String,
        /// Where in it.
        position: u64,
        /// What is wrong.
        what: String,
    },
    /// The disk refused.
    #[error("{0}")]
    Io(String),
    /// An option that cannot be.
    #[error("{0}")]
    Option(String),
    /// The first commit, which creates streams, failed.
    #[error("the configured streams could not be created: {0}")]
    Streams(crate::growth::StreamError),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// Why a store did not stop cleanly. The next start replays the write-ahead log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// The disk had failed.
    #[error("the store had stopped writing: {0}")]
    Failed(Arc<str>),
}
