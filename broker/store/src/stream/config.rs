//! How a stream is kept. Plain data; decides nothing.

pub use tidewire_proto::record::{Compression, KeyRule};

/// What an acknowledgement promises for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Synced to disk: survives a power cut.
    #[default]
    Disk,
    /// Handed to the operating system: survives a crash of the broker, not of the machine.
    Os,
    /// Not waited for: may be lost in any crash.
    None,
}

/// What happens when held records reach [`Retention::hold_bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnLimit {
    /// New records are refused until readers have caught up.
    #[default]
    Refuse,
    /// The oldest records go, read or not.
    DeleteOldest,
}

/// How long records are kept. Whole segments go, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Older records go; for ever without.
    pub age_ms: Option<u64>,
    /// The oldest records go when the stream holds more; any number without.
    pub bytes: Option<u64>,
    /// What readers have not read is held beyond its age, until the stream holds this much.
    pub hold_bytes: u64,
    /// What happens then.
    pub on_limit: OnLimit,
}

impl Default for Retention {
    /// Everything, for ever.
    fn default() -> Self {
        Self { age_ms: None, bytes: None, hold_bytes: u64::MAX, on_limit: OnLimit::Refuse }
    }
}

/// How a stream is kept.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StreamConfig {
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// How long records are kept.
    pub retention: Retention,
    /// How sealed segments are compressed.
    pub compression: Compression,
    /// Keep only the newest record of each key.
    pub compact: bool,
    /// What chooses a record's partition.
    pub key: KeyRule,
}
