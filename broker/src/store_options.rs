//! The store's options from the configuration. Decides nothing.

use tidewire_store::{Durability, StoreOptions, StreamConfig, StreamOptions};

use crate::config::{self, Config};

/// What the configuration says about the store.
pub(crate) fn from_config(config: &Config) -> StoreOptions {
    let store = &config.store;
    let default = StoreOptions::default();
    StoreOptions {
        streams: config.streams.iter().map(stream).collect(),
        wal_file_bytes: store.wal_file_bytes,
        wal_bytes_max: store.wal_bytes_max,
        recent_bytes_max: store.recent_bytes_max,
        backlog_bytes_max: store.backlog_bytes_max,
        segment_bytes_max: store.segment_bytes_max,
        ..default
    }
}

fn stream(stream: &config::StreamConfig) -> StreamOptions {
    StreamOptions {
        name: stream.name.clone(),
        partitions: u32::from(stream.partitions),
        config: StreamConfig {
            durability: match stream.durability {
                config::Durability::Disk => Durability::Disk,
                config::Durability::Os => Durability::Os,
                config::Durability::None => Durability::None,
            },
            ..StreamConfig::default()
        },
    }
}
