//! What an idempotent Kafka producer appended last to a partition: so that a batch that comes again
//! is known, also after a crash. One row for each of its last few batches.

use tidewire_proto::id::PartitionId;

use crate::rows::field::{Fields, RowError};

const VERSION: u8 = 1;

/// So many batches of a producer are known per partition: as many as Kafka's producers have on
/// their way.
pub const BATCHES_KEPT: u8 = 5;

/// Where in the value the offset lies that the writer fills in.
pub const OFFSET_AT: usize = 1;

/// The key of a row of `Table::Producers`: whose batch, where, and its place among the last few.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProducerKey {
    /// The number that the producer was given.
    pub producer: i64,
    /// The partition.
    pub partition: PartitionId,
    /// From 0 to less than [`BATCHES_KEPT`]; used in turn.
    pub slot: u8,
}

impl ProducerKey {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut key = Vec::with_capacity(13);
        key.extend_from_slice(&self.producer.to_be_bytes());
        key.extend_from_slice(&self.partition.0.to_be_bytes());
        key.push(self.slot);
        key.into()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they are no such key.
    pub fn decode(key: &[u8]) -> Result<Self, RowError> {
        let (producer, rest) = key.split_first_chunk().ok_or(RowError)?;
        let (partition, rest) = rest.split_first_chunk().ok_or(RowError)?;
        let [slot] = rest else { return Err(RowError) };
        if *slot >= BATCHES_KEPT {
            return Err(RowError);
        }
        Ok(Self {
            producer: i64::from_be_bytes(*producer),
            partition: PartitionId(u32::from_be_bytes(*partition)),
            slot: *slot,
        })
    }
}

/// One batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerRow {
    /// Where it lies; in a row that is written, 0: the writer adds the offset.
    pub base_offset: u64,
    /// When it was appended, in milliseconds of the Unix epoch.
    pub at_ms: i64,
    /// The producer's epoch.
    pub epoch: i16,
    /// The sequence number of its first record.
    pub first: i32,
    /// That of its last.
    pub last: i32,
}

impl ProducerRow {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut row = vec![VERSION];
        row.extend_from_slice(&self.base_offset.to_le_bytes());
        row.extend_from_slice(&self.at_ms.to_le_bytes());
        row.extend_from_slice(&self.epoch.to_le_bytes());
        row.extend_from_slice(&self.first.to_le_bytes());
        row.extend_from_slice(&self.last.to_le_bytes());
        row.into()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::of(row, VERSION)?;
        let row = Self {
            base_offset: fields.u64()?,
            at_ms: fields.i64()?,
            epoch: i16::from_le_bytes(fields.array()?),
            first: i32::from_le_bytes(fields.array()?),
            last: i32::from_le_bytes(fields.array()?),
        };
        fields.end()?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PartitionId;

    use super::{BATCHES_KEPT, OFFSET_AT, ProducerKey, ProducerRow};

    #[test]
    fn rows_and_keys_read_back_as_they_were_written() {
        let key = ProducerKey { producer: 1007, partition: PartitionId(3), slot: 4 };
        assert_eq!(ProducerKey::decode(&key.encode()), Ok(key));
        let outside = ProducerKey { slot: BATCHES_KEPT, ..key };
        assert!(ProducerKey::decode(&outside.encode()).is_err());
        assert!(ProducerKey::decode(b"next").is_err());
        let row = ProducerRow { base_offset: 9, at_ms: -1, epoch: 2, first: i32::MAX, last: 0 };
        let bytes = row.encode();
        assert_eq!(bytes[OFFSET_AT..][..8], 9_u64.to_le_bytes());
        assert_eq!(ProducerRow::decode(&bytes), Ok(row));
        assert!(ProducerRow::decode(&bytes[..bytes.len() - 1]).is_err());
    }
}
