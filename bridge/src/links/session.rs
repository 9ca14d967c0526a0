//! One connection to the other side, from CONNACK to its end: packets to the half that they are
//! for, and every wait. Decides about no message.

use std::sync::Arc;
use std::time::Duration;

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{
    Disconnect, Packet, Properties, Publish, ReasonCode, RetainHandling, SubAck, Subscribe,
    SubscribeFiltersBuilder, SubscribeOptions, Unsubscribe, UnsubscribeFiltersBuilder,
};
use tidewire_proto::qos::Qos;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::bridges::desk::Desk;
use crate::bridges::source::Chunk;
use crate::links::hello::Greeting;
use crate::links::incoming::{Incoming, has_options, wanted};
use crate::links::options::LinkOptions;
use crate::links::outgoing::{AckKind, Outgoing};
use crate::links::wire::{Reader, Wire, Writer};
use crate::links::words;
use crate::time::ticks;

/// How often what is not urgent is stored.
const STORE_INTERVAL: Duration = Duration::from_millis(100);
/// So long the last words may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// The parts of a connection.
pub(crate) struct Parts {
    pub(crate) desk: Desk,
    pub(crate) options: Arc<LinkOptions>,
    pub(crate) greeting: Greeting,
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
    /// What comes from the log, or why nothing does any more.
    pub(crate) chunks: mpsc::Receiver<Result<Chunk, String>>,
}

/// A connection that stands.
pub(crate) struct Session {
    parts: Parts,
    reader: Reader,
    writer: Writer,
    /// A SUBSCRIBE that is not answered, and what it asked for.
    subscribing: Option<(PacketId, Vec<(String, Qos)>)>,
    heard: Instant,
}

/// How a connection ended.
pub(crate) enum Parted {
    /// We were told to leave.
    Left,
    /// In words.
    Lost(String),
}

impl Session {
    pub(crate) fn new(parts: Parts, wire: Wire) -> Self {
        let Wire { reader, writer } = wire;
        Self { parts, reader, writer, subscribing: None, heard: Instant::now() }
    }

    /// Until it ends.
    pub(crate) async fn run(mut self) -> Parted {
        let ended = match self.subscribe() {
            Ok(()) => self.turn().await,
            Err(words) => Err(words),
        };
        match ended {
            Ok(()) => {
                // What is not stored is sent again: no reason to wait for long.
                let _ = tokio::time::timeout(FAREWELL, self.farewell()).await;
                Parted::Left
            }
            Err(words) => Parted::Lost(words),
        }
    }

    /// `Ok`: it is to leave.
    async fn turn(&mut self) -> Result<(), String> {
        let keep_alive = self.parts.greeting.keep_alive;
        let mut pings = ticks((keep_alive / 2).max(Duration::from_millis(500)));
        let mut stores = ticks(STORE_INTERVAL);
        let mut desk = self.parts.desk.clone();
        loop {
            while let Some(packet) = self.reader.packet()? {
                self.heard = Instant::now();
                take(&mut self.parts, &mut self.subscribing, &packet, &mut self.writer)?;
            }
            self.parts.outgoing.pump(&mut self.writer)?;
            self.parts.incoming.pump(&mut self.writer)?;
            let Parts { outgoing, incoming, chunks, .. } = &mut self.parts;
            let (hungry, has_room) = (outgoing.is_hungry(), incoming.has_room());
            let is_idle = self.writer.is_idle();
            if !has_room {
                // It is us who do not listen.
                self.heard = Instant::now();
            }
            tokio::select! {
                () = desk.leaves() => return Ok(()),
                read = self.reader.read(), if has_room => read.map_err(lost)?,
                written = self.writer.write(), if !is_idle => written.map_err(lost)?,
                stored = outgoing.stored() => stored?,
                stored = incoming.stored() => {
                    let stored = stored?;
                    incoming.confirm(stored, &mut self.writer)?;
                }
                chunk = chunks.recv(), if hungry => match chunk {
                    Some(chunk) => outgoing.feed(chunk?),
                    None => return Err("the log is read no more".into()),
                },
                _ = stores.tick() => if outgoing.is_unstored() {
                    outgoing.store();
                },
                _ = pings.tick() => self.ping(keep_alive)?,
            }
        }
    }

    /// The other side must say something now and then, or it is gone and nobody told us.
    fn ping(&mut self, keep_alive: Duration) -> Result<(), String> {
        let silent = self.heard.elapsed();
        if silent > keep_alive + keep_alive / 2 + Duration::from_secs(1) {
            return Err(format!("it has said nothing for {} s", silent.as_secs()));
        }
        self.writer.put(&Packet::PingReq).map_err(|error| error.to_string())
    }

    /// Subscribes to what the other side does not know yet, and gives up what it need not any more.
    fn subscribe(&mut self) -> Result<(), String> {
        let wanted = wanted(&self.parts.options);
        let outgoing = &mut self.parts.outgoing;
        let known = outgoing.subscribed().to_vec();
        let is_wanted = |filter: &str| wanted.iter().any(|(it, _)| it == filter);
        let gone: Vec<_> = known.iter().filter(|(filter, _)| !is_wanted(filter)).collect();
        if !gone.is_empty() {
            let mut filters = UnsubscribeFiltersBuilder::new();
            for (filter, _) in gone {
                filters.push(filter).map_err(|error| error.to_string())?;
                outgoing.note_subscribed(filter.clone(), None);
            }
            let (packet_id, properties) = (outgoing.spare_id(), Properties::EMPTY);
            let filters = filters.as_filters();
            let unsubscribe = Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters });
            self.writer.put(&unsubscribe).map_err(|error| error.to_string())?;
        }
        let new: Vec<_> = wanted.into_iter().filter(|one| !known.contains(one)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut filters = SubscribeFiltersBuilder::new();
        let has_options = has_options(self.parts.options.version);
        for (filter, qos) in &new {
            let options = SubscribeOptions {
                no_local: has_options,
                retain_as_published: has_options,
                retain_handling: match has_options {
                    true => RetainHandling::SendIfNew,
                    false => RetainHandling::Send,
                },
                ..SubscribeOptions::with_qos(*qos)
            };
            filters.push(filter, options).map_err(|error| error.to_string())?;
        }
        let (packet_id, properties) = (outgoing.spare_id(), Properties::EMPTY);
        let filters = filters.as_filters();
        let subscribe = Packet::Subscribe(Subscribe { packet_id, properties, filters });
        self.writer.put(&subscribe).map_err(|error| error.to_string())?;
        self.subscribing = Some((packet_id, new));
        Ok(())
    }

    /// Stores what is not stored, says that we leave.
    async fn farewell(&mut self) -> Result<(), String> {
        let Parts { outgoing, options, .. } = &mut self.parts;
        if outgoing.is_unstored() {
            outgoing.store();
            outgoing.stored().await?;
        }
        let last = options.remote_state_topic.as_deref().map(|topic| told(topic, false));
        let disconnect = Disconnect { reason: ReasonCode::SUCCESS, properties: Properties::EMPTY };
        for packet in last.map(Packet::Publish).into_iter().chain([Packet::Disconnect(disconnect)])
        {
            self.writer.put(&packet).map_err(|error| error.to_string())?;
        }
        while !self.writer.is_idle() {
            self.writer.write().await.map_err(lost)?;
        }
        Ok(())
    }
}

/// What is retained there about us.
pub(crate) fn told(topic: &str, is_connected: bool) -> Publish<'_> {
    Publish {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: true,
        topic,
        packet_id: None,
        properties: Properties::EMPTY,
        payload: if is_connected { b"1" } else { b"0" },
    }
}

fn take(
    parts: &mut Parts,
    subscribing: &mut Option<(PacketId, Vec<(String, Qos)>)>,
    packet: &Packet<'_>,
    writer: &mut Writer,
) -> Result<(), String> {
    let Parts { outgoing, incoming, .. } = parts;
    match packet {
        Packet::Publish(publish) => incoming.published(publish, writer),
        Packet::PubRel(ack) => incoming.released(ack.packet_id, writer),
        Packet::PubAck(ack) => outgoing.acknowledged(ack, AckKind::Ack, writer),
        Packet::PubRec(ack) => outgoing.acknowledged(ack, AckKind::Rec, writer),
        Packet::PubComp(ack) => outgoing.acknowledged(ack, AckKind::Comp, writer),
        Packet::SubAck(suback) => {
            if subscribing.as_ref().is_some_and(|(id, _)| *id == suback.packet_id) {
                let asked = subscribing.take().map(|(_, asked)| asked).unwrap_or_default();
                subscribed(parts, asked, suback);
            }
            Ok(())
        }
        Packet::UnsubAck(_) | Packet::PingResp => Ok(()),
        Packet::Disconnect(disconnect) => {
            let words = words::reason(disconnect.reason, disconnect.properties);
            Err(format!("it closes the connection: {words}"))
        }
        other => Err(format!("it sends {} to a client", other.kind())),
    }
}

fn subscribed(parts: &mut Parts, asked: Vec<(String, Qos)>, suback: &SubAck<'_>) {
    for ((filter, qos), code) in asked.into_iter().zip(suback.codes) {
        let code = ReasonCode(*code);
        if code.is_error() {
            let words = words::reason(code, suback.properties);
            parts.desk.trouble(format!("it refuses the subscription to {filter:?}: {words}"));
            continue;
        }
        if code.0 < qos.bits() {
            let granted = code.0;
            parts.desk.trouble(format!("{filter:?} comes at QoS {granted} at most"));
        }
        tracing::info!(bridge = parts.desk.name(), filter, "subscribed there");
        parts.outgoing.note_subscribed(filter, Some(qos));
    }
}

fn lost(error: std::io::Error) -> String {
    format!("the connection is lost: {error}")
}
