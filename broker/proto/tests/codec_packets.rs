//! The bytes of each packet in each version, both ways, and what each rule refuses.

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{
    Ack, Auth, ConnAck, Connect, DecodeErrorKind, Disconnect, EncodeError, Framing, Packet,
    PacketKind, Properties, PropertiesBuilder, PropertyId, PropertyValue, Publish, ReasonCode,
    RetainHandling, SubAck, Subscribe, SubscribeFiltersBuilder, SubscribeOptions, Unsubscribe,
    UnsubscribeFiltersBuilder, Version, Will, decode, encode, encode_publish_head, frame,
};
use tidewire_proto::qos::Qos;
use tidewire_proto::topic::FilterError;

const V31: Version = Version::V31;
const V311: Version = Version::V311;
const V5: Version = Version::V5;
const NONE: Properties<'static> = Properties::EMPTY;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| {
            char::from(byte).to_digit(16).and_then(|digit| digit.try_into().ok()).expect("hex")
        })
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// What these bytes are in this version.
fn read(bytes: &[u8], version: Version) -> Result<Packet<'_>, DecodeErrorKind> {
    match frame(bytes, 1000).map_err(|error| error.kind())? {
        Framing::Packet(frame) => {
            assert_eq!(frame.len, bytes.len(), "one packet: {bytes:02x?}");
            decode(&frame, version).map_err(|error| error.kind())
        }
        Framing::NeedMore { at_least } => panic!("needs {at_least} bytes: {bytes:02x?}"),
    }
}

/// These bytes and this packet are the same thing.
#[track_caller]
fn check(version: Version, text: &str, packet: &Packet<'_>) {
    let mut out = b"before".to_vec();
    assert_eq!(encode(packet, version, &mut out), Ok(()), "{packet:?}");
    assert_eq!(out, [b"before", &hex(text)[..]].concat(), "{packet:?}");
    check_read(version, text, packet);
}

/// These bytes are this packet, which we would write shorter.
#[track_caller]
fn check_read(version: Version, text: &str, packet: &Packet<'_>) {
    assert_eq!(read(&hex(text), version).as_ref(), Ok(packet), "{text}");
}

#[track_caller]
fn check_refused(version: Version, text: &str, expected: DecodeErrorKind) {
    assert_eq!(read(&hex(text), version), Err(expected), "{text}");
}

#[track_caller]
fn check_unwritten(version: Version, packet: &Packet<'_>, expected: EncodeError) {
    let mut out = b"before".to_vec();
    assert_eq!(encode(packet, version, &mut out), Err(expected), "{packet:?}");
    assert_eq!(out, b"before");
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not zero")
}

fn user_property() -> PropertiesBuilder {
    let mut builder = PropertiesBuilder::new();
    builder.user("k", "v").expect("valid");
    builder
}

const CONNECT: Connect<'static> = Connect {
    version: V5,
    clean_start: true,
    keep_alive_s: 60,
    client_id: "c",
    will: None,
    user_name: None,
    password: None,
    properties: NONE,
};

const WILL: Will<'static> =
    Will { qos: Qos::AtLeastOnce, retain: true, topic: "w", payload: b"x", properties: NONE };

#[test]
fn connect_names_its_version() {
    let connect = |version| Packet::Connect(Connect { version, ..CONNECT });
    check(V5, "10 0e 0004 4d515454 05 02 003c 00 0001 63", &connect(V5));
    check(V311, "10 0d 0004 4d515454 04 02 003c 0001 63", &connect(V311));
    check(V31, "10 0f 0006 4d5149736470 03 02 003c 0001 63", &connect(V31));
    let bytes = hex("10 0d 0004 4d515454 04 02 003c 0001 63");
    assert_eq!(read(&bytes, V5), Ok(connect(V311)), "the version given is not asked");
}

#[test]
fn connect_carries_will_name_and_password() {
    let mut delay = PropertiesBuilder::new();
    delay.push(PropertyId::WillDelay, PropertyValue::FourByte(5)).expect("valid");
    let mut expiry = PropertiesBuilder::new();
    expiry.push(PropertyId::SessionExpiry, PropertyValue::FourByte(9)).expect("valid");
    let full = Connect {
        will: Some(Will { properties: delay.as_properties(), ..WILL }),
        user_name: Some("u"),
        password: Some(b"\xff\xfe"),
        properties: expiry.as_properties(),
        ..CONNECT
    };
    let text = "10 26 0004 4d515454 05 ee 003c 05 11 00000009 0001 63 \
                05 18 00000005 0001 77 0001 78 0001 75 0002 fffe";
    check(V5, text, &Packet::Connect(full));
    let old = Connect { version: V311, will: Some(WILL), properties: NONE, ..full };
    let text = "10 1a 0004 4d515454 04 ee 003c 0001 63 0001 77 0001 78 0001 75 0002 fffe";
    check(V311, text, &Packet::Connect(old));
}

#[test]
fn connect_of_another_protocol_says_which() {
    use DecodeErrorKind::{ProtocolLevel, ProtocolName};
    check_refused(V5, "10 0d 0004 4d515454 06 02 003c 0001 63", ProtocolLevel(6));
    check_refused(V5, "10 0d 0004 4d515454 03 02 003c 0001 63", ProtocolLevel(3));
    check_refused(V5, "10 0f 0006 4d5149736470 04 02 003c 0001 63", ProtocolLevel(4));
    check_refused(V5, "10 0d 0004 6d717474 04 02 003c 0001 63", ProtocolName);
    let reason = ProtocolLevel(6).reason();
    assert_eq!(reason, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION);
    assert_eq!(ProtocolLevel(6).to_string(), "protocol level 6 is not supported");
}

#[test]
fn connect_flags_agree_with_each_other() {
    use DecodeErrorKind::{
        ConnectFlagsReserved, PasswordWithoutUserName, QosReserved, WillFlagsWithoutWill,
    };
    check_refused(V5, "10 0e 0004 4d515454 05 03 003c 00 0001 63", ConnectFlagsReserved);
    check_refused(V5, "10 0e 0004 4d515454 05 0a 003c 00 0001 63", WillFlagsWithoutWill);
    check_refused(V5, "10 0e 0004 4d515454 05 22 003c 00 0001 63", WillFlagsWithoutWill);
    check_refused(V5, "10 15 0004 4d515454 05 1e 003c 00 0001 63 00 0001 77 0001 78", QosReserved);
    let password_only = "10 10 0004 4d515454 04 42 003c 0001 63 0001 70";
    check_refused(V311, password_only, PasswordWithoutUserName);
    let connect = Connect { password: Some(b"p"), ..CONNECT };
    check(V5, "10 11 0004 4d515454 05 42 003c 00 0001 63 0001 70", &Packet::Connect(connect));
    check_unwritten(
        V311,
        &Packet::Connect(Connect { version: V311, ..connect }),
        EncodeError::Refused(PasswordWithoutUserName),
    );
}

#[test]
fn mqtt_3_1_disregards_what_its_specification_says_to_disregard() {
    let plain = Packet::Connect(Connect { version: V31, ..CONNECT });
    check_read(V31, "10 0f 0006 4d5149736470 03 2a 003c 0001 63", &plain);
    check_read(V31, "10 0f 0006 4d5149736470 03 c2 003c 0001 63", &plain);
    check_refused(V5, "10 0d 0004 4d515454 04 c2 003c 0001 63", DecodeErrorKind::Truncated);
}

#[test]
fn connect_has_all_its_fields_and_no_more() {
    use DecodeErrorKind::{TopicEmpty, TopicWildcard, TrailingBytes, Truncated};
    check_refused(V5, "10 06 0004 4d515454", Truncated);
    check_refused(V5, "10 0e 0004 4d515454 05 82 003c 00 0001 63", Truncated);
    let longer = "10 0f 0004 4d515454 05 02 003c 00 0001 63 00";
    check_refused(V5, longer, TrailingBytes(PacketKind::Connect));
    let wildcard = "10 15 0004 4d515454 05 06 003c 00 0001 63 00 0001 23 0001 78";
    check_refused(V5, wildcard, TopicWildcard);
    let empty = "10 14 0004 4d515454 05 06 003c 00 0001 63 00 0000 0001 78";
    check_refused(V5, empty, TopicEmpty);
}

#[test]
fn connack_speaks_the_codes_of_its_version() {
    let connack = |session_present, reason| {
        Packet::ConnAck(ConnAck { session_present, reason, properties: NONE })
    };
    check(V5, "20 03 00 00 00", &connack(false, ReasonCode::SUCCESS));
    check(V5, "20 03 01 00 00", &connack(true, ReasonCode::SUCCESS));
    check(V5, "20 03 00 97 00", &connack(false, ReasonCode::QUOTA_EXCEEDED));
    check(V311, "20 02 01 00", &connack(true, ReasonCode::SUCCESS));
    for (code, reason) in [
        (1, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION),
        (2, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID),
        (3, ReasonCode::SERVER_UNAVAILABLE),
        (4, ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        (5, ReasonCode::NOT_AUTHORIZED),
    ] {
        check(V311, &format!("2002000{code}"), &connack(false, reason));
        check(V31, &format!("2002000{code}"), &connack(false, reason));
    }
    let mut out = Vec::new();
    encode(&connack(false, ReasonCode::SERVER_BUSY), V311, &mut out).expect("translated");
    encode(&connack(true, ReasonCode::SUCCESS), V31, &mut out).expect("without the flag");
    assert_eq!(out, hex("20 02 00 03 20 02 00 00"));
}

#[test]
fn connack_refuses_what_cannot_be() {
    use DecodeErrorKind::{
        ConnAckFlagsReserved, ReasonNotAllowed, SessionPresentWithError, TrailingBytes, Truncated,
    };
    let kind = PacketKind::ConnAck;
    check_refused(V5, "20 03 02 00 00", ConnAckFlagsReserved);
    check_refused(V31, "20 02 01 00", ConnAckFlagsReserved);
    check_refused(V5, "20 03 01 80 00", SessionPresentWithError);
    check_refused(V5, "20 03 00 01 00", ReasonNotAllowed(1, kind));
    check_refused(V5, "20 03 00 8e 00", ReasonNotAllowed(0x8e, kind));
    check_refused(V311, "20 02 00 06", ReasonNotAllowed(6, kind));
    check_refused(V5, "20 02 00 00", Truncated);
    check_refused(V311, "20 03 00 00 00", TrailingBytes(kind));
}

const PUBLISH: Publish<'static> = Publish {
    dup: false,
    qos: Qos::AtMostOnce,
    retain: false,
    topic: "t",
    packet_id: None,
    properties: NONE,
    payload: b"PAY",
};

#[test]
fn publish_carries_a_message() {
    let once = PUBLISH;
    let twice = Publish { qos: Qos::ExactlyOnce, packet_id: Some(id(0x0102)), ..PUBLISH };
    let again = Publish { dup: true, retain: true, topic: "é/x", payload: b"", ..twice };
    check(V5, "30 07 0001 74 00 504159", &Packet::Publish(once));
    check(V311, "30 06 0001 74 504159", &Packet::Publish(once));
    check(V31, "30 06 0001 74 504159", &Packet::Publish(once));
    check(V5, "34 09 0001 74 0102 00 504159", &Packet::Publish(twice));
    check(V5, "3d 09 0004 c3a92f78 0102 00", &Packet::Publish(again));
    check(V311, "3d 08 0004 c3a92f78 0102", &Packet::Publish(again));
    let user = user_property();
    let with = Publish { properties: user.as_properties(), ..once };
    check(V5, "30 0e 0001 74 07 26 0001 6b 0001 76 504159", &Packet::Publish(with));
    let mut out = Vec::new();
    encode(&Packet::Publish(with), V311, &mut out).expect("properties are left out");
    assert_eq!(out, hex("30 06 0001 74 504159"));
}

#[test]
fn publish_without_a_topic_needs_an_alias() {
    let mut alias = PropertiesBuilder::new();
    alias.push(PropertyId::TopicAlias, PropertyValue::TwoByte(1)).expect("valid");
    let short = Publish { topic: "", properties: alias.as_properties(), ..PUBLISH };
    check(V5, "30 09 0000 03 230001 504159", &Packet::Publish(short));
    check_refused(V5, "30 06 0000 00 504159", DecodeErrorKind::TopicEmpty);
    check_refused(V311, "30 05 0000 504159", DecodeErrorKind::TopicEmpty);
    let refused = EncodeError::Refused(DecodeErrorKind::TopicEmpty);
    check_unwritten(V311, &Packet::Publish(short), refused);
    let alias_0 = "30 09 0001 74 03 230000 5041";
    let kind = DecodeErrorKind::PropertyValue(PropertyId::TopicAlias);
    check_refused(V5, alias_0, kind);
    assert_eq!(kind.reason(), ReasonCode::TOPIC_ALIAS_INVALID);
}

#[test]
fn publish_is_not_written_half() {
    let long = "a".repeat(65_536);
    let refused = EncodeError::Refused;
    for (publish, expected) in [
        (Publish { topic: &long, ..PUBLISH }, EncodeError::FieldTooLong),
        (Publish { topic: "a/+", ..PUBLISH }, refused(DecodeErrorKind::TopicWildcard)),
        (Publish { topic: "a\0b", ..PUBLISH }, refused(DecodeErrorKind::NullCharacter)),
        (Publish { dup: true, ..PUBLISH }, refused(DecodeErrorKind::DupWithoutQos)),
        (Publish { qos: Qos::AtLeastOnce, ..PUBLISH }, EncodeError::PacketIdMissing),
    ] {
        check_unwritten(V5, &Packet::Publish(publish), expected);
    }
    let mut wrong = PropertiesBuilder::new();
    wrong.push(PropertyId::ServerKeepAlive, PropertyValue::TwoByte(1)).expect("valid somewhere");
    let publish = Publish { properties: wrong.as_properties(), ..PUBLISH };
    let kind = DecodeErrorKind::PropertyNotAllowed(PropertyId::ServerKeepAlive);
    check_unwritten(V5, &Packet::Publish(publish), refused(kind));
}

#[test]
fn a_publish_head_is_patched_for_each_receiver() {
    let publish = Publish { qos: Qos::AtLeastOnce, ..PUBLISH };
    let mut out = b"before".to_vec();
    let head = encode_publish_head(&publish, V5, &mut out).expect("valid");
    out.extend_from_slice(publish.payload);
    assert_eq!(out[6..], hex("32 09 0001 74 0000 00 504159"));
    assert!(head.set_packet_id(&mut out, id(0x0102)));
    assert!(head.set_dup(&mut out));
    assert_eq!(out[6..], hex("3a 09 0001 74 0102 00 504159"));
    assert!(!head.set_packet_id(&mut out[..8], id(3)), "no place in other bytes");
    let head = encode_publish_head(&PUBLISH, V5, &mut out).expect("valid");
    assert!(!head.set_packet_id(&mut out, id(3)), "QoS 0 has no identifier");
    assert!(!head.set_dup(&mut out), "QoS 0 is never sent again");
    let before = out.clone();
    let wrong = Publish { topic: "#", ..publish };
    assert!(encode_publish_head(&wrong, V5, &mut out).is_err());
    assert_eq!(out, before);
}

#[test]
fn a_long_body_has_a_longer_length() {
    for (payload_bytes, header) in [(125, "30 80 01"), (16_380, "30 ff 7f"), (16_381, "308080 01")]
    {
        let payload = vec![b'x'; payload_bytes];
        let publish = Publish { payload: &payload, ..PUBLISH };
        let mut out = Vec::new();
        encode(&Packet::Publish(publish), V311, &mut out).expect("valid");
        assert!(out.starts_with(&hex(header)), "{:02x?}", &out[..5]);
        let properties = vec![("k", "v"); payload_bytes / 7 + 1];
        let mut builder = PropertiesBuilder::new();
        properties.iter().for_each(|(name, value)| builder.user(name, value).expect("valid"));
        let properties = builder.as_properties();
        let ack = Packet::PubAck(Ack { packet_id: id(1), reason: ReasonCode::SUCCESS, properties });
        out.clear();
        encode(&ack, V5, &mut out).expect("valid");
        let Ok(Framing::Packet(frame)) = frame(&out, 100_000) else { panic!("whole") };
        assert_eq!((frame.len, decode(&frame, V5)), (out.len(), Ok(ack)));
    }
}

type AckPacket = fn(Ack<'static>) -> Packet<'static>;

const ACKS: [(&str, PacketKind, AckPacket); 4] = [
    ("40", PacketKind::PubAck, Packet::PubAck),
    ("50", PacketKind::PubRec, Packet::PubRec),
    ("62", PacketKind::PubRel, Packet::PubRel),
    ("70", PacketKind::PubComp, Packet::PubComp),
];

#[test]
fn acks_are_as_short_as_they_can_be() {
    for (byte, kind, packet) in ACKS {
        let success = packet(Ack::success(id(0x0102)));
        for version in Version::ALL {
            check(version, &format!("{byte} 02 0102"), &success);
        }
        check_read(V5, &format!("{byte} 03 0102 00"), &success);
        check_read(V5, &format!("{byte} 04 0102 00 00"), &success);
        let error =
            if matches!(kind, PacketKind::PubAck | PacketKind::PubRec) { 0x97 } else { 0x92 };
        let failed = packet(Ack::with_reason(id(0x0102), ReasonCode(error)));
        check(V5, &format!("{byte} 03 0102 {error:02x}"), &failed);
        check_refused(V5, &format!("{byte} 02 0000"), DecodeErrorKind::PacketIdZero);
        check_refused(V5, &format!("{byte} 01 00"), DecodeErrorKind::Truncated);
        let longer = DecodeErrorKind::TrailingBytes(kind);
        check_refused(V311, &format!("{byte} 03 0102 00"), longer);
        check_refused(V5, &format!("{byte} 05 0102 00 00 00"), longer);
        let unknown = DecodeErrorKind::ReasonNotAllowed(1, kind);
        check_refused(V5, &format!("{byte} 03 0102 01"), unknown);
    }
    let user = user_property();
    let properties = user.as_properties();
    let ack = Ack { packet_id: id(1), reason: ReasonCode::SUCCESS, properties };
    check(V5, "40 0b 0001 00 07 26 0001 6b 0001 76", &Packet::PubAck(ack));
}

#[test]
fn mqtt_3_1_may_repeat_three_other_packets_with_dup() {
    let pubrel = Packet::PubRel(Ack::success(id(1)));
    check_read(V31, "6a 02 0001", &pubrel);
    check_refused(V311, "6a 02 0001", DecodeErrorKind::ReservedFlags(PacketKind::PubRel));
    check_refused(V5, "8a 07 0001 00 0001 61 00", {
        DecodeErrorKind::ReservedFlags(PacketKind::Subscribe)
    });
}

#[test]
fn subscribe_carries_filters_with_options() {
    let options = SubscribeOptions {
        qos: Qos::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let mut builder = SubscribeFiltersBuilder::new();
    builder.push("a/+", options).expect("valid");
    builder.push("$share/g/#", SubscribeOptions::with_qos(Qos::AtLeastOnce)).expect("valid");
    let subscribe = Subscribe { packet_id: id(1), properties: NONE, filters: builder.as_filters() };
    assert_eq!(
        subscribe.filters().map(|(filter, _)| filter).collect::<Vec<_>>(),
        ["a/+", "$share/g/#"]
    );
    assert_eq!(subscribe.filters().next(), Some(("a/+", options)));
    let text = "82 16 0001 00 0003 612f2b 2e 000a 2473686172652f672f23 01";
    check(V5, text, &Packet::Subscribe(subscribe));
    let mut out = Vec::new();
    encode(&Packet::Subscribe(subscribe), V311, &mut out).expect("only the QoS is left");
    assert_eq!(out, hex("82 15 0001 0003 612f2b 02 000a 2473686172652f672f23 01"));
}

#[test]
fn subscribe_refuses_what_cannot_be() {
    use DecodeErrorKind::{
        Filter, NoFilters, NoLocalOnShared, PacketIdZero, RetainHandlingReserved,
        SubscribeOptionsReserved, SubscribeQos, Truncated,
    };
    check_refused(V5, "82 03 0001 00", NoFilters(PacketKind::Subscribe));
    check_refused(V311, "82 02 0001", NoFilters(PacketKind::Subscribe));
    check_refused(V5, "82 07 0000 00 0001 61 00", PacketIdZero);
    check_refused(V5, "82 06 0001 00 0001 61", Truncated);
    check_refused(V5, "82 07 0001 00 0001 61 03", SubscribeQos);
    check_refused(V5, "82 07 0001 00 0001 61 30", RetainHandlingReserved);
    check_refused(V5, "82 07 0001 00 0001 61 40", SubscribeOptionsReserved);
    check_refused(V5, "82 07 0001 00 0001 61 80", SubscribeOptionsReserved);
    check_refused(V311, "82 06 0001 0001 61 04", SubscribeOptionsReserved);
    check_refused(V311, "82 06 0001 0001 61 03", SubscribeQos);
    check_refused(V5, "82 06 0001 00 0000 00", Filter(FilterError::Empty));
    check_refused(V5, "82 0a 0001 00 0003 612f23 04 00", Truncated);
    check_refused(V5, "82 08 0001 00 0002 6123 00", Filter(FilterError::MisplacedHash));
    let shared = "82 10 0001 00 000a 2473686172652f672f23 04";
    check_refused(V5, shared, NoLocalOnShared);
    let no_filter = "82 0f 0001 00 0009 2473686172652f672f 00";
    check_refused(V5, no_filter, Filter(FilterError::ShareWithoutFilter));
    let reason = Filter(FilterError::MisplacedHash).reason();
    assert_eq!(reason, ReasonCode::TOPIC_FILTER_INVALID);
    let empty = SubscribeFiltersBuilder::new();
    let packet = Subscribe { packet_id: id(1), properties: NONE, filters: empty.as_filters() };
    let refused = EncodeError::Refused(NoFilters(PacketKind::Subscribe));
    check_unwritten(V5, &Packet::Subscribe(packet), refused);
}

#[test]
fn unsubscribe_carries_filters() {
    let mut builder = UnsubscribeFiltersBuilder::new();
    builder.push("a/+").expect("valid");
    builder.push("b").expect("valid");
    assert!(builder.push("b#").is_err());
    let filters = builder.as_filters();
    let packet = Unsubscribe { packet_id: id(1), properties: NONE, filters };
    assert_eq!(packet.filters().collect::<Vec<_>>(), ["a/+", "b"]);
    check(V5, "a2 0b 0001 00 0003 612f2b 0001 62", &Packet::Unsubscribe(packet));
    check(V311, "a2 0a 0001 0003 612f2b 0001 62", &Packet::Unsubscribe(packet));
    let none = DecodeErrorKind::NoFilters(PacketKind::Unsubscribe);
    check_refused(V5, "a2 03 0001 00", none);
    check_refused(V311, "a2 02 0001", none);
    check_refused(V311, "a2 05 0000 0001 61", DecodeErrorKind::PacketIdZero);
    let empty = DecodeErrorKind::Filter(FilterError::Empty);
    check_refused(V311, "a2 04 0001 0000", empty);
}

#[test]
fn suback_and_unsuback_carry_one_code_per_filter() {
    use DecodeErrorKind::{NoReasonCodes, ReasonNotAllowed, TrailingBytes};
    let ack = |codes| SubAck { packet_id: id(1), properties: NONE, codes };
    check(V5, "90 07 0001 00 00 01 02 97", &Packet::SubAck(ack(&[0, 1, 2, 0x97])));
    check(V311, "90 06 0001 00 01 02 80", &Packet::SubAck(ack(&[0, 1, 2, 0x80])));
    check(V5, "b0 05 0001 00 00 11", &Packet::UnsubAck(ack(&[0, 0x11])));
    check(V311, "b0 02 0001", &Packet::UnsubAck(ack(&[])));
    let mut out = Vec::new();
    encode(&Packet::SubAck(ack(&[1, 0x97])), V311, &mut out).expect("0x80 for all failures");
    encode(&Packet::UnsubAck(ack(&[0, 0x11])), V31, &mut out).expect("no codes");
    assert_eq!(out, hex("90 04 0001 01 80 b0 02 0001"));
    check_refused(V5, "90 03 0001 00", NoReasonCodes(PacketKind::SubAck));
    check_refused(V311, "90 02 0001", NoReasonCodes(PacketKind::SubAck));
    check_refused(V5, "b0 03 0001 00", NoReasonCodes(PacketKind::UnsubAck));
    check_refused(V5, "90 04 0001 00 03", ReasonNotAllowed(3, PacketKind::SubAck));
    check_refused(V311, "90 03 0001 87", ReasonNotAllowed(0x87, PacketKind::SubAck));
    check_refused(V311, "b0 03 0001 00", TrailingBytes(PacketKind::UnsubAck));
}

#[test]
fn pings_are_two_bytes() {
    for version in Version::ALL {
        check(version, "c0 00", &Packet::PingReq);
        check(version, "d0 00", &Packet::PingResp);
        let longer = DecodeErrorKind::TrailingBytes(PacketKind::PingReq);
        check_refused(version, "c0 01 00", longer);
    }
}

#[test]
fn disconnect_is_as_short_as_it_can_be() {
    let disconnect = |reason| Packet::Disconnect(Disconnect::with_reason(reason));
    for version in Version::ALL {
        check(version, "e0 00", &disconnect(ReasonCode::SUCCESS));
    }
    check(V5, "e0 01 04", &disconnect(ReasonCode::DISCONNECT_WITH_WILL));
    check(V5, "e0 01 8e", &disconnect(ReasonCode::SESSION_TAKEN_OVER));
    check_read(V5, "e0 02 8e 00", &disconnect(ReasonCode::SESSION_TAKEN_OVER));
    let user = user_property();
    let properties = user.as_properties();
    let full = Disconnect { reason: ReasonCode::SUCCESS, properties };
    check(V5, "e0 09 00 07 26 0001 6b 0001 76", &Packet::Disconnect(full));
    let kind = PacketKind::Disconnect;
    check_refused(V5, "e0 01 01", DecodeErrorKind::ReasonNotAllowed(1, kind));
    check_refused(V311, "e0 01 00", DecodeErrorKind::TrailingBytes(kind));
    let mut out = Vec::new();
    encode(&Packet::Disconnect(full), V311, &mut out).expect("nothing is left");
    assert_eq!(out, hex("e0 00"));
}

#[test]
fn auth_names_its_method() {
    let mut builder = PropertiesBuilder::new();
    let method = PropertyValue::Text("abc");
    builder.push(PropertyId::AuthenticationMethod, method).expect("valid");
    let properties = builder.as_properties();
    let step = Auth { reason: ReasonCode::CONTINUE_AUTHENTICATION, properties };
    check(V5, "f0 08 18 06 15 0003 616263", &Packet::Auth(step));
    let done = Auth { reason: ReasonCode::SUCCESS, properties: NONE };
    check(V5, "f0 00", &Packet::Auth(done));
    check_refused(V5, "f0 02 18 00", DecodeErrorKind::AuthMethodMissing);
    check_refused(V5, "f0 01 18", DecodeErrorKind::Truncated);
    let unknown = DecodeErrorKind::ReasonNotAllowed(0x80, PacketKind::Auth);
    check_refused(V5, "f0 08 80 06 15 0003 616263", unknown);
    for version in [V31, V311] {
        let kind = DecodeErrorKind::NotInVersion(PacketKind::Auth);
        check_refused(version, "f0 00", kind);
        check_unwritten(version, &Packet::Auth(done), EncodeError::Refused(kind));
    }
}
