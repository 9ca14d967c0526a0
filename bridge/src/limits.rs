//! What Kafka clients may make us hold. Data only.

use std::time::Duration;

/// Limits of the Kafka port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortLimits {
    /// Open connections.
    pub connections_max: usize,
    /// Those of one address (of IPv6: of one /64); 0: any number.
    pub connections_per_address_max: usize,
    /// The largest request, in bytes, and the largest batch of a producer.
    pub request_bytes_max: usize,
    /// The largest Produce, in bytes: clients put batches of many partitions into one.
    pub produce_bytes_max: usize,
    /// Bytes of requests, and of answers to Fetch, that all connections hold; those that would be
    /// more wait.
    pub held_bytes_max: usize,
    /// The most that one answer to a Fetch holds, in bytes, whatever the client asks for; a batch
    /// that is larger comes alone.
    pub fetch_bytes_max: usize,
    /// Partitions that fetch sessions remember, all together; beyond, there are no new ones.
    pub fetch_session_partitions_max: usize,
    /// Levels of a topic that a producer writes to.
    pub topic_levels_max: usize,
    /// The time that a client has to show who it is, where it must.
    pub sign_in: Duration,
    /// A connection that says nothing is closed after this time.
    pub idle: Duration,
    /// So is one that takes less than 64 KiB of an answer in this time.
    pub send: Duration,
}
