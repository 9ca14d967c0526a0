//! One Kafka connection: frames in, answers out, in the order of the requests. Holds one request
//! and one answer at a time; an idle connection owns no buffer.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::api::{self, Ends, Incoming};
use crate::context::Context;
use crate::wire::{Answer, LENGTH_BYTES, Refusal};

/// What is read at once; also what a buffer is grown by, so that a length alone reserves little.
const READ_BYTES: usize = 64 << 10;
/// The least room that is made before reading.
const READ_BYTES_MIN: usize = 512;
/// Pieces of an answer that are written at once.
const SLICES_MAX: usize = 64;

/// Why a connection ended.
enum End {
    /// The peer closed it, or the network did.
    Gone,
    /// We did.
    Refused(Refusal),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Serves a connection until its end.
pub(super) async fn serve(context: Rc<Context>, socket: TcpStream, peer: SocketAddr) {
    // Answers are whole when they are written: nothing is gained by waiting for more.
    let _ = socket.set_nodelay(true);
    let Ok(local) = socket.local_addr() else { return };
    let mut connection =
        Connection { context, socket, ends: Ends { local, peer }, input: BytesMut::new() };
    if let Err(End::Refused(refusal)) = connection.run().await {
        tracing::debug!(%peer, reason = refusal.label(), "a Kafka connection is closed");
        connection.context.numbers.closed(refusal);
    }
}

struct Connection {
    context: Rc<Context>,
    socket: TcpStream,
    ends: Ends,
    input: BytesMut,
}

impl Connection {
    async fn run(&mut self) -> Result<(), End> {
        loop {
            let idle = self.context.limits.idle;
            let frame = timeout(idle, self.frame()).await.map_err(|_| Refusal::Idle)??;
            let answer = match api::admit(&frame, self.ends)? {
                Incoming::Answered(answer) => answer,
                Incoming::Request(request) => {
                    drop(frame);
                    let answer = api::answer(&self.context, request);
                    // Whoever is gone need not be waited for, and is missed the sooner.
                    tokio::select! {
                        biased;
                        answer = answer => answer?,
                        () = gone(&self.socket) => return Err(End::Gone),
                    }
                }
            };
            self.context.numbers.requests.increment(1);
            let send = self.context.limits.send;
            self.send(answer, send).await?;
        }
    }

    /// The next frame, without its length.
    async fn frame(&mut self) -> Result<Bytes, End> {
        loop {
            let wanted = self.wanted()?;
            if self.input.len() >= wanted && wanted > LENGTH_BYTES {
                let mut frame = self.input.split_to(wanted).freeze();
                if self.input.is_empty() {
                    self.input = BytesMut::new();
                }
                return Ok(frame.split_off(LENGTH_BYTES));
            }
            self.fill(wanted).await?;
        }
    }

    /// How many bytes the frame has with its length, as far as is known.
    fn wanted(&self) -> Result<usize, Refusal> {
        let Some(length) = self.input.first_chunk() else { return Ok(LENGTH_BYTES) };
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        // No request is shorter than its header.
        if (8..=self.context.limits.request_bytes_max).contains(&length) {
            Ok(LENGTH_BYTES + length)
        } else {
            Err(Refusal::FrameLength)
        }
    }

    async fn fill(&mut self, wanted: usize) -> Result<(), End> {
        loop {
            self.socket.readable().await?;
            self.input.reserve((wanted - self.input.len()).clamp(READ_BYTES_MIN, READ_BYTES));
            match self.socket.try_read_buf(&mut self.input) {
                Ok(0) => return Err(End::Gone),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes an answer whole. A peer that takes nothing for so long is let go.
    async fn send(&mut self, answer: Answer, patience: std::time::Duration) -> Result<(), End> {
        let mut chunks = answer.chunks.into_iter().collect::<std::collections::VecDeque<_>>();
        while !chunks.is_empty() {
            let writable = timeout(patience, self.socket.writable()).await;
            writable.map_err(|_| Refusal::SlowReader)??;
            let slices: Vec<_> =
                chunks.iter().take(SLICES_MAX).map(|chunk| io::IoSlice::new(chunk)).collect();
            match self.socket.try_write_vectored(&slices) {
                Ok(written) => advance(&mut chunks, written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Until the peer is gone; for ever if it sent more before it went.
async fn gone(socket: &TcpStream) {
    if let Ok(1..) = socket.peek(&mut [0]).await {
        std::future::pending().await
    }
}

/// Takes what was written off the front.
fn advance(chunks: &mut std::collections::VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = chunks.front_mut() {
        if written < first.len() {
            let _ = first.split_to(written);
            return;
        }
        written -= first.len();
        chunks.pop_front();
    }
}
