//! The retained message of a topic.

use bytes::Bytes;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::Batch;
use tidewire_proto::session::window::Place;

use crate::rows::field::{Fields, RowError};

const VERSION: u8 = 1;

/// Where in the value the offset lies that the writer fills in.
pub const OFFSET_AT: usize = 1;

/// A row of `Table::Retained`; key: the topic. `index` is the record's place in the batch of the
/// same commit; the writer adds that batch's base offset to it.
#[must_use]
pub fn encode(partition: PartitionId, index: u32, message: &Batch) -> Box<[u8]> {
    let mut row = Vec::with_capacity(13 + message.bytes().len());
    row.push(VERSION);
    row.extend_from_slice(&u64::from(index).to_le_bytes());
    row.extend_from_slice(&partition.0.to_le_bytes());
    row.extend_from_slice(message.bytes());
    row.into()
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
