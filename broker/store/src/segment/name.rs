//! What the files of a segment are called.

/// The batches.
pub(super) fn segment_name(folder: &str, base: u64) -> String {
    format!("{folder}/{base:020}.seg")
}

/// The sparse index.
pub(super) fn index_name(folder: &str, base: u64) -> String {
    format!("{folder}/{base:020}.idx")
}
