//! Why a port does not open: in words that say what was tried. Decides nothing.

use std::io;

use tidewire_store::ReadError;

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
