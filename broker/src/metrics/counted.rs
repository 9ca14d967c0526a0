//! The handles of all parts of one broker. Counts nothing.

use tidewire_bridge::PortNumbers;
use tidewire_bridge::bridges::BridgeNumbers;

use super::exposition::Exposition;
use super::handles::Metrics;
use crate::http::numbers::HttpNumbers;

/// Where everything is counted.
pub(crate) struct Counted {
    pub(crate) metrics: Metrics,
    /// Of the Kafka port.
    pub(crate) kafka: PortNumbers,
    /// Of the bridges.
    pub(crate) bridges: BridgeNumbers,
    /// Of the HTTP port.
    pub(crate) http: HttpNumbers,
    /// What the HTTP port shows.
    pub(crate) served: Option<Exposition>,
}

impl Counted {
    /// Registers all series with the recorder in force. `bridges`: their names and kinds.
    pub(crate) fn register(bridges: &[(String, &'static str)]) -> Self {
        let bridges = BridgeNumbers::register(bridges);
        Self {
            metrics: Metrics::register(),
            kafka: PortNumbers::register(),
            bridges,
            http: HttpNumbers::register(),
            served: None,
        }
    }
}
