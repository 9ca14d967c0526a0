//! From the log to the other side: reads, sends, hears what became of it, and keeps in its row what
//! it must know after a crash. Never reads a socket.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use tidewire_proto::delivery::copy_properties;
use tidewire_proto::id::{PacketId, PartitionId};
use tidewire_proto::message::Message;
use tidewire_proto::mqtt::{
    Ack, EncodeError, Packet, PropertiesBuilder, Publish, ReasonCode, Version, encode,
};
use tidewire_proto::qos::Qos;
use tidewire_proto::record::SharedRecord;
use tidewire_proto::session::by_number::ByNumber;
use tidewire_proto::session::cursor::Positions;
use tidewire_proto::session::outbox::{Outbox, Send, Told};
use tidewire_proto::session::window::{Exchange, Place, Step, packet_id};
use tidewire_store::rows::link;
use tidewire_store::{Commit, CommitError};
use tokio::sync::oneshot;

use crate::bridges::counts::Event;
use crate::bridges::desk::{Answer, Desk};
use crate::bridges::source::Chunk;
use crate::links::again::Found;
use crate::links::hello::Greeting;
use crate::links::marks;
use crate::links::options::LinkOptions;
use crate::links::rules::{Route, outward};
use crate::links::strikes::Strikes;
use crate::links::wire::Writer;
use crate::links::words::{self, Refusal};
use crate::time::now_ms;

/// Bytes that may wait for the socket: while it takes some, more are made.
pub(crate) const UNWRITTEN_BYTES_MAX: usize = 256 * 1024;
/// Bytes of messages that wait to be sent.
const STAGED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often a message is refused without a clear reason before it is passed over.
const STRIKES_MAX: u32 = 5;

/// Something of the log.
pub(crate) enum Part {
    /// Records.
    Records(Chunk),
    /// All before these was read; what did not come is not for us.
    Passed(Vec<(PartitionId, u64)>),
    /// Messages that are sent again, by the number of their exchange: all below `next`.
    Again { records: Found, next: u64 },
}

/// The outgoing half of one connection.
pub(crate) struct Outgoing {
    desk: Desk,
    options: Arc<LinkOptions>,
    /// Our own name, for the marks.
    broker: String,
    origin: String,
    strikes: Strikes,
    greeting: Greeting,
    pub(crate) outbox: Outbox,
    /// Messages that are to be sent, by the number of their exchange.
    staged: ByNumber<SharedRecord>,
    staged_bytes: usize,
    /// Topics of those that were sent and are not over.
    topics: ByNumber<Box<str>>,
    /// Exchanges that end without a message.
    given_up: HashSet<u64>,
    /// Where the log was read to: all before is staged, sent or not for us.
    positions: BTreeMap<PartitionId, u64>,
    chunk: Option<(Chunk, VecDeque<(u64, SharedRecord)>)>,
    /// What is subscribed there.
    subscribed: Vec<(String, Qos)>,
    storing: Option<(u64, oneshot::Receiver<Answer>)>,
    is_moved: bool,
    stored_change: u64,
    packet: Vec<u8>,
    properties: PropertiesBuilder,
    /// The time, as of the last look.
    now_ms: i64,
}

/// What a link knows before it connects.
pub(crate) struct Resumed {
    pub(crate) outbox: Outbox,
    pub(crate) positions: BTreeMap<PartitionId, u64>,
    pub(crate) subscribed: Vec<(String, Qos)>,
    pub(crate) broker: String,
    pub(crate) strikes: Strikes,
}

impl Outgoing {
    /// A connection stands: what was on its way goes again.
    pub(crate) fn new(
        desk: Desk,
        options: Arc<LinkOptions>,
        resumed: Resumed,
        greeting: Greeting,
    ) -> Self {
        let Resumed { mut outbox, positions, subscribed, broker, strikes } = resumed;
        // What goes again is read first.
        outbox.absent_from(0);
        let receive_max = greeting.receive_max.min(options.in_flight_max);
        let repeated = outbox.connected(greeting.session_present, receive_max);
        if repeated > 0 {
            desk.count(Event::Repeated, repeated as u64);
            desk.trouble(format!(
                "the other side has forgotten our session: {repeated} messages that were on their \
                 way go again, and may be there twice"
            ));
        }
        let is_forgotten = !greeting.session_present;
        let (subscribed, is_moved) = match is_forgotten && !subscribed.is_empty() {
            true => (Vec::new(), true),
            false => (subscribed, false),
        };
        let origin = marks::origin(desk.name());
        Self {
            desk,
            options,
            broker,
            origin,
            strikes,
            greeting,
            outbox,
            staged: ByNumber::default(),
            staged_bytes: 0,
            topics: ByNumber::default(),
            given_up: HashSet::new(),
            positions,
            chunk: None,
            subscribed,
            storing: None,
            is_moved,
            stored_change: 0,
            packet: Vec::new(),
            properties: PropertiesBuilder::new(),
            now_ms: now_ms(),
        }
    }

    /// Whether it wants more of the log.
    pub(crate) fn is_hungry(&self) -> bool {
        self.chunk.is_none() && self.staged_bytes < STAGED_BYTES_MAX
    }

    /// More of the log.
    pub(crate) fn feed(&mut self, part: Part) {
        let chunk = match part {
            Part::Records(chunk) => chunk,
            Part::Again { records, next } => {
                for (number, record) in records {
                    // It may have been acknowledged before it went again.
                    if self.is_to_be_sent(number) {
                        self.keep(number, record);
                    }
                }
                return self.outbox.absent_from(next);
            }
            Part::Passed(positions) => {
                for (partition, next) in positions {
                    self.is_moved |= self.positions.insert(partition, next) != Some(next);
                }
                return;
            }
        };
        if chunk.lost > 0 {
            self.desk.count(Event::Lost, chunk.lost);
            self.desk.trouble(format!("{} records were deleted before they were read", chunk.lost));
        }
        let records = chunk.shared();
        self.chunk = Some((chunk, records));
    }

    /// Takes messages on and sends what may be sent, as far as there is room.
    ///
    /// # Errors
    /// When the connection is of no use any more.
    pub(crate) fn pump(&mut self, writer: &mut Writer) -> Result<(), String> {
        // Once for all of them: expiry is in seconds.
        self.now_ms = now_ms();
        self.stage(writer)?;
        while writer.waiting() < UNWRITTEN_BYTES_MAX {
            match self.outbox.next_send() {
                None => break,
                Some(Send::Release(id)) => {
                    let released = Packet::PubRel(Ack::success(id));
                    writer.put(&released).map_err(|error| error.to_string())?;
                }
                Some(Send::Publish { number, id, exchange, dup }) => {
                    self.publish(writer, (number, id), exchange, dup);
                }
            }
        }
        if self.outbox.waits_for_store() {
            self.store();
        }
        Ok(())
    }

    fn stage(&mut self, writer: &mut Writer) -> Result<(), String> {
        while let Some((chunk, records)) = &mut self.chunk {
            let (partition, next) = (chunk.partition, chunk.next);
            let Some((offset, record)) = records.front() else {
                self.positions.insert(partition, next);
                (self.chunk, self.is_moved) = (None, true);
                continue;
            };
            let is_full = self.staged_bytes >= STAGED_BYTES_MAX;
            if is_full || !self.outbox.has_room() || writer.waiting() >= UNWRITTEN_BYTES_MAX {
                break;
            }
            let (offset, record) = (*offset, record.clone());
            records.pop_front();
            self.take_on(Place { partition, offset }, record, writer);
            self.positions.insert(partition, offset + 1);
            self.is_moved = true;
        }
        Ok(())
    }

    /// One message of the log.
    fn take_on(&mut self, place: Place, shared: SharedRecord, writer: &mut Writer) {
        let Some(record) = shared.record() else { return };
        let Some(message) = Message::of(&record) else { return };
        let Some(route) = outward(&self.options.rules, message.topic) else { return };
        if message.origin == Some(&*self.origin) || marks::is_far_travelled(&message) {
            return self.desk.count(Event::Loop, 1);
        }
        if message.seconds_left(self.now_ms) == Some(0) {
            return self.desk.count(Event::Expired, 1);
        }
        let qos = message.qos.min(route.qos).min(self.greeting.qos_max);
        let retain = message.retain && route.keeps_retain && self.greeting.takes_retained;
        if qos == Qos::AtMostOnce {
            let shape = Shape { id: None, qos, retain, dup: false };
            match self.encode(&message, &route, shape) {
                Ok(()) => {
                    writer.put_bytes(&self.packet);
                    self.desk.count(Event::Sent, 1);
                }
                Err(unsent) => self.unsent(place, message.topic, unsent),
            }
            return;
        }
        let step = Step::Published;
        let number = self.outbox.begin(Exchange { place, qos, step, retain, group: None });
        match self.outbox.send_at_once(number) {
            Some(id) => {
                let shape = Shape { id: Some(id), qos, retain, dup: false };
                self.send(writer, (number, place), (&message, &route), shape);
            }
            None => self.keep(number, shared.alone()),
        }
    }

    fn is_to_be_sent(&self, number: u64) -> bool {
        let (window, id) = (self.outbox.window(), packet_id(number));
        let is_published = window.get(id).is_some_and(|it| it.step == Step::Published);
        is_published && window.number_of(id) == Some(number)
    }

    fn keep(&mut self, number: u64, record: SharedRecord) {
        self.staged_bytes += record.bytes();
        self.staged.insert(number, record);
    }

    fn unstage(&mut self, number: u64) -> Option<SharedRecord> {
        let record = self.staged.remove(number)?;
        self.staged_bytes -= record.bytes();
        Some(record)
    }

    fn publish(
        &mut self,
        writer: &mut Writer,
        (number, id): (u64, PacketId),
        exchange: Exchange,
        dup: bool,
    ) {
        let shared = self.unstage(number);
        let record = shared.as_ref().and_then(SharedRecord::record);
        let Some(message) = record.as_ref().and_then(Message::of) else {
            let words = passed_over(exchange.place, "?", "it is not in the log any more");
            return self.abandon((number, id), exchange, dup, words);
        };
        let Some(route) = outward(&self.options.rules, message.topic) else {
            let words = passed_over(exchange.place, message.topic, "no rule sends it any more");
            return self.abandon((number, id), exchange, dup, words);
        };
        let Exchange { place, qos, retain, .. } = exchange;
        let retain = retain && self.greeting.takes_retained;
        let shape = Shape { id: Some(id), qos, retain, dup };
        self.send(writer, (number, place), (&message, &route), shape);
    }

    /// A PUBLISH that the other side answers.
    fn send(
        &mut self,
        writer: &mut Writer,
        (number, place): (u64, Place),
        (message, route): (&Message<'_>, &Route<'_>),
        shape: Shape,
    ) {
        match self.encode(message, route, shape) {
            Ok(()) => {
                writer.put_bytes(&self.packet);
                self.topics.insert(number, words::cut(message.topic).into());
            }
            Err(unsent) => {
                self.unsent(place, message.topic, unsent);
                if let Some(id) = shape.id {
                    self.outbox.give_up(id);
                }
            }
        }
    }

    /// An exchange that has no message any more.
    fn abandon(
        &mut self,
        (number, id): (u64, PacketId),
        exchange: Exchange,
        dup: bool,
        why: String,
    ) {
        self.desk.count(Event::Lost, 1);
        self.desk.trouble(why);
        if dup && exchange.qos == Qos::ExactlyOnce {
            // It may be there: its id must not stay taken, or a later message would be a repeat.
            self.given_up.insert(number);
            self.outbox.on_pubrec(id, false);
        } else {
            self.outbox.give_up(id);
        }
    }

    /// Into `packet`.
    fn encode(
        &mut self,
        message: &Message<'_>,
        route: &Route<'_>,
        shape: Shape,
    ) -> Result<(), Unsent> {
        self.properties.clear();
        self.packet.clear();
        if self.options.version == Version::V5 {
            copy_properties(&mut self.properties, message, self.now_ms)?;
            self.properties.user(marks::HOP, &self.broker)?;
        }
        let publish = Publish {
            dup: shape.dup,
            qos: shape.qos,
            retain: shape.retain,
            topic: &route.topic,
            packet_id: shape.id,
            properties: self.properties.as_properties(),
            payload: message.payload,
        };
        encode(&Packet::Publish(publish), self.options.version, &mut self.packet)?;
        match self.packet.len() > self.greeting.packet_bytes_max {
            true => Err(Unsent::TooLarge(self.packet.len())),
            false => Ok(()),
        }
    }

    /// It cannot be sent, ever.
    fn unsent(&self, place: Place, topic: &str, unsent: Unsent) {
        let (event, why) = match unsent {
            Unsent::TooLarge(bytes) => {
                let most = self.greeting.packet_bytes_max;
                (Event::TooLarge, format!("{bytes} bytes are more than the {most} it takes"))
            }
            Unsent::Unsayable(error) => (Event::Invalid, error.to_string()),
        };
        self.desk.count(event, 1);
        self.desk.trouble(passed_over(place, topic, &why));
    }

    /// PUBACK, PUBREC or PUBCOMP.
    ///
    /// # Errors
    /// When the other side has no room for it now: it goes again with the next connection.
    pub(crate) fn acknowledged(
        &mut self,
        ack: &Ack<'_>,
        kind: AckKind,
        writer: &mut Writer,
    ) -> Result<(), String> {
        let id = ack.packet_id;
        let number = self.outbox.window().number_of(id);
        let is_refused = ack.reason.is_error() && kind != AckKind::Comp;
        if is_refused && let Some(exchange) = self.outbox.window().get(id) {
            self.refused(exchange.place, number, ack)?;
        }
        let told = match kind {
            AckKind::Ack => self.outbox.on_puback(id),
            AckKind::Rec => self.outbox.on_pubrec(id, is_refused),
            AckKind::Comp => self.outbox.on_pubcomp(id),
        };
        if told != Told::Unknown
            && let Some(number) = number
        {
            // Of a connection before this one: it has not gone again yet, and need not.
            self.unstage(number);
        }
        match told {
            Told::Over(_) => {
                let given_up = number.is_some_and(|number| {
                    self.topics.remove(number);
                    self.given_up.remove(&number)
                });
                if !is_refused && !given_up {
                    self.desk.count(Event::Sent, 1);
                }
            }
            Told::Unknown if kind == AckKind::Rec && !is_refused => {
                let unknown = Ack::with_reason(id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND);
                writer.put(&Packet::PubRel(unknown)).map_err(|error| error.to_string())?;
            }
            Told::Noted | Told::Unknown => (),
        }
        Ok(())
    }

    fn refused(&self, place: Place, number: Option<u64>, ack: &Ack<'_>) -> Result<(), String> {
        let why = words::reason(ack.reason, ack.properties);
        let topic = number.and_then(|number| self.topics.get(number));
        let topic = topic.map_or("?", |topic| &**topic);
        let is_final = match words::refusal(ack.reason) {
            Refusal::Final => true,
            Refusal::Passing => false,
            Refusal::Unclear => self.strikes.refused(place) >= STRIKES_MAX,
        };
        if !is_final {
            return Err(format!(
                "the other side does not take {topic:?} now: {why}; it goes again"
            ));
        }
        self.desk.count(Event::Refused, 1);
        self.desk.trouble(passed_over(place, topic, &why));
        Ok(())
    }

    /// Why the connection ended, and at which message it does so again and again, if there is one.
    pub(crate) fn cut(&self, words: String) -> String {
        let mut sent = self.outbox.window().exchanges().filter_map(|(number, exchange)| {
            let is_open = exchange.step == Step::Published;
            self.topics.get(number).filter(|_| is_open).map(|topic| (exchange.place, topic))
        });
        let Some((place, topic)) = sent.next() else { return words };
        match self.strikes.cut(place) {
            1 => words,
            count => format!(
                "{words}; {count} times so before {topic:?} (partition {}, offset {}) was \
                 acknowledged: if the other side never takes it, remote_packet_bytes_max or the \
                 order Skip gets past it",
                place.partition.0, place.offset
            ),
        }
    }

    /// Has what it must know stored, unless that is under way.
    pub(crate) fn store(&mut self) {
        if self.storing.is_some() {
            return;
        }
        let mut read = Positions::default();
        self.positions.iter().for_each(|(partition, next)| read.advance(*partition, *next));
        let extra = link::encode(&self.subscribed, self.outbox.window(), &read);
        let mut lowest = self.outbox.lowest();
        for (partition, next) in &self.positions {
            lowest.entry(*partition).or_insert(*next);
        }
        let change = self.desk.positioned(lowest.into_iter().collect(), extra);
        let commit = Commit { appends: Vec::new(), changes: vec![change] };
        self.storing = Some((self.outbox.change(), self.desk.submit(commit)));
        self.is_moved = false;
    }

    /// Something of what it must know is not stored.
    pub(crate) fn is_unstored(&self) -> bool {
        self.is_moved || self.outbox.change() != self.stored_change
    }

    /// Waits until what is being stored is. Cancelled, it is being stored all the same.
    ///
    /// # Errors
    /// When it cannot be.
    pub(crate) async fn stored(&mut self) -> Result<(), String> {
        let Some((change, answer)) = &mut self.storing else {
            return std::future::pending().await;
        };
        let (change, answer) = (*change, answer.await.unwrap_or(Err(CommitError::Closed)));
        self.storing = None;
        answer.map_err(|error| format!("its position cannot be stored: {error}"))?;
        self.outbox.stored(change);
        self.stored_change = change;
        Ok(())
    }

    /// Stores what is not stored.
    ///
    /// # Errors
    /// When it cannot be.
    pub(crate) async fn store_all(&mut self) -> Result<(), String> {
        loop {
            // It may be older than what is to be stored.
            if self.storing.is_some() {
                self.stored().await?;
            }
            if !self.is_unstored() {
                return Ok(());
            }
            self.store();
        }
    }

    /// What may be subscribed there.
    pub(crate) fn subscribed(&self) -> &[(String, Qos)] {
        &self.subscribed
    }

    /// One more may be, or the same at another QoS; or this one is not any more.
    pub(crate) fn note_subscribed(&mut self, filter: String, qos: Option<Qos>) {
        if qos.is_some_and(|qos| self.subscribed.contains(&(filter.clone(), qos))) {
            return;
        }
        self.subscribed.retain(|(known, _)| *known != filter);
        self.subscribed.extend(qos.map(|qos| (filter, qos)));
        self.is_moved = true;
    }

    /// A packet id that no exchange has, nor will have soon.
    pub(crate) fn spare_id(&mut self) -> PacketId {
        let number = self.outbox.window().next_number();
        self.outbox.skip_to(number + 1);
        packet_id(number)
    }
}

/// Which acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckKind {
    Ack,
    Rec,
    Comp,
}

/// What differs between messages of one content.
#[derive(Clone, Copy)]
struct Shape {
    id: Option<PacketId>,
    qos: Qos,
    retain: bool,
    dup: bool,
}

/// Why a message cannot be sent.
enum Unsent {
    TooLarge(usize),
    Unsayable(EncodeError),
}

impl From<EncodeError> for Unsent {
    fn from(error: EncodeError) -> Self {
        Self::Unsayable(error)
    }
}

fn passed_over(place: Place, topic: &str, why: &str) -> String {
    let Place { partition, offset } = place;
    format!("{topic:?} (partition {}, offset {offset}) is passed over: {why}", partition.0)
}
