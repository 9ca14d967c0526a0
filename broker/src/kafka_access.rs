//! The rules of MQTT, for the Kafka port, and what each stream holds. Asks them nothing.

use std::sync::Arc;

use ahash::AHashMap;
use tidewire_bridge::Access;
use tidewire_proto::access::Rules;

use crate::config::Config;
use crate::core::shared::Shared;

/// Who has them.
pub(crate) struct StreamAccess {
    shared: Arc<Shared>,
    /// By the stream's name.
    filters: AHashMap<String, Vec<String>>,
}

impl StreamAccess {
    pub(crate) fn new(shared: &Arc<Shared>, config: &Config) -> Self {
        let streams = config.streams.iter();
        let filters = streams.map(|stream| (stream.name.clone(), stream.filters.clone()));
        Self { shared: Arc::clone(shared), filters: filters.collect() }
    }
}

impl Access for StreamAccess {
    fn rules(&self) -> Option<Arc<Rules>> {
        self.shared.access.as_ref().map(|file| file.rules())
    }

    fn filters(&self, stream: &str) -> &[String] {
        self.filters.get(stream).map_or(&[], Vec::as_slice)
    }
}
