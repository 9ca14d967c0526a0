//! `[transactions]`: transactions of Kafka producers. Never reads a file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::defaults::{KIB, MIB};
use super::quantity::{bytes, count, millis, millis_out, seconds};

/// `[transactions]`: what transactions of Kafka producers may hold, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransactionsConfig {
    /// Transactional ids at one time.
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    pub ids_max: u32,
    /// Bytes that one transaction holds until its end.
    #[serde(deserialize_with = "bytes::<_, _, { 64 * KIB }, { 1024 * MIB }>")]
    pub bytes_max: u32,
    /// The same of all transactions together.
    #[serde(deserialize_with = "bytes::<_, _, { 64 * KIB }, { 3 * 1024 * MIB }>")]
    pub all_bytes_max: u32,
    /// The longest time that a producer may ask for a transaction, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 1, 86_400_000>", serialize_with = "millis_out")]
    pub timeout_ms_max: Duration,
    /// How long a transactional id that nobody uses is known, in seconds.
    #[serde(deserialize_with = "seconds::<_, _, 3_600, 315_360_000>")]
    pub retention_s: u32,
}

impl Default for TransactionsConfig {
    fn default() -> Self {
        Self {
            ids_max: 10_000,
            bytes_max: 16 * 1024 * 1024,
            all_bytes_max: 256 * 1024 * 1024,
            timeout_ms_max: Duration::from_secs(900),
            retention_s: 7 * 86_400,
        }
    }
}

impl TransactionsConfig {
    /// As the port wants it: a transaction is one commit, and that lies in one file of the log.
    #[must_use]
    pub fn limits(&self, wal_file_bytes: u64) -> tidewire_bridge::transactions::Limits {
        let bytes_max = u64::from(self.bytes_max).min(wal_file_bytes / 2);
        tidewire_bridge::transactions::Limits {
            ids_max: self.ids_max as usize,
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
            all_bytes_max: self.all_bytes_max as usize,
            timeout_ms_max: u32::try_from(self.timeout_ms_max.as_millis()).unwrap_or(u32::MAX),
            retention_ms: u64::from(self.retention_s) * 1000,
            ..tidewire_bridge::transactions::Limits::default()
        }
    }
}
