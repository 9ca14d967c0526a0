//! Packets to a client that are no messages: acknowledgements and answers.

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{Ack, Packet, PacketKind, Properties, ReasonCode, Version, encode};
use tidewire_proto::qos::Qos;

use crate::core::denial::{Denial, put_with_words};
use crate::core::open::{ConnId, Open, Phase};
use crate::core::state::Core;
use crate::metrics::{CloseReason, Direction, PacketType, Quality};

fn ack(packet_id: PacketId, reason: ReasonCode) -> Ack<'static> {
    Ack { packet_id, reason, properties: Properties::EMPTY }
}

/// Encodes a packet of ours. None of them can be too long.
pub(crate) fn put(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) {
    if let Err(error) = encode(packet, version, out) {
        tracing::error!(%error, "a packet of ours could not be encoded");
    }
}

/// The metric's word for a packet.
pub(crate) fn packet_type(kind: PacketKind) -> PacketType {
    match kind {
        PacketKind::Connect => PacketType::Connect,
        PacketKind::ConnAck => PacketType::Connack,
        PacketKind::Publish => PacketType::Publish,
        PacketKind::PubAck => PacketType::Puback,
        PacketKind::PubRec => PacketType::Pubrec,
        PacketKind::PubRel => PacketType::Pubrel,
        PacketKind::PubComp => PacketType::Pubcomp,
        PacketKind::Subscribe => PacketType::Subscribe,
        PacketKind::SubAck => PacketType::Suback,
        PacketKind::Unsubscribe => PacketType::Unsubscribe,
        PacketKind::UnsubAck => PacketType::Unsuback,
        PacketKind::PingReq => PacketType::Pingreq,
        PacketKind::PingResp => PacketType::Pingresp,
        PacketKind::Disconnect => PacketType::Disconnect,
        PacketKind::Auth => PacketType::Auth,
    }
}

/// The metric's word for a QoS.
pub(crate) fn quality(qos: Qos) -> Quality {
    match qos {
        Qos::AtMostOnce => Quality::AtMostOnce,
        Qos::AtLeastOnce => Quality::AtLeastOnce,
        Qos::ExactlyOnce => Quality::ExactlyOnce,
    }
}

impl Core {
    pub(crate) fn send(&mut self, id: ConnId, packet: &Packet<'_>) {
        let conn = self.conns.get_mut(id.key as usize).filter(|conn| conn.serial == id.serial);
        let Some(conn) = conn else { return };
        let Phase::Open(open) = &conn.phase else { return };
        self.scratch.outputs.lend(&mut conn.out);
        put(packet, open.version, &mut conn.out);
        self.counters.packets.add((packet_type(packet.kind()), Direction::Out), 1);
        self.mark_dirty(id);
    }

    /// Whether the client takes a packet of this size. An answer that it does not take cannot be
    /// left out as a message can: the connection ends instead. (All other answers are smaller than
    /// the CONNACK that it took.)
    pub(crate) fn fits(&mut self, id: ConnId, size: usize) -> bool {
        let Some(open) = self.open(id) else { return false };
        let is_small = size <= open.terms.packet_bytes_max as usize;
        if !is_small {
            self.close(id, CloseReason::Limit, Some(ReasonCode::PACKET_TOO_LARGE));
        }
        is_small
    }

    pub(crate) fn send_puback(&mut self, id: ConnId, packet_id: PacketId) {
        self.send(id, &Packet::PubAck(ack(packet_id, ReasonCode::SUCCESS)));
    }

    pub(crate) fn send_pubrec(&mut self, id: ConnId, packet_id: PacketId) {
        self.send(id, &Packet::PubRec(ack(packet_id, ReasonCode::SUCCESS)));
    }

    /// PUBACK or PUBREC that says no, and why if that may be said.
    pub(crate) fn send_denied(&mut self, id: ConnId, packet_id: PacketId, qos: Qos, no: Denial) {
        let Some(conn) = self.conn(id) else { return };
        let Phase::Open(open) = &conn.phase else { return };
        let (hearing, version) = (open.hearing(), open.version);
        put_with_words(&mut conn.out, Some(no.words), hearing, |properties, out| {
            let ack = Ack { packet_id, reason: no.reason, properties };
            let packet = match qos {
                Qos::ExactlyOnce => Packet::PubRec(ack),
                Qos::AtMostOnce | Qos::AtLeastOnce => Packet::PubAck(ack),
            };
            put(&packet, version, out);
        });
        let packet_type = match qos {
            Qos::ExactlyOnce => PacketType::Pubrec,
            Qos::AtMostOnce | Qos::AtLeastOnce => PacketType::Puback,
        };
        self.counters.packets.add((packet_type, Direction::Out), 1);
        self.mark_dirty(id);
    }

    pub(crate) fn send_pubcomp(&mut self, id: ConnId, packet_id: PacketId, reason: ReasonCode) {
        self.send(id, &Packet::PubComp(ack(packet_id, reason)));
    }

    pub(crate) fn send_pubrel(&mut self, id: ConnId, packet_id: PacketId, is_known: bool) {
        let reason = match is_known {
            true => ReasonCode::SUCCESS,
            false => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
        };
        self.send(id, &Packet::PubRel(ack(packet_id, reason)));
    }

    /// PUBREL: at once, or held back until the step is durable.
    pub(crate) fn release(&mut self, id: ConnId, packet_id: PacketId, is_first: bool) {
        match self.open(id) {
            Some(open) if open.is_durable() && is_first => {
                hold(open, &Packet::PubRel(ack(packet_id, ReasonCode::SUCCESS)));
                self.mark_changed(id, true);
            }
            _ => self.send_pubrel(id, packet_id, true),
        }
    }
}

fn hold(open: &mut Open, packet: &Packet<'_>) {
    put(packet, open.version, &mut open.held);
}
