//! Which streams and partitions there are. Learns of them from rows of their table alone, so that
//! a running store and a recovering one agree.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tidewire_proto::id::PartitionId;

use crate::partition::Partition;
use crate::stream::{LayoutEnd, RowKey, Stream, StreamRow, name_is_legal};

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
                state.rows.insert(name.to_owned(), row);
                state.publish(name);
            }
            (RowKey::End { name, layout, index }, Some(value)) => {
                let LayoutEnd(end) = LayoutEnd::decode(value).ok_or_else(unknown)?;
                state.ends.insert((name.to_owned(), layout, index), end);
                state.publish(name);
            }
            _ => return Err(unknown()),
        }
        Ok(())
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
