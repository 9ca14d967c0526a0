//! One breach of one rule. Decides nothing.

use std::fmt;

/// Where, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    place: String,
    line: usize,
    text: String,
}

impl Complaint {
    /// `line` counts from 1; 0 means the file as a whole.
    pub(super) fn new(place: &str, line: usize, text: impl Into<String>) -> Self {
        Self { place: place.to_owned(), line, text: text.into() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.place, self.line, self.text)
    }
}
