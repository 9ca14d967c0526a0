//! What the files of a segment are called.

/// The batches.
pub(crate) fn segment_name(folder: &str, base: u64) -> String {
    format!("{folder}/{base:020}.seg")
}

/// The sparse index.
pub(crate) fn index_name(folder: &str, base: u64) -> String {
    format!("{folder}/{base:020}.idx")
}
