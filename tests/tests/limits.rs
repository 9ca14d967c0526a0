//! Does each limit of one client hold in the running broker, with the answer that the protocol has
//! for it, and does nobody else notice?

use tidewire_tests::broker::Broker;
use tidewire_tests::wire::{Hello, Packet, Publish, Version, Wire, kind, subscribe};

const TOPIC_FILTER_INVALID: u8 = 0x8f;
const TOPIC_NAME_INVALID: u8 = 0x90;
const TOPIC_ALIAS_INVALID: u8 = 0x94;
const PACKET_TOO_LARGE: u8 = 0x95;
const QUOTA_EXCEEDED: u8 = 0x97;

/// A broker with these limits of `[mqtt]`, and somebody else's connection to it.
fn broker(limits: &str) -> (Broker, Wire) {
    let broker = Broker::start_configured(&format!("[mqtt]\n{limits}\n"));
    let other = Wire::clean(broker.address(), Version::V5, "other");
    (broker, other)
}

/// Its own messages still come and go.
fn is_served(mut other: Wire) {
    other.subscribe5("mine", 1);
    other.publish(&Publish::new("mine", "x", 1, 9));
    let mut kinds = [other.packet().kind(), other.packet().kind()];
    kinds.sort_unstable();
    assert_eq!(kinds, [kind::PUBLISH, kind::PUBACK]);
}

/// The codes of a SUBACK of MQTT 5.
fn codes(packet: &Packet, count: usize) -> Vec<u8> {
    let body = packet.body();
    body[body.len() - count..].to_vec()
}

/// The reason that DISCONNECT says, before the end.
fn reason(wire: &mut Wire) -> u8 {
    let packet = wire.packet_of(kind::DISCONNECT);
    let reason = packet.body().first().copied().unwrap_or_default();
    assert_eq!(wire.packet_or_end(), None);
    reason
}

#[test]
fn no_more_connections_than_may_be_are_open_over_all_listeners() {
    let (broker, other) =
        broker("connections_max = 3\n[listener.websocket]\nbind = \"127.0.0.1:0\"");
    let mut page = Wire::open(broker.web_address(), Version::V5);
    page.send(
        b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Protocol: mqtt\r\n\r\n",
    );
    page.expect(b"HTTP/1.1 101");
    let _second = Wire::clean(broker.address(), Version::V5, "second");
    let mut third = Wire::open(broker.address(), Version::V5);
    third.send_if_open(&Hello::new("third").bytes());
    assert_eq!(third.packet_or_end(), None);
    is_served(other);
    drop(page);
}

#[test]
fn a_session_has_no_more_filters_and_bytes_of_filters_than_it_may() {
    let (broker, other) = broker(
        "subscriptions_per_session_max = 2\nsubscription_bytes_per_session_max = 1024\n\
         topic_levels_max = 4",
    );
    let mut wire = Wire::clean(broker.address(), Version::V5, "c");
    let long = "x".repeat(1_025);
    for (filter, code) in [
        ("a", 1),
        (&*long, QUOTA_EXCEEDED),
        ("b", 1),
        ("c", QUOTA_EXCEEDED),
        // One that it has is no new one.
        ("a", 1),
        ("1/2/3/4/5", TOPIC_FILTER_INVALID),
    ] {
        wire.send(&subscribe(Version::V5, 9, &[(filter, 1)]));
        let suback = wire.packet_of(kind::SUBACK);
        assert_eq!(codes(&suback, 1), [code], "{filter}");
    }
    is_served(other);
}

#[test]
fn one_subscribe_has_no_more_filters_than_it_may() {
    let (broker, other) = broker("filters_per_subscribe_max = 2");
    let mut wire = Wire::clean(broker.address(), Version::V5, "c");
    wire.send(&subscribe(Version::V5, 9, &[("a", 1), ("b", 1)]));
    assert_eq!(codes(&wire.packet_of(kind::SUBACK), 2), [1, 1]);
    wire.send(&subscribe(Version::V5, 9, &[("a", 1), ("b", 1), ("c", 1)]));
    assert_eq!(codes(&wire.packet_of(kind::SUBACK), 3), [1, 1, QUOTA_EXCEEDED]);
    is_served(other);
}

#[test]
fn a_topic_has_no_more_levels_than_it_may() {
    let (broker, other) = broker("topic_levels_max = 4");
    let mut wire = Wire::clean(broker.address(), Version::V5, "c");
    for (topic, code) in [("1/2/3/4", None), ("1/2/3/4/5", Some(TOPIC_NAME_INVALID))] {
        wire.publish(&Publish::new(topic, "x", 1, 7));
        let puback = wire.packet_of(kind::PUBACK);
        let said = puback.body().get(2).copied().filter(|code| *code >= 0x80);
        assert_eq!(said, code, "{topic}");
    }
    is_served(other);
}

#[test]
fn a_client_sets_no_more_aliases_than_it_was_told() {
    let (broker, other) = broker("topic_alias_max = 2");
    let mut wire = Wire::clean(broker.address(), Version::V5, "c");
    for alias in ["02", "03"] {
        wire.say(0x32, &format!("$'a' 00 07 03 23 00 {alias} 78"));
        if alias == "02" {
            wire.packet_of(kind::PUBACK);
        }
    }
    assert_eq!(reason(&mut wire), TOPIC_ALIAS_INVALID);
    is_served(other);
}

#[test]
fn a_client_id_is_no_longer_than_it_may_be() {
    let (broker, other) = broker("client_id_bytes_max = 23");
    for (length, code) in [(23, 0), (24, 0x85)] {
        let mut wire = Wire::open(broker.address(), Version::V5);
        wire.send(&Hello::new(&"c".repeat(length)).bytes());
        assert_eq!(wire.packet_of(kind::CONNACK).body().get(1), Some(&code), "{length}");
    }
    is_served(other);
}

#[test]
fn a_stranger_sends_no_more_than_a_connect_may_have() {
    let (broker, other) = broker("connect_bytes_max = 256\npacket_bytes_max = 4096");
    let user = "u".repeat(300);
    let mut stranger = Wire::open(broker.address(), Version::V5);
    let hello = Hello { login: Some((&user, "")), ..Hello::new("c") };
    stranger.send_if_open(&hello.bytes());
    let heard = stranger.packet_or_end();
    assert!(heard.is_none_or(|packet| packet.kind() != kind::CONNACK || packet.body()[1] != 0));
    let mut known = Wire::clean(broker.address(), Version::V5, "d");
    known.publish(&Publish::new("a", &"x".repeat(2_000), 1, 7));
    known.packet_of(kind::PUBACK);
    known.publish(&Publish::new("a", &"x".repeat(5_000), 1, 8));
    assert_eq!(reason(&mut known), PACKET_TOO_LARGE);
    is_served(other);
}
