//! The write-ahead log's files: their names and headers, a supply of ready ones, and reading them
//! back. Never what a frame means.

mod file;
mod replay;
mod supply;

pub(crate) use file::{FRAMES_FROM, WAL_DIR, WalFile, create_dir, epoch_of, name_of};
pub(crate) use replay::{Found, ReplayError, Replayed, replay, visit_strays};
pub(crate) use supply::{NoFile, Supply, first_bytes, is_full, passes};
