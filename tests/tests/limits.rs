//! Does each limit of one client hold in the running broker, with the answer that the protocol has
//! for it, and does nobody else notice?

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};

use tempfile::NamedTempFile;
use tidewire_tests::broker::Broker;
use tidewire_tests::doors::{await_end, connect_from};
use tidewire_tests::http::Http;
use tidewire_tests::wire::{
    Hello, LastWill, Packet, Publish, Version, Wire, kind, subscribe, unsubscribe,
};

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

/// Somebody connects from an address of this machine, and says nothing yet.
fn arrive(broker: &Broker, last: u8) -> TcpStream {
    connect_from(Ipv4Addr::new(127, 0, 0, last).into(), broker.address())
}

/// It says CONNECT and is in.
fn come_in(stream: TcpStream, hello: &Hello<'_>) -> Wire {
    let mut wire = Wire::on(stream, Version::V5);
    wire.send(&hello.bytes());
    assert!(!wire.connected(), "a clean session is never present");
    wire
}

#[test]
fn those_who_are_not_in_yet_have_so_many_places_and_of_one_address_half() {
    let (broker, other) = broker("unauthenticated_max = 4\nconnect_timeout_ms = 600000");
    let _silent = [arrive(&broker, 2), arrive(&broker, 2)];
    await_end(arrive(&broker, 2));
    let (first, _second) = (arrive(&broker, 3), arrive(&broker, 3));
    await_end(arrive(&broker, 4));
    let _in = come_in(first, &Hello::new("first"));
    let _late = come_in(arrive(&broker, 4), &Hello::new("late"));
    is_served(other);
}

#[test]
fn of_those_who_are_not_in_yet_so_much_is_kept_and_of_one_address_half() {
    let (broker, other) = broker("unauthenticated_bytes_max = 65536\nconnect_timeout_ms = 600000");
    let mut greedy = arrive(&broker, 2);
    // A CONNECT of 61,000 bytes, and what is sent of it: more than half of what may be kept and
    // 4 KiB. An error says that it was closed already.
    let mut connect = b"\x10\xc8\xdc\x03\x00\x04MQTT\x05\x02\x00\x3c\x00\xea\x60".to_vec();
    connect.resize(40_000, b'x');
    let _ = greedy.write_all(&connect);
    await_end(greedy);
    let payload = "x".repeat(16 << 10);
    let hello = Hello { will: Some(LastWill::new("t", &payload)), ..Hello::new("large") };
    let _large = come_in(arrive(&broker, 2), &hello);
    is_served(other);
}

#[test]
fn a_session_is_a_member_of_no_more_share_groups_than_it_may() {
    let (broker, other) = broker("[share]\ngroups_per_session_max = 2");
    let mut wire = Wire::clean(broker.address(), Version::V5, "member");
    let join = |wire: &mut Wire, filter| {
        wire.send(&subscribe(Version::V5, 9, &[(filter, 1)]));
        codes(&wire.packet_of(kind::SUBACK), 1)[0]
    };
    for (filter, code) in [
        ("$share/a/t", 1),
        ("$share/b/t", 1),
        ("$share/c/t", QUOTA_EXCEEDED),
        // One that it is a member of is no new one, and other filters are none.
        ("$share/a/t", 1),
        ("t", 1),
    ] {
        assert_eq!(join(&mut wire, filter), code, "{filter}");
    }
    let mut second = Wire::clean(broker.address(), Version::V5, "second");
    assert_eq!(join(&mut second, "$share/c/t"), 1, "others have their own");
    wire.send(&unsubscribe(Version::V5, 9, &["$share/a/t"]));
    wire.packet_of(kind::UNSUBACK);
    assert_eq!(join(&mut wire, "$share/c/t"), 1, "one that was left is free");
    is_served(other);
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
fn each_filter_that_is_refused_is_counted_with_its_reason() {
    let rules = NamedTempFile::new().expect("a file");
    let text = "allow everyone any #\ndeny everyone subscribe secret\n";
    std::fs::write(rules.path(), text).expect("written");
    let broker = Broker::start_configured(&format!(
        "[listener.http]\nbind = \"127.0.0.1:0\"\n[access]\nrules_file = {:?}\n\
         [share]\ngroups_per_session_max = 2\ngroups_max = 3\n[mqtt]\n\
         filters_per_subscribe_max = 3\nsubscriptions_per_session_max = 5\n\
         topic_levels_max = 4\ntopic_bytes_max = 20\nreplays_per_minute_max = 1\n",
        rules.path().display().to_string()
    ));
    let http = Http::new(broker.http_address());
    let counted = |reason| format!("tidewire_subscriptions_refused_total{{reason=\"{reason}\"}}");
    let [mut first, mut second] =
        ["first", "second"].map(|name| Wire::clean(broker.address(), Version::V5, name));
    let long = "x".repeat(21);
    // Who asks for which filters, how many of them are refused, and what that is called.
    for (is_second, filters, refused, reason) in [
        (false, vec!["secret", "$share/s/secret"], 2, "not_authorized"),
        // What is no filter at all ends the connection.
        (false, vec!["$s/someday/a"], 1, "malformed"),
        (false, vec![&*long], 1, "too_long"),
        (false, vec!["1/2/3/4/5"], 1, "levels"),
        (false, vec!["$s/earliest/$share/g/a", "$exclusive/$share/g/a"], 2, "combination"),
        (false, vec!["$share/a/t", "$share/b/t", "$share/c/t"], 1, "share_groups_per_session"),
        (true, vec!["$share/c/t", "$share/d/t"], 1, "share_groups"),
        (false, vec!["$exclusive/mine"], 0, "taken"),
        (true, vec!["$exclusive/mine"], 1, "taken"),
        (true, vec!["$s/earliest/r", "$s/earliest/q"], 1, "replays"),
        (true, vec!["1", "1", "1", "2", "3"], 2, "filters_per_subscribe"),
        (false, vec!["1", "2", "3"], 1, "subscriptions_per_session"),
    ] {
        let before = http.series(&counted(reason)).expect("it is there from the start");
        let wire = if is_second { &mut second } else { &mut first };
        let filters: Vec<_> = filters.into_iter().map(|filter| (filter, 1)).collect();
        wire.send(&subscribe(Version::V5, 9, &filters));
        let codes = codes(&wire.packet_of(kind::SUBACK), filters.len());
        let heard = codes.iter().filter(|code| **code >= 0x80).count();
        assert_eq!(heard, refused, "{filters:?} {codes:02x?}");
        http.await_series(&counted(reason), before + f64::from(u16::try_from(heard).expect("few")));
    }
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
fn a_topic_and_a_filter_are_no_longer_than_they_may_be() {
    let (broker, other) = broker("topic_bytes_max = 20");
    let mut wire = Wire::clean(broker.address(), Version::V5, "c");
    let (short, long) = ("t".repeat(20), "t".repeat(21));
    let delayed = |topic: &str| format!("$delayed/9/{topic}");
    for (topic, code) in [
        (short.clone(), None),
        (long.clone(), Some(TOPIC_NAME_INVALID)),
        (delayed(&long), Some(TOPIC_NAME_INVALID)),
    ] {
        wire.publish(&Publish::new(&topic, "x", 1, 7));
        let puback = wire.packet_of(kind::PUBACK);
        let said = puback.body().get(2).copied().filter(|code| *code >= 0x80);
        assert_eq!(said, code, "{topic}");
    }
    for (filter, code) in [(&short, 1), (&long, TOPIC_FILTER_INVALID)] {
        wire.send(&subscribe(Version::V5, 9, &[(filter, 1)]));
        assert_eq!(codes(&wire.packet_of(kind::SUBACK), 1), [code], "{filter}");
    }
    let mut with_will = Wire::open(broker.address(), Version::V5);
    with_will.say(0x10, &format!("$'MQTT' 05 06 00 3c 00 $'w' 00 $'{long}' $'gone'"));
    let connack = with_will.packet_of(kind::CONNACK);
    assert_eq!(connack.body().get(1), Some(&TOPIC_NAME_INVALID));
    is_served(other);
}

#[test]
fn a_packet_has_no_more_user_properties_than_it_may() {
    let (broker, other) = broker("user_properties_max = 2");
    let pairs = |count: usize| "26 $'a' $''".repeat(count);
    let mut wire = Wire::clean(broker.address(), Version::V5, "c");
    for (count, code) in [(2, None), (3, Some(QUOTA_EXCEEDED))] {
        wire.say(0x32, &format!("$'t' 00 07 [{}] 78", pairs(count)));
        let puback = wire.packet_of(kind::PUBACK);
        let said = puback.body().get(2).copied().filter(|code| *code >= 0x80);
        assert_eq!(said, code, "{count}");
    }
    // Of what is not acknowledged nobody is told, and the connection stays.
    wire.say(0x30, &format!("$'t' [{}] 78", pairs(3)));
    wire.say(0x82, &format!("00 08 [{}] $'f' 01", pairs(2)));
    wire.packet_of(kind::SUBACK);
    wire.say(0x82, &format!("00 09 [{}] $'f' 01", pairs(3)));
    assert_eq!(reason(&mut wire), QUOTA_EXCEEDED);
    for (own, will, code) in [(2, 2, 0), (3, 0, QUOTA_EXCEEDED), (0, 3, QUOTA_EXCEEDED)] {
        let mut wire = Wire::open(broker.address(), Version::V5);
        let (own, will) = (pairs(own), pairs(will));
        wire.say(0x10, &format!("$'MQTT' 05 06 00 3c [{own}] $'w' [{will}] $'gone' $'x'"));
        let connack = wire.packet_of(kind::CONNACK);
        assert_eq!(connack.body().get(1), Some(&code), "{own} {will}");
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

/// What a PUBLISH of a thousand bytes is answered.
fn answer_to(wire: &mut Wire, topic: &str, is_retained: bool) -> u8 {
    let payload = "x".repeat(1_000);
    let message = Publish { retain: is_retained, ..Publish::new(topic, &payload, 1, 7) };
    wire.publish(&message);
    wire.packet_of(kind::PUBACK).body().get(2).copied().filter(|code| *code >= 0x80).unwrap_or(0)
}

#[test]
fn messages_that_wait_for_their_time_have_no_more_bytes_than_they_may() {
    let (broker, other) = broker("delayed_bytes_max = 2500");
    let mut wire = Wire::clean(broker.address(), Version::V5, "c");
    for (topic, code) in [("a", 0), ("b", 0), ("c", QUOTA_EXCEEDED)] {
        assert_eq!(answer_to(&mut wire, &format!("$delayed/3600/{topic}"), false), code, "{topic}");
    }
    is_served(other);
}

#[test]
fn the_retained_messages_of_one_have_no_more_bytes_than_they_may_and_others_have_room() {
    let (broker, other) = broker("retained_bytes_per_user_max = 2500");
    // They show nothing: each address is one.
    let mut first = come_in(arrive(&broker, 2), &Hello::new("first"));
    for (topic, code) in [("a", 0), ("b", 0), ("c", QUOTA_EXCEEDED), ("a", 0)] {
        assert_eq!(answer_to(&mut first, topic, true), code, "{topic}");
    }
    let mut second = come_in(arrive(&broker, 3), &Hello::new("second"));
    assert_eq!(answer_to(&mut second, "c", true), 0, "others have their own");
    is_served(other);
}
