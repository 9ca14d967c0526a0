//! One Kafka connection: frames in, answers out, in the order of the requests. Holds a few requests
//! and one answer at a time; an idle connection owns no buffer.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::api::{self, Answering, Ends, Incoming};
use crate::context::Context;
use crate::port::patience::Patience;
use crate::port::socket::Socket;
use crate::wire::{Answer, LENGTH_BYTES, Refusal};

/// Requests of a connection that wait for their answers, as many as Kafka's producers send ahead.
const AHEAD_MAX: usize = 5;
/// How long a producer waits before we look again whether the store can take more.
const BUSY: Duration = Duration::from_millis(2);

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
pub(super) async fn serve(context: Rc<Context>, socket: Socket, ends: Ends) {
    let Ends { local, peer, .. } = ends;
    let mut connection = Connection { context, socket, ends, input: BytesMut::new() };
    if let Err(End::Refused(refusal)) = connection.run().await {
        tracing::debug!(%peer, reason = refusal.label(), "a Kafka connection is closed");
        connection.context.numbers().closed(refusal);
    }
    connection.socket.say_goodbye();
    connection.context.fetch_sessions.end((peer, local));
}

struct Connection {
    context: Rc<Context>,
    socket: Socket,
    ends: Ends,
    input: BytesMut,
}

impl Connection {
    /// The first of the requests that wait is worked on; those behind it have done at most what
    /// needs no waiting (see [`api::begin`]).
    async fn run(&mut self) -> Result<(), End> {
        let mut waiting: VecDeque<Answering> = VecDeque::new();
        loop {
            let is_full = waiting.len() >= AHEAD_MAX;
            match waiting.front_mut() {
                None => {
                    let idle = self.context.limits().idle;
                    let frame = timeout(idle, self.frame()).await.map_err(|_| Refusal::Idle)??;
                    waiting.push_back(self.begin(frame).await?);
                }
                Some(first) => tokio::select! {
                    biased;
                    answer = first => {
                        waiting.pop_front();
                        self.send(answer?).await?;
                    }
                    frame = self.frame(), if !is_full => {
                        waiting.push_back(self.begin(frame?).await?);
                    }
                },
            }
        }
    }

    async fn begin(&self, frame: Bytes) -> Result<Answering, Refusal> {
        match api::admit(&frame, self.ends)? {
            Incoming::Answered(answer) => Ok(Box::pin(std::future::ready(Ok(answer)))),
            Incoming::Request(request) => {
                while request.appends() && self.context.store.is_busy() {
                    sleep(BUSY).await;
                }
                Ok(api::begin(Rc::clone(&self.context), request))
            }
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
        if (8..=self.context.limits().request_bytes_max).contains(&length) {
            Ok(LENGTH_BYTES + length)
        } else {
            Err(Refusal::FrameLength)
        }
    }

    async fn fill(&mut self, wanted: usize) -> Result<(), End> {
        loop {
            self.socket.readable().await?;
            match self.socket.try_read(&mut self.input, wanted) {
                Ok(0) => return Err(End::Gone),
                Ok(_) => return Ok(()),
                Err(error) if is_passing(&error) => (),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes an answer whole. A peer that takes too little of it for so long is let go.
    async fn send(&mut self, answer: Answer) -> Result<(), End> {
        self.context.numbers().requests.increment(1);
        let mut patience = Patience::new(self.context.limits().send, Instant::now());
        let mut chunks = VecDeque::from(answer.chunks);
        while !chunks.is_empty() || self.socket.has_pending() {
            let writable = timeout_at(patience.until(), self.socket.writable()).await;
            writable.map_err(|_| Refusal::SlowReader)??;
            match self.socket.try_write(&chunks) {
                Ok(written) => {
                    advance(&mut chunks, written);
                    patience.took(written, Instant::now());
                }
                Err(error) if is_passing(&error) => (),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Takes what was written off the front.
fn advance(chunks: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = chunks.front_mut() {
        if written < first.len() {
            let _ = first.split_to(written);
            return;
        }
        written -= first.len();
        chunks.pop_front();
    }
}
