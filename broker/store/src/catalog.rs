//! Which streams and partitions there are. Learns of them from rows of their table alone, so that
//! a running store and a recovering one agree.

use std::sync::Arc;

use parking_lot::RwLock;
use tidewire_proto::id::PartitionId;

use crate::partition::Partition;
use crate::stream::Stream;

/// More partitions than this are a mistake, or a row that nobody wrote.
const PARTITIONS_MAX: usize = 1 << 20;

/// All streams and partitions; grows, never shrinks.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    streams: Arc<Vec<Stream>>,
    /// By number.
    partitions: Vec<Option<Arc<Partition>>>,
}

impl Catalog {
    pub(crate) fn streams(&self) -> Arc<Vec<Stream>> {
        Arc::clone(&self.state.read().streams)
    }

    pub(crate) fn partition(&self, id: PartitionId) -> Option<Arc<Partition>> {
        self.state.read().partitions.get(id.0 as usize)?.clone()
    }

    /// All partitions, by number.
    pub(crate) fn partitions(&self) -> Vec<Arc<Partition>> {
        self.state.read().partitions.iter().flatten().cloned().collect()
    }

    /// The first number that no partition has.
    pub(crate) fn next_id(&self) -> u32 {
        let count = self.state.read().partitions.len();
        u32::try_from(count).expect("below PARTITIONS_MAX")
    }

    /// A row of the table of streams. Says so if it makes no sense.
    pub(crate) fn apply(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
        let name = String::from_utf8_lossy(key);
        let stream = value.and_then(|value| Stream::decode(key, value));
        let stream = stream.ok_or_else(|| format!("the row of stream {name} is not known"))?;
        let mut state = self.state.write();
        for (index, id) in stream.partitions.iter().enumerate() {
            let place = id.0 as usize;
            if place >= PARTITIONS_MAX {
                return Err(format!("stream {name} has a partition with number {place}"));
            }
            if state.partitions.len() <= place {
                state.partitions.resize(place + 1, None);
            }
            let folder = format!("streams/{name}/{index}");
            let new = || Arc::new(Partition::new(*id, stream.config, folder));
            state.partitions[place].get_or_insert_with(new);
        }
        let mut streams = Vec::clone(&state.streams);
        streams.retain(|known| known.name != stream.name);
        streams.push(stream);
        state.streams = Arc::new(streams);
        Ok(())
    }
}
