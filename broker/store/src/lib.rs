//! The disk floor: write-ahead log, partitions, tables, recovery. Never a socket.
//!
//! One writer gathers commits while the last sync runs and puts them into the write-ahead log as
//! one frame: appends to partitions and changes to tables, durable together with one sync. A
//! checkpointer behind it moves batches to segment files and rows to a database. docs/format.md
//! draws every byte.

mod background;
mod backup;
mod catalog;
mod checkpoint;
mod clock;
mod commit;
mod compact;
mod deletion;
pub mod disk;
mod engine;
mod error;
mod find;
mod folder;
mod frame;
mod growth;
mod health;
mod holds;
pub mod inspect;
mod mutation;
mod options;
mod partition;
mod parts;
mod progress;
mod queue;
mod read;
mod reader;
mod recovering;
mod recovery;
mod replies;
mod resieve;
mod retain;
mod retention;
mod roll;
pub mod rows;
mod seal;
mod sealer;
mod segment;
mod sieve;
#[cfg(any(test, feature = "sim"))]
pub mod simulate;
mod store;
mod stream;
mod table;
mod tables;
mod time;
mod upkeep;
mod wal;
mod writer;

#[cfg(test)]
mod tests;

pub use backup::{BackupError, BackupReport, Watch};
pub use commit::{
    Append, Appended, Commit, CommitError, Follower, OffsetOf, Offsets, Outcome, Reply, ReplyTo,
    TableChange,
};
#[cfg(any(test, feature = "sim"))]
pub use disk::copy_at_rest;
pub use disk::{Disk, RealDisk};
pub use error::{CloseError, OpenError};
pub use growth::StreamError;
pub use health::Health;
#[cfg(any(test, feature = "sim"))]
pub use mutation::Mutation;
pub use options::{StoreOptions, StreamOptions};
pub use read::{Found, Quarantined, ReadError, Slice, StoredBatch, VisitRow};
pub use recovering::Recovering;
pub use recovery::RecoveryReport;
pub use retain::{Deleted, Forecast, RetentionReport};
pub use retention::Loss;
pub use store::Store;
pub use stream::{Compression, Durability, KeyRule, OnLimit, Retention, Stream, StreamConfig};
pub use table::Table;
