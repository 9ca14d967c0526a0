//! The will of a client: what is published when it is lost, and when.

use bytes::Bytes;
use tidewire_proto::record::Batch;

use crate::rows::field::{Fields, RowError, put_text};

const VERSION: u8 = 1;
/// With the user whose it is.
const OF_USER: u8 = 2;
const CONNECTED: u8 = 0;
const WAITING: u8 = 1;
const WAITING_AFTER_US: u8 = 2;

/// One row of `Table::Wills`; key: the client id.
#[derive(Clone, Debug)]
pub struct WillRow {
    /// What it waits for.
    pub state: WillState,
    /// The Will Delay Interval, in seconds.
    pub delay_s: u32,
    /// Whose it is; `None`: nobody's, or not known.
    pub user: Option<Box<str>>,
    /// The message, as a batch of one record.
    pub message: Batch,
}

/// What a will waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WillState {
    /// The end of its connection (a crash of ours is one).
    Connected,
    /// Its time.
    Waiting {
        /// When it is published, in milliseconds of the Unix epoch.
        due_ms: i64,
        /// It was the broker that ended the connection, by a stop or a crash.
        by_broker: bool,
    },
}

impl WillRow {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let (state, due_ms) = match self.state {
            WillState::Connected => (CONNECTED, 0),
            WillState::Waiting { due_ms, by_broker: false } => (WAITING, due_ms),
            WillState::Waiting { due_ms, by_broker: true } => (WAITING_AFTER_US, due_ms),
        };
        let mut row = Vec::with_capacity(14 + self.message.bytes().len());
        row.extend_from_slice(&[if self.user.is_some() { OF_USER } else { VERSION }, state]);
        row.extend_from_slice(&self.delay_s.to_le_bytes());
        row.extend_from_slice(&due_ms.to_le_bytes());
        if let Some(user) = &self.user {
            put_text(user, &mut row);
        }
        row.extend_from_slice(self.message.bytes());
        row.into()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::of_any(row, &[VERSION, OF_USER])?;
        let state = fields.u8()?;
        let delay_s = fields.u32()?;
        let due_ms = fields.i64()?;
        let state = match state {
            CONNECTED => WillState::Connected,
            WAITING => WillState::Waiting { due_ms, by_broker: false },
            WAITING_AFTER_US => WillState::Waiting { due_ms, by_broker: true },
            _ => return Err(RowError),
        };
        let user = match row.first() {
            Some(&OF_USER) => Some(fields.text()?.into()),
            _ => None,
        };
        let message = Batch::parse(Bytes::copy_from_slice(fields.rest())).map_err(|_| RowError)?;
        Ok(Self { state, delay_s, user, message })
    }
}

#[cfg(test)]
mod tests {
    use super::{WillRow, WillState};
    use tidewire_proto::record::BatchBuilder;

    #[test]
    fn a_row_reads_back_as_it_was_written() {
        let mut batch = BatchBuilder::new();
        batch.push(7, Some(b"a/b"), Some(b"gone"), &[]);
        let message = batch.finish();
        for state in [
            WillState::Connected,
            WillState::Waiting { due_ms: 5, by_broker: false },
            WillState::Waiting { due_ms: i64::MAX, by_broker: true },
        ] {
            let user = (state != WillState::Connected).then(|| "ann".into());
            let row = WillRow { state, delay_s: 30, user: user.clone(), message: message.clone() };
            let row = row.encode();
            let read = WillRow::decode(&row).expect("what was written is read");
            assert_eq!((read.state, read.delay_s, read.user), (state, 30, user));
            assert_eq!(read.message.bytes(), message.bytes());
            for cut in 0..row.len() {
                assert!(WillRow::decode(&row[..cut]).is_err(), "cut at {cut}");
            }
        }
    }
}
