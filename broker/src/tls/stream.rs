//! A socket whose bytes are secret, read and written without waiting, as the plain one is.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpStream as StdTcpStream};

use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;

use super::session::Session;

/// What is sealed at one time.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// One connection whose handshake is done.
pub(crate) struct TlsStream {
    stream: TcpStream,
    peer: SocketAddr,
    session: RefCell<Box<Session>>,
}

/// The same, bound to no runtime.
pub(crate) struct UnboundTls {
    stream: StdTcpStream,
    peer: SocketAddr,
    session: Box<Session>,
}

impl UnboundTls {
    pub(super) fn new(stream: StdTcpStream, peer: SocketAddr, session: Box<Session>) -> Self {
        Self { stream, peer, session }
    }

    /// Makes it a stream of the runtime that is running.
    pub(crate) fn bind(self) -> io::Result<TlsStream> {
        let Self { stream, peer, session } = self;
        let stream = TcpStream::from_std(stream)?;
        Ok(TlsStream { stream, peer, session: RefCell::new(session) })
    }
}

impl TlsStream {
    /// Reads what records say. The back half of the buffer is where records are opened: nothing is
    /// held for a connection that is idle.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let session = &mut *self.session.borrow_mut();
        if !session.early.is_empty() {
            return Ok(hand_over(&mut session.early, buffer));
        }
        if session.is_over {
            return Ok(0);
        }
        let (plain, cipher) = buffer.split_at_mut(buffer.len() / 2);
        let kept = session.partial.len();
        if kept >= cipher.len() {
            return Err(io::Error::new(ErrorKind::InvalidData, "a record without an end"));
        }
        let read = self.stream.try_read(&mut cipher[kept..])?;
        if read == 0 {
            return Ok(0);
        }
        cipher[..kept].copy_from_slice(&session.partial);
        let cipher = &mut cipher[..kept + read];
        let mut end = 0;
        // Records say less than they take: it fits.
        let taken = session.take(cipher, |bytes| {
            plain[end..end + bytes.len()].copy_from_slice(bytes);
            end += bytes.len();
        });
        session.partial = cipher[taken.used..].to_vec();
        self.flush(session)?;
        if let Some(error) = taken.error {
            tracing::info!(peer = %self.peer, %error, "a TLS connection broke");
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        match taken.plain {
            0 if session.is_over => Ok(0),
            // Records without bytes, or a part of one: others get their turn.
            0 => Err(ErrorKind::Interrupted.into()),
            count => Ok(count),
        }
    }

    /// Takes bytes to send: what it takes may wait here for a while.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let session = &mut *self.session.borrow_mut();
        self.flush(session)?;
        if !session.out.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = bytes.len().min(WRITE_BYTES_MAX);
        session.seal(&bytes[..count]).map_err(io::Error::other)?;
        self.flush(session)?;
        Ok(count)
    }

    /// Ready at once while something waits that was read before.
    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        if interest.is_readable() && !self.session.borrow().early.is_empty() {
            return Ok(Ready::READABLE);
        }
        self.stream.ready(interest).await
    }

    /// Whether records wait for the socket.
    pub(crate) fn has_pending(&self) -> bool {
        !self.session.borrow().out.is_empty()
    }

    /// Hands on what waits.
    pub(crate) fn try_flush(&self) -> io::Result<()> {
        self.flush(&mut self.session.borrow_mut())
    }

    /// We write no more; what was written is still read.
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        {
            let session = &mut *self.session.borrow_mut();
            // A client that is gone is not told.
            let _ = session.say_goodbye();
            let _ = self.flush(session);
        }
        socket2::SockRef::from(&self.stream).shutdown(Shutdown::Write)
    }

    /// Reads what nobody wants to know any more.
    pub(crate) fn try_waste(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.try_read(buffer)
    }

    fn flush(&self, session: &mut Session) -> io::Result<()> {
        flush(&self.stream, &mut session.out)
    }
}

/// Writes from the front what the socket takes now.
pub(super) fn flush(stream: &TcpStream, out: &mut Vec<u8>) -> io::Result<()> {
    let mut written = 0;
    let result = loop {
        if written == out.len() {
            break Ok(());
        }
        match stream.try_write(&out[written..]) {
            Ok(0) => break Err(ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    if written == out.len() {
        // An idle connection owns no buffer.
        *out = Vec::new();
    } else {
        out.drain(..written);
    }
    result
}

/// As much as there is room for; the rest the next time.
fn hand_over(early: &mut Vec<u8>, buffer: &mut [u8]) -> usize {
    let count = early.len().min(buffer.len());
    buffer[..count].copy_from_slice(&early[..count]);
    match count == early.len() {
        true => *early = Vec::new(),
        false => drop(early.drain(..count)),
    }
    count
}
