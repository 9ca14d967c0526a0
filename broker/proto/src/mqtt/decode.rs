//! From a frame to a packet. Never looks beyond the frame.

use crate::mqtt::error::{DecodeError, DecodeErrorKind};
use crate::mqtt::frame::{Frame, check_first_byte};
use crate::mqtt::kind::PacketKind;
use crate::mqtt::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, Publish, SubAck, Subscribe, Unsubscribe,
};
use crate::mqtt::primitive::Reader;
use crate::mqtt::version::Version;

/// Reads a whole packet and checks every rule that it can break alone.
///
/// Both roles are served: what only one side may send is for the caller to refuse. CONNECT names
/// its version itself, so `version` is not asked then.
///
/// # Errors
/// The first rule that the packet breaks.
#[inline]
pub fn decode<'a>(frame: &Frame<'a>, version: Version) -> Result<Packet<'a>, DecodeError> {
    let kind = check_first_byte(frame.first_byte)?;
    let body = Reader::new(frame.body);
    if kind == PacketKind::Publish {
        return Publish::decode(frame.first_byte, body, version).map(Packet::Publish);
    }
    decode_other(frame.first_byte, kind, body, version)
}

/// Kept out of the way of PUBLISH.
#[inline(never)]
fn decode_other(
    first_byte: u8,
    kind: PacketKind,
    body: Reader<'_>,
    version: Version,
) -> Result<Packet<'_>, DecodeError> {
    // Only MQTT 3.1 sets DUP on other packets than PUBLISH.
    if first_byte != kind.first_byte() && version != Version::V31 {
        return Err(DecodeErrorKind::ReservedFlags(kind).into());
    }
    Ok(match kind {
        PacketKind::Publish => Packet::Publish(Publish::decode(first_byte, body, version)?),
        PacketKind::Connect => Packet::Connect(Connect::decode(body)?),
        PacketKind::ConnAck => Packet::ConnAck(ConnAck::decode(body, version)?),
        PacketKind::PubAck => Packet::PubAck(Ack::decode(body, kind, version)?),
        PacketKind::PubRec => Packet::PubRec(Ack::decode(body, kind, version)?),
        PacketKind::PubRel => Packet::PubRel(Ack::decode(body, kind, version)?),
        PacketKind::PubComp => Packet::PubComp(Ack::decode(body, kind, version)?),
        PacketKind::Subscribe => Packet::Subscribe(Subscribe::decode(body, version)?),
        PacketKind::SubAck => Packet::SubAck(SubAck::decode(body, kind, version)?),
        PacketKind::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(body, version)?),
        PacketKind::UnsubAck => Packet::UnsubAck(SubAck::decode(body, kind, version)?),
        PacketKind::PingReq => body.end(kind).map(|()| Packet::PingReq)?,
        PacketKind::PingResp => body.end(kind).map(|()| Packet::PingResp)?,
        PacketKind::Disconnect => Packet::Disconnect(Disconnect::decode(body, version)?),
        PacketKind::Auth => Packet::Auth(Auth::decode(body, version)?),
    })
}
