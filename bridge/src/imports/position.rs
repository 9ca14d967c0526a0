//! How far an import is in each partition of the topics that it reads, as it stands in its row.
//! Pure.

use std::collections::BTreeMap;

/// The form that this build writes.
const VERSION: u8 = 1;

/// Where to go on, as it stands where an offset would: looked for before anything is read.
pub(crate) const AT_LATEST: i64 = -1;
pub(crate) const AT_EARLIEST: i64 = -2;
/// The same of a time, less its milliseconds since 1970.
const AT_TIME: i64 = -3;

/// The next offset of each partition, or where to look for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Positions(BTreeMap<(String, i32), i64>);

/// What stands for the first record that is not older.
pub(crate) fn at_time(at_ms: i64) -> i64 {
    AT_TIME.saturating_sub(at_ms.max(0))
}

/// What ListOffsets is asked for, to find the place that was wished for.
pub(crate) fn wished(offset: i64) -> Option<i64> {
    match offset {
        0.. => None,
        AT_LATEST | AT_EARLIEST => Some(offset),
        time => Some(AT_TIME.saturating_sub(time)),
    }
}

impl Positions {
    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<i64> {
        self.0.get(&(topic.to_owned(), partition)).copied()
    }

    pub(crate) fn set(&mut self, topic: &str, partition: i32, offset: i64) {
        self.0.insert((topic.to_owned(), partition), offset);
    }

    /// Everywhere the same.
    pub(crate) fn set_all(&mut self, wish: i64) {
        self.0.values_mut().for_each(|offset| *offset = wish);
    }

    /// Whether any partition of the topic was ever read.
    pub(crate) fn knows(&self, topic: &str) -> bool {
        self.0.keys().any(|(known, _)| known == topic)
    }

    /// As bytes: names once, then partitions and offsets.
    pub(crate) fn encode(&self) -> Box<[u8]> {
        let mut bytes = vec![VERSION];
        for ((topic, partition), offset) in &self.0 {
            let length = u16::try_from(topic.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&topic.as_bytes()[..usize::from(length)]);
            bytes.extend_from_slice(&partition.to_be_bytes());
            bytes.extend_from_slice(&offset.to_be_bytes());
        }
        bytes.into()
    }

    /// From bytes; `None` if they are another form.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let Some((version, mut rest)) = bytes.split_first() else { return Some(Self::default()) };
        if *version != VERSION {
            return None;
        }
        let mut positions = Self::default();
        while !rest.is_empty() {
            let (length, behind) = rest.split_first_chunk()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (topic, behind) = behind.split_at_checked(length)?;
            let (partition, behind) = behind.split_first_chunk()?;
            let (offset, behind) = behind.split_first_chunk()?;
            let topic = std::str::from_utf8(topic).ok()?;
            let partition = i32::from_be_bytes(*partition);
            positions.set(topic, partition, i64::from_be_bytes(*offset));
            rest = behind;
        }
        Some(positions)
    }
}

#[cfg(test)]
mod tests {
    use super::{AT_EARLIEST, AT_LATEST, Positions, at_time, wished};

    #[test]
    fn a_wish_is_told_from_an_offset() {
        for offset in [0, 1, i64::MAX] {
            assert_eq!(wished(offset), None);
        }
        assert_eq!((wished(AT_LATEST), wished(AT_EARLIEST)), (Some(-1), Some(-2)));
        for time in [0, 1, 1_800_000_000_000] {
            assert_eq!(wished(at_time(time)), Some(time));
        }
    }

    #[test]
    fn positions_read_back_as_they_were_written_and_cut_ones_are_refused() {
        let mut positions = Positions::default();
        assert_eq!(Positions::decode(&[]), Some(Positions::default()));
        for (topic, partition, offset) in [("a", 0, 7), ("a", 9, i64::MAX), ("b.c", 3, 0)] {
            positions.set(topic, partition, offset);
        }
        let bytes = positions.encode();
        assert_eq!(Positions::decode(&bytes), Some(positions.clone()));
        assert_eq!((positions.get("a", 9), positions.get("a", 1)), (Some(i64::MAX), None));
        assert!(positions.knows("b.c") && !positions.knows("b"));
        for cut in 0..bytes.len() {
            assert_ne!(Positions::decode(&bytes[..cut]), Some(positions.clone()), "cut at {cut}");
        }
        assert_eq!(Positions::decode(&[9]), None);
    }
}
