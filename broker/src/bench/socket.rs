//! What carries a connection of the load generator: TCP, or TLS or WebSocket over it. Knows no
//! MQTT.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tidewire_bridge::links::{Duplex, dial};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::net::TcpStream;

use super::options::Place;

const READ_BYTES: usize = 64 << 10;
/// A connection with more than this to say is not asked to say more.
pub(crate) const OUTPUT_BYTES_MAX: usize = 256 << 10;

/// What carries a connection.
pub(crate) enum Socket {
    /// Read and written without a detour: most of the time of a generator goes here.
    Tcp(TcpStream),
    /// TLS, WebSocket or both.
    Wrapped(RefCell<Box<dyn Duplex>>),
}

impl Socket {
    pub(crate) async fn open(to: &Place) -> Result<Self, String> {
        if to.tls.is_some() || to.websocket_path.is_some() {
            let stream = dial(&to.address, to.tls.as_ref(), to.websocket_path.as_deref()).await?;
            return Ok(Self::Wrapped(RefCell::new(stream)));
        }
        let stream = TcpStream::connect(&to.address).await;
        let stream = stream.map_err(|error| format!("{}: {error}", to.address))?;
        stream.set_nodelay(true).map_err(told)?;
        Ok(Self::Tcp(stream))
    }

    /// Writes what is taken now, where that needs no waiting; otherwise it is left to
    /// [`wait`](Self::wait).
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), String> {
        let Self::Tcp(stream) = self else { return Ok(()) };
        let mut written = 0;
        while written < out.len() {
            match stream.try_write(&out[written..]) {
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(told(error)),
            }
        }
        out.drain(..written);
        Ok(())
    }

    /// Reads what is there, where that needs no waiting.
    pub(crate) fn read(&self, input: &mut Vec<u8>) -> Result<(), String> {
        let Self::Tcp(stream) = self else { return Ok(()) };
        input.reserve(READ_BYTES);
        match stream.try_read_buf(input) {
            Ok(0) => Err(closed()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(told(error)),
        }
    }

    /// Waits until something can be read, or written of what waits; what is wrapped is read and
    /// written here. Cancelled, nothing is lost.
    pub(crate) async fn wait(
        &self,
        input: &RefCell<Vec<u8>>,
        out: &RefCell<Vec<u8>>,
    ) -> Result<(), String> {
        match self {
            Self::Tcp(stream) => {
                let is_behind = !out.borrow().is_empty();
                tokio::select! {
                    ready = stream.readable() => ready.map_err(told),
                    ready = stream.writable(), if is_behind => ready.map_err(told),
                }
            }
            Self::Wrapped(stream) => {
                std::future::poll_fn(|context| {
                    let stream = &mut *stream.borrow_mut();
                    move_bytes(stream, &mut input.borrow_mut(), &mut out.borrow_mut(), context)
                })
                .await
            }
        }
    }
}

/// Writes what is taken and reads what is there. Ready when there is something to do with it.
fn move_bytes(
    stream: &mut Box<dyn Duplex>,
    input: &mut Vec<u8>,
    out: &mut Vec<u8>,
    context: &mut Context<'_>,
) -> Poll<Result<(), String>> {
    let (was_full, mut written) = (out.len() >= OUTPUT_BYTES_MAX, 0);
    while written < out.len() {
        match Pin::new(&mut *stream).poll_write(context, &out[written..]) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(closed())),
            Poll::Ready(Ok(bytes)) => written += bytes,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(told(error))),
            Poll::Pending => break,
        }
    }
    out.drain(..written);
    if let Poll::Ready(Err(error)) = Pin::new(&mut *stream).poll_flush(context) {
        return Poll::Ready(Err(told(error)));
    }
    if was_full && out.len() < OUTPUT_BYTES_MAX {
        return Poll::Ready(Ok(()));
    }
    input.reserve(READ_BYTES);
    let read = pin!(stream.read_buf(input));
    match ready!(read.poll(context)) {
        Ok(0) => Poll::Ready(Err(closed())),
        Ok(_) => Poll::Ready(Ok(())),
        Err(error) => Poll::Ready(Err(told(error))),
    }
}

fn closed() -> String {
    "the broker closed the connection".to_owned()
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
