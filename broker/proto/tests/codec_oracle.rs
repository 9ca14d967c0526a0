//! A second opinion: what we write, an independent codec reads, writes again, and we read that as
//! the same packet. Only where that codec is known to be right (see `known_to_be_right`).

#[path = "codec_parts/packets.rs"]
mod packets;

use bytes::BytesMut;
use mqttbytes::{Error, QoS, v4, v5};
use packets::{Parts, parts};
use proptest::prelude::{ProptestConfig, Strategy};
use proptest::proptest;
use tidewire_proto::mqtt::{
    Framing, Packet, PacketKind, Properties, PropertiesBuilder, PropertyId, PropertyPlace,
    PropertyValue, Version, decode, encode, frame,
};
use tidewire_proto::topic::{TopicFilter, matches};

const PACKET_BYTES_MAX: usize = 1 << 20;

/// Leaves out what the other codec is known to get wrong.
fn known_to_be_right(parts: &Parts, packet: &Packet<'_>) -> bool {
    if parts.version == Version::V31 {
        return false;
    }
    let is_v5 = parts.version == Version::V5;
    match packet {
        Packet::Auth(_) => false,
        Packet::Disconnect(_) => !is_v5,
        Packet::ConnAck(connack) => !is_v5 || !connack.properties.is_empty(),
        Packet::Publish(publish) => {
            !publish.topic.is_empty() && publish.properties.subscription_ids().count() <= 1
        }
        Packet::Connect(connect) => {
            let is_text = connect.password.is_none_or(|bytes| std::str::from_utf8(bytes).is_ok());
            let is_empty = connect.user_name == Some("");
            is_text && !is_empty && connect.user_name.is_some() == connect.password.is_some()
        }
        _ => true,
    }
}

/// Through the other codec and back.
fn there_and_back(bytes: &[u8], version: Version) -> Result<BytesMut, Error> {
    let mut stream = BytesMut::from(bytes);
    let mut out = BytesMut::new();
    match version {
        Version::V5 => write_v5(&v5::read(&mut stream, PACKET_BYTES_MAX)?, &mut out)?,
        _ => write_v4(&v4::read(&mut stream, PACKET_BYTES_MAX)?, &mut out)?,
    };
    assert!(stream.is_empty());
    Ok(out)
}

fn write_v5(packet: &v5::Packet, out: &mut BytesMut) -> Result<usize, Error> {
    match packet {
        v5::Packet::Connect(packet) => packet.write(out),
        v5::Packet::ConnAck(packet) => packet.write(out),
        v5::Packet::Publish(packet) => packet.write(out),
        v5::Packet::PubAck(packet) => packet.write(out),
        v5::Packet::PubRec(packet) => packet.write(out),
        v5::Packet::PubRel(packet) => packet.write(out),
        v5::Packet::PubComp(packet) => packet.write(out),
        v5::Packet::Subscribe(packet) => packet.write(out),
        v5::Packet::SubAck(packet) => packet.write(out),
        v5::Packet::Unsubscribe(packet) => packet.write(out),
        v5::Packet::UnsubAck(packet) => packet.write(out),
        v5::Packet::PingReq => v5::PingReq.write(out),
        v5::Packet::PingResp => v5::PingResp.write(out),
        v5::Packet::Disconnect(packet) => packet.write(out),
    }
}

fn write_v4(packet: &v4::Packet, out: &mut BytesMut) -> Result<usize, Error> {
    match packet {
        v4::Packet::Connect(packet) => packet.write(out),
        v4::Packet::ConnAck(packet) => packet.write(out),
        v4::Packet::Publish(packet) => packet.write(out),
        v4::Packet::PubAck(packet) => packet.write(out),
        v4::Packet::PubRec(packet) => packet.write(out),
        v4::Packet::PubRel(packet) => packet.write(out),
        v4::Packet::PubComp(packet) => packet.write(out),
        v4::Packet::Subscribe(packet) => packet.write(out),
        v4::Packet::SubAck(packet) => packet.write(out),
        v4::Packet::Unsubscribe(packet) => packet.write(out),
        v4::Packet::UnsubAck(packet) => packet.write(out),
        v4::Packet::PingReq => v4::PingReq.write(out),
        v4::Packet::PingResp => v4::PingResp.write(out),
        v4::Packet::Disconnect => v4::Disconnect.write(out),
    }
}

/// The packet without its properties, and those in order of number: the order on the wire is free.
fn sorted<'a>(packet: &Packet<'a>) -> (Packet<'a>, Vec<(PropertyId, PropertyValue<'a>)>) {
    let mut bare = *packet;
    let mut properties = Vec::new();
    let mut take = |place: &mut Properties<'a>| {
        properties.extend(place.iter());
        *place = Properties::EMPTY;
    };
    match &mut bare {
        Packet::Connect(packet) => {
            take(&mut packet.properties);
            packet.will.iter_mut().for_each(|will| take(&mut will.properties));
        }
        Packet::ConnAck(packet) => take(&mut packet.properties),
        Packet::Publish(packet) => take(&mut packet.properties),
        Packet::PubAck(packet)
        | Packet::PubRec(packet)
        | Packet::PubRel(packet)
        | Packet::PubComp(packet) => take(&mut packet.properties),
        Packet::Subscribe(packet) => take(&mut packet.properties),
        Packet::SubAck(packet) | Packet::UnsubAck(packet) => take(&mut packet.properties),
        Packet::Unsubscribe(packet) => take(&mut packet.properties),
        Packet::Disconnect(packet) => take(&mut packet.properties),
        Packet::Auth(packet) => take(&mut packet.properties),
        Packet::PingReq | Packet::PingResp => {}
    }
    properties.sort_by_key(|(id, _)| *id);
    (bare, properties)
}

fn check(parts: &Parts, packet: &Packet<'_>) {
    let mut ours = Vec::new();
    encode(packet, parts.version, &mut ours).expect("valid");
    let theirs = there_and_back(&ours, parts.version)
        .unwrap_or_else(|error| panic!("{error}: {packet:?}: {ours:02x?}"));
    let Ok(Framing::Packet(frame)) = frame(&theirs, u32::MAX) else {
        panic!("{packet:?}: {theirs:02x?}");
    };
    assert_eq!(frame.len, theirs.len());
    let again = decode(&frame, parts.version)
        .unwrap_or_else(|error| panic!("{error}: {packet:?}: {theirs:02x?}"));
    assert_eq!(sorted(&again), sorted(packet));
}

/// Few packets have a password that is text, so these get one.
fn text_password(parts: Parts) -> Parts {
    let bytes = if parts.kind == PacketKind::Connect {
        parts.name.clone().into_bytes()
    } else {
        parts.bytes.clone()
    };
    Parts { bytes, ..parts }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(10_000))]

    #[test]
    fn what_we_write_another_codec_reads_and_writes_as_the_same(
        parts in parts().prop_map(text_password),
    ) {
        parts.with_packet(|packet| {
            if known_to_be_right(&parts, packet) {
                check(&parts, packet);
            }
        });
    }

    /// Their matcher panics on other first characters, and knows no `$` rule.
    #[test]
    fn filters_match_as_elsewhere(
        filter in "(\\+|[ab]{0,2})(/(\\+|[ab]{0,1})){0,4}(/#)?",
        topic in "[ab]{0,2}(/[ab]{0,1}){0,4}",
    ) {
        if TopicFilter::parse(&filter).is_ok() && !topic.is_empty() {
            let theirs = mqttbytes::matches(&topic, &filter);
            assert_eq!(matches(&filter, &topic), theirs, "{filter} {topic}");
        }
    }
}

#[test]
fn a_publish_means_the_same_to_both() {
    let mut builder = PropertiesBuilder::new();
    builder.push(PropertyId::MessageExpiry, PropertyValue::FourByte(5)).expect("valid");
    builder.user("k", "v").expect("valid");
    let mut theirs = v5::Publish::new("é/x", QoS::ExactlyOnce, b"PAY".to_vec());
    theirs.pkid = 7;
    theirs.retain = true;
    theirs.properties = Some(v5::PublishProperties {
        payload_format_indicator: None,
        message_expiry_interval: Some(5),
        topic_alias: None,
        response_topic: None,
        correlation_data: None,
        user_properties: vec![("k".into(), "v".into())],
        subscription_identifiers: Vec::new(),
        content_type: None,
    });
    let mut bytes = BytesMut::new();
    theirs.write(&mut bytes).expect("valid");
    let Ok(Framing::Packet(frame)) = frame(&bytes, 1000) else { panic!("whole") };
    let Ok(Packet::Publish(ours)) = decode(&frame, Version::V5) else { panic!("valid") };
    assert_eq!((ours.topic, ours.payload), ("é/x", &b"PAY"[..]));
    assert_eq!(ours.qos.bits(), theirs.qos as u8);
    assert_eq!(ours.packet_id.map(|id| id.get()), Some(7));
    assert_eq!((ours.dup, ours.retain), (false, true));
    let place = PropertyPlace::Packet(PacketKind::Publish);
    let parsed = Properties::parse(ours.properties.raw(), place);
    assert_eq!(parsed, Ok(builder.as_properties()));
}
