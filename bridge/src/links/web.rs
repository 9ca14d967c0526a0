//! A connection within WebSocket: bytes of MQTT in frames, as a client sends them. Never looks at
//! the bytes.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tidewire_proto::websocket::{Decoder, put_masked_frame, read_answer, request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::links::duplex::Duplex;

/// Payload of one frame of ours.
const FRAME_BYTES_MAX: usize = 64 * 1024;
/// What may wait for the socket: beyond, nothing more is taken.
const WAITING_BYTES_MAX: usize = 64 * 1024;
/// Answers to pings that wait beside it: beyond, nothing more is read.
const ANSWERS_BYTES_MAX: usize = 64 * 1024;

/// The connection.
pub(crate) struct WebStream {
    inner: Box<dyn Duplex>,
    decoder: Decoder,
    /// Frames of the other side that came with its answer to our request.
    early: Vec<u8>,
    /// Framed bytes that the socket has not taken.
    out: Vec<u8>,
}

impl WebStream {
    /// Asks for it.
    ///
    /// # Errors
    /// In words, when it is not granted.
    pub(crate) async fn open(
        mut inner: Box<dyn Duplex>,
        host: &str,
        path: &str,
    ) -> Result<Self, String> {
        let io = |error: io::Error| format!("before it granted WebSocket: {error}");
        let key: [u8; 16] = random().map_err(io)?;
        inner.write_all(&request(host, path, key)).await.map_err(io)?;
        inner.flush().await.map_err(io)?;
        let mut came = Vec::new();
        let used = loop {
            if inner.read_buf(&mut came).await.map_err(io)? == 0 {
                return Err(io(ErrorKind::UnexpectedEof.into()));
            }
            let answer = read_answer(&came, key).map_err(|refused| refused.to_string())?;
            if let Some(used) = answer {
                break used;
            }
        };
        let decoder = Decoder::of_server(random().map_err(io)?);
        let early = came.split_off(used);
        Ok(Self { inner, decoder, early, out: Vec::new() })
    }

    /// Bytes that came, without their frames; nothing of them may be MQTT.
    fn take(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let taken = self.decoder.take(bytes, &mut self.out);
        taken.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out))?;
            if count == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.out.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for WebStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let web = self.get_mut();
        while !web.decoder.is_closed() && into.remaining() > 0 {
            while web.out.len() >= WAITING_BYTES_MAX + FRAME_BYTES_MAX + ANSWERS_BYTES_MAX {
                // It asks and does not listen.
                ready!(web.poll_out(cx))?;
            }
            let mut room = ReadBuf::new(into.initialize_unfilled());
            if web.early.is_empty() {
                ready!(Pin::new(&mut web.inner).poll_read(cx, &mut room))?;
                if room.filled().is_empty() {
                    break;
                }
            } else {
                let count = web.early.len().min(room.remaining());
                room.put_slice(&web.early[..count]);
                web.early.drain(..count);
            }
            let kept = web.take(room.filled_mut())?;
            // Answers to pings; what the socket does not take goes with what is written next.
            if let Poll::Ready(Err(error)) = web.poll_out(cx) {
                return Poll::Ready(Err(error));
            }
            if kept > 0 {
                into.advance(kept);
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let web = self.get_mut();
        while web.out.len() >= WAITING_BYTES_MAX {
            ready!(web.poll_out(cx))?;
        }
        let part = &bytes[..bytes.len().min(FRAME_BYTES_MAX)];
        put_masked_frame(part, random()?, &mut web.out);
        match web.poll_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(part.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let web = self.get_mut();
        ready!(web.poll_out(cx))?;
        Pin::new(&mut web.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let web = self.get_mut();
        ready!(web.poll_out(cx))?;
        Pin::new(&mut web.inner).poll_shutdown(cx)
    }
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tidewire_proto::websocket::Decoder;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
    use tokio::task::coop::unconstrained;

    use super::WebStream;

    /// More than may wait on its way.
    const FLOOD_BYTES: usize = 8 * 1024 * 1024;

    /// Pings until nobody takes any more; how many bytes those were.
    fn flood(cx: &mut Context<'_>, there: &mut DuplexStream, web: &mut WebStream) -> usize {
        let pings = [0x89, 0x00].repeat(4096);
        let mut written = 0;
        while written < FLOOD_BYTES {
            let wrote = Pin::new(&mut *there).poll_write(cx, &pings[written % 2..]);
            let mut room = [0; 64];
            let read = Pin::new(&mut *web).poll_read(cx, &mut ReadBuf::new(&mut room));
            assert!(read.is_pending(), "nothing of it is MQTT");
            let Poll::Ready(count) = wrote else { break };
            written += count.expect("it is there");
        }
        written
    }

    #[test]
    fn a_remote_that_pings_and_does_not_listen_is_not_read_for_ever() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(unconstrained(async {
            let (mut there, here) = tokio::io::duplex(4096);
            let (decoder, inner) = (Decoder::of_server([0; 4]), Box::new(here));
            let mut web = WebStream { inner, decoder, early: Vec::new(), out: Vec::new() };
            let written = poll_fn(|cx| Poll::Ready(flood(cx, &mut there, &mut web))).await;
            assert!(written < FLOOD_BYTES, "all of it was taken, and answered into memory");
            // Who listens again is heard again.
            let (mut listening, mut asking) = tokio::io::split(there);
            let listens = async {
                let mut answers = vec![0; written.div_ceil(2) * 6];
                listening.read_exact(&mut answers).await.expect("each is answered");
            };
            let asks = async {
                let rest = [0x00, 0x82, 0x01, b'x'];
                asking.write_all(&rest[1 - written % 2..]).await.expect("taken");
            };
            let hears = async {
                let mut room = [0; 64];
                let count = web.read(&mut room).await.expect("a frame");
                web.flush().await.expect("written");
                room[..count].to_vec()
            };
            assert_eq!(tokio::join!(hears, listens, asks).0, b"x");
        }));
    }
}
