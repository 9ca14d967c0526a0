//! A socket whose bytes are secret, read and written without waiting, as the plain one is.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpStream as StdTcpStream};
use std::task::{Context, Poll};

use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;

use super::session::Session;
use crate::read_once::read_once;

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
        let read = read_once(&self.stream, &mut cipher[kept..])?;
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
            tracing::debug!(peer = %self.peer, %error, "a TLS connection broke");
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

    /// Ready at once while something waits that was read before, be it the end.
    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        if interest.is_readable() && self.session.borrow().has_something_to_read() {
            return Ok(Ready::READABLE);
        }
        self.stream.ready(interest).await
    }

    /// The same for who is polled. Of several that wait for the same, the last is woken.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.session.borrow().has_something_to_read() {
            return Poll::Ready(Ok(()));
        }
        self.stream.poll_read_ready(context)
    }

    /// The same for writing.
    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(context)
    }

    /// Bytes of a record that is not whole yet.
    pub(crate) fn unread_bytes(&self) -> usize {
        self.session.borrow().partial.len()
    }

    /// Whether records wait for the socket.
    pub(crate) fn has_pending(&self) -> bool {
        !self.session.borrow().out.is_empty()
    }

    /// How many bytes of records do.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.session.borrow().out.len()
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
        let session = &mut *self.session.borrow_mut();
        // Else we would be ready for ever.
        session.early = Vec::new();
        if session.is_over {
            return Ok(0);
        }
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{ErrorKind, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::time::Duration;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::ServerConfig;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::io::Interest;

    use super::{TlsStream, UnboundTls};
    use crate::tls::load::provider;
    use crate::tls::session::Session;

    fn session() -> Box<Session> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions that it has")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a key that fits");
        Box::new(Session::new(Arc::new(config)).expect("a session"))
    }

    /// A stream, and the client that says nothing.
    fn stream_of(session: Box<Session>) -> (TlsStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let (accepted, peer) = listener.accept().expect("the client");
        accepted.set_nonblocking(true).expect("a live socket");
        (UnboundTls::new(accepted, peer, session).bind().expect("a runtime"), client)
    }

    async fn is_ready(stream: &TlsStream) -> bool {
        let patience = Duration::from_millis(50);
        let ready = tokio::time::timeout(patience, stream.ready(Interest::READABLE)).await.is_ok();
        let polled = poll_fn(|context| stream.poll_readable(context));
        assert_eq!(tokio::time::timeout(patience, polled).await.is_ok(), ready);
        ready
    }

    #[tokio::test]
    async fn what_nobody_wants_to_read_makes_no_stream_ready_for_ever() {
        let mut session = session();
        session.early = b"CONNECT".to_vec();
        let (stream, client) = stream_of(session);
        assert!(is_ready(&stream).await, "what came with the handshake is there to read");
        assert!(stream.try_waste(&mut [0; 64]).is_err(), "the socket has nothing yet");
        assert!(!is_ready(&stream).await, "nothing is left to read");
        drop(client);
        assert!(is_ready(&stream).await, "the end is");
    }

    #[tokio::test]
    async fn a_record_that_is_not_whole_is_known_by_its_bytes() {
        let (stream, mut client) = stream_of(session());
        client.write_all(&[22, 3, 1, 0x3f, 0xff]).expect("sent");
        client.write_all(&[1; 1000]).expect("sent");
        while stream.unread_bytes() < 1005 {
            assert!(is_ready(&stream).await, "all of it comes");
            let error = stream.try_read(&mut [0; 64 << 10]).expect_err("nothing of it can be read");
            assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        }
    }

    #[tokio::test]
    async fn an_end_that_came_with_the_handshake_is_noticed_without_another_byte() {
        let mut session = session();
        session.is_over = true;
        let (stream, _client) = stream_of(session);
        assert!(is_ready(&stream).await);
        assert_eq!(stream.try_read(&mut [0; 64]).expect("the end"), 0);
        assert_eq!(stream.try_waste(&mut [0; 64]).expect("the end"), 0);
    }
}
