//! The streams as Kafka sees them: names, ids, partitions by index. Never changes a stream.

use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;
use sha2::{Digest, Sha256};
use tidewire_proto::id::PartitionId;
use tidewire_store::Stream;
use uuid::Uuid;

/// What Kafka says for "you did not ask what you may do".
pub(crate) const UNKNOWN_OPERATIONS: i32 = i32::MIN;

/// Why a stream is not made or changed here, and what would do it.
pub(crate) fn by_configuration(stream: &str, setting: &str) -> StrBytes {
    StrBytes::from_string(format!(
        "streams are what the configuration says: in its [[stream]] with name = {stream:?} write \
         {setting}, and start the broker again"
    ))
}

/// All streams, as of one moment.
#[derive(Clone)]
pub(crate) struct Topics {
    streams: Arc<Vec<Stream>>,
    /// Of each of them: a hash, so made once.
    ids: Arc<Vec<Uuid>>,
}

impl Topics {
    pub(crate) fn new(streams: Arc<Vec<Stream>>) -> Self {
        let ids = streams.iter().map(|stream| id_of(&stream.name)).collect();
        Self { streams, ids: Arc::new(ids) }
    }

    /// Are they these very ones?
    pub(crate) fn are(&self, streams: &Arc<Vec<Stream>>) -> bool {
        Arc::ptr_eq(&self.streams, streams)
    }

    /// All, with their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Stream, Uuid)> {
        self.streams.iter().zip(self.ids.iter().copied())
    }

    /// The one of this name.
    pub(crate) fn named(&self, name: &str) -> Option<(&Stream, Uuid)> {
        self.iter().find(|(stream, _)| stream.name == name)
    }

    /// The one with this id.
    pub(crate) fn with_id(&self, wanted: Uuid) -> Option<(&Stream, Uuid)> {
        self.iter().find(|(_, id)| *id == wanted)
    }
}

/// The partition of a stream with this index.
pub(crate) fn partition(stream: &Stream, index: i32) -> Option<PartitionId> {
    stream.partitions.get(usize::try_from(index).ok()?).copied()
}

/// A stream is never deleted and never renamed: its name is enough to know it by.
fn id_of(name: &str) -> Uuid {
    let hash = Sha256::new().chain_update(b"tidewire topic ").chain_update(name).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Uuid::from_bytes(bytes)
}
