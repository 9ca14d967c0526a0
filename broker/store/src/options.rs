//! Everything about the store that can be chosen, each with its default. Decides nothing.

use std::sync::Arc;

use crate::recovering::Recovering;
use crate::stream::StreamConfig;

const MIB: u64 = 1 << 20;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Streams that must exist; those that do not are created.
    pub streams: Vec<StreamOptions>,
    /// Size of one write-ahead log file. A commit must fit into one.
    pub wal_file_bytes: u64,
    /// When the write-ahead log holds this much that is not checkpointed, appends wait.
    pub wal_bytes_max: u64,
    /// One sync makes at most about this much durable, so that latency stays even.
    pub frame_bytes_max: u64,
    /// Recent batches kept in memory, for all partitions together.
    pub recent_bytes_max: u64,
    /// Above this much that waits for the writer, the store says that it is busy.
    pub backlog_bytes_max: u64,
    /// A segment is sealed when it is this large.
    pub segment_bytes_max: u64,
    /// Records of a sealed segment share batches of about this much before compression. Large
    /// batches compress better; who wants single records reads whole batches.
    pub sealed_batch_bytes: usize,
    /// In a compact stream, a record that says that its key was removed stays this long.
    pub tombstone_grace_ms: u64,
    /// Memory for pages of the checkpoint database.
    pub table_cache_bytes: usize,
    /// Threads for writing and checkpointing. Without them the store works only when
    /// [`Store::turn`](crate::Store::turn) is called, on the caller's thread: for simulations.
    pub threads: bool,
    /// Says how far opening is.
    pub recovering: Arc<Recovering>,
}

/// A stream that must exist.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// Its name, legal as a Kafka topic.
    pub name: String,
    /// How many partitions, when it is created.
    pub partitions: u32,
    /// How it is kept.
    pub config: StreamConfig,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            streams: vec![StreamOptions::default()],
            wal_file_bytes: 64 * MIB,
            wal_bytes_max: 512 * MIB,
            frame_bytes_max: 4 * MIB,
            recent_bytes_max: 64 * MIB,
            backlog_bytes_max: 32 * MIB,
            segment_bytes_max: 256 * MIB,
            sealed_batch_bytes: 64 << 10,
            tombstone_grace_ms: 24 * 60 * 60 * 1000,
            table_cache_bytes: 64 << 20,
            threads: true,
            recovering: Arc::default(),
        }
    }
}

impl Default for StreamOptions {
    /// The stream for whatever no other stream takes.
    fn default() -> Self {
        Self { name: "mqtt".into(), partitions: 4, config: StreamConfig::default() }
    }
}
