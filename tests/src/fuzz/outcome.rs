//! What an input led to, as numbers. Knows no target.

use std::hash::{DefaultHasher, Hash, Hasher as _};

/// Equal outcomes have equal numbers.
pub type Outcome = Vec<u64>;

/// The number of one thing that happened.
pub(super) fn mark(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
