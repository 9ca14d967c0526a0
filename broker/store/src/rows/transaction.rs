//! How far the transactions of a Kafka producer are: one row for each transactional id, which is
//! the key. What a transaction holds is never stored before its commit.

use crate::rows::field::{Fields, RowError};

const VERSION: u8 = 1;

/// What became of the last transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// There was none since the producer got this epoch.
    #[default]
    None,
    /// It began, and has no end yet.
    Open,
    /// It is in the log.
    Committed,
    /// It is not, and will not be.
    Aborted,
}

/// The value of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionRow {
    /// The number that the producer was given.
    pub producer: i64,
    /// Who has an older one is refused.
    pub epoch: i16,
    /// The epoch with which this one was asked for; -1 if it was asked for without.
    pub asked_with: i16,
    /// How long a transaction may take, in milliseconds.
    pub timeout_ms: u32,
    /// When the row was written, in milliseconds of the Unix epoch.
    pub at_ms: i64,
    /// How far the last transaction is.
    pub stage: Stage,
}

impl TransactionRow {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut row = vec![VERSION];
        row.extend_from_slice(&self.producer.to_le_bytes());
        row.extend_from_slice(&self.epoch.to_le_bytes());
        row.extend_from_slice(&self.asked_with.to_le_bytes());
        row.extend_from_slice(&self.timeout_ms.to_le_bytes());
        row.extend_from_slice(&self.at_ms.to_le_bytes());
        row.push(match self.stage {
            Stage::None => 0,
            Stage::Open => 1,
            Stage::Committed => 2,
            Stage::Aborted => 3,
        });
        row.into()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::of(row, VERSION)?;
        let row = Self {
            producer: fields.i64()?,
            epoch: fields.array().map(i16::from_le_bytes)?,
            asked_with: fields.array().map(i16::from_le_bytes)?,
            timeout_ms: fields.u32()?,
            at_ms: fields.i64()?,
            stage: match fields.u8()? {
                0 => Stage::None,
                1 => Stage::Open,
                2 => Stage::Committed,
                3 => Stage::Aborted,
                _ => return Err(RowError),
            },
        };
        fields.end()?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::{Stage, TransactionRow};

    #[test]
    fn a_row_reads_back_as_it_was_written_and_cut_anywhere_is_refused() {
        for stage in [Stage::None, Stage::Open, Stage::Committed, Stage::Aborted] {
            let (producer, epoch, asked_with) = (1 << 40, 7, -1);
            let (timeout_ms, at_ms) = (60_000, 99);
            let row = TransactionRow { producer, epoch, asked_with, timeout_ms, at_ms, stage };
            let bytes = row.encode();
            assert_eq!(TransactionRow::decode(&bytes), Ok(row));
            for cut in 0..bytes.len() {
                assert!(TransactionRow::decode(&bytes[..cut]).is_err(), "cut at {cut}");
            }
        }
    }
}
