//! What is counted of transactions: every series is declared once, its handles are made once.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::transactions::{End, Refusal};

const OPEN: &str = "tidewire_kafka_transactions_open";
const BYTES: &str = "tidewire_kafka_transactions_bytes";
const ENDED: &str = "tidewire_kafka_transactions_total";
const REFUSED: &str = "tidewire_kafka_transactions_refused_total";

/// Limits that are reached, and their names.
const LIMITS: [(Refusal, &str); 4] = [
    (Refusal::TooLarge, "bytes_max"),
    (Refusal::NoRoom, "all_bytes_max"),
    (Refusal::Full, "ids_max"),
    (Refusal::Timeout, "timeout_ms_max"),
];

/// The handles of all series.
pub(super) struct Numbers {
    open: Gauge,
    bytes: Gauge,
    ended: [Counter; 5],
    refused: [Counter; 4],
}

impl Numbers {
    /// Describes and registers all series with the recorder in force.
    pub(super) fn register() -> Self {
        describe_gauge!(OPEN, "Transactions of Kafka producers that are open.");
        describe_gauge!(BYTES, "Bytes that they hold.");
        describe_counter!(ENDED, "Transactions that ended, by how.");
        describe_counter!(REFUSED, "Requests of transactions that a limit refused.");
        Self {
            open: gauge!(OPEN),
            bytes: gauge!(BYTES),
            ended: End::ALL.map(|end| counter!(ENDED, "end" => end.label())),
            refused: LIMITS.map(|(_, limit)| counter!(REFUSED, "limit" => limit)),
        }
    }

    /// How it is now.
    pub(super) fn show(&self, open: usize, bytes: usize) {
        self.open.set(open as f64);
        self.bytes.set(bytes as f64);
    }

    /// One ended.
    pub(super) fn ended(&self, how: End) {
        let place = End::ALL.iter().position(|end| *end == how);
        if let Some(counter) = place.and_then(|place| self.ended.get(place)) {
            counter.increment(1);
        }
    }

    /// Something was refused, perhaps because of a limit.
    pub(super) fn refused(&self, why: Option<Refusal>) {
        let place = LIMITS.iter().position(|(limit, _)| Some(*limit) == why);
        if let Some(counter) = place.and_then(|place| self.refused.get(place)) {
            counter.increment(1);
        }
    }
}
