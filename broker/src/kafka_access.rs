//! The rules of MQTT, for the Kafka port, and what each stream holds. Asks them nothing.

use std::sync::Arc;

use ahash::AHashMap;
use tidewire_bridge::Access;
use tidewire_proto::access::Rules;

use crate::config::{Config, StreamConfig};
use crate::core::shared::Shared;

/// What is in a stream that takes whatever no other one takes.
const THE_REST: &str = "#";

/// Who has them.
pub(crate) struct StreamAccess {
    shared: Arc<Shared>,
    /// By the stream's name.
    filters: AHashMap<String, Vec<String>>,
}

impl StreamAccess {
    pub(crate) fn new(shared: &Arc<Shared>, config: &Config) -> Self {
        Self { shared: Arc::clone(shared), filters: held(&config.streams) }
    }
}

impl Access for StreamAccess {
    fn rules(&self) -> Option<Arc<Rules>> {
        self.shared.access.rules()
    }

    fn filters(&self, stream: &str) -> &[String] {
        self.filters.get(stream).map_or(&[], Vec::as_slice)
    }
}

/// What lies in each stream: what its filters admit, and in the last one the rest too, whatever
/// filters it has, for there a topic is placed that no filter admits.
fn held(streams: &[StreamConfig]) -> AHashMap<String, Vec<String>> {
    let mut all: Vec<_> =
        streams.iter().map(|stream| (stream.name.clone(), stream.filters.clone())).collect();
    if let Some((_, filters)) = all.last_mut()
        && !filters.iter().any(|filter| filter == THE_REST)
    {
        filters.push(THE_REST.to_owned());
    }
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::{StreamConfig, held};

    #[test]
    fn the_last_stream_holds_what_no_filter_admits() {
        for (streams, expected) in [
            (&[("mqtt", "#")][..], &[("mqtt", &["#"][..])][..]),
            (&[("mqtt", "plant/#")], &[("mqtt", &["plant/#", "#"])]),
            (&[("mqtt", "#"), ("public", "a/#")], &[("mqtt", &["#"]), ("public", &["a/#", "#"])]),
            (&[("public", "a/#"), ("mqtt", "#")], &[("public", &["a/#"]), ("mqtt", &["#"])]),
            (&[], &[]),
        ] {
            let stream = |(name, filter): &(&str, &str)| StreamConfig {
                name: (*name).into(),
                filters: vec![(*filter).into()],
                ..StreamConfig::default()
            };
            let streams: Vec<StreamConfig> = streams.iter().map(stream).collect();
            let held = held(&streams);
            assert_eq!(held.len(), expected.len());
            for (name, filters) in expected {
                assert_eq!(held[*name], *filters, "{name}");
            }
        }
    }
}
