//! One connection to the other side, from CONNACK to its end: packets to the half that they are
//! for, and every wait. Decides about no message.

use std::sync::Arc;
use std::time::Duration;

use tidewire_proto::mqtt::{Disconnect, Packet, Properties, Publish, ReasonCode};
use tidewire_proto::qos::Qos;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::bridges::desk::Desk;
use crate::links::hello::Greeting;
use crate::links::incoming::Incoming;
use crate::links::options::LinkOptions;
use crate::links::outgoing::{AckKind, Outgoing, Part, UNWRITTEN_BYTES_MAX};
use crate::links::subscriptions::Subscriptions;
use crate::links::wire::{Heard, Reader, Wire, Writer};
use crate::links::words;
use crate::time::ticks;

/// How often what is not urgent is stored.
const STORE_INTERVAL: Duration = Duration::from_millis(100);
/// So long the last words may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// So long it is waited for a reason of who does not listen any more.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The parts of a connection.
pub(crate) struct Parts {
    pub(crate) desk: Desk,
    pub(crate) options: Arc<LinkOptions>,
    pub(crate) greeting: Greeting,
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
    /// What comes from the log, or why nothing does any more.
    pub(crate) chunks: mpsc::Receiver<Result<Part, String>>,
    pub(crate) subscriptions: Subscriptions,
}

/// A connection that stands.
pub(crate) struct Session {
    parts: Parts,
    reader: Reader,
    writer: Writer,
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
        Self { parts, reader, writer, heard: Instant::now() }
    }

    /// Until it ends.
    pub(crate) async fn run(mut self) -> Parted {
        let Parts { subscriptions, outgoing, options, .. } = &mut self.parts;
        let asked = subscriptions.ask(options, outgoing, &mut self.writer);
        let ended = match asked {
            Ok(()) => self.turn().await,
            Err(words) => Err(words),
        };
        match ended {
            Ok(()) => {
                // What is not stored is sent again: no reason to wait for long.
                let _ = tokio::time::timeout(FAREWELL, self.farewell()).await;
                Parted::Left
            }
            Err(words) => {
                // What was acknowledged or refused does not go again, even if this comes to pass
                // with each connection.
                let outgoing = &mut self.parts.outgoing;
                let _ = tokio::time::timeout(FAREWELL, outgoing.store_all()).await;
                Parted::Lost(outgoing.cut(words))
            }
        }
    }

    /// `Ok`: it is to leave.
    async fn turn(&mut self) -> Result<(), String> {
        let keep_alive = self.parts.greeting.keep_alive;
        let mut pings = ticks((keep_alive / 2).max(Duration::from_millis(500)));
        let mut stores = ticks(STORE_INTERVAL);
        let mut desk = self.parts.desk.clone();
        loop {
            // What is answered at once has to have room, too.
            while self.writer.waiting() < UNWRITTEN_BYTES_MAX
                && self.parts.incoming.has_room()
                && let Some(heard) = self.reader.next()?
            {
                match heard {
                    Heard::Packet(packet) => take(&mut self.parts, &packet, &mut self.writer)?,
                    Heard::Large(large) => {
                        self.parts.incoming.too_large(&large, &mut self.writer)?;
                    }
                }
            }
            self.parts.outgoing.pump(&mut self.writer)?;
            self.parts.incoming.pump(&mut self.writer)?;
            let Parts { outgoing, incoming, chunks, .. } = &mut self.parts;
            let (hungry, has_room) = (outgoing.is_hungry(), incoming.has_room());
            let is_idle = self.writer.is_idle();
            let is_taken = self.writer.waiting() < UNWRITTEN_BYTES_MAX;
            if !has_room {
                // It is us who do not listen.
                self.heard = Instant::now();
            }
            tokio::select! {
                () = desk.leaves() => return Ok(()),
                read = self.reader.read(), if has_room && is_taken => {
                    read.map_err(lost)?;
                    self.heard = Instant::now();
                }
                written = self.writer.write_on(), if !is_idle => match written {
                    // It acknowledges bytes, however slowly.
                    Ok(true) => self.heard = Instant::now(),
                    Ok(false) => (),
                    Err(error) => return self.last_words(error).await,
                },
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

    /// It does not listen any more, and may have said why.
    async fn last_words(&mut self, error: std::io::Error) -> Result<(), String> {
        loop {
            while let Some(heard) = self.reader.next()? {
                if let Heard::Packet(packet) = heard {
                    take(&mut self.parts, &packet, &mut self.writer)?;
                }
            }
            let read = tokio::time::timeout(LAST_WORDS, self.reader.read()).await;
            if !matches!(read, Ok(Ok(()))) || !self.parts.incoming.has_room() {
                return Err(lost(error));
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

    /// Stores what is not stored, says that we leave.
    async fn farewell(&mut self) -> Result<(), String> {
        let Parts { outgoing, options, .. } = &mut self.parts;
        outgoing.store_all().await?;
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

fn take(parts: &mut Parts, packet: &Packet<'_>, writer: &mut Writer) -> Result<(), String> {
    let Parts { outgoing, incoming, subscriptions, desk, .. } = parts;
    match packet {
        Packet::Publish(publish) => incoming.published(publish, writer),
        Packet::PubRel(ack) => incoming.released(ack.packet_id, writer),
        Packet::PubAck(ack) => outgoing.acknowledged(ack, AckKind::Ack, writer),
        Packet::PubRec(ack) => outgoing.acknowledged(ack, AckKind::Rec, writer),
        Packet::PubComp(ack) => outgoing.acknowledged(ack, AckKind::Comp, writer),
        Packet::SubAck(suback) => subscriptions.answered(suback, (outgoing, writer), desk),
        Packet::UnsubAck(unsuback) => {
            subscriptions.ended(unsuback, outgoing);
            Ok(())
        }
        Packet::PingResp => Ok(()),
        Packet::Disconnect(disconnect) => {
            let words = words::reason(disconnect.reason, disconnect.properties);
            Err(format!("it closes the connection: {words}"))
        }
        other => Err(format!("it sends {} to a client", other.kind())),
    }
}

fn lost(error: std::io::Error) -> String {
    format!("the connection is lost: {error}")
}
