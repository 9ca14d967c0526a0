//! A socket of the HTTP port, plain or with TLS, as the HTTP library wants it: one that takes
//! nothing of an answer for too long is given up. Knows nothing of HTTP.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::tls::TlsStream;

/// What is read at one time; records are opened in one half of it.
pub(super) const SCRATCH_BYTES: usize = 64 * 1024;

/// A client's socket.
pub(super) struct Wire {
    stream: Stream,
    patience: Duration,
    /// Since the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Sealed bytes that it has not taken yet.
    pending: usize,
}

enum Stream {
    Plain(TokioIo<TcpStream>),
    Secret(Secret),
}

struct Secret {
    stream: TlsStream,
    scratch: Rc<RefCell<Vec<u8>>>,
    /// What was read and not taken yet.
    left: Vec<u8>,
}

impl Wire {
    pub(super) fn plain(stream: TcpStream, patience: Duration) -> Self {
        Self { stream: Stream::Plain(TokioIo::new(stream)), patience, stalled: None, pending: 0 }
    }

    /// Reads by way of a buffer that all connections share.
    pub(super) fn secret(
        stream: TlsStream,
        scratch: Rc<RefCell<Vec<u8>>>,
        patience: Duration,
    ) -> Self {
        let secret = Secret { stream, scratch, left: Vec::new() };
        Self { stream: Stream::Secret(secret), patience, stalled: None, pending: 0 }
    }

    /// Looks how long nothing was taken.
    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let pending = match &self.stream {
            Stream::Plain(_) => 0,
            Stream::Secret(secret) => secret.stream.pending_bytes(),
        };
        // Who takes a part of what was sealed at one time takes something.
        if written.is_ready() || pending < self.pending {
            self.stalled = None;
        }
        self.pending = pending;
        if written.is_ready() {
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl Secret {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        while self.left.is_empty() {
            let scratch = &mut *self.scratch.borrow_mut();
            match self.stream.try_read(scratch) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(count) => self.left.extend_from_slice(&scratch[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_readable(context))?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let count = self.left.len().min(buffer.remaining());
        buffer.put_slice(&self.left[..count]);
        self.left.drain(..count);
        Poll::Ready(Ok(()))
    }

    fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.stream.try_write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_writable(context))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.stream.try_flush()?;
            if !self.stream.has_pending() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.stream.poll_writable(context))?;
        }
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Secret(secret) => secret.poll_read(context, buffer),
        }
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Secret(secret) => secret.poll_write(context, bytes),
        };
        self.judge(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Secret(secret) => secret.poll_flush(context),
        };
        self.judge(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Secret(secret) => Poll::Ready(secret.stream.end_writing()),
        }
    }
}
