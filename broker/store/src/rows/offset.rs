//! An offset that a consumer group committed, one row for each partition.

use crate::rows::field::{Fields, RowError, put_text, put_varint};

const VERSION: u8 = 1;

/// The key of a row in `Table::GroupOffsets`; all of a group lie together.
///
/// `bytes of the group u16 big-endian | group | topic | partition u32 big-endian`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetKey<'a> {
    /// Whose.
    pub group: &'a str,
    /// The stream, by the name that it has as a Kafka topic.
    pub topic: &'a str,
    /// Which partition of the stream.
    pub partition: u32,
}

impl<'a> OffsetKey<'a> {
    /// As bytes; `None` for a group with a name that is too long to be one.
    #[must_use]
    pub fn encode(self) -> Option<Box<[u8]>> {
        let length = u16::try_from(self.group.len()).ok()?;
        let mut key = length.to_be_bytes().to_vec();
        key.extend_from_slice(self.group.as_bytes());
        key.extend_from_slice(self.topic.as_bytes());
        key.extend_from_slice(&self.partition.to_be_bytes());
        Some(key.into())
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the key is of no known form.
    pub fn decode(key: &'a [u8]) -> Result<Self, RowError> {
        let (length, rest) = key.split_first_chunk().ok_or(RowError)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (group, rest) = rest.split_at_checked(length).ok_or(RowError)?;
        let (topic, partition) = rest.split_last_chunk().ok_or(RowError)?;
        Ok(Self {
            group: std::str::from_utf8(group).map_err(|_| RowError)?,
            topic: std::str::from_utf8(topic).map_err(|_| RowError)?,
            partition: u32::from_be_bytes(*partition),
        })
    }
}

/// The value of a row: `version u8 | offset | leader epoch i32 | time i64 | metadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetRow {
    /// The next offset that the group wants.
    pub offset: u64,
    /// The leader epoch that came with it; -1 for none.
    pub leader_epoch: i32,
    /// When it was committed, in milliseconds of the Unix epoch.
    pub committed_ms: i64,
    /// What the client wrote beside it.
    pub metadata: String,
}

impl OffsetRow {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut row = vec![VERSION];
        put_varint(self.offset, &mut row);
        row.extend_from_slice(&self.leader_epoch.to_le_bytes());
        row.extend_from_slice(&self.committed_ms.to_le_bytes());
        put_text(&self.metadata, &mut row);
        row.into()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::of(row, VERSION)?;
        let offset = fields.varint()?;
        let leader_epoch = fields.array().map(i32::from_le_bytes)?;
        let committed_ms = fields.i64()?;
        let metadata = fields.text()?.to_owned();
        fields.end()?;
        Ok(Self { offset, leader_epoch, committed_ms, metadata })
    }
}

#[cfg(test)]
mod tests {
    use super::{OffsetKey, OffsetRow};

    #[test]
    fn keys_of_one_group_are_not_those_of_another() {
        let key = |group, topic, partition| OffsetKey { group, topic, partition };
        for one in [key("g", "mqtt", 3), key("", "", 0), key("gm", "qtt", 3)] {
            let bytes = one.encode().expect("short enough");
            assert_eq!(OffsetKey::decode(&bytes), Ok(one));
        }
        assert_ne!(key("g", "mqtt", 3).encode(), key("gm", "qtt", 3).encode());
        assert_eq!(key(&"g".repeat(1 << 16), "mqtt", 0).encode(), None);
        assert!(OffsetKey::decode(&[0, 9, b'g']).is_err() && OffsetKey::decode(&[0, 0]).is_err());
    }

    #[test]
    fn a_row_reads_back_as_it_was_written_and_cut_anywhere_is_refused() {
        let metadata = "where I am".to_owned();
        let row = OffsetRow { offset: 1 << 40, leader_epoch: -1, committed_ms: 77, metadata };
        let bytes = row.encode();
        assert_eq!(OffsetRow::decode(&bytes), Ok(row));
        for cut in 0..bytes.len() {
            assert!(OffsetRow::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
