//! The Kafka port of this broker: from its settings to an open port. Speaks no Kafka itself.

use std::sync::Arc;

use tidewire_bridge::{BoundPort, Port, PortNumbers, PortOptions};

use crate::config::Config;
use crate::core::shared::Shared;
use crate::error::StartError;

/// Takes the port, if there is to be one.
pub(crate) fn bind(config: &Config) -> Result<Option<BoundPort>, StartError> {
    let Some(address) = config.listener.kafka.bind else { return Ok(None) };
    let bound = BoundPort::bind(address);
    bound.map(Some).map_err(|error| StartError::Bind(address, "Kafka", "--kafka", error))
}

/// Serves Kafka clients there.
pub(crate) fn open(
    bound: BoundPort,
    shared: &Arc<Shared>,
    config: &Config,
    numbers: PortNumbers,
) -> Result<Port, StartError> {
    let settings = &config.listener.kafka;
    let (advertised, limits) = (settings.advertised(), settings.limits());
    let groups = config.consumer_groups.limits();
    let options = PortOptions { advertised, limits, groups, numbers };
    bound.open(shared.store.clone(), options).map_err(StartError::Kafka)
}
