//! What the Kafka port counts: every series is declared once, its handles are made once.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::wire::Refusal;

const CONNECTIONS: &str = "tidewire_kafka_connections";
const REQUESTS: &str = "tidewire_kafka_requests_total";
const SESSIONLESS: &str = "tidewire_kafka_fetch_sessions_refused_total";
const FORGOTTEN: &str = "tidewire_kafka_producers_forgotten_total";
const CLOSED: &str = "tidewire_kafka_closed_total";
const RECORDS: &str = "tidewire_kafka_records_total";
/// Described where those of MQTT are counted.
const BYTES: &str = "tidewire_bytes_total";

/// The handles of all series of the Kafka port.
pub struct PortNumbers {
    pub(crate) connections: Gauge,
    pub(crate) requests: Counter,
    /// Fetch sessions beyond `fetch_session_partitions_max`.
    pub(crate) sessionless: Counter,
    /// Times that producers were forgotten because too many were known.
    pub(crate) producers_forgotten: Counter,
    /// Records that were taken from producers, and given to consumers.
    pub(crate) records_in: Counter,
    pub(crate) records_out: Counter,
    /// On sockets, whatever they mean.
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    closed: Vec<Counter>,
}

impl PortNumbers {
    /// Describes and registers all series with the recorder in force; without one, the handles do
    /// nothing.
    #[must_use]
    pub fn register() -> Self {
        describe_gauge!(CONNECTIONS, "Open connections of Kafka clients.");
        describe_counter!(REQUESTS, "Requests of Kafka clients that were answered.");
        describe_counter!(SESSIONLESS, "Fetch sessions of Kafka clients that a limit refused.");
        describe_counter!(FORGOTTEN, "Times that idle Kafka producers were forgotten for others.");
        describe_counter!(CLOSED, "Connections that the Kafka port closed, by reason.");
        let help = "Records of Produce that were taken, and of batches that Fetch answered with.";
        describe_counter!(RECORDS, help);
        let bytes = |dir: &'static str| counter!(BYTES, "proto" => "kafka", "dir" => dir);
        let closed = |refusal: &Refusal| counter!(CLOSED, "reason" => refusal.label());
        Self {
            connections: gauge!(CONNECTIONS),
            requests: counter!(REQUESTS),
            sessionless: counter!(SESSIONLESS),
            producers_forgotten: counter!(FORGOTTEN),
            records_in: counter!(RECORDS, "dir" => "in"),
            records_out: counter!(RECORDS, "dir" => "out"),
            bytes_in: bytes("in"),
            bytes_out: bytes("out"),
            closed: Refusal::ALL.iter().map(closed).collect(),
        }
    }

    /// We closed a connection.
    pub(crate) fn closed(&self, why: Refusal) {
        let place = Refusal::ALL.iter().position(|refusal| *refusal == why);
        if let Some(counter) = place.and_then(|place| self.closed.get(place)) {
            counter.increment(1);
        }
    }
}
