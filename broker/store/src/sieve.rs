//! Which stretches of a segment cannot hold a topic, while the segment has no topic index yet: one
//! small Bloom filter for some kilobytes of batches. May say that a topic could be there when it
//! is not; never the other way round. Never touches a file.

mod bits;
mod hash;
mod run;
mod runs;

pub(crate) use hash::topic_hash;
pub(crate) use run::{Run, RunBuilder};
pub(crate) use runs::{Block, Sieves, Sifted};

/// Memory for the sieves of all partitions; what comes beyond is read without.
pub(crate) const SIEVE_BYTES_MAX: usize = 64 << 20;
