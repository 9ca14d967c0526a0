//! All that the store asks of a disk, and the real one. Owns no rule of the store: what is written
//! where, and when it is synced, is decided above.

mod access;
#[cfg(any(test, feature = "sim"))]
mod at_rest;
mod layered;
mod real;
mod sectors;
#[cfg(any(test, feature = "sim"))]
pub mod sim;

pub(crate) use access::NO_FILE_TO_OPEN;
pub use access::{Disk, File, OpenMode};
#[cfg(any(test, feature = "sim"))]
pub use at_rest::copy_at_rest;
pub use layered::{Layer, LayeredDisk};
pub use real::RealDisk;
pub(crate) use sectors::{is_too_small_to_tell, read_around, read_parts, salvage};
