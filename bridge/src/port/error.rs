//! Why a port does not open: in words that say what was tried. Decides nothing.

use std::io;

use tidewire_store::ReadError;

use crate::identity::NoIdentity;

/// Why a bound port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The tables of the data folder cannot be read.
    #[error("the tables of the data folder cannot be read")]
    Tables(#[source] ReadError),
    /// The system refuses a thread, a runtime or random numbers.
    #[error("the system refuses {0}")]
    System(&'static str, #[source] io::Error),
}

impl From<NoIdentity> for PortError {
    fn from(error: NoIdentity) -> Self {
        match error {
            NoIdentity::Tables(error) => Self::Tables(error),
            NoIdentity::Random(error) => Self::System("random numbers", error),
        }
    }
}
