//! Which streams and partitions there are. Learns of them from rows of their table alone, so that
//! a running store and a recovering one agree.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tidewire_proto::id::PartitionId;

use crate::partition::Partition;
use crate::stream::{Edge, RowKey, Stream, StreamRow, name_is_legal};

/// More partitions than this are a mistake, or a row that nobody wrote.
pub(crate) const PARTITIONS_MAX: usize = 1 << 20;

/// All streams and partitions; grows, never shrinks.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    streams: Arc<Vec<Stream>>,
    rows: BTreeMap<String, StreamRow>,
    /// By stream, number of the layout, index of the partition.
    ends: BTreeMap<(String, u32, u32), u64>,
    /// By stream and index of the partition; may be known before the partition is.
    starts: BTreeMap<(String, u32), u64>,
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

    /// The stream of that name and its row.
    pub(crate) fn stream(&self, name: &str) -> Option<(Stream, StreamRow)> {
        let state = self.state.read();
        let stream = state.streams.iter().find(|stream| stream.name == name)?;
        Some((stream.clone(), state.rows.get(name)?.clone()))
    }

    /// A row of the table of streams. Says so if it makes no sense.
    pub(crate) fn apply(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
        let text = String::from_utf8_lossy(key);
        let unknown = || format!("the row of stream {text} is not known");
        let mut state = self.state.write();
        match (RowKey::parse(key).ok_or_else(unknown)?, value) {
            (RowKey::Stream(name), Some(value)) if name_is_legal(name) => {
                let row = StreamRow::decode(value).ok_or_else(unknown)?;
                state.register(name, &row)?;
                let indexes = 0..u32::try_from(row.partitions.len()).unwrap_or(u32::MAX);
                state.rows.insert(name.to_owned(), row);
                indexes.for_each(|index| state.begin(name, index));
                state.publish(name);
            }
            (RowKey::End { name, layout, index }, Some(value)) => {
                let Edge(end) = Edge::decode(value).ok_or_else(unknown)?;
                state.ends.insert((name.to_owned(), layout, index), end);
                state.publish(name);
            }
            (RowKey::Start { name, index }, Some(value)) => {
                let Edge(start) = Edge::decode(value).ok_or_else(unknown)?;
                state.starts.insert((name.to_owned(), index), start);
                state.begin(name, index);
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }

    /// Partitions that begin behind their end: their records are not where they should be.
    pub(crate) fn unreached(&self) -> Option<PartitionId> {
        let mut partitions = self.partitions().into_iter();
        partitions.find(|partition| !partition.reaches_its_start()).map(|it| it.id)
    }

    /// The name of the stream that has this partition, and the partition's index there.
    pub(crate) fn place_of(&self, id: PartitionId) -> Option<(String, u32)> {
        let partition = self.partition(id)?;
        let (stream, index) = partition.folder.strip_prefix("streams/")?.rsplit_once('/')?;
        Some((stream.to_owned(), index.parse().ok()?))
    }

    /// A stream of which rows are missing.
    pub(crate) fn incomplete(&self) -> Option<String> {
        let state = self.state.read();
        let published = |name: &&String| state.streams.iter().any(|known| known.name == **name);
        state.rows.keys().find(|name| !published(name)).cloned()
    }
}

impl State {
    fn register(&mut self, name: &str, row: &StreamRow) -> Result<(), String> {
        for (index, id) in row.partitions.iter().enumerate() {
            let place = id.0 as usize;
            if place >= PARTITIONS_MAX {
                return Err(format!("stream {name} has a partition with number {place}"));
            }
            if self.partitions.len() <= place {
                self.partitions.resize(place + 1, None);
            }
            let new = || Arc::new(Partition::new(*id, format!("streams/{name}/{index}")));
            let partition = self.partitions[place].get_or_insert_with(new);
            partition.set_durability(row.config.durability);
        }
        Ok(())
    }

    /// Have a partition begin where its row says, if both are known.
    fn begin(&self, name: &str, index: u32) {
        let Some(start) = self.starts.get(&(name.to_owned(), index)) else { return };
        let Some(row) = self.rows.get(name) else { return };
        let place = row.partitions.get(index as usize).map(|id| id.0 as usize);
        if let Some(Some(partition)) = place.and_then(|place| self.partitions.get(place)) {
            partition.delete_below(*start);
        }
    }

    /// Show the stream as its rows say, if all of them are there.
    fn publish(&mut self, name: &str) {
        let Some(row) = self.rows.get(name) else { return };
        let end = |layout, index| self.ends.get(&(name.to_owned(), layout, index)).copied();
        let Some(layouts) = row.layouts(end) else { return };
        let stream = Stream {
            name: name.to_owned(),
            config: row.config.clone(),
            partitions: row.partitions.clone(),
            layouts,
        };
        let mut streams = Vec::clone(&self.streams);
        match streams.iter_mut().find(|known| known.name == name) {
            Some(known) => *known = stream,
            None => streams.push(stream),
        }
        self.streams = Arc::new(streams);
    }
}
