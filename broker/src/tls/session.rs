//! The secrets of one connection: records to bytes and back. Owns bytes only while they wait for
//! the rest of their record, or for the socket. Touches no socket.

use std::sync::Arc;

use rustls::server::{ServerConfig, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus, WriteTraffic,
};
use rustls::{Error, server::ServerConnectionData};

/// Largest record, and what it takes beyond what it says.
const RECORD_BYTES_MAX: usize = 16 * 1024;
const RECORD_OVERHEAD: usize = 64;

/// What came of taking records.
pub(super) struct Taken {
    /// Bytes of records that are done with.
    pub(super) used: usize,
    /// Bytes that they said.
    pub(super) plain: usize,
    /// Why no more will come.
    pub(super) error: Option<Error>,
}

/// One connection.
pub(super) struct Session {
    connection: UnbufferedServerConnection,
    /// The begin of a record whose end has not come.
    pub(super) partial: Vec<u8>,
    /// What the client said together with the end of its handshake.
    pub(super) early: Vec<u8>,
    /// Records that the socket has not taken.
    pub(super) out: Vec<u8>,
    /// The client has said that it says no more.
    pub(super) is_over: bool,
    /// An error was met. The library must not be asked again.
    is_broken: bool,
}

impl Session {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        let (partial, early, out) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { connection, partial, early, out, is_over: false, is_broken: false })
    }

    /// Something was taken from the socket that nobody has read.
    pub(super) fn has_something_to_read(&self) -> bool {
        !self.early.is_empty() || self.is_over
    }

    pub(super) fn connection(&self) -> &UnbufferedServerConnection {
        &self.connection
    }

    /// Takes the whole records at the front of `cipher`; what they say is handed to `put`. Answers
    /// of the protocol itself go to `out`, also the alert that tells of an error.
    pub(super) fn take(&mut self, cipher: &mut [u8], mut put: impl FnMut(&[u8])) -> Taken {
        let mut taken = Taken { used: 0, plain: 0, error: None };
        if self.is_broken {
            taken.error = Some(Error::HandshakeNotComplete);
            return taken;
        }
        loop {
            let rest = cipher.get_mut(taken.used..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(rest);
            let is_last = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        discard += record.discard;
                        taken.plain += record.payload.len();
                        put(record.payload);
                    }
                    false
                }
                Ok(ConnectionState::EncodeTlsData(data)) => !encode(data, &mut self.out),
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It is in `out`, which goes before anything that follows.
                    data.done();
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.is_over = true;
                    false
                }
                Err(error) => {
                    taken.error = Some(error);
                    true
                }
                // Nothing is left to be done; early data is never asked for.
                Ok(_) => true,
            };
            taken.used += discard;
            if is_last {
                if taken.error.is_some() {
                    self.break_off();
                }
                return taken;
            }
        }
    }

    /// Takes out what is left to be said about an error. No record may be looked at any more: what
    /// an error leaves behind in the library is not made for it.
    fn break_off(&mut self) {
        self.is_broken = true;
        while self.connection.wants_write() {
            let status = self.connection.process_tls_records(&mut []);
            let Ok(ConnectionState::EncodeTlsData(data)) = status.state else { return };
            if !encode(data, &mut self.out) {
                return;
            }
        }
    }

    /// Puts bytes into records, behind those that wait.
    pub(super) fn seal(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let records = bytes.len().div_ceil(RECORD_BYTES_MAX).max(1);
        let room = bytes.len() + records * RECORD_OVERHEAD;
        self.when_writable(room, |traffic, room| traffic.encrypt(bytes, room))
    }

    /// Says that no more is said.
    pub(super) fn say_goodbye(&mut self) -> Result<(), Error> {
        self.when_writable(2 * RECORD_OVERHEAD, |traffic, room| traffic.queue_close_notify(room))
    }

    fn when_writable(
        &mut self,
        room: usize,
        write: impl Fn(&mut Traffic<'_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), Error> {
        if self.is_broken {
            return Err(Error::HandshakeNotComplete);
        }
        loop {
            let status = self.connection.process_tls_records(&mut self.partial);
            let state = status.state.inspect_err(|_| self.is_broken = true)?;
            match state {
                ConnectionState::WriteTraffic(mut traffic) => {
                    return grow(&mut self.out, room, |room| write(&mut traffic, room));
                }
                ConnectionState::EncodeTlsData(data) => {
                    if !encode(data, &mut self.out) {
                        return Err(Error::EncryptError);
                    }
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.is_over = true,
                _ => return Err(Error::HandshakeNotComplete),
            }
        }
    }
}

type Traffic<'c> = WriteTraffic<'c, ServerConnectionData>;

/// Writes behind what is there; with more room if it takes more than was thought.
fn grow(
    out: &mut Vec<u8>,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), Error> {
    let start = out.len();
    let mut room = room;
    for _ in 0..2 {
        out.resize(start + room, 0);
        match write(&mut out[start..]) {
            Ok(count) => {
                out.truncate(start + count);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                room = required_size;
            }
            Err(EncryptError::EncryptExhausted) => break,
        }
    }
    out.truncate(start);
    Err(Error::EncryptError)
}

/// False when it cannot be written, which cannot be.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    match data.encode(&mut []) {
        Ok(_) => true,
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
            out.resize(start + required_size, 0);
            data.encode(&mut out[start..]).is_ok()
        }
        Err(EncodeError::AlreadyEncoded) => false,
    }
}
