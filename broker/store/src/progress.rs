//! How far something long is. Plain data.

/// How far a long look is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes looked at.
    pub done: u64,
    /// Bytes to look at, as far as known.
    pub total: u64,
}
