//! Messages for the program around the broker: a session like any other, read packet by packet as
//! its owner asks for messages. Never holds more than one read and what was sent before SUBACK.

use std::collections::VecDeque;
use std::fmt;
use std::io;

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{Ack, Disconnect, Packet, Properties, Publish, ReasonCode};
use tidewire_proto::qos::Qos;

use crate::broker::message::Message;
use crate::broker::pipe::Pipe;

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The message.
    pub message: Message,
    /// It may have been received before.
    pub is_repeat: bool,
    exchange: Option<(PacketId, Qos)>,
}

impl Received {
    fn of(publish: &Publish<'_>) -> Self {
        let exchange = publish.packet_id.map(|id| (id, publish.qos));
        Self { message: publish.into(), is_repeat: publish.dup, exchange }
    }
}

/// Why a subscription came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionEnd {
    /// The broker said why: it stops, an operator sent us away, another took the session.
    Told(ReasonCode),
    /// The broker is gone.
    Lost,
}

impl fmt::Display for SubscriptionEnd {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told(reason) => match reason.name() {
                Some(words) => out.write_str(words),
                None => write!(out, "reason 0x{:02x}", reason.0),
            },
            Self::Lost => out.write_str("the broker is gone"),
        }
    }
}

/// Messages that match some filters, in their order, as fast as they are asked for.
///
/// Who does not ask is not sent more than a few hundred kilobytes: QoS 0 beyond that is dropped
/// and counted, QoS 1 and 2 wait in the log. Dropped, its session ends like a lost client's; a
/// durable one waits for its return.
#[derive(Debug)]
pub struct Subscription {
    pipe: Pipe,
    /// What came before SUBACK.
    aside: VecDeque<Received>,
    is_manual: bool,
    was_present: bool,
    end: Option<SubscriptionEnd>,
}

impl Subscription {
    pub(super) fn new(
        pipe: Pipe,
        aside: VecDeque<Received>,
        is_manual: bool,
        was_present: bool,
    ) -> Self {
        Self { pipe, aside, is_manual, was_present, end: None }
    }

    /// Whether a durable session was there already, with what it had missed.
    #[must_use]
    pub fn was_present(&self) -> bool {
        self.was_present
    }

    /// Why no more messages come.
    #[must_use]
    pub fn end(&self) -> Option<SubscriptionEnd> {
        self.end
    }

    /// The next message; `None` when no more will come. Cancelled, it has taken none.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            if self.end.is_some() {
                return None;
            }
            let heard = match self.aside.pop_front() {
                Some(received) => Ok(Some(received)),
                None => self.hear(),
            };
            let outcome = match heard {
                Ok(Some(received)) => {
                    if !self.is_manual {
                        self.acknowledge(&received);
                    }
                    return Some(received);
                }
                Ok(None) => self.pipe.turn().await,
                Err(error) => Err(error),
            };
            if outcome.is_err() {
                self.end.get_or_insert(SubscriptionEnd::Lost);
            }
        }
    }

    /// Says that a message is done with; otherwise it comes again when the session is taken up
    /// again. Needed only after [`manual_acknowledgement`](crate::Subscribe): else asking for a
    /// message acknowledges it.
    pub fn acknowledge(&mut self, received: &Received) {
        let answer = match received.exchange {
            None => return,
            Some((id, Qos::ExactlyOnce)) => Packet::PubRec(ack(id)),
            Some((id, _)) => Packet::PubAck(ack(id)),
        };
        self.answer(&answer);
    }

    /// Leaves in good order: what was acknowledged is so for good. A durable session stays.
    pub async fn close(mut self) {
        let goodbye = Packet::Disconnect(Disconnect::with_reason(ReasonCode::SUCCESS));
        self.answer(&goodbye);
        // The broker ends the connection when it has read everything.
        while self.end.is_none() && self.pipe.turn().await.is_ok() {
            while let Ok(Some(_)) = self.pipe.packet() {}
        }
    }

    /// Looks through what was read, up to the next message.
    fn hear(&mut self) -> io::Result<Option<Received>> {
        loop {
            let release = match self.pipe.packet()? {
                None => return Ok(None),
                Some(Packet::Publish(publish)) => return Ok(Some(Received::of(&publish))),
                Some(Packet::PubRel(release)) => release.packet_id,
                Some(Packet::Disconnect(disconnect)) => {
                    self.end = Some(SubscriptionEnd::Told(disconnect.reason));
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                Some(_) => continue,
            };
            self.answer(&Packet::PubComp(ack(release)));
        }
    }

    fn answer(&mut self, packet: &Packet<'_>) {
        // Many answers, one write: what is not written now is when the next message is asked for.
        let is_sent = self.pipe.put(packet).is_ok();
        if !is_sent || (!self.pipe.has_packet() && self.pipe.flush().is_err()) {
            self.end.get_or_insert(SubscriptionEnd::Lost);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Without the last acknowledgements their messages come again, which is allowed.
        let _ = self.pipe.flush();
    }
}

fn ack(packet_id: PacketId) -> Ack<'static> {
    Ack { packet_id, reason: ReasonCode::SUCCESS, properties: Properties::EMPTY }
}

/// What came for a session before its SUBACK.
pub(super) fn set_aside(aside: &mut VecDeque<Received>, publish: &Publish<'_>) {
    aside.push_back(Received::of(publish));
}
