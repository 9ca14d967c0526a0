//! Segment files: checkpointed batches of one partition, byte for byte as Kafka writes them, and
//! the sparse index beside a sealed one. Never decides when a batch moves there.

mod append;
mod archive;
mod chain;
mod check;
mod draft;
mod enrich;
mod filter;
mod index;
mod kept;
mod lookup;
mod meter;
mod name;
mod places;
mod postings;
mod read;
mod remove;
mod resift;
mod rewrite;
mod sieves;
mod silence;
mod topics;
mod window;

pub(crate) use append::{AppendError, Grown, Sources, append, close};
pub(crate) use archive::{Archive, Located};
pub(crate) use chain::{Chain, Place};
pub(crate) use check::{check_index, rebuild_index};
pub(crate) use draft::Drafts;
pub(crate) use enrich::{enrich, usual_batch_bytes};
pub(crate) use lookup::{find, read_matching};
pub(crate) use name::{index_name, is_sieves, segment_name, sieves_name, topics_name};
pub(crate) use places::known_places;
pub(crate) use read::{Stretch, first_timestamp, miss, read, read_block, time_hint, visit};
pub(crate) use remove::{remove, remove_sieves, sweep};
pub(crate) use resift::make_runs;
pub(crate) use rewrite::{Recipe, Rewritten, rewrite};
pub(crate) use sieves::{load_sieves, save_run};
