//! A session that outlives its connections.

use crate::rows::field::{Fields, RowError};

const VERSION: u8 = 1;

/// One row of `Table::Sessions`; key: the client id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Seconds that it lives on without a connection; `u32::MAX`: for ever.
    pub expiry_s: u32,
    /// When its last connection ended, in milliseconds of the Unix epoch; `None` while connected
    /// (and after a crash until the next sweep).
    pub ended_ms: Option<i64>,
}

impl SessionRow {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut row = vec![VERSION];
        row.extend_from_slice(&self.expiry_s.to_le_bytes());
        row.extend_from_slice(&self.ended_ms.unwrap_or(i64::MIN).to_le_bytes());
        row.into()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::of(row, VERSION)?;
        let expiry_s = fields.u32()?;
        let ended_ms = Some(fields.i64()?).filter(|at| *at != i64::MIN);
        fields.end()?;
        Ok(Self { expiry_s, ended_ms })
    }

    /// Whether the session is over at this time.
    #[must_use]
    pub fn is_expired(&self, now_ms: i64) -> bool {
        let lives_ms = i64::from(self.expiry_s) * 1000;
        self.expiry_s != u32::MAX && self.ended_ms.is_some_and(|at| now_ms - at >= lives_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::SessionRow;

    #[test]
    fn a_row_reads_back_as_it_was_written() {
        for ended_ms in [None, Some(0), Some(1_700_000_000_000)] {
            let row = SessionRow { expiry_s: 60, ended_ms };
            assert_eq!(SessionRow::decode(&row.encode()), Ok(row));
        }
        assert!(SessionRow::decode(&[9, 0]).is_err());
    }

    #[test]
    fn a_session_expires_only_without_connection_and_after_its_time() {
        let row = SessionRow { expiry_s: 60, ended_ms: Some(1_000) };
        assert!(!row.is_expired(60_999));
        assert!(row.is_expired(61_000));
        assert!(!SessionRow { ended_ms: None, ..row }.is_expired(i64::MAX));
        assert!(!SessionRow { expiry_s: u32::MAX, ..row }.is_expired(i64::MAX));
    }
}
