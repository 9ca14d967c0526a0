//! What the files of a segment are called. A segment that was written anew has the number of its
//! generation in the names of its files.

use crate::partition::Segment;

/// The batches.
pub(super) const BATCHES: &str = "seg";
/// The sparse index.
pub(super) const INDEX: &str = "idx";
/// The topic index.
pub(super) const TOPICS: &str = "top";

/// The sieves of one that has no topic index yet.
pub(super) const SIEVES: &str = "siv";

/// The name of one of a segment's files.
pub(super) fn file_name(folder: &str, segment: &Segment, kind: &str) -> String {
    let base = segment.base;
    match segment.generation() {
        0 => format!("{folder}/{base:020}.{kind}"),
        generation => format!("{folder}/{base:020}.{generation}.{kind}"),
    }
}

/// Where a segment's batches are.
pub(crate) fn segment_name(folder: &str, segment: &Segment) -> String {
    file_name(folder, segment, BATCHES)
}

/// Where a sealed segment's sparse index is.
pub(crate) fn index_name(folder: &str, segment: &Segment) -> String {
    file_name(folder, segment, INDEX)
}

/// Where the topic index of a segment is that has one.
pub(crate) fn topics_name(folder: &str, segment: &Segment) -> String {
    file_name(folder, segment, TOPICS)
}

/// Where the sieves of a segment without a topic index are.
pub(crate) fn sieves_name(folder: &str, segment: &Segment) -> String {
    file_name(folder, segment, SIEVES)
}

/// Is this the name of a file of sieves?
pub(crate) fn is_sieves(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, kind)| kind == SIEVES)
}

/// Base and generation in the name of a segment's file, temporary ones included.
pub(super) fn parse(name: &str) -> Option<(u64, u32)> {
    let name = name.strip_suffix(".tmp").unwrap_or(name);
    let (base, rest) = name.split_once('.').unwrap_or((name, ""));
    let base = Some(base).filter(|digits| digits.len() == 20)?.parse().ok()?;
    let generation = match rest.split_once('.') {
        Some((generation, _)) => generation.parse().ok()?,
        None => 0,
    };
    Some((base, generation))
}
