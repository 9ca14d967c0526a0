//! How records lie in the log: Kafka's record batch, format v2. Bytes only: never a file, never
//! an offset of its own making (the store assigns those).

mod batch;
mod builder;
mod codec;
mod gap;
mod header;
mod key;
mod layout;
mod records;
mod repack;
mod restamp;
mod route;
mod spans;
mod varint;

pub use batch::{Batch, BatchError, Outline, SharedRecord};
pub use builder::BatchBuilder;
pub use codec::{Compression, RECORDS_BYTES_MAX};
pub use header::Header;
pub use key::KeyRule;
pub use layout::{BATCH_BYTES_MAX, BATCH_HEADER_BYTES, BATCH_PREFIX_BYTES};
pub use records::{Headers, Keys, Record, Records};
pub use repack::Repacker;
pub use route::partition_index;
pub use spans::{Layout, Span, key_spans};
