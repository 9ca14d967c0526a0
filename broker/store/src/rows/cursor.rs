//! How far a session is.

use tidewire_proto::id::PartitionId;
use tidewire_proto::session::cursor::Positions;

use crate::rows::field::{Fields, RowError};

const VERSION: u8 = 1;

/// One row of `Table::Cursors`; key: the client id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CursorRow {
    /// The number of its next exchange.
    pub next_number: u64,
    /// The next offset per partition.
    pub positions: Positions,
}

impl CursorRow {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        encode(self.next_number, &self.positions)
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::of(row, VERSION)?;
        let next_number = fields.u64()?;
        let positions = decode_positions(fields)?;
        Ok(Self { next_number, positions })
    }
}

/// A row without making the [`CursorRow`] first.
#[must_use]
pub fn encode(next_number: u64, positions: &Positions) -> Box<[u8]> {
    let mut row = vec![VERSION];
    row.extend_from_slice(&next_number.to_le_bytes());
    encode_positions(positions, &mut row);
    row.into()
}

pub(super) fn encode_positions(positions: &Positions, row: &mut Vec<u8>) {
    for (_, next) in positions.iter() {
        row.extend_from_slice(&next.to_le_bytes());
    }
}

pub(super) fn decode_positions(mut fields: Fields<'_>) -> Result<Positions, RowError> {
    let mut positions = Positions::default();
    let mut partition = 0;
    while !fields.is_empty() {
        positions.advance(PartitionId(partition), fields.u64()?);
        partition += 1;
    }
    Ok(positions)
}

#[cfg(test)]
mod tests {
    use super::CursorRow;
    use tidewire_proto::id::PartitionId;

    #[test]
    fn a_row_reads_back_as_it_was_written() {
        let mut row = CursorRow { next_number: 70_000, ..CursorRow::default() };
        row.positions.advance(PartitionId(2), 9);
        assert_eq!(CursorRow::decode(&row.encode()), Ok(row));
        assert!(CursorRow::decode(&[1, 2, 3]).is_err());
    }
}
