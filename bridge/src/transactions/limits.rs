//! What producers can make transactions hold, and for how long. Every bound has a name.

/// The settings of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Transactional ids that are known at one time.
    pub ids_max: usize,
    /// Bytes of such an id.
    pub id_bytes_max: usize,
    /// Bytes that one transaction holds.
    pub bytes_max: usize,
    /// The same of all transactions together.
    pub all_bytes_max: usize,
    /// The longest time that a transaction may take.
    pub timeout_ms_max: u32,
    /// How long an id is known that nobody uses.
    pub retention_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ids_max: 10_000,
            id_bytes_max: 1024,
            bytes_max: 16 << 20,
            all_bytes_max: 256 << 20,
            timeout_ms_max: 900_000,
            retention_ms: 7 * 24 * 3_600_000,
        }
    }
}
