//! A session that outlives its connections.

use crate::rows::field::{Fields, RowError};

const VERSION: u8 = 1;
/// With the user that it belongs to.
const OF_USER: u8 = 2;

/// One row of `Table::Sessions`; key: the client id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Seconds that it lives on without a connection; `u32::MAX`: for ever.
    pub expiry_s: u32,
    /// When its last connection ended, in milliseconds of the Unix epoch; `None` while connected
    /// (and after a crash until the next sweep).
    pub ended_ms: Option<i64>,
    /// Whose it is; `None`: nobody's, so that whoever takes it up has it.
    pub user: Option<Box<str>>,
}

impl SessionRow {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut row = vec![if self.user.is_some() { OF_USER } else { VERSION }];
        row.extend_from_slice(&self.expiry_s.to_le_bytes());
        row.extend_from_slice(&self.ended_ms.unwrap_or(i64::MIN).to_le_bytes());
        row.extend_from_slice(self.user.as_deref().unwrap_or_default().as_bytes());
        row.into()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::of_any(row, &[VERSION, OF_USER])?;
        let expiry_s = fields.u32()?;
        let ended_ms = Some(fields.i64()?).filter(|at| *at != i64::MIN);
        let user = match row.first() {
            Some(&OF_USER) => {
                let name = std::str::from_utf8(fields.rest()).map_err(|_| RowError)?;
                // Older versions wrote that of a client without one.
                Some(name).filter(|name| !name.is_empty()).map(Into::into)
            }
            _ => {
                fields.end()?;
                None
            }
        };
        Ok(Self { expiry_s, ended_ms, user })
    }

    /// Whether it belongs to somebody else.
    #[must_use]
    pub fn is_foreign_to(&self, user: Option<&str>) -> bool {
        self.user.is_some() && self.user.as_deref() != user
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
            for user in [None, Some("ann".into())] {
                let row = SessionRow { expiry_s: 60, ended_ms, user };
                assert_eq!(SessionRow::decode(&row.encode()), Ok(row));
            }
        }
        assert!(SessionRow::decode(&[9, 0]).is_err());
    }

    #[test]
    fn a_session_is_foreign_to_all_but_its_user_and_an_old_row_to_nobody() {
        let of = |user: Option<&str>| SessionRow {
            expiry_s: 60,
            ended_ms: None,
            user: user.map(Into::into),
        };
        assert!(!of(None).is_foreign_to(None) && !of(None).is_foreign_to(Some("bob")));
        let nameless = of(Some("")).encode();
        assert_eq!(SessionRow::decode(&nameless), Ok(of(None)), "as older versions wrote it");
        assert!(!of(Some("ann")).is_foreign_to(Some("ann")));
        assert!(of(Some("ann")).is_foreign_to(Some("bob")) && of(Some("ann")).is_foreign_to(None));
        let old = [&[1, 60, 0, 0, 0][..], &i64::MIN.to_le_bytes()].concat();
        assert_eq!(SessionRow::decode(&old), Ok(of(None)));
    }

    #[test]
    fn a_session_expires_only_without_connection_and_after_its_time() {
        let row = SessionRow { expiry_s: 60, ended_ms: Some(1_000), user: None };
        assert!(!row.is_expired(60_999));
        assert!(row.is_expired(61_000));
        assert!(!SessionRow { ended_ms: None, ..row.clone() }.is_expired(i64::MAX));
        assert!(!SessionRow { expiry_s: u32::MAX, ..row }.is_expired(i64::MAX));
    }
}
