//! PUBLISH and PUBREL from a client: into the turn, and answered when durable.

use tidewire_proto::message::Published;
use tidewire_proto::mqtt::{Ack, Properties, PropertyPlace, Publish, ReasonCode};
use tidewire_proto::qos::Qos;
use tidewire_proto::session::inbound::Verdict;
use tidewire_proto::session::receipts::Release;
use tidewire_store::rows::receipt;
use tidewire_store::{Table, TableChange};

use crate::core::open::{ConnId, Phase, Will};
use crate::core::send::quality;
use crate::core::state::{Core, TURN_BYTES_MAX};
use crate::core::turn::Waiting;
use crate::metrics::{CloseReason, DropReason};

impl Core {
    pub(crate) fn on_publish(&mut self, id: ConnId, publish: &Publish<'_>) {
        self.counters.messages_received.add(quality(publish.qos), 1);
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return };
        let Phase::Open(open) = &mut conn.phase else { return };
        let is_durable = open.is_durable();
        let is_asked = open.subscriptions.has_no_local() || self.shared.notes_publisher;
        let origin = is_asked.then_some(&*open.client_id);
        let topic = match open.inbound.on_publish(publish) {
            Ok(Verdict::Store { topic }) => topic,
            Ok(Verdict::Wait) => return,
            Ok(Verdict::ConfirmAgain) => {
                let Some(packet_id) = publish.packet_id else { return };
                return self.send_pubrec(id, packet_id, ReasonCode::SUCCESS);
            }
            Err(reason) => return self.close(id, CloseReason::Protocol, Some(reason)),
        };
        let Some(placed) = self.placement.place(topic, &open.client_id, publish.properties) else {
            let reason = Some(ReasonCode::TOPIC_NAME_INVALID);
            return self.close(id, CloseReason::Limit, reason);
        };
        let message = Published::new(publish, topic, origin);
        if publish.retain && !self.turn.admit(&message, &self.shared.retained, self.now_ms) {
            return self.refuse_publish(id, publish, DropReason::RetainedLimit);
        }
        match (publish.qos, publish.packet_id) {
            (Qos::AtMostOnce, _) | (_, None) => {
                if publish.retain {
                    self.turn.append(&message, placed, self.now_ms);
                } else {
                    self.turn.append_live(&message, placed, self.now_ms);
                }
            }
            (Qos::AtLeastOnce, Some(packet_id)) => {
                self.turn.append(&message, placed, self.now_ms);
                self.turn.waiting.push(Waiting::Puback(id, packet_id));
            }
            (Qos::ExactlyOnce, Some(packet_id)) => {
                self.turn.append(&message, placed, self.now_ms);
                self.turn.waiting.push(Waiting::Pubrec(id, packet_id));
                if is_durable {
                    let key = receipt::key(&open.client_id, packet_id);
                    self.turn.changes.push(TableChange::new(
                        Table::Inbound,
                        key,
                        Some(receipt::ROW.into()),
                    ));
                }
            }
        }
        if self.turn.bytes() >= TURN_BYTES_MAX {
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
                self.turn.changes.push(TableChange::new(Table::Inbound, key, None));
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

    /// Publishes what a lost client left.
    pub(crate) fn publish_will(&mut self, will: &Will, client_id: &str) {
        let mut message = Published {
            topic: &will.topic,
            payload: &will.payload,
            qos: will.qos,
            retain: will.retain,
            properties: Properties::parse(&will.properties, PropertyPlace::Will)
                .unwrap_or_default(),
            origin: None,
        };
        // Its levels were counted at CONNECT.
        let placed = self.placement.place(&will.topic, client_id, message.properties);
        let Some(placed) = placed else { return };
        // What cannot be kept is still worth saying.
        message.retain =
            message.retain && self.turn.admit(&message, &self.shared.retained, self.now_ms);
        if will.qos == Qos::AtMostOnce && !message.retain {
            self.turn.append_live(&message, placed, self.now_ms);
        } else {
            self.turn.append(&message, placed, self.now_ms);
        }
        self.end_turn_soon();
    }
}
