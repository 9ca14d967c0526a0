//! A client of somebody else's Kafka, as small as exports and imports need it. Never decides what
//! is written or read.

mod calls;
pub(crate) mod cluster;
pub(crate) mod fault;
pub(crate) mod files;
pub(crate) mod link;
pub(crate) mod packed;
pub(crate) mod produce;
mod sign_in;
pub(crate) mod socket;
pub(crate) mod target;

pub use files::TlsFiles;
pub use packed::Packing;
pub use target::{Sasl, SignIn, Target};
