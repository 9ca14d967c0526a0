//! The will of a client: what is published when it is lost, and when.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tidewire_proto::record::Batch;

use crate::rows::field::{Fields, RowError, put_text, put_varint};

const VERSION: u8 = 1;
/// With the user whose it is.
const OF_USER: u8 = 2;
/// With what else was known of who left it.
const OF_LEAVER: u8 = 3;
const CONNECTED: u8 = 0;
const WAITING: u8 = 1;
const WAITING_AFTER_US: u8 = 2;
const IS_SUPERUSER: u8 = 1;
const HAS_CERTIFICATE: u8 = 2;
const HAS_ADDRESS: u8 = 4;

/// One row of `Table::Wills`; key: the client id.
#[derive(Clone, Debug)]
pub struct WillRow {
    /// What it waits for.
    pub state: WillState,
    /// The Will Delay Interval, in seconds.
    pub delay_s: u32,
    /// Whose it is; `None`: nobody's, or not known.
    pub user: Option<Box<str>>,
    /// Who left it; `None`: not known, as in rows that older versions wrote.
    pub left_by: Option<Arc<Leaver>>,
    /// The message, as a batch of one record.
    pub message: Batch,
}

/// What was known, besides its user, of a client when it left its will: rules ask for it when the
/// will is sent, and then the client is away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaver {
    /// What its certificate says it is.
    pub certificate: Option<Box<str>>,
    /// Where it came from.
    pub address: Option<IpAddr>,
    /// Where it came in: the section of the listener.
    pub listener: Box<str>,
    /// Groups that it was said to be in.
    pub groups: Arc<[Box<str>]>,
    /// It was said that no rule holds for it.
    pub is_superuser: bool,
}

impl Leaver {
    /// What is kept of it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let groups: usize = self.groups.iter().map(|group| group.len()).sum();
        self.certificate.as_ref().map_or(0, |name| name.len()) + self.listener.len() + groups
    }

    fn put(&self, row: &mut Vec<u8>) {
        let marks = [self.is_superuser, self.certificate.is_some(), self.address.is_some()];
        let marks = marks.into_iter().zip([IS_SUPERUSER, HAS_CERTIFICATE, HAS_ADDRESS]);
        row.push(marks.filter(|(is_set, _)| *is_set).fold(0, |marks, (_, mark)| marks | mark));
        if let Some(certificate) = &self.certificate {
            put_text(certificate, row);
        }
        if let Some(address) = self.address {
            put_text(&address.to_string(), row);
        }
        put_text(&self.listener, row);
        put_varint(self.groups.len() as u64, row);
        for group in self.groups.iter() {
            put_text(group, row);
        }
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, RowError> {
        let marks = fields.u8()?;
        if marks & !(IS_SUPERUSER | HAS_CERTIFICATE | HAS_ADDRESS) != 0 {
            // It might be the one that takes rights away.
            return Err(RowError);
        }
        let has = |mark| marks & mark != 0;
        let certificate = has(HAS_CERTIFICATE).then(|| fields.text()).transpose()?.map(Into::into);
        let address = has(HAS_ADDRESS).then(|| fields.text()).transpose()?;
        let address = address.map(|text| text.parse().map_err(|_| RowError)).transpose()?;
        let listener = fields.text()?.into();
        let groups = (0..fields.varint()?).map(|_| fields.text().map(Into::into));
        let groups = groups.collect::<Result<Vec<_>, _>>()?.into();
        Ok(Self { certificate, address, listener, groups, is_superuser: has(IS_SUPERUSER) })
    }
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
        let version = match (&self.left_by, &self.user) {
            (Some(_), _) => OF_LEAVER,
            (None, Some(_)) => OF_USER,
            (None, None) => VERSION,
        };
        row.extend_from_slice(&[version, state]);
        row.extend_from_slice(&self.delay_s.to_le_bytes());
        row.extend_from_slice(&due_ms.to_le_bytes());
        if version == OF_LEAVER {
            row.push(u8::from(self.user.is_some()));
        }
        if let Some(user) = &self.user {
            put_text(user, &mut row);
        }
        if let Some(leaver) = &self.left_by {
            leaver.put(&mut row);
        }
        row.extend_from_slice(self.message.bytes());
        row.into()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::of_any(row, &[VERSION, OF_USER, OF_LEAVER])?;
        let state = fields.u8()?;
        let delay_s = fields.u32()?;
        let due_ms = fields.i64()?;
        let state = match state {
            CONNECTED => WillState::Connected,
            WAITING => WillState::Waiting { due_ms, by_broker: false },
            WAITING_AFTER_US => WillState::Waiting { due_ms, by_broker: true },
            _ => return Err(RowError),
        };
        let version = row.first().copied();
        let has_user = match version {
            Some(OF_USER) => true,
            Some(OF_LEAVER) => fields.u8()? != 0,
            _ => false,
        };
        let user = has_user.then(|| fields.text()).transpose()?;
        // Older versions wrote that of a client without one.
        let user = user.filter(|name| !name.is_empty()).map(Into::into);
        let left_by = match version {
            Some(OF_LEAVER) => Some(Arc::new(Leaver::read(&mut fields)?)),
            _ => None,
        };
        let message = Batch::parse(Bytes::copy_from_slice(fields.rest())).map_err(|_| RowError)?;
        Ok(Self { state, delay_s, user, left_by, message })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Leaver, WillRow, WillState};
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
            for left_by in [None, Some(Leaver::default()), Some(leaver())] {
                let (user, left_by) = (user.clone(), left_by.map(Arc::new));
                let row = WillRow { state, delay_s: 30, user, left_by, message: message.clone() };
                let bytes = row.encode();
                let read = WillRow::decode(&bytes).expect("what was written is read");
                assert_eq!((read.state, read.delay_s), (state, 30));
                assert_eq!((read.user, read.left_by), (row.user, row.left_by));
                assert_eq!(read.message.bytes(), message.bytes());
                for cut in 0..bytes.len() {
                    assert!(WillRow::decode(&bytes[..cut]).is_err(), "cut at {cut}");
                }
            }
        }
    }

    fn leaver() -> Leaver {
        Leaver {
            certificate: Some("device-7".into()),
            address: "2001:db8::1".parse().ok(),
            listener: "mqtts".into(),
            groups: ["plant".into(), "".into(), "öl".into()].into(),
            is_superuser: true,
        }
    }

    /// As they were written before more than the user was kept.
    #[test]
    fn rows_of_before_are_read_and_say_nothing_of_who_left_them() {
        let mut batch = BatchBuilder::new();
        batch.push(7, Some(b"a/b"), Some(b"gone"), &[]);
        let message = batch.finish();
        let rest = [&30_u32.to_le_bytes()[..], &5_i64.to_le_bytes()].concat();
        for (version, of_user, user) in [(1, &b""[..], None), (2, b"\x03ann", Some("ann"))] {
            let row = [&[version, 1], &rest[..], of_user, message.bytes()].concat();
            let read = WillRow::decode(&row).expect("readable");
            assert_eq!((read.user.as_deref(), &read.left_by), (user, &None));
            assert_eq!(read.state, WillState::Waiting { due_ms: 5, by_broker: false });
            assert_eq!(*read.encode(), *row, "and written as it was");
        }
    }
}
