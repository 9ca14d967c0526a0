//! What the Kafka port counts: every series is declared once, its handles are made once.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::wire::Refusal;

const CONNECTIONS: &str = "tidewire_kafka_connections";
const REQUESTS: &str = "tidewire_kafka_requests_total";
const SESSIONLESS: &str = "tidewire_kafka_fetch_sessions_refused_total";
const FORGOTTEN: &str = "tidewire_kafka_producers_forgotten_total";
const CLOSED: &str = "tidewire_kafka_closed_total";

/// The handles of all series of the Kafka port.
pub struct PortNumbers {
    pub(crate) connections: Gauge,
    pub(crate) requests: Counter,
    /// Fetch sessions beyond `fetch_session_partitions_max`.
    pub(crate) sessionless: Counter,
    /// Times that producers were forgotten because too many were known.
    pub(crate) producers_forgotten: Counter,
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
        let closed = |refusal: &Refusal| counter!(CLOSED, "reason" => refusal.label());
        Self {
            connections: gauge!(CONNECTIONS),
            requests: counter!(REQUESTS),
            sessionless: counter!(SESSIONLESS),
            producers_forgotten: counter!(FORGOTTEN),
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
