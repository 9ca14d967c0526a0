//! What an import is to be. Data only.

use std::time::Duration;

use crate::client::target::Target;
use crate::imports::rule::Rule;

/// Where an import begins in a topic that it has never read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// With what the topic holds.
    #[default]
    Earliest,
    /// With what comes.
    Latest,
    /// With what is not older, in milliseconds since 1970.
    Time(i64),
}

/// What an import is to be.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Where from.
    pub source: Target,
    /// The topics that it reads.
    pub topics: Vec<String>,
    /// Where it begins.
    pub from: From,
    /// How records become messages.
    pub rule: Rule,
    /// Whether records of transactions that were aborted, or are not over, are left out.
    pub read_committed: bool,
    /// Bytes of one answer, compressed as they are; a batch that is larger comes alone.
    pub fetch_bytes_max: usize,
    /// Bytes of one commit of ours.
    pub commit_bytes_max: usize,
    /// How long the other side waits for something to come.
    pub fetch_wait: Duration,
    /// How often it is looked for new partitions.
    pub look: Duration,
    /// Where dead letters go; without, they are counted and logged alone.
    pub dead_letter_topic: Option<String>,
}
