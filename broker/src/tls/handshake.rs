//! The handshake: the only part of TLS that waits for the client and costs more than a moment.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::HandshakeKind;
use tokio::net::TcpStream;

use super::names::{Facts, identity};
use super::session::Session;
use super::slot::Slot;
use super::stream::{UnboundTls, flush};
use super::words::explain;
use crate::metrics::TlsResult;
use crate::newcomers::Kept;

/// Bytes read at one time.
const READ_BYTES: usize = 4 * 1024;
/// What a client may send before its handshake is done: a chain of certificates is in it.
const HANDSHAKE_BYTES_MAX: usize = 80 * 1024;
/// The fatal alert `protocol_version`, as a record.
const PROTOCOL_VERSION: [u8; 7] = [0x15, 3, 1, 0, 2, 2, 70];
/// How long a client that is refused is read, so that it can read why.
const LINGER: Duration = Duration::from_secs(1);

/// A handshake that is done.
pub(crate) struct Shaken {
    pub(crate) stream: UnboundTls,
    /// Who the client is, if its certificate says it and the listener asks.
    pub(crate) identity: Option<Box<str>>,
}

/// A handshake that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) result: TlsResult,
    /// Why, in words; `None` when the client just went away.
    pub(crate) words: Option<String>,
}

impl Failure {
    fn new(result: TlsResult, words: impl Into<String>) -> Self {
        Self { result, words: Some(words.into()) }
    }

    const fn lost() -> Self {
        Self { result: TlsResult::Lost, words: None }
    }
}

/// Turns a socket into one that speaks TLS, in the time that the listener grants.
pub(crate) async fn shake(
    stream: TcpStream,
    peer: SocketAddr,
    slot: &Slot,
    kept: Kept,
) -> Result<Shaken, Failure> {
    let session = Session::new(slot.server())
        .map_err(|error| Failure::new(TlsResult::Malformed, error.to_string()))?;
    let mut shaking = Shaking { stream, session: Box::new(session), first: None, kept };
    let ended = tokio::time::timeout(slot.timeout(), shaking.run()).await;
    let ended = ended.unwrap_or_else(|_| {
        let words = "the handshake took longer than handshake_timeout_ms";
        Err(Failure::new(TlsResult::Timeout, words))
    });
    let judged = match ended {
        Ok(()) => shaking.judge(slot),
        Err(failure) => Err(failure),
    };
    match judged {
        Ok(identity) => {
            let Shaking { stream, session, .. } = shaking;
            let stream = stream.into_std().map_err(|_| Failure::lost())?;
            let stream = UnboundTls::new(stream, peer, session);
            Ok(Shaken { stream, identity })
        }
        Err(failure) => {
            if failure.words.is_some() && failure.result != TlsResult::Timeout {
                let _ = tokio::time::timeout(LINGER, shaking.part()).await;
            }
            Err(failure)
        }
    }
}

/// A handshake under way.
struct Shaking {
    stream: TcpStream,
    session: Box<Session>,
    /// The first byte that the client sent.
    first: Option<u8>,
    /// What it has sent.
    kept: Kept,
}

impl Shaking {
    async fn run(&mut self) -> Result<(), Failure> {
        loop {
            while !self.session.out.is_empty() {
                self.stream.writable().await.map_err(|_| Failure::lost())?;
                flush(&self.stream, &mut self.session.out).map_err(|_| Failure::lost())?;
            }
            if !self.session.connection().is_handshaking() {
                return Ok(());
            }
            self.stream.readable().await.map_err(|_| Failure::lost())?;
            self.read()?;
            // One step is some hundred microseconds of work: others get their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Reads a little and does what it asks for.
    fn read(&mut self) -> Result<(), Failure> {
        let mut bytes = [0; READ_BYTES];
        let count = match self.stream.try_read(&mut bytes) {
            Ok(0) => return Err(Failure::lost()),
            Ok(count) => count,
            Err(error) if is_passing(&error) => return Ok(()),
            Err(_) => return Err(Failure::lost()),
        };
        if self.first.is_none() && is_outdated(&bytes[..count]) {
            self.session.out = PROTOCOL_VERSION.to_vec();
            let words = "it offers only versions of TLS that are older than 1.2";
            return Err(Failure::new(TlsResult::Version, words));
        }
        self.first = self.first.or(bytes.first().copied());
        let mut cipher = std::mem::take(&mut self.session.partial);
        cipher.extend_from_slice(&bytes[..count]);
        let mut early = Vec::new();
        let taken = self.session.take(&mut cipher, |said| early.extend_from_slice(said));
        self.session.early.append(&mut early);
        self.session.partial = cipher.split_off(taken.used.min(cipher.len()));
        if let Some(error) = taken.error {
            let (result, words) = explain(&error, self.first);
            return Err(Failure::new(result, words));
        }
        if self.session.is_over && self.session.connection().is_handshaking() {
            // It took its leave in the middle.
            return Err(Failure::lost());
        }
        if !self.kept.add(count) {
            self.session.partial = Vec::new();
            let words = "of handshakes under way no more may be kept \
                         (mqtt.unauthenticated_bytes_max)";
            return Err(Failure::new(TlsResult::Limit, words));
        }
        if self.session.partial.len() > HANDSHAKE_BYTES_MAX {
            let words = "its handshake is larger than any that is needed";
            return Err(Failure::new(TlsResult::Malformed, words));
        }
        Ok(())
    }

    /// Who it is. What a ticket says of its certificate was true when the ticket was made: its
    /// time may be over since.
    fn judge(&self, slot: &Slot) -> Result<Option<Box<str>>, Failure> {
        let connection = self.session.connection();
        let certificates = connection.peer_certificates();
        let Some(cert) = certificates.and_then(|chain| chain.first()) else {
            return Ok(None);
        };
        let nameless = |words| Failure::new(TlsResult::Identity, words);
        if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
            let facts = Facts::of(cert).map_err(nameless)?;
            if facts.not_after_s < now_s() {
                return Err(Failure::new(TlsResult::Expired, "its certificate has expired"));
            }
        }
        identity(cert, slot.identity_rule()).map_err(nameless)
    }

    /// Sends the alert, and reads on until the client has read it: closing a socket that holds
    /// unread bytes would take it away again.
    async fn part(&mut self) {
        while !self.session.out.is_empty() {
            if self.stream.writable().await.is_err()
                || flush(&self.stream, &mut self.session.out).is_err()
            {
                return;
            }
        }
        if socket2::SockRef::from(&self.stream).shutdown(Shutdown::Write).is_err() {
            return;
        }
        while self.stream.readable().await.is_ok() {
            let mut waste = [0; READ_BYTES];
            match self.stream.try_read(&mut waste) {
                Ok(count) if count > 0 => (),
                Err(error) if is_passing(&error) => (),
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// Whether a client begins with a hello of TLS 1.1 or older. The library would miss an extension
/// in it and say so; the client is to hear that it is too old.
fn is_outdated(bytes: &[u8]) -> bool {
    let is_hello = bytes.first() == Some(&0x16) && bytes.get(5) == Some(&0x01);
    is_hello && bytes.get(9..11).is_some_and(|version| version < &[3, 3][..])
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
