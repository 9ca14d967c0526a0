//! A stream: a name, a configuration and its partitions, and how that lies in its table row.

use tidewire_proto::id::PartitionId;

/// What an acknowledgement promises for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Synced to disk: survives a power cut.
    #[default]
    Disk,
    /// Handed to the operating system: survives a crash of the broker, not of the machine.
    Os,
    /// Not waited for: may be lost in any crash.
    None,
}

/// How a stream is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StreamConfig {
    /// What an acknowledgement promises.
    pub durability: Durability,
}

/// A named, partitioned part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its name, also as a Kafka topic.
    pub name: String,
    /// How it is kept.
    pub config: StreamConfig,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionId>,
}

/// The longest name, as for a Kafka topic.
const NAME_BYTES_MAX: usize = 249;

/// The row's own version, its first byte.
const ROW_VERSION: u8 = 1;

/// May a stream, its folder and its Kafka topic be called that?
pub(crate) fn name_is_legal(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name != "."
        && name != ".."
        && name.bytes().all(legal)
}

impl Stream {
    /// The value of its row in [`Table::Streams`](crate::Table::Streams); the key is the name.
    /// `version u8 | durability u8 | partition u32 …`, little-endian.
    pub(crate) fn encode(&self) -> Box<[u8]> {
        let durability = match self.config.durability {
            Durability::Disk => 0,
            Durability::Os => 1,
            Durability::None => 2,
        };
        let mut row = vec![ROW_VERSION, durability];
        for partition in &self.partitions {
            row.extend_from_slice(&partition.0.to_le_bytes());
        }
        row.into()
    }

    /// The stream of a row, or `None` if it is not one that this build wrote.
    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let name = str::from_utf8(key).ok().filter(|name| name_is_legal(name))?.to_owned();
        let (&[version, durability], ids) = value.split_first_chunk()?;
        let durability = match durability {
            0 => Durability::Disk,
            1 => Durability::Os,
            2 => Durability::None,
            _ => return None,
        };
        let (ids, rest) = ids.as_chunks();
        if version != ROW_VERSION || !rest.is_empty() {
            return None;
        }
        let partitions = ids.iter().map(|id| PartitionId(u32::from_le_bytes(*id))).collect();
        Some(Self { name, config: StreamConfig { durability }, partitions })
    }
}

#[cfg(test)]
mod tests {
    use super::{Durability, Stream, StreamConfig, name_is_legal};
    use tidewire_proto::id::PartitionId;

    #[test]
    fn a_row_holds_the_whole_stream() {
        for durability in [Durability::Disk, Durability::Os, Durability::None] {
            let stream = Stream {
                name: "plant.north-1".into(),
                config: StreamConfig { durability },
                partitions: vec![PartitionId(3), PartitionId(70_000)],
            };
            assert_eq!(Stream::decode(stream.name.as_bytes(), &stream.encode()), Some(stream));
        }
        assert_eq!(Stream::decode(b"a", &[1, 0, 1]), None);
        assert_eq!(Stream::decode(b"a", &[2, 0]), None);
        assert_eq!(Stream::decode(b"a/b", &[1, 0]), None);
    }

    #[test]
    fn a_name_is_legal_as_folder_and_as_kafka_topic() {
        assert!(name_is_legal("mqtt") && name_is_legal("a.b_c-9"));
        for name in ["", ".", "..", "a/b", "ä", &"x".repeat(250)] {
            assert!(!name_is_legal(name), "{name}");
        }
    }
}
