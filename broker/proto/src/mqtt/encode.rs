//! From a packet to bytes behind what a buffer holds. Never leaves half a packet there.

use crate::id::PacketId;
use crate::mqtt::error::EncodeError;
use crate::mqtt::kind::PacketKind;
use crate::mqtt::packet::{Packet, Publish};
use crate::mqtt::primitive::varint;
use crate::mqtt::version::Version;
use crate::qos::Qos;

/// Writes `packet` behind what `out` holds.
///
/// What [`decode`](crate::mqtt::decode()) would refuse is not written. What `version` cannot say
/// is left out: properties, and reasons of acknowledgements. CONNECT is written in the version
/// that it names.
///
/// # Errors
/// The first rule that the packet breaks; `out` is as it was.
pub fn encode(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let written = write(packet, version, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Where the parts of a PUBLISH stand that differ from receiver to receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishHead {
    /// Index of the first byte of the packet, which holds DUP.
    pub first_byte_at: usize,
    /// Index of the two bytes of the packet identifier; `None` with QoS 0.
    pub packet_id_at: Option<usize>,
}

impl PublishHead {
    /// Puts another packet identifier into a copy of the packet.
    ///
    /// Returns whether there was a place for it: not in a QoS 0 packet, nor in other bytes.
    pub fn set_packet_id(&self, bytes: &mut [u8], packet_id: PacketId) -> bool {
        let place = self.packet_id_at.and_then(|at| bytes.get_mut(at..)?.first_chunk_mut());
        place.map(|place| *place = packet_id.get().to_be_bytes()).is_some()
    }

    /// Marks a copy of the packet as sent again. Returns whether it may be: not with QoS 0.
    pub fn set_dup(&self, bytes: &mut [u8]) -> bool {
        let first_byte = bytes.get_mut(self.first_byte_at).filter(|_| self.packet_id_at.is_some());
        first_byte.map(|first_byte| *first_byte |= 0b1000).is_some()
    }
}

/// Writes a PUBLISH up to its payload, which is counted and not written: the caller appends it.
///
/// With QoS 1 or 2 the packet identifier may be `None`: two zero bytes keep its place until
/// [`PublishHead::set_packet_id`].
///
/// # Errors
/// The first rule that the packet breaks; `out` is as it was.
#[inline]
pub fn encode_publish_head(
    publish: &Publish<'_>,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<PublishHead, EncodeError> {
    let first_byte_at = out.len();
    match publish.encode_head(version, out) {
        Ok(packet_id_at) => Ok(PublishHead { first_byte_at, packet_id_at }),
        Err(error) => {
            out.truncate(first_byte_at);
            Err(error)
        }
    }
}

fn write(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let kind = packet.kind();
    match packet {
        Packet::Publish(publish) => write_publish(publish, version, out),
        Packet::Connect(connect) => framed(kind, out, |out| connect.encode(out)),
        Packet::ConnAck(connack) => framed(kind, out, |out| connack.encode(version, out)),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            framed(kind, out, |out| ack.encode(kind, version, out))
        }
        Packet::Subscribe(subscribe) => framed(kind, out, |out| subscribe.encode(version, out)),
        Packet::Unsubscribe(unsubscribe) => {
            framed(kind, out, |out| unsubscribe.encode(version, out))
        }
        Packet::SubAck(suback) | Packet::UnsubAck(suback) => {
            framed(kind, out, |out| suback.encode(kind, version, out))
        }
        Packet::PingReq | Packet::PingResp => framed(kind, out, |_| Ok(())),
        Packet::Disconnect(disconnect) => framed(kind, out, |out| disconnect.encode(version, out)),
        Packet::Auth(auth) => framed(kind, out, |out| auth.encode(version, out)),
    }
}

fn write_publish(
    publish: &Publish<'_>,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if publish.qos != Qos::AtMostOnce && publish.packet_id.is_none() {
        return Err(EncodeError::PacketIdMissing);
    }
    publish.encode_head(version, out)?;
    out.extend_from_slice(publish.payload);
    Ok(())
}

/// Writes the header around a body. One byte is kept for the length: most bodies are short.
#[inline]
fn framed(
    kind: PacketKind,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    out.extend_from_slice(&[kind.first_byte(), 0]);
    let body_at = out.len();
    body(out)?;
    let body_bytes = u32::try_from(out.len() - body_at).map_err(|_| EncodeError::PacketTooLarge)?;
    let (length, length_bytes) = varint(body_bytes)?;
    if let ([short, ..], 1, Some(place)) = (length, length_bytes, out.get_mut(body_at - 1)) {
        *place = short;
        return Ok(());
    }
    out.splice(body_at - 1..body_at, length.into_iter().take(length_bytes));
    Ok(())
}
