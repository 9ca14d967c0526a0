//! A socket of the network, with TLS or without: bytes in and out, without waiting. Never knows
//! what they mean.

use std::io;
use std::net::{Shutdown, TcpStream as StdTcpStream};
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::read_once::read_once;
use crate::tls::{TlsStream, UnboundTls};

/// A socket that belongs to no runtime yet.
pub(crate) enum UnboundWire {
    Tcp(StdTcpStream),
    Tls(UnboundTls),
}

impl UnboundWire {
    /// Makes it one of the runtime that is running.
    pub(crate) fn bind(self) -> io::Result<Wire> {
        match self {
            Self::Tcp(stream) => TcpStream::from_std(stream).map(Wire::Tcp),
            Self::Tls(stream) => stream.bind().map(|stream| Wire::Tls(Box::new(stream))),
        }
    }
}

/// A socket.
pub(crate) enum Wire {
    Tcp(TcpStream),
    Tls(Box<TlsStream>),
}

impl Wire {
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => read_once(stream, buffer),
            Self::Tls(stream) => stream.try_read(buffer),
        }
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Tls(stream) => stream.try_write(bytes),
        }
    }

    /// Of several that wait for the same, the last is woken.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Tls(stream) => stream.poll_readable(context),
        }
    }

    /// The same for writing.
    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(context),
            Self::Tls(stream) => stream.poll_writable(context),
        }
    }

    /// Bytes of a record that is not whole yet.
    pub(crate) fn unread_bytes(&self) -> usize {
        match self {
            Self::Tcp(_) => 0,
            Self::Tls(stream) => stream.unread_bytes(),
        }
    }

    /// Whether bytes that were taken wait for the socket.
    pub(crate) fn has_pending(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(stream) => stream.has_pending(),
        }
    }

    /// How many do.
    pub(crate) fn pending_bytes(&self) -> usize {
        match self {
            Self::Tcp(_) => 0,
            Self::Tls(stream) => stream.pending_bytes(),
        }
    }

    /// Hands on what was taken and waits.
    pub(crate) fn try_flush(&self) -> io::Result<()> {
        match self {
            Self::Tcp(_) => Ok(()),
            Self::Tls(stream) => stream.try_flush(),
        }
    }

    /// Reads what nobody wants to know any more.
    pub(crate) fn try_waste(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Tls(stream) => stream.try_waste(buffer),
        }
    }

    /// We write no more; what was written is still read.
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream).shutdown(Shutdown::Write),
            Self::Tls(stream) => stream.end_writing(),
        }
    }
}
