//! A stream: a name, a configuration and its partitions. Never a partition's state.

mod config;
mod row;

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::Layout;

pub use config::{Compression, Durability, KeyRule, OnLimit, Retention, StreamConfig};
pub(crate) use row::{Edge, RowKey, StreamRow};

/// A named, partitioned part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its name, also as a Kafka topic.
    pub name: String,
    /// How it is kept.
    pub config: StreamConfig,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionId>,
    /// How many partitions it had, oldest first; the last is how it is now.
    pub layouts: Vec<Layout>,
}

/// The longest name, as for a Kafka topic.
const NAME_BYTES_MAX: usize = 249;

/// May a stream, its folder and its Kafka topic be called that?
pub(crate) fn name_is_legal(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name != "."
        && name != ".."
        && name.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::name_is_legal;

    #[test]
    fn a_name_is_legal_as_folder_and_as_kafka_topic() {
        assert!(name_is_legal("mqtt") && name_is_legal("a.b_c-9"));
        for name in ["", ".", "..", "a/b", "ä", &"x".repeat(250)] {
            assert!(!name_is_legal(name), "{name}");
        }
    }
}
