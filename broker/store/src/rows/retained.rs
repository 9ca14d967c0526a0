//! The retained message of a topic.

use bytes::Bytes;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{Batch, BatchBuilder};
use tidewire_proto::session::window::Place;

use crate::rows::field::{Fields, RowError};

const VERSION: u8 = 1;

/// Where in the value the offset lies that the writer fills in.
pub const OFFSET_AT: usize = 1;
const PARTITION_AT: usize = 9;
/// Where in the value the message begins.
pub const MESSAGE_AT: usize = 13;

/// A row of `Table::Retained`; key: the topic. `index` is the record's place in the batch of the
/// same commit; the writer adds that batch's base offset to it.
#[must_use]
pub fn encode(partition: PartitionId, index: u32, message: &Batch) -> Box<[u8]> {
    let mut row = begin(message.bytes().len());
    row.extend_from_slice(message.bytes());
    put_place(&mut row, partition, index);
    row.into()
}

/// The row of the one message in the builder, which is empty after. Its place is
/// [put](put_place) there when it is known.
#[must_use]
pub fn encode_next(message: &mut BatchBuilder) -> Box<[u8]> {
    let mut row = begin(message.bytes());
    message.finish_into(&mut row);
    row.into()
}

/// Fills in where the message lies, as [`encode`] does.
pub fn put_place(row: &mut [u8], partition: PartitionId, index: u32) {
    row[OFFSET_AT..PARTITION_AT].copy_from_slice(&u64::from(index).to_le_bytes());
    row[PARTITION_AT..MESSAGE_AT].copy_from_slice(&partition.0.to_le_bytes());
}

fn begin(message_bytes: usize) -> Vec<u8> {
    let mut row = Vec::with_capacity(MESSAGE_AT + message_bytes);
    row.push(VERSION);
    row.resize(MESSAGE_AT, 0);
    row
}

/// Where the message lies in the log, and the message itself as a batch of one record.
///
/// # Errors
/// When the row is damaged.
pub fn decode(row: &[u8]) -> Result<(Place, Batch), RowError> {
    let mut fields = Fields::of(row, VERSION)?;
    let offset = fields.u64()?;
    let partition = PartitionId(fields.u32()?);
    let batch = Batch::parse(Bytes::copy_from_slice(fields.rest())).map_err(|_| RowError)?;
    Ok((Place { partition, offset }, batch))
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::record::BatchBuilder;

    use super::{encode, encode_next, put_place};

    #[test]
    fn a_row_is_the_same_whether_its_place_is_known_before_or_after() {
        let mut builder = BatchBuilder::new();
        for value in [&b"first"[..], b"and another"] {
            builder.push(7, Some(b"a/b"), Some(value), &[]);
            let expected = encode(PartitionId(3), 9, &builder.finish());
            builder.push(7, Some(b"a/b"), Some(value), &[]);
            let mut row = encode_next(&mut builder);
            assert!(builder.is_empty());
            put_place(&mut row, PartitionId(3), 9);
            assert_eq!(row, expected);
        }
    }
}
