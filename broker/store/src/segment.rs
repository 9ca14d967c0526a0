//! Segment files: checkpointed batches of one partition, byte for byte as Kafka writes them, and
//! the sparse index beside a sealed one. Never decides when a batch moves there.

mod append;
mod archive;
mod check;
mod filter;
mod index;
mod kept;
mod lookup;
mod meter;
mod name;
mod postings;
mod read;
mod remove;
mod rewrite;
mod topics;
mod window;

pub(crate) use append::{AppendError, Sources, append, close};
pub(crate) use archive::{Archive, Located};
pub(crate) use check::{check_index, rebuild_index};
pub(crate) use lookup::{find, read_matching};
pub(crate) use name::{index_name, segment_name, topics_name};
pub(crate) use read::{Stretch, first_timestamp, read, time_hint, visit};
pub(crate) use remove::{remove, sweep};
pub(crate) use rewrite::{Recipe, Rewritten, rewrite};
