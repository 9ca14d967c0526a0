//! Who may not connect.

use crate::rows::field::{Fields, RowError};

const VERSION: u8 = 1;

/// One row of `Table::Bans`; key: who, in the words of whoever reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanRow {
    /// When it began, in milliseconds of the Unix epoch.
    pub since_ms: i64,
    /// When it ends; `None`: it does not end by itself.
    pub until_ms: Option<i64>,
    /// Why, for people.
    pub reason: String,
}

impl BanRow {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut row = vec![VERSION];
        row.extend_from_slice(&self.since_ms.to_le_bytes());
        row.extend_from_slice(&self.until_ms.unwrap_or(i64::MAX).to_le_bytes());
        row.extend_from_slice(self.reason.as_bytes());
        row.into()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::of(row, VERSION)?;
        let since_ms = fields.i64()?;
        let until_ms = Some(fields.i64()?).filter(|until| *until != i64::MAX);
        let reason = std::str::from_utf8(fields.rest()).map_err(|_| RowError)?.to_owned();
        Ok(Self { since_ms, until_ms, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::BanRow;

    #[test]
    fn a_row_reads_back_as_it_was_written() {
        for until_ms in [None, Some(1_700_000_000_000)] {
            let row = BanRow { since_ms: 7, until_ms, reason: "too loud".into() };
            assert_eq!(BanRow::decode(&row.encode()), Ok(row));
        }
        assert!(BanRow::decode(&[9]).is_err());
        assert!(BanRow::decode(&[1, 0]).is_err());
    }
}
