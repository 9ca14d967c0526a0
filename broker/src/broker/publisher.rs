//! Publishes for the program around the broker: one connection within the process, many messages
//! on their way at once, each answered when the broker has it. Never keeps more than was agreed.

use std::io;
use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;
use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{Ack, Connect, Disconnect, Packet, Properties, ReasonCode};
use tidewire_proto::qos::Qos;
use tidewire_proto::topic;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::broker::message::Message;
use crate::broker::pipe::{Pipe, VERSION};
use crate::core::shared::Shared;
use crate::error::PublishError;
use crate::link::PUBLISHER;

/// Messages that may wait for the publisher's task.
const JOBS_MAX: usize = 64;
/// Bytes that may wait for the broker to read them.
const UNWRITTEN_BYTES_MAX: usize = 256 * 1024;

type Answer = oneshot::Sender<Result<(), PublishError>>;

/// A message and who waits for its answer.
pub(super) struct Job {
    pub(super) message: Message,
    pub(super) answer: Answer,
}

/// Publishes for the program around the broker, and for its own HTTP port.
pub(crate) struct Publishing {
    shared: Arc<Shared>,
    runtime: Handle,
    publisher: Mutex<Option<Publisher>>,
}

impl Publishing {
    /// Makes a publisher when one is first needed, and again when its connection was ended.
    pub(crate) fn new(shared: &Arc<Shared>, runtime: &Handle) -> Self {
        let (shared, runtime) = (Arc::clone(shared), runtime.clone());
        Self { shared, runtime, publisher: Mutex::new(None) }
    }

    /// Publishes a message; at QoS 1 and 2 it is durable when this returns without an error.
    pub(crate) async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let jobs = self.jobs()?;
        let (answer, answered) = oneshot::channel();
        let job = Job { message, answer };
        jobs.send(job).await.map_err(|_| PublishError::Stopped)?;
        answered.await.unwrap_or(Err(PublishError::Stopped))
    }

    /// Takes no more messages; what was given is still published.
    pub(super) fn end(&self) -> Option<tokio::task::JoinHandle<()>> {
        self.publisher.lock().take().map(|publisher| publisher.task)
    }

    fn jobs(&self) -> Result<mpsc::Sender<Job>, PublishError> {
        let mut publisher = self.publisher.lock();
        if let Some(Publisher { jobs, .. }) = publisher.as_ref().filter(|it| !it.jobs.is_closed()) {
            return Ok(jobs.clone());
        }
        let made = Publisher::start(&self.shared, &self.runtime);
        let made = made.map_err(|_| PublishError::Stopped)?;
        let jobs = made.jobs.clone();
        *publisher = Some(made);
        Ok(jobs)
    }
}

/// The way to the publisher's task, and its end.
pub(super) struct Publisher {
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) task: tokio::task::JoinHandle<()>,
}

impl Publisher {
    /// Starts the task. It ends when nobody holds `jobs` any more and all is answered, or when
    /// the broker closes the connection.
    pub(super) fn start(shared: &Arc<Shared>, runtime: &Handle) -> io::Result<Self> {
        let exchanges = Exchanges::open(shared, runtime)?;
        let (jobs, coming) = mpsc::channel(JOBS_MAX);
        Ok(Self { jobs, task: runtime.spawn(run(exchanges, coming)) })
    }
}

/// Whoever still waits when this ends learns it by its dropped sender.
async fn run(mut exchanges: Exchanges, mut jobs: mpsc::Receiver<Job>) {
    let (mut is_ending, mut next) = (false, None);
    if let Err(error) = exchanges.connect().await {
        return tracing::warn!(%error, "the in-process publisher could not connect");
    }
    loop {
        if is_ending && next.is_none() && exchanges.is_idle() {
            return exchanges.leave();
        }
        if exchanges.is_outdated() && exchanges.is_idle() {
            if let Err(error) = exchanges.begin_anew().await {
                return tracing::warn!(%error, "the in-process publisher could not connect again");
            }
            continue;
        }
        if next.is_some() && !exchanges.is_outdated() {
            if exchanges.take_all(next.take(), &mut jobs).is_err() {
                return;
            }
            continue;
        }
        let has_room = !is_ending && next.is_none() && exchanges.has_room();
        let outcome = tokio::select! {
            job = jobs.recv(), if has_room => {
                is_ending = job.is_none();
                next = job;
                Ok(())
            }
            turned = exchanges.pipe.turn() => turned.and_then(|()| exchanges.hear()),
        };
        if outcome.is_err() {
            return;
        }
    }
}

/// What its connection was granted when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Granted {
    receive_max: u16,
    packet_bytes_max: u32,
    topic_levels_max: u16,
}

impl Granted {
    fn now(shared: &Shared) -> Self {
        let limits = &*shared.limits;
        Self {
            receive_max: limits.receive_max,
            packet_bytes_max: limits.packet_bytes_max,
            topic_levels_max: limits.topic_levels_max,
        }
    }
}

/// What an exchange waits for.
enum Step {
    /// PUBACK or PUBREC: the message is durable then.
    Stored(Answer),
    /// PUBCOMP.
    Released,
}

struct Exchanges {
    shared: Arc<Shared>,
    pipe: Pipe,
    waiting: AHashMap<PacketId, Step>,
    last_id: PacketId,
    granted: Granted,
}

impl Exchanges {
    fn open(shared: &Arc<Shared>, runtime: &Handle) -> io::Result<Self> {
        // Looked at first: what changes now is noticed behind.
        let granted = Granted::now(shared);
        let pipe = Pipe::open(shared, runtime)?;
        let (waiting, last_id) = (AHashMap::new(), PacketId::MAX);
        Ok(Self { shared: Arc::clone(shared), pipe, waiting, last_id, granted })
    }

    /// Whether a reload changed what a connection would be granted.
    fn is_outdated(&self) -> bool {
        self.granted != Granted::now(&self.shared)
    }

    /// Whether all is said and answered.
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.pipe.unwritten() == 0
    }

    /// Another connection, which is granted what is granted now. All of the one before is answered.
    async fn begin_anew(&mut self) -> io::Result<()> {
        self.leave();
        *self = Self::open(&self.shared, &Handle::current())?;
        self.connect().await
    }

    async fn connect(&mut self) -> io::Result<()> {
        let connect = Connect {
            version: VERSION,
            clean_start: true,
            keep_alive_s: 0,
            client_id: PUBLISHER,
            will: None,
            user_name: None,
            password: None,
            properties: Properties::EMPTY,
        };
        self.pipe.put(&Packet::Connect(connect)).map_err(io::Error::other)?;
        self.pipe.flush()?;
        loop {
            match self.pipe.packet()? {
                Some(Packet::ConnAck(ack)) if !ack.reason.is_error() => return Ok(()),
                Some(_) => return Err(io::ErrorKind::ConnectionRefused.into()),
                None => self.pipe.turn().await?,
            }
        }
    }

    fn has_room(&self) -> bool {
        let is_granted = self.waiting.len() < usize::from(self.granted.receive_max);
        is_granted && self.pipe.unwritten() < UNWRITTEN_BYTES_MAX
    }

    /// Sends the message, and those that came with it, in one write.
    fn take_all(&mut self, first: Option<Job>, jobs: &mut mpsc::Receiver<Job>) -> io::Result<()> {
        let mut next = first;
        while let Some(job) = next.take() {
            self.take(job);
            // What comes behind a reload is judged by what holds then.
            if self.has_room() && !self.is_outdated() {
                next = jobs.try_recv().ok();
            }
        }
        self.pipe.flush()
    }

    fn take(&mut self, Job { message, answer }: Job) {
        match self.put(&message) {
            // At QoS 0 there is nothing to wait for.
            Ok(None) => drop(answer.send(Ok(()))),
            Ok(Some(id)) => drop(self.waiting.insert(id, Step::Stored(answer))),
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    fn put(&mut self, message: &Message) -> Result<Option<PacketId>, PublishError> {
        // For either of these a client is disconnected: nobody else's messages shall suffer.
        if topic::levels(&message.topic) > usize::from(self.granted.topic_levels_max) {
            return Err(PublishError::Refused(ReasonCode::TOPIC_NAME_INVALID));
        }
        let properties = message.properties()?;
        let id = (message.qos != Qos::AtMostOnce).then(|| self.free_id());
        let publish = message.publish(properties.as_properties(), id);
        let bytes = self.pipe.put(&Packet::Publish(publish))?;
        let bytes_max = self.granted.packet_bytes_max;
        if bytes > bytes_max as usize {
            self.pipe.take_back(bytes);
            return Err(PublishError::TooLarge { bytes, bytes_max });
        }
        Ok(id)
    }

    /// There is one: fewer are in use than the Receive Maximum allows.
    fn free_id(&mut self) -> PacketId {
        loop {
            let next = self.last_id.get().checked_add(1).and_then(PacketId::new);
            self.last_id = next.unwrap_or(PacketId::MIN);
            if !self.waiting.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    fn hear(&mut self) -> io::Result<()> {
        loop {
            let (id, reason, is_received) = match self.pipe.packet()? {
                None => return self.pipe.flush(),
                Some(Packet::PubAck(ack) | Packet::PubComp(ack)) => {
                    (ack.packet_id, ack.reason, false)
                }
                Some(Packet::PubRec(ack)) => (ack.packet_id, ack.reason, true),
                Some(Packet::Disconnect(_)) => return Err(io::ErrorKind::ConnectionAborted.into()),
                Some(_) => continue,
            };
            if let Some(Step::Stored(answer)) = self.waiting.remove(&id) {
                let result = match reason.is_error() {
                    true => Err(PublishError::Refused(reason)),
                    false => Ok(()),
                };
                // Who asked may have lost interest.
                let _ = answer.send(result);
            }
            if is_received && !reason.is_error() {
                self.waiting.insert(id, Step::Released);
                let reason = ReasonCode::SUCCESS;
                let release = Ack { packet_id: id, reason, properties: Properties::EMPTY };
                self.pipe.put(&Packet::PubRel(release)).map_err(io::Error::other)?;
            }
        }
    }

    fn leave(&mut self) {
        let goodbye = Packet::Disconnect(Disconnect::with_reason(ReasonCode::SUCCESS));
        // The broker notices the end of the socket as well.
        let _ = self.pipe.put(&goodbye);
        let _ = self.pipe.flush();
    }
}
