//! How short-lived maps of small numbers hash.

use std::hash::BuildHasher;

use ahash::{AHasher, RandomState};

/// Without a seed of its own, as every session has such maps, and the same in every process, so
/// that what a message costs can be counted. For keys of which no client finds enough that collide
/// to slow anybody down: packet ids, of which there are 65,535, and places in the log, which the
/// broker gives (a client chooses which of its few stay unacknowledged, no more).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unseeded;

impl BuildHasher for Unseeded {
    type Hasher = AHasher;

    fn build_hasher(&self) -> AHasher {
        const SEEDS: RandomState = RandomState::with_seeds(1, 2, 3, 4);
        SEEDS.build_hasher()
    }
}
