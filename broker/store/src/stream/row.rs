//! How a stream lies in [`Table::Streams`](crate::Table::Streams), little-endian.
//!
//! Key `name`: `version u8 = 2 | durability u8 | compression u8 | compact u8 | on limit u8 |
//! has age u8 | age u64 | has bytes u8 | bytes u64 | hold bytes u64 | key rule u8 | key level u16 |
//! key name bytes u16 | key name | layouts u16 | partitions of each u32 … | partition u32 …`.
//!
//! Key `name 0 layout u32 partition u32` (big-endian): `version u8 = 1 | end u64`, where an older
//! layout ended in one of its partitions.
//!
//! Key `name 0 partition u32` (big-endian): `version u8 = 1 | start u64`, the first offset of one
//! of its partitions, where records before it were deleted by order.

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::Layout;

use super::config::{Compression, Durability, KeyRule, OnLimit, Retention, StreamConfig};

const VERSION: u8 = 2;
/// Written by the first builds: durability and partitions.
const VERSION_FIRST: u8 = 1;
const EDGE_VERSION: u8 = 1;

/// What a key of the table names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowKey<'a> {
    Stream(&'a str),
    /// Where the layout of that number ended in the partition of that index.
    End {
        name: &'a str,
        layout: u32,
        index: u32,
    },
    /// Where the partition of that index begins, because somebody deleted what lay before.
    Start {
        name: &'a str,
        index: u32,
    },
}

impl<'a> RowKey<'a> {
    /// `None` for a key that no build wrote.
    pub(crate) fn parse(key: &'a [u8]) -> Option<Self> {
        let Some(at) = key.iter().position(|byte| *byte == 0) else {
            return Some(Self::Stream(str::from_utf8(key).ok()?));
        };
        let name = str::from_utf8(&key[..at]).ok()?;
        if let Ok(index) = <[u8; 4]>::try_from(&key[at + 1..]) {
            return Some(Self::Start { name, index: u32::from_be_bytes(index) });
        }
        let (layout, rest) = key[at + 1..].split_first_chunk()?;
        let index: &[u8; 4] = rest.try_into().ok()?;
        let (layout, index) = (u32::from_be_bytes(*layout), u32::from_be_bytes(*index));
        Some(Self::End { name, layout, index })
    }

    pub(crate) fn encode(self) -> Box<[u8]> {
        match self {
            Self::Stream(name) => name.as_bytes().into(),
            Self::End { name, layout, index } => key(name, &[layout, index]),
            Self::Start { name, index } => key(name, &[index]),
        }
    }
}

fn key(name: &str, numbers: &[u32]) -> Box<[u8]> {
    let mut key = name.as_bytes().to_vec();
    key.push(0);
    numbers.iter().for_each(|number| key.extend_from_slice(&number.to_be_bytes()));
    key.into()
}

/// The row of an end, or of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge(pub(crate) u64);

impl Edge {
    /// Where in the row the number lies.
    pub(crate) const AT: usize = 1;

    pub(crate) fn encode(self) -> Box<[u8]> {
        let mut row = vec![EDGE_VERSION];
        row.extend_from_slice(&self.0.to_le_bytes());
        row.into()
    }

    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let (&[version], end) = row.split_first_chunk()?;
        let end = u64::from_le_bytes(end.try_into().ok()?);
        (version == EDGE_VERSION).then_some(Self(end))
    }
}

/// What the row of a stream says: everything but where older layouts ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamRow {
    pub(crate) config: StreamConfig,
    pub(crate) partitions: Vec<PartitionId>,
    /// How many partitions each layout had, oldest first.
    pub(crate) counts: Vec<u32>,
}

impl StreamRow {
    pub(crate) fn encode(&self) -> Box<[u8]> {
        let StreamConfig { durability, retention, compression, compact, key } = &self.config;
        let durability = match durability {
            Durability::Disk => 0,
            Durability::Os => 1,
            Durability::None => 2,
        };
        let on_limit = match retention.on_limit {
            OnLimit::Refuse => 0,
            OnLimit::DeleteOldest => 1,
        };
        let (rule, level, name) = match key {
            KeyRule::Topic => (0, 0, ""),
            KeyRule::Level(level) => (1, *level, ""),
            KeyRule::ClientId => (2, 0, ""),
            KeyRule::UserProperty(name) => (3, 0, name.as_str()),
        };
        let compact = u8::from(*compact);
        let mut row = vec![VERSION, durability, compression.codec(), compact, on_limit];
        for limit in [retention.age_ms, retention.bytes] {
            row.push(limit.is_some().into());
            row.extend_from_slice(&limit.unwrap_or_default().to_le_bytes());
        }
        row.extend_from_slice(&retention.hold_bytes.to_le_bytes());
        row.push(rule);
        row.extend_from_slice(&level.to_le_bytes());
        row.extend_from_slice(&short(name.len()).to_le_bytes());
        row.extend_from_slice(name.as_bytes());
        row.extend_from_slice(&short(self.counts.len()).to_le_bytes());
        for count in &self.counts {
            row.extend_from_slice(&count.to_le_bytes());
        }
        for partition in &self.partitions {
            row.extend_from_slice(&partition.0.to_le_bytes());
        }
        row.into()
    }

    /// The row, or `None` if it is not one that this or an earlier build wrote.
    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let mut rest = Rest(row);
        match rest.u8()? {
            VERSION => Self::decode_fields(rest),
            VERSION_FIRST => {
                let durability = rest.durability()?;
                let partitions = rest.partitions()?;
                let counts = vec![u32::try_from(partitions.len()).ok()?];
                let config = StreamConfig { durability, ..StreamConfig::default() };
                Some(Self { config, partitions, counts })
            }
            _ => None,
        }
    }

    fn decode_fields(mut rest: Rest<'_>) -> Option<Self> {
        let durability = rest.durability()?;
        let compression = Compression::from_codec(rest.u8()?)?;
        let compact = rest.flag()?;
        let on_limit = if rest.flag()? { OnLimit::DeleteOldest } else { OnLimit::Refuse };
        let (age_ms, bytes) = (rest.limit()?, rest.limit()?);
        let retention = Retention { age_ms, bytes, hold_bytes: rest.u64()?, on_limit };
        let (rule, level, length) = (rest.u8()?, rest.u16()?, rest.u16()?);
        let name = str::from_utf8(rest.take(usize::from(length))?).ok()?;
        let key = match rule {
            0 => KeyRule::Topic,
            1 => KeyRule::Level(level),
            2 => KeyRule::ClientId,
            3 => KeyRule::UserProperty(name.to_owned()),
            _ => return None,
        };
        let layouts = rest.u16()?;
        let counts: Vec<u32> = (0..layouts).map(|_| rest.u32()).collect::<Option<_>>()?;
        let partitions = rest.partitions()?;
        let now = counts.last().and_then(|count| usize::try_from(*count).ok());
        let config = StreamConfig { durability, retention, compression, compact, key };
        let grows = counts.is_sorted() && now == Some(partitions.len());
        grows.then_some(Self { config, partitions, counts })
    }

    /// The layouts, where `end` says where each ended in each partition.
    pub(crate) fn layouts(&self, end: impl Fn(u32, u32) -> Option<u64>) -> Option<Vec<Layout>> {
        let current = self.counts.len().checked_sub(1)?;
        let layout = |(number, count): (usize, &u32)| {
            let layout = u32::try_from(number).ok()?;
            let ended = (0..*count).filter(|_| number < current);
            let ends = ended.map(|index| end(layout, index)).collect::<Option<_>>()?;
            Some(Layout { partitions: *count, ends })
        };
        self.counts.iter().enumerate().map(layout).collect()
    }
}

/// Names and histories are bounded before they come here; a row says no more than it can.
fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn limit(&mut self) -> Option<Option<u64>> {
        let is_some = self.flag()?;
        self.u64().map(|limit| is_some.then_some(limit))
    }

    fn durability(&mut self) -> Option<Durability> {
        match self.u8()? {
            0 => Some(Durability::Disk),
            1 => Some(Durability::Os),
            2 => Some(Durability::None),
            _ => None,
        }
    }

    fn partitions(&mut self) -> Option<Vec<PartitionId>> {
        let (ids, rest) = self.0.as_chunks();
        let partitions = ids.iter().map(|id| PartitionId(u32::from_le_bytes(*id))).collect();
        rest.is_empty().then_some(partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::{Edge, RowKey, StreamRow};
    use tidewire_proto::id::PartitionId;

    use super::super::config::{
        Compression, Durability, KeyRule, OnLimit, Retention, StreamConfig,
    };

    fn row(config: StreamConfig) -> StreamRow {
        let partitions = vec![PartitionId(3), PartitionId(9), PartitionId(70_000)];
        StreamRow { config, partitions, counts: vec![1, 3] }
    }

    #[track_caller]
    fn check(config: StreamConfig) {
        let row = row(config);
        assert_eq!(StreamRow::decode(&row.encode()), Some(row));
    }

    #[test]
    fn a_row_holds_the_whole_stream() {
        let retention = Retention {
            age_ms: Some(7),
            bytes: None,
            hold_bytes: 99,
            on_limit: OnLimit::DeleteOldest,
        };
        let limited = Retention { age_ms: None, bytes: Some(0), ..Retention::default() };
        let base = StreamConfig::default;
        check(base());
        check(StreamConfig { durability: Durability::Os, retention, ..base() });
        check(StreamConfig { durability: Durability::None, retention: limited, ..base() });
        check(StreamConfig { compression: Compression::Lz4, compact: true, ..base() });
        check(StreamConfig { compression: Compression::Zstd, key: KeyRule::Level(2), ..base() });
        check(StreamConfig { key: KeyRule::ClientId, ..base() });
        check(StreamConfig { key: KeyRule::UserProperty("device".into()), ..base() });
    }

    #[test]
    fn a_row_of_an_early_build_is_understood() {
        let row = StreamRow::decode(&[1, 1, 5, 0, 0, 0, 6, 0, 0, 0]).expect("known");
        assert_eq!(row.config.durability, Durability::Os);
        assert_eq!(row.partitions, [PartitionId(5), PartitionId(6)]);
        assert_eq!(row.counts, [2]);
    }

    #[test]
    fn a_row_that_nobody_wrote_is_refused() {
        let whole = row(StreamConfig::default()).encode();
        for length in 0..whole.len() {
            assert_eq!(StreamRow::decode(&whole[..length]), None, "{length}");
        }
        assert_eq!(StreamRow::decode(&[1, 0, 1]), None);
        assert_eq!(StreamRow::decode(&[3, 0]), None);
    }

    #[test]
    fn ends_have_keys_of_their_own_behind_the_stream() {
        let end = RowKey::End { name: "plant", layout: 0, index: 7 };
        assert_eq!(RowKey::parse(&end.encode()), Some(end));
        assert_eq!(RowKey::parse(b"plant"), Some(RowKey::Stream("plant")));
        assert_eq!(RowKey::parse(b"plant\0\0"), None);
        assert!(*end.encode() > b"plant"[..]);
        let start = RowKey::Start { name: "plant", index: 7 };
        assert_eq!(RowKey::parse(&start.encode()), Some(start));
        assert_eq!(Edge::decode(&Edge(8).encode()), Some(Edge(8)));
        assert_eq!(Edge::decode(&[2; 9]), None);
    }
}
