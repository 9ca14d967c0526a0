//! The socket of a connection, secret or not: bytes in and out. Never knows what they mean.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Bytes, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::secret::SecretSocket;

/// What is read at once; also what a buffer is grown by, so that a length alone reserves little.
const READ_BYTES: usize = 64 << 10;
/// The least room that is made before reading.
const READ_BYTES_MIN: usize = 512;
/// Pieces of an answer that are written at once.
const SLICES_MAX: usize = 64;

thread_local! {
    /// Where records of TLS are opened: a connection that is idle holds no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; 2 * READ_BYTES]);
}

/// The socket of a connection.
pub(super) enum Socket {
    Plain(TcpStream),
    Secret(Box<dyn SecretSocket>),
}

impl Socket {
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.readable().await,
            Self::Secret(stream) => stream.ready(Interest::READABLE).await,
        }
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.writable().await,
            Self::Secret(stream) => stream.ready(Interest::WRITABLE).await,
        }
    }

    /// Reads some of what is there, up to about `wanted` bytes in all; 0 is the end.
    pub(super) fn try_read(&self, input: &mut BytesMut, wanted: usize) -> io::Result<usize> {
        let missing = wanted.saturating_sub(input.len());
        match self {
            Self::Plain(stream) => {
                input.reserve(missing.clamp(READ_BYTES_MIN, READ_BYTES));
                stream.try_read_buf(input)
            }
            Self::Secret(stream) => SCRATCH.with_borrow_mut(|scratch| {
                let count = stream.try_read(scratch)?;
                input.extend_from_slice(scratch.get(..count).unwrap_or_default());
                Ok(count)
            }),
        }
    }

    /// Writes some of these, and says how many bytes.
    pub(super) fn try_write(&self, chunks: &VecDeque<Bytes>) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => {
                let slices: Vec<_> =
                    chunks.iter().take(SLICES_MAX).map(|chunk| IoSlice::new(chunk)).collect();
                stream.try_write_vectored(&slices)
            }
            Self::Secret(stream) => match chunks.front() {
                Some(first) => stream.try_write(first),
                None => stream.try_flush().map(|()| 0),
            },
        }
    }

    /// Whether bytes that were taken wait for the network.
    pub(super) fn has_pending(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Secret(stream) => stream.has_pending(),
        }
    }

    /// Tells the other end that this is the end.
    pub(super) fn say_goodbye(&self) {
        if let Self::Secret(stream) = self {
            stream.say_goodbye();
        }
    }
}
