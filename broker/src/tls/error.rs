//! Why certificates, keys and lists cannot be used.

use std::io;
use std::path::PathBuf;

use crate::file_watch::Reading;

/// Why certificates, keys and lists cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// A file is not what it should be.
    #[error("{} is no PEM file: {}", .0.display(), .1)]
    Form(PathBuf, String),
    /// A file has nothing of what is looked for.
    #[error("{} holds no {}", .0.display(), .1)]
    Empty(PathBuf, &'static str),
    /// What is in a file is of no use.
    #[error("{}: {}", .0.display(), .1)]
    Content(PathBuf, String),
    /// A key and a certificate that do not belong together.
    #[error("the key in {} is not that of the certificate in {}", .key.display(), .cert.display())]
    Mismatch {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// Its time is over, while that of the one in use is not.
    #[error("the certificate in {} has expired", .0.display())]
    Expired(PathBuf),
    /// Its time has not come, while that of the one in use has.
    #[error("the certificate in {} is not valid yet (see `tidewire certs show`)", .0.display())]
    Early(PathBuf),
    /// No file is named.
    #[error("no `{0}` is named")]
    Missing(&'static str),
    /// The library refuses the settings.
    #[error("these settings of TLS cannot be used: {0}")]
    Settings(String),
}

impl TlsError {
    /// Whether it helps to read the same files again.
    pub(crate) fn reading(&self) -> Reading {
        match self {
            Self::Read(_, error) => Reading::of_error(error),
            // Random bytes for tickets may be lacking, and come.
            Self::Settings(_) => Reading::Unread,
            Self::Form(..)
            | Self::Empty(..)
            | Self::Content(..)
            | Self::Mismatch { .. }
            | Self::Expired(_)
            // Its day comes without a change of the file: the slot knows when.
            | Self::Early(_)
            | Self::Missing(_) => Reading::Wrong,
        }
    }
}
