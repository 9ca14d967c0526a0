//! What the port asks for where a listener speaks TLS: that somebody does the handshakes, and a
//! socket whose bytes are secret. Knows no cryptography.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;

use tokio::io::Interest;

/// A socket whose handshake is done, read and written without waiting.
pub trait SecretSocket {
    /// Reads what was said; the buffer has room for whole records, twice.
    ///
    /// # Errors
    /// As sockets have them: `WouldBlock` when nothing is there.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Takes bytes to send, some of them; what it takes may wait for the socket.
    ///
    /// # Errors
    /// As sockets have them: `WouldBlock` when it takes nothing.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Whether bytes that were taken wait for the socket.
    fn has_pending(&self) -> bool;

    /// Hands on what was taken and waits.
    ///
    /// # Errors
    /// As sockets have them.
    fn try_flush(&self) -> io::Result<()>;

    /// Says that no more is said.
    fn say_goodbye(&self);

    /// Comes back when there is something to read, or room to write.
    fn ready(&self, interest: Interest) -> Ready<'_>;
}

/// Waits for a socket.
pub type Ready<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>;

/// A client whose handshake is done.
pub struct Greeted {
    /// Makes its socket one of the runtime that is running.
    pub bind: Bind,
    /// Who its certificate says it is, if its listener asks.
    pub certificate: Option<Box<str>>,
}

/// Makes a socket one of the runtime that is running.
pub type Bind = Box<dyn FnOnce() -> io::Result<Box<dyn SecretSocket>> + Send>;

/// Is told of a client whose handshake is done; dropped when it fails.
pub type OnGreeted = Box<dyn FnOnce(Greeted) + Send>;

/// Does the handshakes of one listener, on threads of its own.
pub trait Greeter: Send + Sync {
    /// Has one done, and says how it ended.
    fn greet(&self, stream: TcpStream, peer: SocketAddr, done: OnGreeted);
}
