//! One Kafka connection: frames in, answers out, in the order of the requests. Holds a few requests
//! and one answer at a time; an idle connection owns no buffer.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::api::{self, Admitted, Answering, Ends, Incoming};
use crate::budget::{FREE_BYTES, Share};
use crate::caller::Caller;
use crate::context::Context;
use crate::gate::Shown;
use crate::port::patience::Patience;
use crate::port::places::Place;
use crate::port::socket::Socket;
use crate::sign_in::{Next, SignIn};
use crate::wire::{Answer, LENGTH_BYTES, Refusal};

/// Requests of a connection that wait for their answers, as many as Kafka's producers send ahead.
const AHEAD_MAX: usize = 5;
/// How long a producer waits before we look again whether the store can take more.
const BUSY: Duration = Duration::from_millis(2);

/// The largest request of a client that has to show who it is first.
const STRANGER_BYTES_MAX: usize = 16 << 10;

/// The first bytes of a Produce.
const PRODUCE: &[u8] = &[0, 0];

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
pub(super) async fn serve(
    context: Rc<Context>,
    socket: Socket,
    ends: Ends,
    (caller, mut place): (Caller, Place),
) {
    let Ends { local, peer, .. } = ends;
    let may_ask = caller.user.is_some() || context.takes_anonymous(ends.door);
    if may_ask {
        place.is_known();
    }
    let caller = Rc::new(caller);
    let (input, share) = (BytesMut::new(), Share::default());
    let until = None;
    let mut connection =
        Connection { context, socket, ends, caller, place, may_ask, until, input, share };
    if let Err(End::Refused(refusal)) = connection.run().await {
        match refusal {
            Refusal::Banned => tracing::info!(%peer, "a Kafka connection is closed: it is banned"),
            _ => {
                let reason = refusal.label();
                tracing::debug!(%peer, reason, "a Kafka connection is closed");
            }
        }
        connection.context.numbers().closed(refusal);
        if refusal == Refusal::FrameLength {
            let listener = connection.context.listener(ends.door).unwrap_or_default();
            connection.context.strays.tell(peer, listener, &connection.input);
        }
    }
    connection.socket.say_goodbye();
    connection.context.fetch_sessions.end((peer, local));
}

struct Connection {
    context: Rc<Context>,
    socket: Socket,
    ends: Ends,
    caller: Rc<Caller>,
    place: Place,
    /// It has shown who it is, or need not.
    may_ask: bool,
    /// When its time is over by what was said of it.
    until: Option<Instant>,
    input: BytesMut,
    /// What the request on its way in has of what all may take.
    share: Share,
}

/// A request, and its part of what all may take.
type Frame = (Bytes, Share);

/// How much of the next request is known to come.
struct Wanted {
    /// With its length.
    bytes: usize,
    /// Is that all of it?
    is_whole: bool,
}

impl Connection {
    /// The first of the requests that wait is worked on; those behind it have done at most what
    /// needs no waiting (see [`api::begin`]).
    async fn run(&mut self) -> Result<(), End> {
        let first = self.sign_in().await?;
        match self.until {
            Some(until) => {
                timeout_at(until, self.serve(first)).await.map_err(|_| Refusal::Expired)?
            }
            None => self.serve(first).await,
        }
    }

    async fn serve(&mut self, first: Option<(Admitted, Share)>) -> Result<(), End> {
        let mut waiting: VecDeque<Answering> = VecDeque::new();
        if let Some(first) = first {
            waiting.push_back(self.begin_request(first).await);
        }
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

    /// A ban ends also what is open: nothing is done for who is banned, and nothing handed out.
    fn check_ban(&self) -> Result<(), Refusal> {
        match self.context.options.gate.may_come(self.ends.peer.ip()) {
            true => Ok(()),
            false => Err(Refusal::Banned),
        }
    }

    async fn begin(&self, (frame, share): Frame) -> Result<Answering, Refusal> {
        self.check_ban()?;
        match api::admit(&frame, self.ends, &self.caller)? {
            Incoming::Answered(answer) => Ok(Box::pin(std::future::ready(Ok(answer)))),
            Incoming::Request(request) => Ok(self.begin_request((request, share)).await),
        }
    }

    async fn begin_request(&self, (request, share): (Admitted, Share)) -> Answering {
        while request.appends() && self.context.store.is_busy() {
            sleep(BUSY).await;
        }
        let answering = api::begin(Rc::clone(&self.context), request);
        if !share.is_some() {
            return answering;
        }
        // Its part is free when there is an answer.
        Box::pin(async move {
            let answer = answering.await;
            drop(share);
            answer
        })
    }

    /// Until it is known who the client is. Who need not show it may ask for something instead:
    /// that is the first request.
    async fn sign_in(&mut self) -> Result<Option<(Admitted, Share)>, End> {
        if self.may_ask {
            return self.show().await;
        }
        let patience = self.context.limits().sign_in;
        timeout(patience, self.show()).await.map_err(|_| Refusal::SignInTimeout)?
    }

    async fn show(&mut self) -> Result<Option<(Admitted, Share)>, End> {
        let mut sign_in = SignIn::default();
        loop {
            let (frame, share) = match self.may_ask {
                true => {
                    let idle = self.context.limits().idle;
                    timeout(idle, self.frame()).await.map_err(|_| Refusal::Idle)??
                }
                false => self.frame().await?,
            };
            self.check_ban()?;
            let request = match api::admit(&frame, self.ends, &self.caller)? {
                Incoming::Answered(answer) => {
                    self.send(answer).await?;
                    continue;
                }
                Incoming::Request(request) => request,
            };
            if !request.signs_in() {
                if request.is_for_everybody() {
                    let answer = api::begin(Rc::clone(&self.context), request).await?;
                    self.send(answer).await?;
                    continue;
                }
                return if self.may_ask {
                    Ok(Some((request, share)))
                } else {
                    Err(Refusal::NotSignedIn.into())
                };
            }
            let Self { context, socket, input, .. } = self;
            let (answer, next) = tokio::select! {
                biased;
                step = api::sign_in(context, &mut sign_in, &request) => step?,
                // Nobody looks at the password of who is gone.
                end = gone(socket, input) => return Err(end),
            };
            self.send(answer).await?;
            match next {
                Next::More => (),
                Next::Shown(Shown { user, vouched, lasts }) => {
                    let peer = self.ends.peer;
                    tracing::debug!(%peer, user = &*user, "a Kafka client has signed in");
                    self.caller = Rc::new(self.caller.signed_in(user, vouched));
                    self.until = lasts.map(|lasts| Instant::now() + lasts);
                    self.may_ask = true;
                    self.place.is_known();
                    return Ok(None);
                }
                Next::Over(refusal) => return Err(refusal.into()),
            }
        }
    }

    /// The next frame, without its length. A large one is read once there is room for it, and then
    /// has to come as fast as answers have to be taken.
    async fn frame(&mut self) -> Result<Frame, End> {
        let mut patience = None;
        loop {
            let wanted = self.wanted()?;
            if wanted.is_whole && self.input.len() >= wanted.bytes {
                let mut frame = self.input.split_to(wanted.bytes).freeze();
                if self.input.is_empty() {
                    self.input = BytesMut::new();
                }
                return Ok((frame.split_off(LENGTH_BYTES), mem::take(&mut self.share)));
            }
            if !wanted.is_whole || wanted.bytes <= FREE_BYTES {
                self.fill(wanted.bytes).await?;
                continue;
            }
            if !self.share.is_some() {
                self.share = self.context.budget.take(wanted.bytes).await;
            }
            let (each, before) = (self.context.limits().send, self.input.len());
            let patience = patience.get_or_insert_with(|| Patience::new(each, Instant::now()));
            let filled = timeout_at(patience.until(), self.fill(wanted.bytes)).await;
            filled.map_err(|_| Refusal::Idle)??;
            if !self.context.budget.is_short() {
                patience.took(self.input.len() - before, Instant::now());
            }
        }
    }

    /// How many bytes the frame has, as far as is known.
    fn wanted(&self) -> Result<Wanted, Refusal> {
        let part = |bytes| Ok(Wanted { bytes, is_whole: false });
        let Some(length) = self.input.first_chunk() else { return part(LENGTH_BYTES) };
        let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        let limits = self.context.limits();
        // No request is shorter than its header.
        let (small_max, produce_max) = match self.may_ask {
            true => (limits.request_bytes_max, limits.produce_bytes_max),
            false => (limits.request_bytes_max.min(STRANGER_BYTES_MAX), 0),
        };
        if !(8..=small_max.max(produce_max)).contains(&length) {
            return Err(Refusal::FrameLength);
        }
        if length > small_max {
            let Some(key) = self.input.get(LENGTH_BYTES..LENGTH_BYTES + 2) else {
                return part(LENGTH_BYTES + 2);
            };
            if key != PRODUCE || length > produce_max {
                return Err(Refusal::FrameLength);
            }
        }
        Ok(Wanted { bytes: LENGTH_BYTES + length, is_whole: true })
    }

    async fn fill(&mut self, wanted: usize) -> Result<(), End> {
        loop {
            self.socket.readable().await?;
            match self.socket.try_read(&mut self.input, wanted) {
                Ok(0) => return Err(End::Gone),
                Ok(read) => {
                    self.context.numbers().bytes_in.increment(read as u64);
                    return Ok(());
                }
                Err(error) if is_passing(&error) => (),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes an answer whole. A peer that takes too little of it for so long is let go.
    async fn send(&mut self, mut answer: Answer) -> Result<(), End> {
        // It may have waited for what it asked for.
        self.check_ban()?;
        self.context.numbers().requests.increment(1);
        let patience = self.context.limits().send;
        if !answer.share.is_some() {
            // It is there already, and counts for others from here on; who does not make room in
            // his time is let go meanwhile.
            let bytes = answer.chunks.iter().map(Bytes::len).sum();
            let share = self.context.budget.take_within(bytes, patience).await;
            answer.share = share.ok_or(Refusal::SlowReader)?;
        }
        let mut patience = Patience::new(patience, Instant::now());
        let mut chunks = VecDeque::from(mem::take(&mut answer.chunks));
        while !chunks.is_empty() || self.socket.has_pending() {
            let writable = timeout_at(patience.until(), self.socket.writable()).await;
            writable.map_err(|_| Refusal::SlowReader)??;
            match self.socket.try_write(&chunks) {
                Ok(written) => {
                    self.context.numbers().bytes_out.increment(written as u64);
                    advance(&mut chunks, written);
                    // What others wait for is not held for ever.
                    if !(answer.share.is_some() && self.context.budget.is_short()) {
                        patience.took(written, Instant::now());
                    }
                }
                Err(error) if is_passing(&error) => (),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Until the peer is gone. What it sends meanwhile is kept, as long as it is little.
async fn gone(socket: &Socket, input: &mut BytesMut) -> End {
    loop {
        if input.len() > STRANGER_BYTES_MAX {
            return std::future::pending().await;
        }
        if let Err(error) = socket.readable().await {
            return error.into();
        }
        match socket.try_read(input, 0) {
            Ok(0) => return End::Gone,
            Ok(_) => (),
            Err(error) if is_passing(&error) => (),
            Err(error) => return error.into(),
        }
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

#[cfg(test)]
mod tests;
