//! The store's options from the configuration. Decides nothing.

use tidewire_store::{
    Compression, Durability, OnLimit, Retention, StoreOptions, StreamConfig, StreamOptions,
};

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
        config: stream_config(stream),
    }
}

/// What the configuration says about one stream; 0 stands for "no limit" there.
pub(crate) fn stream_config(stream: &config::StreamConfig) -> StreamConfig {
    let limit = |value: u64| Some(value).filter(|value| *value > 0);
    StreamConfig {
        durability: match stream.durability {
            config::Durability::Disk => Durability::Disk,
            config::Durability::Os => Durability::Os,
            config::Durability::None => Durability::None,
        },
        retention: Retention {
            age_ms: limit(stream.retention_age_s).map(|seconds| seconds * 1000),
            bytes: limit(stream.retention_bytes),
            hold_bytes: limit(stream.hold_bytes_max).unwrap_or(u64::MAX),
            on_limit: match stream.at_hold_limit {
                config::AtHoldLimit::Refuse => OnLimit::Refuse,
                config::AtHoldLimit::DeleteOldest => OnLimit::DeleteOldest,
            },
        },
        compression: match stream.compression {
            config::Compression::None => Compression::None,
            config::Compression::Lz4 => Compression::Lz4,
            config::Compression::Zstd => Compression::Zstd,
        },
        compact: stream.compact,
        key: stream.key.clone(),
    }
}
