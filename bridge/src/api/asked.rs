//! What one request may ask for at once, and what its answer may come to. Knows no API.

use std::collections::BTreeSet;

use crate::room::Room;
use crate::wire::ANSWER_BYTES_MAX;

/// Groups, or transactional ids, of one request that are looked at: as many as there can be by
/// default.
const NAMES_MAX: usize = 10_000;
/// What a group takes in an answer, besides what it says.
pub(super) const GROUP_BYTES: usize = 512;
/// A member of it.
pub(super) const MEMBER_BYTES: usize = 512;
/// Why a group is not answered.
pub(super) const TOO_MUCH: &str = "this is too much for one answer: ask for fewer groups at once";

/// Who is named several times is asked for once.
pub(super) fn once<'a, T, N: Ord + 'a>(
    all: &'a [T],
    name: impl Fn(&'a T) -> &'a N,
) -> impl Iterator<Item = &'a T> {
    let mut seen = BTreeSet::new();
    all.iter().filter(move |one| seen.insert(name(one))).take(NAMES_MAX)
}

/// Room for what groups say in one answer; half, as encoding holds it once more.
pub(super) fn room() -> Room {
    Room::new(ANSWER_BYTES_MAX / 2)
}
