//! PUBLISH and PUBREL from a client: into the turn, and answered when durable.

use std::borrow::Cow;
use std::sync::Arc;

use tidewire_bridge::links;
use tidewire_proto::as_it_came::AsItCame;
use tidewire_proto::delayed;

use tidewire_proto::message::Published;
use tidewire_proto::mqtt::{Ack, Publish, ReasonCode, Version};
use tidewire_proto::qos::Qos;
use tidewire_proto::session::inbound::Verdict;
use tidewire_proto::session::receipts::Release;
use tidewire_store::Table;
use tidewire_store::rows::receipt;

use crate::core::beside::has_too_many;
use crate::core::open::{ConnId, Open, Phase};
use crate::core::send::quality;
use crate::core::shared::Shared;
use crate::core::state::Core;
use crate::core::turn::{By, Waiting};
use crate::link::Peer;
use crate::metrics::{CloseReason, Direction, DropReason};
use crate::payer::Payer;

/// Why a message is not taken: what its client hears, and what is counted.
type Why = (ReasonCode, DropReason);
const FORBIDDEN: Why = (ReasonCode::NOT_AUTHORIZED, DropReason::NotAuthorized);
const TOO_FAST: Why = (ReasonCode::QUOTA_EXCEEDED, DropReason::RateLimit);
const INVALID: Why = (ReasonCode::TOPIC_NAME_INVALID, DropReason::Invalid);
const FULL: Why = (ReasonCode::QUOTA_EXCEEDED, DropReason::Store);
/// No error: whoever sends it on has done with it.
const WAS_HERE: Why = (ReasonCode::NO_MATCHING_SUBSCRIBERS, DropReason::Loop);
const TOO_MANY: Why = (ReasonCode::QUOTA_EXCEEDED, DropReason::RetainedLimit);
const TOO_MUCH_BESIDE: Why = (ReasonCode::QUOTA_EXCEEDED, DropReason::UserProperties);

impl Core {
    /// `packet` is what the PUBLISH was read from.
    pub(crate) fn on_publish(&mut self, id: ConnId, publish: &Publish<'_>, packet: &[u8]) {
        self.counters.messages_received.add(quality(publish.qos), 1);
        self.counters.payload_bytes.add(Direction::In, publish.payload.len() as u64);
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return };
        let Phase::Open(open) = &mut conn.phase else { return };
        let is_over = conn.pace.as_ref().is_some_and(|pace| pace.is_over);
        let payer = payer_of(open, conn.peer, publish, &self.shared);
        let topic = match open.inbound.on_publish(publish) {
            Ok(Verdict::Store { topic }) => topic,
            Ok(Verdict::Wait) => return,
            Ok(Verdict::ConfirmAgain) => {
                let Some(packet_id) = publish.packet_id else { return };
                return self.send_pubrec(id, packet_id);
            }
            Err(reason) => return self.close(id, CloseReason::Protocol, Some(reason)),
        };
        if let Some(why) = unwanted(publish, topic, is_over, &self.shared) {
            return self.refuse_publish(id, publish, why);
        }
        if topic.starts_with('$') && (is_ours(topic) || topic.starts_with(delayed::PREFIX)) {
            let topic = topic.to_owned();
            return self.on_special(id, publish, &topic);
        }
        let topic = self.rewriter.topic(topic);
        if open.granted.as_mut().is_some_and(|rights| !rights.may_publish(topic, publish.retain)) {
            return self.refuse_publish(id, publish, FORBIDDEN);
        }
        let Some(mut placed) = self.placement.place(topic, &open.client_id, publish.properties)
        else {
            return self.refuse_publish(id, publish, INVALID);
        };
        let is_full = self.shared.store.is_full(placed.partition);
        if is_full && (publish.qos != Qos::AtMostOnce || publish.retain) {
            // The store would refuse it, and with it what others publish in this turn.
            return self.refuse_publish(id, publish, FULL);
        }
        placed.log_qos0 &= !is_full;
        let is_asked = placed.names_publisher || self.shared.notes_publisher;
        let origin = (is_asked || open.subscriptions.has_no_local()).then_some(&*open.client_id);
        let message = Published::new(publish, topic, origin);
        let by = By { core: self.index, now_ms: self.now_ms, payer };
        if publish.retain && !self.turn.admit(&message, &self.shared.retained, by) {
            return self.refuse_publish(id, publish, TOO_MANY);
        }
        if publish.qos == Qos::AtMostOnce && !publish.retain && !self.unsettled.has(topic) {
            self.turn.append_live(&message, placed, self.now_ms);
            let it = Received::of(&message, (&open.client_id, open.version), publish, packet);
            self.on_received(publish, &it);
        } else {
            self.turn.append(&message, placed, self.now_ms);
            if publish.qos == Qos::AtMostOnce {
                self.unsettled.add(topic, self.next_ticket);
            }
        }
        self.await_publish(id, publish);
        if self.is_turn_large() {
            self.submit();
        }
        self.end_turn_soon();
    }

    pub(crate) fn on_pubrel(&mut self, id: ConnId, ack: &Ack<'_>) {
        let Some(open) = self.open(id) else { return };
        let packet_id = ack.packet_id;
        match open.inbound.receipts.on_pubrel(packet_id) {
            Release::End if open.is_durable() => {
                let key = receipt::key(&open.client_id, packet_id);
                self.turn.put(Table::Inbound, key, None);
                self.turn.waiting.push(Waiting::Pubcomp(id, packet_id));
                self.end_turn_soon();
            }
            Release::End => {
                open.inbound.receipts.on_released(packet_id, true);
                self.send_pubcomp(id, packet_id, ReasonCode::SUCCESS);
            }
            Release::Wait => (),
            Release::Unknown => {
                self.send_pubcomp(id, packet_id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND);
            }
        }
    }

    /// The answer leaves when the commit of this turn is durable.
    pub(crate) fn await_publish(&mut self, id: ConnId, publish: &Publish<'_>) {
        let Some(packet_id) = publish.packet_id else { return };
        match publish.qos {
            Qos::AtMostOnce => (),
            Qos::AtLeastOnce => self.turn.waiting.push(Waiting::Puback(id, packet_id)),
            Qos::ExactlyOnce => {
                self.turn.waiting.push(Waiting::Pubrec(id, packet_id));
                let Some(open) = self.open(id).filter(|open| open.is_durable()) else { return };
                let key = receipt::key(&open.client_id, packet_id);
                let row = Some(receipt::ROW.into());
                self.turn.put_with_messages(Table::Inbound, key, row);
            }
        }
    }

    /// A topic that we give a meaning of its own.
    fn on_special(&mut self, id: ConnId, publish: &Publish<'_>, topic: &str) {
        match is_ours(topic) {
            true => self.refuse_publish(id, publish, FORBIDDEN),
            false => self.on_delayed(id, publish, topic),
        }
    }
}

/// What the session of a publisher holds of a message, for who hands it out: it cannot be lent
/// meanwhile.
pub(crate) struct Received<'a> {
    pub(crate) topic: Cow<'a, str>,
    pub(crate) origin: Option<Arc<str>>,
    pub(crate) as_it_came: Option<AsItCame<'a>>,
}

impl<'a> Received<'a> {
    fn of(
        message: &Published<'_>,
        (client_id, version): (&Arc<str>, Version),
        publish: &Publish<'a>,
        packet: &'a [u8],
    ) -> Self {
        let origin = message.origin.map(|_| Arc::clone(client_id));
        if message.topic != publish.topic {
            return Self { topic: Cow::Owned(message.topic.to_owned()), origin, as_it_came: None };
        }
        let as_it_came = AsItCame::of(packet, publish, version);
        Self { topic: Cow::Borrowed(publish.topic), origin, as_it_came }
    }
}

/// Whose part a message takes if it is kept.
fn payer_of(open: &Open, peer: Peer, publish: &Publish<'_>, shared: &Shared) -> Payer {
    match publish.retain {
        true => open.payer(&shared.payers, peer),
        false => Payer::NOBODY,
    }
}

/// Why a message is not taken, whatever its topic says: it comes too fast, says too much beside
/// its payload, or comes back.
fn unwanted(publish: &Publish<'_>, topic: &str, is_over: bool, shared: &Shared) -> Option<Why> {
    if is_over {
        return Some(TOO_FAST);
    }
    if topic.len() > usize::from(shared.limits.topic_bytes_max) {
        return Some(INVALID);
    }
    if has_too_many(publish.properties, shared.limits.user_properties_max) {
        return Some(TOO_MUCH_BESIDE);
    }
    let mark = shared.mark.as_deref().filter(|_| !publish.properties.is_empty())?;
    links::was_here(publish.properties, mark).then_some(WAS_HERE)
}

/// Topics in which only the broker speaks.
pub(crate) fn is_ours(topic: &str) -> bool {
    topic == "$SYS" || topic.starts_with("$SYS/")
}
