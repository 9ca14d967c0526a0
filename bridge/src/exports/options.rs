//! What an export is to be. Data only.

use std::time::Duration;

use tidewire_proto::topic::TopicFilter;

use crate::client::packed::Packing;
use crate::client::target::Target;
use crate::exports::rule::Rule;

/// What becomes of messages for a topic that does not exist, or that we may not write to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtRefusedTopic {
    /// They get a dead letter, and the rest goes on.
    #[default]
    DeadLetter,
    /// The export waits, and says so, until the topic takes them.
    Wait,
}

/// What an export is to be.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// Where to.
    pub target: Target,
    /// The streams that it reads; none: all.
    pub streams: Vec<String>,
    /// The topics that it reads; none: all records.
    pub filters: Vec<TopicFilter>,
    /// A new export begins with what the log holds, and not with what comes.
    pub from_earliest: bool,
    /// How records become those of the target.
    pub rule: Rule,
    /// How batches are compressed.
    pub packing: Packing,
    /// Whether each record is in the target once, whatever happens.
    pub exactly_once: bool,
    /// Under which the target knows our transactions, and the group of the target that holds our
    /// position; nobody else may use either. Without: one that no other broker has.
    pub transactional_id: Option<String>,
    /// How long a transaction may stay open, should we not come back.
    pub transaction_timeout: Duration,
    /// Bytes of one transaction: about so much of the log.
    pub transaction_bytes_max: usize,
    /// Bytes of one batch before it is compressed.
    pub batch_bytes_max: usize,
    /// A larger message gets a dead letter without being tried.
    pub message_bytes_max: usize,
    /// Requests on their way to one broker of the target.
    pub inflight_max: usize,
    /// How long a transaction waits for more.
    pub linger: Duration,
    /// Whether the target may make topics that do not exist, if it does that.
    pub may_make_topics: bool,
    /// How long a topic that cannot be found is looked for.
    pub topic_wait: Duration,
    /// What becomes of messages for a topic that takes none.
    pub at_refused_topic: AtRefusedTopic,
    /// Where dead letters go on our side; without, they are counted and logged alone.
    pub dead_letter_topic: Option<String>,
}
