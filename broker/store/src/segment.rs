//! Segment files: checkpointed batches of one partition, byte for byte as Kafka writes them, and
//! the sparse index beside a sealed one. Never decides when a batch moves there.

mod append;
mod index;
mod read;

pub(crate) use append::{AppendError, Sources, append};
pub(crate) use index::IndexCache;
pub(crate) use read::read;
