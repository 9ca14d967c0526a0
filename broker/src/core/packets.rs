//! Bytes of a client become packets, and each packet finds its place.

use std::io;

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{Ack, Framing, Packet, ReasonCode, Version, decode, frame};
use tidewire_proto::session::window::OnPubrec;

use crate::core::beside::{has_too_many, properties_of};
use crate::core::member::fate;
use crate::core::open::{ConnId, Phase};
use crate::core::paced::Paced;
use crate::core::send::packet_type;
use crate::core::state::Core;
use crate::metrics::{CloseReason, Direction, RefuseReason};

/// So much is kept of a client whose password is being checked before it is not read from.
const CHECKING_BYTES_MAX: usize = 4 * 1024;

/// So much of a packet that is not whole is put before what is read next; with more, what is read
/// is put behind it.
const PUT_BEFORE_BYTES_MAX: usize = 4 * 1024;

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    /// The socket has no more for now.
    Drained,
    /// There may be more; others first.
    More,
    /// The client is gone.
    Gone,
}

impl Core {
    /// Reads what the socket holds and handles every packet in it.
    pub(crate) fn read(&mut self, id: ConnId) -> ReadEnd {
        let mut buffer = std::mem::take(&mut self.scratch.read);
        let end = self.read_with(id, &mut buffer);
        self.scratch.read = buffer;
        end
    }

    fn read_with(&mut self, id: ConnId, buffer: &mut [u8]) -> ReadEnd {
        let (uptime_ms, now_ms) = (self.uptime_ms, self.now_ms);
        let Some(conn) = self.conn(id) else { return ReadEnd::Gone };
        let before = Some(conn.partial.len()).filter(|bytes| *bytes <= PUT_BEFORE_BYTES_MAX);
        let before = before.unwrap_or(0);
        buffer[..before].copy_from_slice(&conn.partial[..before]);
        let count = match conn.socket.link.try_read(&mut buffer[before..]) {
            Ok(0) => return ReadEnd::Gone,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.count_unread(id);
                return ReadEnd::Drained;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.count_unread(id);
                return ReadEnd::More;
            }
            Err(error) => {
                self.on_unreadable(id, &error);
                return ReadEnd::Gone;
            }
        };
        if !matches!(conn.phase, Phase::Fresh | Phase::Authenticating(_)) {
            // A CONNECT that drips in has no more time than one that never comes.
            conn.heard_ms = uptime_ms;
        }
        let silence_ms = now_ms.saturating_sub(std::mem::replace(&mut conn.read_ms, now_ms));
        if before > 0 {
            conn.partial = Vec::new();
        }
        self.gather.on_read(silence_ms);
        self.counters.bytes.add(Direction::In, count as u64);
        self.on_bytes(id, &buffer[..before + count]);
        self.count_kept(id, count);
        if self.is_turn_large() {
            self.submit();
        }
        if before + count == buffer.len() { ReadEnd::More } else { ReadEnd::Drained }
    }

    fn on_bytes(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.conn(id) else { return };
        if conn.partial.is_empty() {
            let used = self.on_packets(id, bytes);
            self.keep_partial(id, bytes[used..].to_vec());
        } else {
            let mut whole = std::mem::take(&mut conn.partial);
            whole.extend_from_slice(bytes);
            let used = self.on_packets(id, &whole);
            whole.drain(..used);
            self.keep_partial(id, whole);
        }
    }

    /// What is kept of all who are not in yet has a limit.
    fn count_kept(&mut self, id: ConnId, count: usize) {
        let Some(conn) = self.conn(id) else { return };
        let Some(newcomer) = &mut conn.newcomer else { return };
        let is_left =
            matches!(conn.phase, Phase::Fresh | Phase::Authenticating(_) | Phase::Checking(_));
        if is_left && !newcomer.sends(count) {
            conn.partial = Vec::new();
            self.turn_away(id, RefuseReason::Unauthenticated);
        }
    }

    /// The same for what the link keeps of a TLS record or a request that is not whole yet.
    fn count_unread(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        let Some(newcomer) = &mut conn.newcomer else { return };
        if !newcomer.has_unread(conn.socket.link.unread_bytes()) {
            self.turn_away(id, RefuseReason::Unauthenticated);
        }
    }

    /// Goes on with what was received while the session was being taken up.
    pub(crate) fn on_waiting_bytes(&mut self, id: ConnId) {
        if self.conn(id).is_some_and(|conn| !conn.partial.is_empty()) {
            self.on_bytes(id, &[]);
        }
    }

    fn keep_partial(&mut self, id: ConnId, rest: Vec<u8>) {
        if let Some(conn) = self.conn(id) {
            conn.partial = if matches!(conn.phase, Phase::Closing) { Vec::new() } else { rest };
            self.count_coming(id);
        }
    }

    /// Handles the whole packets at the front; answers how many bytes they were.
    fn on_packets(&mut self, id: ConnId, bytes: &[u8]) -> usize {
        let mut used = 0;
        while used < bytes.len() {
            let Some(conn) = self.conn(id) else { return bytes.len() };
            let (version, bytes_max) = match &conn.phase {
                Phase::Fresh | Phase::Authenticating(_) => {
                    (Version::V5, self.shared.limits.connect_bytes_max)
                }
                // No answer may come before CONNACK.
                Phase::Open(open) if !open.is_announced => return used,
                Phase::Open(open) => (open.version, open.terms.offer.packet_bytes_max),
                Phase::Checking(_) => {
                    if bytes.len() - used > CHECKING_BYTES_MAX {
                        conn.socket.pause(true);
                    }
                    return used;
                }
                Phase::Claiming(_) => return used,
                Phase::Closing => return bytes.len(),
            };
            let begun = used;
            let packet = match frame(&bytes[used..], bytes_max) {
                Ok(Framing::NeedMore { .. }) => return used,
                Ok(Framing::Packet(found)) => {
                    match self.pace(id, found.first_byte, found.len) {
                        Paced::Go => (),
                        Paced::Rest => return used,
                        Paced::Gone => return bytes.len(),
                    }
                    used += found.len;
                    decode(&found, version)
                }
                Err(error) => Err(error),
            };
            match packet {
                Ok(packet) => self.on_packet(id, packet, &bytes[begun..used]),
                Err(error) => {
                    self.on_malformed(id, error, bytes.first().copied());
                    return bytes.len();
                }
            }
        }
        used
    }

    /// `bytes` are those of the packet.
    fn on_packet(&mut self, id: ConnId, packet: Packet<'_>, bytes: &[u8]) {
        self.counters.packets.add((packet_type(packet.kind()), Direction::In), 1);
        let is_fresh = self.conn(id).is_some_and(|conn| matches!(conn.phase, Phase::Fresh));
        if self.conn(id).is_some_and(|conn| matches!(conn.phase, Phase::Authenticating(_))) {
            return self.on_login_packet(id, &packet);
        }
        if !is_fresh && has_too_many(properties_of(&packet), self.shared.limits.user_properties_max)
        {
            return self.close(id, CloseReason::Limit, Some(ReasonCode::QUOTA_EXCEEDED));
        }
        match packet {
            Packet::Connect(connect) if is_fresh => self.on_connect(id, &connect),
            // A first packet that is not CONNECT gets no answer at all.
            _ if is_fresh => {
                let words = Some("its first packet is not CONNECT");
                self.turn_away_saying(id, RefuseReason::Malformed, words);
            }
            Packet::Publish(publish) => self.on_publish(id, &publish, bytes),
            Packet::PubAck(ack) => self.on_puback(id, &ack),
            Packet::PubRec(ack) => self.on_pubrec(id, &ack),
            Packet::PubRel(ack) => self.on_pubrel(id, &ack),
            Packet::PubComp(ack) => {
                if self.open(id).is_some_and(|open| open.window.on_pubcomp(ack.packet_id)) {
                    self.on_ended(id);
                }
            }
            Packet::Subscribe(subscribe) => self.on_subscribe(id, &subscribe),
            Packet::Unsubscribe(unsubscribe) => self.on_unsubscribe(id, &unsubscribe),
            Packet::PingReq => self.send(id, &Packet::PingResp),
            Packet::Disconnect(disconnect) => self.on_disconnect(id, &disconnect),
            Packet::Auth(auth) => self.on_auth(id, &auth),
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => {
                // A packet that is not due.
                self.close(id, CloseReason::Protocol, Some(ReasonCode::PROTOCOL_ERROR));
            }
        }
    }

    /// Between CONNECT and CONNACK of a client that authenticates.
    fn on_login_packet(&mut self, id: ConnId, packet: &Packet<'_>) {
        let said = self.hearing_of_login(id).map(|to| ("only AUTH is due before CONNACK", to));
        match packet {
            Packet::Auth(auth) => self.on_login_auth(id, auth),
            Packet::Disconnect(_) => self.turn_away(id, RefuseReason::NotAuthorized),
            _ => self.refuse(id, Version::V5, ReasonCode::PROTOCOL_ERROR, said),
        }
    }

    /// An exchange is over, and there is room for the next message.
    fn on_ended(&mut self, id: ConnId) {
        self.mark_changed(id, false);
        self.feed_soon(id);
    }

    fn on_puback(&mut self, id: ConnId, ack: &Ack<'_>) {
        let Some(open) = self.open(id) else { return };
        let Some(ended) = open.window.on_puback(ack.packet_id) else { return };
        self.on_ended(id);
        if let Some(group) = ended.group {
            self.tell_ended(id, group, ended.place, (fate(ack.reason), None));
        }
    }

    fn on_pubrec(&mut self, id: ConnId, ack: &Ack<'_>) {
        if !self.tell_received(id, ack) {
            self.after_pubrec(id, ack.packet_id, ack.reason.is_error());
        }
    }

    /// PUBREC, once nothing stands against forgetting the message.
    pub(crate) fn after_pubrec(&mut self, id: ConnId, packet_id: PacketId, is_refused: bool) {
        let Some(open) = self.open(id) else { return };
        match open.window.on_pubrec(packet_id, is_refused) {
            OnPubrec::Release => self.release(id, packet_id, true),
            OnPubrec::ReleaseAgain => self.release(id, packet_id, false),
            OnPubrec::Refused => self.on_ended(id),
            // Who refuses a message awaits no PUBREL for it.
            OnPubrec::Unknown if is_refused => (),
            OnPubrec::Unknown => self.send_pubrel(id, packet_id, false),
        }
    }
}
