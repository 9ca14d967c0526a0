//! From the other side into our log: each message in one commit with what says that it came;
//! answered when that is on disk. Never reads a socket.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use tidewire_proto::id::PacketId;
use tidewire_proto::message::Published;
use tidewire_proto::mqtt::{Ack, Packet, Publish, ReasonCode};
use tidewire_proto::qos::Qos;
use tidewire_proto::session::receipts::{Arrival, Receipts, Release};
use tidewire_store::rows::{bridge, receipt};
use tidewire_store::{Commit, CommitError, ReadError, Store, Table, TableChange};
use tokio::sync::oneshot;

use crate::bridges::counts::Event;
use crate::bridges::desk::{Answer, Desk};
use crate::bridges::inlet::{Inlet, NoPlace};
use crate::links::marks;
use crate::links::options::LinkOptions;
use crate::links::rules::inward;
use crate::links::wire::{Large, Writer};
use crate::time::now_ms;

/// Bytes that may wait for the store; beyond, nothing more is read.
const GATHERED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// About what an answer or a row takes.
const ROW_BYTES: usize = 64;

/// The incoming half of one connection.
pub(crate) struct Incoming {
    desk: Desk,
    options: Arc<LinkOptions>,
    broker: String,
    origin: Option<String>,
    receipts: Receipts,
    inlet: Inlet,
    changes: Vec<TableChange>,
    /// What is answered when what was gathered is durable.
    answers: Vec<Reply>,
    messages: u64,
    storing: Option<Storing>,
}

struct Storing {
    answer: oneshot::Receiver<Answer>,
    answers: Vec<Reply>,
    messages: u64,
}

/// What becomes of a message that came.
enum Due {
    /// It is new, and answered so when it is durable.
    Taking(Option<Reply>),
    /// It was here before.
    Nothing,
}

/// What the other side is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Puback(PacketId),
    Pubrec(PacketId),
    Pubcomp(PacketId),
}

/// The messages of this link that were taken and are not released.
pub(crate) fn receipts(store: &Store, link: &str) -> Result<Vec<PacketId>, ReadError> {
    let (from, to) = bridge::bounds(link);
    let (from, to) = (Bound::Included(&*from), Bound::Excluded(&*to));
    let mut ids = Vec::new();
    store.scan(Table::Bridges, from, to, &mut |key, _| {
        ids.extend(bridge::receipt_id(link, key));
        ControlFlow::Continue(())
    })?;
    Ok(ids)
}

/// Forgets them: the other side has.
pub(crate) async fn forget(desk: &Desk, ids: &[PacketId]) -> Result<(), CommitError> {
    if ids.is_empty() {
        return Ok(());
    }
    let change = |id: &PacketId| {
        TableChange::new(Table::Bridges, bridge::receipt_key(desk.name(), *id), None).that_stays()
    };
    let commit = Commit { appends: Vec::new(), changes: ids.iter().map(change).collect() };
    desk.commit(commit).await.map(|_| ())
}

impl Incoming {
    /// With what was taken before and is not released.
    pub(crate) fn new(
        desk: Desk,
        options: Arc<LinkOptions>,
        broker: String,
        taken: &[PacketId],
    ) -> Self {
        let mut receipts = Receipts::new(u16::MAX);
        taken.iter().for_each(|id| receipts.restore(*id));
        let goes_out = options.rules.iter().any(|rule| rule.is_out);
        Self {
            origin: goes_out.then(|| marks::origin(desk.name())),
            inlet: desk.inlet(),
            desk,
            options,
            broker,
            receipts,
            changes: Vec::new(),
            answers: Vec::new(),
            messages: 0,
            storing: None,
        }
    }

    /// Whether it takes more.
    pub(crate) fn has_room(&self) -> bool {
        let rows = self.answers.len() + self.changes.len();
        self.inlet.bytes() + rows * ROW_BYTES < GATHERED_BYTES_MAX
    }

    /// A PUBLISH.
    ///
    /// # Errors
    /// When the other side breaks the protocol.
    pub(crate) fn published(
        &mut self,
        publish: &Publish<'_>,
        writer: &mut Writer,
    ) -> Result<(), String> {
        let due = self.due((publish.qos, publish.packet_id), publish.dup, writer)?;
        let Due::Taking(reply) = due else { return Ok(()) };
        if publish.properties.topic_alias().is_some() {
            return Err("it uses topic aliases, which it was not offered".into());
        }
        self.take(publish);
        self.owe(reply);
        Ok(())
    }

    /// A message that was too large to be read.
    ///
    /// # Errors
    /// When the other side breaks the protocol.
    pub(crate) fn too_large(&mut self, large: &Large, writer: &mut Writer) -> Result<(), String> {
        let Large { topic, qos, packet_id, dup, bytes } = large;
        let due = self.due((*qos, *packet_id), *dup, writer)?;
        let Due::Taking(reply) = due else { return Ok(()) };
        let most = self.options.packet_bytes_max;
        self.desk.count(Event::TooLarge, 1);
        self.desk.trouble(format!(
            "{topic:?} came from there with {bytes} bytes and is passed over: packet_bytes_max is \
             {most}"
        ));
        self.owe(reply);
        Ok(())
    }

    /// What a message leads to.
    fn due(
        &mut self,
        (qos, id): (Qos, Option<PacketId>),
        dup: bool,
        writer: &mut Writer,
    ) -> Result<Due, String> {
        match (qos, id) {
            (Qos::AtMostOnce, _) => Ok(Due::Taking(None)),
            (Qos::AtLeastOnce, Some(id)) => Ok(Due::Taking(Some(Reply::Puback(id)))),
            (Qos::ExactlyOnce, Some(id)) => match self.arrival(id, dup) {
                Arrival::Store => Ok(Due::Taking(Some(Reply::Pubrec(id)))),
                Arrival::Repeat => self.send(Reply::Pubrec(id), writer).map(|()| Due::Nothing),
                Arrival::Wait => Ok(Due::Nothing),
                Arrival::OverReceiveMaximum => {
                    Err("it has more messages on their way than there are ids".into())
                }
            },
            (_, None) => Err("it sends a message without a packet id".into()),
        }
    }

    fn owe(&mut self, reply: Option<Reply>) {
        if let Some(Reply::Pubrec(id)) = reply {
            let key = bridge::receipt_key(self.desk.name(), id);
            self.changes.push(TableChange::new(Table::Bridges, key, Some(receipt::ROW.into())));
        }
        self.answers.extend(reply);
    }

    fn arrival(&mut self, id: PacketId, dup: bool) -> Arrival {
        // Repeats say that they are: this one is of a session that knows nothing of the one that
        // left the receipt.
        if !dup && self.receipts.forget_restored(id) {
            let bridge = self.desk.name();
            tracing::info!(bridge, id = id.get(), "the other side began a new session unheard");
        }
        self.receipts.on_qos2(id)
    }

    /// A message; what cannot be ours is passed over, and answered like the others.
    fn take(&mut self, publish: &Publish<'_>) {
        if marks::was_here(publish.properties, &self.broker) {
            return self.desk.count(Event::Loop, 1);
        }
        let Some(route) = inward(&self.options.rules, publish.topic) else {
            self.desk.count(Event::Invalid, 1);
            let topic = publish.topic;
            return self.desk.trouble(format!("{topic:?} came from there and no rule is about it"));
        };
        let mut message = Published {
            topic: &route.topic,
            payload: publish.payload,
            qos: publish.qos.min(route.qos),
            retain: publish.retain && route.keeps_retain,
            properties: publish.properties,
            origin: self.origin.as_deref(),
        };
        let mut taken = self.inlet.push(&message, now_ms());
        if taken == Err(NoPlace::Retained) {
            self.desk.trouble(format!("{:?} is not retained: {}", route.topic, NoPlace::Retained));
            message.retain = false;
            taken = self.inlet.push(&message, now_ms());
        }
        match taken {
            Ok(()) => self.messages += 1,
            Err(why) => {
                self.desk.count(Event::Invalid, 1);
                self.desk.trouble(format!("{:?} is passed over: {why}", route.topic));
            }
        }
    }

    /// A PUBREL.
    ///
    /// # Errors
    /// When nothing can be answered.
    pub(crate) fn released(&mut self, id: PacketId, writer: &mut Writer) -> Result<(), String> {
        match self.receipts.on_pubrel(id) {
            Release::End => {
                let key = bridge::receipt_key(self.desk.name(), id);
                self.changes.push(TableChange::new(Table::Bridges, key, None).that_stays());
                self.answers.push(Reply::Pubcomp(id));
                Ok(())
            }
            Release::Wait => Ok(()),
            Release::Unknown => {
                let unknown = Ack::with_reason(id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND);
                writer.put(&Packet::PubComp(unknown)).map_err(|error| error.to_string())
            }
        }
    }

    /// Hands what was gathered to the store, unless it has some of ours already.
    pub(crate) fn pump(&mut self, writer: &mut Writer) -> Result<(), String> {
        if self.storing.is_some() {
            return Ok(());
        }
        let (commit, claims) = self.inlet.commit(std::mem::take(&mut self.changes));
        let answers = std::mem::take(&mut self.answers);
        let messages = std::mem::take(&mut self.messages);
        if commit.appends.is_empty() && commit.changes.is_empty() {
            return answers.into_iter().try_for_each(|reply| self.answer(reply, writer));
        }
        let answer = self.desk.submit_with(commit, claims);
        self.storing = Some(Storing { answer, answers, messages });
        Ok(())
    }

    /// Waits until what the store has is durable, and answers. Cancelled, nothing is answered.
    ///
    /// # Errors
    /// When it is refused: the other side keeps what was not answered.
    pub(crate) async fn stored(&mut self) -> Result<Stored, String> {
        let Some(storing) = &mut self.storing else { return std::future::pending().await };
        let answer = (&mut storing.answer).await.unwrap_or(Err(CommitError::Closed));
        let storing = self.storing.take();
        let (answers, messages) =
            storing.map_or((Vec::new(), 0), |storing| (storing.answers, storing.messages));
        match answer {
            Ok(_) => {
                self.desk.count(Event::Received, messages);
                Ok(Stored(answers))
            }
            Err(error) => Err(format!("our log takes nothing, the other side keeps it: {error}")),
        }
    }

    /// Answers what is durable.
    pub(crate) fn confirm(&mut self, stored: Stored, writer: &mut Writer) -> Result<(), String> {
        stored.0.into_iter().try_for_each(|reply| self.answer(reply, writer))
    }

    fn answer(&mut self, reply: Reply, writer: &mut Writer) -> Result<(), String> {
        match reply {
            Reply::Puback(_) => (),
            Reply::Pubrec(id) => self.receipts.on_stored(id, true),
            Reply::Pubcomp(id) => self.receipts.on_released(id, true),
        }
        self.send(reply, writer)
    }

    fn send(&self, reply: Reply, writer: &mut Writer) -> Result<(), String> {
        let packet = match reply {
            Reply::Puback(id) => Packet::PubAck(Ack::success(id)),
            Reply::Pubrec(id) => Packet::PubRec(Ack::success(id)),
            Reply::Pubcomp(id) => Packet::PubComp(Ack::success(id)),
        };
        writer.put(&packet).map_err(|error| error.to_string())
    }
}

/// What can be answered now.
pub(crate) struct Stored(Vec<Reply>);

/// Where it stands whether a link is connected.
pub(crate) fn state_topic(link: &str) -> String {
    format!("$SYS/broker/connection/{link}/state")
}

/// What stands there.
pub(crate) fn state(topic: &str, is_connected: bool) -> Published<'_> {
    Published {
        topic,
        payload: if is_connected { b"1" } else { b"0" },
        qos: Qos::AtLeastOnce,
        retain: true,
        properties: tidewire_proto::mqtt::Properties::EMPTY,
        origin: None,
    }
}
