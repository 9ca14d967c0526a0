//! What a published codec got wrong, byte for byte, and what ours makes of the same bytes.

use tidewire_proto::mqtt::{
    Connect, DecodeErrorKind, Disconnect, EncodeError, Framing, Packet, PacketKind, Properties,
    PropertyId, Publish, ReasonCode, Version, decode, encode, frame,
};
use tidewire_proto::qos::Qos;
use tidewire_proto::topic::{TopicFilter, check_topic_name, matches};

const V5: Version = Version::V5;

fn read(bytes: &[u8], version: Version) -> Result<Packet<'_>, DecodeErrorKind> {
    match frame(bytes, 1 << 20).map_err(|error| error.kind())? {
        Framing::Packet(frame) => decode(&frame, version).map_err(|error| error.kind()),
        Framing::NeedMore { at_least } => panic!("needs {at_least} bytes: {bytes:02x?}"),
    }
}

#[track_caller]
fn refused(bytes: &[u8], expected: DecodeErrorKind) {
    assert_eq!(read(bytes, V5), Err(expected), "{bytes:02x?}");
}

#[track_caller]
fn publish(bytes: &[u8]) -> Publish<'_> {
    match read(bytes, V5) {
        Ok(Packet::Publish(publish)) => publish,
        other => panic!("{bytes:02x?}: {other:?}"),
    }
}

/// Puts a body behind a CONNECT header of MQTT 5 without properties, with these flags.
fn connect(flags: u8, rest: &[u8]) -> Vec<u8> {
    let head = [0, 4, b'M', b'Q', b'T', b'T', 5, flags, 0, 60, 0];
    let length = u8::try_from(head.len() + rest.len()).expect("short");
    [&[0x10, length][..], &head, rest].concat()
}

#[test]
fn d01_a_topic_may_begin_with_a_multi_byte_character() {
    assert!(matches("#", "é/x"));
    assert!(matches("é/+", "é/x"));
    assert!(!matches("$SYS/#", "é/x"));
}

#[test]
fn d02_several_subscription_ids_leave_the_payload_alone() {
    let bytes = b"\x30\x0d\x00\x01t\x06\x0b\x01\x0b\x02\x0b\x03PAY";
    let packet = publish(bytes);
    assert_eq!(packet.payload, b"PAY");
    assert_eq!(packet.properties.subscription_ids().collect::<Vec<_>>(), [1, 2, 3]);
    let bytes = b"\x30\x0d\x00\x01t\x06\x0b\x01\x0b\x02\x01\x00PAY";
    assert_eq!(publish(bytes).payload, b"PAY");
}

#[test]
fn d03_a_property_cannot_run_into_the_payload() {
    refused(b"\x30\x0c\x00\x01t\x01\x02\x00\x00\x00\x05PAY", DecodeErrorKind::Truncated);
}

#[test]
fn d04_an_empty_disconnect_is_a_normal_end() {
    let normal = Packet::Disconnect(Disconnect::with_reason(ReasonCode::SUCCESS));
    assert_eq!(read(&[0xe0, 0], V5), Ok(normal));
}

#[test]
fn d05_a_disconnect_may_be_its_reason_alone() {
    for code in [0x04, 0x8e] {
        let expected = Packet::Disconnect(Disconnect::with_reason(ReasonCode(code)));
        assert_eq!(read(&[0xe0, 1, code], V5), Ok(expected));
    }
}

#[test]
fn d06_a_missing_property_length_is_an_error_not_a_wait() {
    refused(&[0x20, 2, 0, 0], DecodeErrorKind::Truncated);
    refused(&[0x20, 3, 0, 0, 0x80], DecodeErrorKind::Truncated);
}

#[test]
fn d07_connack_is_written_with_its_property_length() {
    let bytes = [0x20, 3, 0, 0, 0];
    let packet = read(&bytes, V5).expect("valid");
    let mut out = Vec::new();
    encode(&packet, V5, &mut out).expect("valid");
    assert_eq!(out, bytes);
}

#[test]
fn d08_disconnect_is_written_with_its_reason() {
    let mut out = Vec::new();
    let reason = ReasonCode::NOT_AUTHORIZED;
    encode(&Packet::Disconnect(Disconnect::with_reason(reason)), V5, &mut out).expect("valid");
    assert_eq!(out, [0xe0, 1, 0x87]);
}

#[test]
fn d09_a_password_is_any_bytes() {
    let mut bytes = connect(0xc2, b"\x00\x01c\x00\x01u\x00\x02\xff\xfe");
    let Ok(Packet::Connect(packet)) = read(&bytes, V5) else { panic!("valid") };
    assert_eq!(packet.password, Some(&b"\xff\xfe"[..]));
    bytes = b"\x10\x14\x00\x04MQTT\x04\xc2\x00<\x00\x01c\x00\x01u\x00\x02\xff\xfe".to_vec();
    assert!(matches!(read(&bytes, V5), Ok(Packet::Connect(Connect { password: Some(_), .. }))));
}

#[test]
fn d10_an_empty_user_name_is_not_a_missing_one() {
    let named = connect(0x82, b"\x00\x01c\x00\x00");
    let Ok(Packet::Connect(packet)) = read(&named, V5) else { panic!("valid") };
    assert_eq!((packet.user_name, packet.password), (Some(""), None));
    let password_only = connect(0x42, b"\x00\x01c\x00\x01p");
    let Ok(Packet::Connect(packet)) = read(&password_only, V5) else { panic!("valid") };
    assert_eq!((packet.user_name, packet.password), (None, Some(&b"p"[..])));
}

#[test]
fn d11_unsubscribe_is_read() {
    let bytes = [0xa2, 6, 0, 1, 0, 0, 1, b'a'];
    let Ok(Packet::Unsubscribe(packet)) = read(&bytes, V5) else { panic!("valid") };
    assert_eq!(packet.filters().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn d12_properties_are_checked_for_value_and_repeats() {
    use DecodeErrorKind::{AuthMethodMissing, PropertyRepeated, PropertyValue};
    refused(b"\x30\x08\x00\x01t\x03\x23\x00\x00x", PropertyValue(PropertyId::TopicAlias));
    let twice = b"\x30\x0b\x00\x01t\x06\x23\x00\x01\x23\x00\x01x";
    refused(twice, PropertyRepeated(PropertyId::TopicAlias));
    refused(b"\x30\x06\x00\x01t\x02\x01\x02", PropertyValue(PropertyId::PayloadFormat));
    for (properties, expected) in [
        (&b"\x21\x00\x00"[..], PropertyValue(PropertyId::ReceiveMaximum)),
        (b"\x27\x00\x00\x00\x00", PropertyValue(PropertyId::MaximumPacketSize)),
        (b"\x17\x02", PropertyValue(PropertyId::RequestProblemInformation)),
        (b"\x16\x00\x01x", AuthMethodMissing),
    ] {
        let mut bytes = connect(2, &[properties, b"\x00\x01c"].concat());
        bytes[12] = u8::try_from(properties.len()).expect("short");
        refused(&bytes, expected);
    }
}

#[test]
fn d13_reserved_bits_are_zero() {
    use DecodeErrorKind::{ConnAckFlagsReserved, ConnectFlagsReserved, SubscribeOptionsReserved};
    for (bytes, kind) in [
        (&[0x80, 7, 0, 1, 0, 0, 1, b'a', 0][..], PacketKind::Subscribe),
        (&[0xa0, 6, 0, 1, 0, 0, 1, b'a'], PacketKind::Unsubscribe),
        (&[0x60, 2, 0, 1], PacketKind::PubRel),
        (&[0x41, 2, 0, 1], PacketKind::PubAck),
        (&[0xc1, 0], PacketKind::PingReq),
        (&[0x11, 0], PacketKind::Connect),
    ] {
        refused(bytes, DecodeErrorKind::ReservedFlags(kind));
    }
    refused(&connect(3, b"\x00\x01c"), ConnectFlagsReserved);
    refused(&[0x82, 7, 0, 1, 0, 0, 1, b'a', 0xc0], SubscribeOptionsReserved);
    refused(&[0x20, 3, 2, 0, 0], ConnAckFlagsReserved);
}

#[test]
fn d14_packet_id_zero_names_nothing() {
    for first_byte in [0x40, 0x50, 0x62, 0x70] {
        refused(&[first_byte, 2, 0, 0], DecodeErrorKind::PacketIdZero);
    }
    refused(&[0x82, 7, 0, 0, 0, 0, 1, b'a', 0], DecodeErrorKind::PacketIdZero);
    refused(&[0xa2, 6, 0, 0, 0, 0, 1, b'a'], DecodeErrorKind::PacketIdZero);
    refused(b"\x32\x06\x00\x01t\x00\x00\x00", DecodeErrorKind::PacketIdZero);
}

#[test]
fn d15_subscribe_is_about_something() {
    use DecodeErrorKind::{Filter, NoFilters, PropertyRepeated, PropertyValue};
    let id = PropertyId::SubscriptionId;
    refused(&[0x82, 3, 0, 1, 0], NoFilters(PacketKind::Subscribe));
    refused(&[0xa2, 3, 0, 1, 0], NoFilters(PacketKind::Unsubscribe));
    let empty = read(&[0x82, 6, 0, 1, 0, 0, 0, 0], V5);
    assert!(matches!(empty, Err(Filter(_))), "{empty:?}");
    refused(&[0x82, 9, 0, 1, 2, 11, 0, 0, 1, b'a', 0], PropertyValue(id));
    refused(&[0x82, 11, 0, 1, 4, 11, 1, 11, 1, 0, 1, b'a', 0], PropertyRepeated(id));
}

#[test]
fn d16_nothing_is_left_over() {
    refused(&connect(2, b"\x00\x01c\x00"), DecodeErrorKind::TrailingBytes(PacketKind::Connect));
    let longer = [0x40, 5, 0, 1, 0, 0, 0];
    refused(&longer, DecodeErrorKind::TrailingBytes(PacketKind::PubAck));
    refused(&[0xc0, 1, 0], DecodeErrorKind::TrailingBytes(PacketKind::PingReq));
}

#[test]
fn d17_a_variable_byte_integer_has_one_form() {
    refused(&[0xc0, 0x80, 0], DecodeErrorKind::VarintTooLong);
    refused(b"\x30\x05\x00\x01t\x80\x00", DecodeErrorKind::VarintTooLong);
}

#[test]
fn d18_a_topic_is_a_topic_everywhere() {
    use DecodeErrorKind::{NullCharacter, TopicEmpty, TopicWildcard};
    refused(&[0x30, 4, 0, 0, 0, b'x'], TopicEmpty);
    refused(b"\x30\x07\x00\x03a\x00b\x00x", NullCharacter);
    refused(b"\x30\x07\x00\x03a/#\x00x", TopicWildcard);
    refused(b"\x30\x07\x00\x03a/+\x00x", TopicWildcard);
    refused(&connect(6, b"\x00\x01c\x00\x00\x01#\x00\x00"), TopicWildcard);
    refused(b"\x30\x09\x00\x01t\x04\x08\x00\x01#x", TopicWildcard);
}

#[test]
fn d19_a_string_too_long_for_its_length_is_not_written() {
    let topic = "a".repeat(65_536);
    let mut out = Vec::new();
    let packet = Packet::Publish(Publish { topic: &topic, ..PUBLISH });
    assert_eq!(encode(&packet, V5, &mut out), Err(EncodeError::FieldTooLong));
    assert!(out.is_empty());
}

#[test]
fn d20_connect_is_written_behind_what_the_buffer_holds() {
    let bytes = connect(0xc2, b"\x00\x01c\x00\x01u\x00\x01p");
    let packet = read(&bytes, V5).expect("valid");
    let mut out = b"xx".to_vec();
    encode(&packet, V5, &mut out).expect("valid");
    assert_eq!(out, [b"xx", &bytes[..]].concat());
}

#[test]
fn d21_a_publish_that_fails_leaves_nothing() {
    let mut out = b"xx".to_vec();
    let packet = Packet::Publish(Publish { qos: Qos::AtLeastOnce, ..PUBLISH });
    assert_eq!(encode(&packet, V5, &mut out), Err(EncodeError::PacketIdMissing));
    assert_eq!(out, b"xx");
}

#[test]
fn d22_a_will_of_level_4_has_no_properties() {
    let bytes = b"\x10\x13\x00\x04MQTT\x04\x06\x00<\x00\x01c\x00\x01w\x00\x01m";
    let Ok(Packet::Connect(packet)) = read(bytes, V5) else { panic!("valid") };
    assert_eq!(packet.will.map(|will| (will.topic, will.payload)), Some(("w", &b"m"[..])));
    let mut out = Vec::new();
    encode(&Packet::Connect(packet), V5, &mut out).expect("valid");
    assert_eq!(out, bytes);
}

#[test]
fn d23_a_frame_knows_its_own_length() {
    let bytes = connect(2, b"\x00\x01c");
    let Ok(Framing::Packet(found)) = frame(&bytes, 1000) else { panic!("whole") };
    assert_eq!(found.len, bytes.len());
    let mut out = Vec::new();
    encode(&decode(&found, V5).expect("valid"), V5, &mut out).expect("valid");
    assert_eq!(out.len(), found.len);
}

#[test]
fn d24_filters_follow_the_grammar_and_dollar_topics_match() {
    for filter in ["a+/b", "+a", "a\0", "$share/g/", "", "a#"] {
        assert!(TopicFilter::parse(filter).is_err(), "{filter:?}");
    }
    assert!(check_topic_name("").is_err());
    assert!(matches("$SYS/#", "$SYS/broker/uptime"));
    assert!(!matches("#", "$SYS/broker/uptime"));
}

#[test]
fn auth_is_a_packet() {
    let bytes = b"\xf0\x08\x19\x06\x15\x00\x03abc";
    let Ok(Packet::Auth(auth)) = read(bytes, V5) else { panic!("valid") };
    assert_eq!(auth.reason, ReasonCode::REAUTHENTICATE);
    assert_eq!(auth.properties.authentication_method(), Some("abc"));
}

#[test]
fn mqtt_3_1_1_is_as_strict() {
    let v311 = |bytes: &'static [u8]| read(bytes, Version::V311).map(|_| ());
    for bytes in [
        &b"\xe0\x01\x00"[..],
        b"\xc0\x01\x00",
        b"\x82\x06\x00\x01\x00\x01a\x04",
        b"\x82\x02\x00\x01",
        b"\xa2\x02\x00\x01",
    ] {
        assert!(v311(bytes).is_err(), "{bytes:02x?}");
    }
}

/// Bytes on which other codecs panicked or lost the framing.
#[test]
fn short_bodies_and_a_zero_alias_maximum_do_no_harm() {
    for bytes in [
        &[0xb0, 1, 0][..],
        &[0x70, 0],
        &[0x10, 2, 0, 0],
        &[0x30, 0, 0, 0],
        &[0x30, 2, 0, 0, 0],
        &[0x40, 0],
    ] {
        for version in Version::ALL {
            assert!(read(bytes, version).is_err(), "{bytes:02x?}");
        }
    }
    let bytes = b"\x10\x11\x00\x04MQTT\x05\x02\x00<\x03\x22\x00\x00\x00\x01c";
    let Ok(Packet::Connect(packet)) = read(bytes, V5) else { panic!("valid") };
    assert_eq!(packet.properties.topic_alias_maximum(), Some(0));
}

const PUBLISH: Publish<'static> = Publish {
    dup: false,
    qos: Qos::AtMostOnce,
    retain: false,
    topic: "a",
    packet_id: None,
    properties: Properties::EMPTY,
    payload: b"",
};
