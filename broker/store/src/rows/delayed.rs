//! A message that is published when its time comes.

use bytes::Bytes;
use tidewire_proto::record::Batch;

use crate::rows::field::{Fields, RowError, put_varint};

const VERSION: u8 = 1;

/// What every key begins with: no client id, and so no will, has it in front.
const MARK: u8 = 0;
const KEY_BYTES: usize = 25;

/// The key of a row in `Table::Wills`, in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DelayedKey {
    /// When it is published, in milliseconds of the Unix epoch.
    pub due_ms: i64,
    /// When the broker that took it was started.
    pub started_ms: i64,
    /// Its number in that run.
    pub serial: u64,
}

impl DelayedKey {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut key = Vec::with_capacity(KEY_BYTES);
        key.push(MARK);
        key.extend_from_slice(&self.due_ms.to_be_bytes());
        key.extend_from_slice(&self.started_ms.to_be_bytes());
        key.extend_from_slice(&self.serial.to_be_bytes());
        key.into()
    }

    /// From bytes; `None` for the key of a will.
    #[must_use]
    pub fn decode(key: &[u8]) -> Option<Self> {
        let (due_ms, key) = key.strip_prefix(&[MARK])?.split_first_chunk()?;
        let (started_ms, key) = key.split_first_chunk()?;
        Some(Self {
            due_ms: i64::from_be_bytes(*due_ms),
            started_ms: i64::from_be_bytes(*started_ms),
            serial: u64::from_be_bytes(key.try_into().ok()?),
        })
    }
}

/// The value of a row: `version u8 | client id bytes | client id | message`.
#[derive(Clone, Debug)]
pub struct DelayedRow {
    /// Who published it: it may choose the partition.
    pub client_id: Box<str>,
    /// The message, as a batch of one record.
    pub message: Batch,
}

impl DelayedRow {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut row = vec![VERSION];
        put_varint(self.client_id.len() as u64, &mut row);
        row.extend_from_slice(self.client_id.as_bytes());
        row.extend_from_slice(self.message.bytes());
        row.into()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::of(row, VERSION)?;
        let length = usize::try_from(fields.varint()?).map_err(|_| RowError)?;
        let rest = fields.rest();
        let (client_id, message) = rest.split_at_checked(length).ok_or(RowError)?;
        let client_id = std::str::from_utf8(client_id).map_err(|_| RowError)?.into();
        let message = Batch::parse(Bytes::copy_from_slice(message)).map_err(|_| RowError)?;
        Ok(Self { client_id, message })
    }
}

#[cfg(test)]
mod tests {
    use super::{DelayedKey, DelayedRow};
    use tidewire_proto::record::BatchBuilder;

    #[test]
    fn keys_lie_in_the_order_of_time_and_before_every_will() {
        let at = |due_ms| DelayedKey { due_ms, started_ms: 9, serial: 1 };
        assert!(at(255).encode() < at(256).encode());
        assert!(*at(i64::MAX).encode() < b"a client"[..]);
        assert_eq!(DelayedKey::decode(&at(77).encode()), Some(at(77)));
        assert_eq!(DelayedKey::decode(b"a client"), None);
        assert_eq!(DelayedKey::decode(&at(1).encode()[..20]), None);
    }

    #[test]
    fn a_row_reads_back_as_it_was_written() {
        let mut batch = BatchBuilder::new();
        batch.push(7, Some(b"a/b"), Some(b"later"), &[]);
        let row = DelayedRow { client_id: "me".into(), message: batch.finish() };
        let bytes = row.encode();
        let read = DelayedRow::decode(&bytes).expect("what was written is read");
        assert_eq!((&read.client_id, read.message.bytes()), (&row.client_id, row.message.bytes()));
        for cut in 0..bytes.len() {
            assert!(DelayedRow::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
