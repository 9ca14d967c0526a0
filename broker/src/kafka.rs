//! The Kafka port of this broker: from its settings to an open port. Speaks no Kafka itself.

use std::sync::Arc;

use tidewire_bridge::{BoundPort, Port, PortNumbers, PortOptions, RetainedLimit, Settle};
use tidewire_proto::record::Batch;

use crate::config::Config;
use crate::core::shared::Shared;
use crate::error::StartError;
use crate::retained::Footprint;

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
    let limits = settings.limits(config.mqtt.topic_levels_max);
    let retained = Arc::new(Retained(Arc::clone(shared)));
    let advertised = settings.advertised();
    let groups = config.consumer_groups.limits();
    let transactions = config.transactions.limits(config.store.wal_file_bytes);
    let options = PortOptions { advertised, limits, groups, transactions, numbers, retained };
    bound.open(shared.store.clone(), options).map_err(StartError::Kafka)
}

/// Stands for the port where cores are numbered.
const NO_CORE: usize = usize::MAX;

/// Retained messages are counted in one place, whoever publishes them.
struct Retained(Arc<Shared>);

impl RetainedLimit for Retained {
    fn claim(&self, topic: &str, kept: Option<&Batch>) -> Option<Settle> {
        let footprint = kept.map(|kept| Footprint::of(topic, kept));
        let claimed = self.0.retained.claim(topic, footprint, NO_CORE)?;
        let shared = Arc::clone(&self.0);
        let settle = move |is_durable| shared.retained.settle(&claimed, &shared.store, is_durable);
        Some(Box::new(settle))
    }
}
