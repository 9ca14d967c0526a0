//! The handles of all parts of one broker. Counts nothing.

use tidewire_bridge::PortNumbers;

use super::handles::Metrics;

/// Where everything is counted.
pub(crate) struct Counted {
    pub(crate) metrics: Metrics,
    /// Of the Kafka port.
    pub(crate) kafka: PortNumbers,
}

impl Counted {
    /// Registers all series with the recorder in force.
    pub(crate) fn register() -> Self {
        Self { metrics: Metrics::register(), kafka: PortNumbers::register() }
    }
}
