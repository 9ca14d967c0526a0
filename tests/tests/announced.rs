//! Does the broker use what a client announces in CONNECT, and does a client hear what it asks for?

use std::collections::BTreeMap;

use tidewire_tests::broker::Broker;
use tidewire_tests::wire::{Hello, Packet, Publish, Version, Wire, frame, kind, property};

const ALIAS_MAX: u8 = 0x22;
const ALIAS: u8 = 0x23;
const RESPONSE_INFORMATION: u8 = 0x1a;

/// A client that takes so many aliases; its session outlives it if asked.
fn reader(broker: &Broker, aliases: u16, is_durable: bool, more: &[u8]) -> Wire {
    let expiry = if is_durable { property::session_expiry(60) } else { Vec::new() };
    let said = [property::short(ALIAS_MAX, aliases), expiry, more.to_vec()].concat();
    let hello = Hello { properties: &said, ..Hello::new("reader") };
    let (mut wire, _) = Wire::greet(broker.address(), &hello);
    wire.subscribe(1, &[("plant/#", 1)]);
    wire
}

/// The alias of a PUBLISH, if it has one: it stands first among the properties.
fn alias_of(message: &Packet) -> Option<u16> {
    let body = message.body();
    let at = 2 + message.topic().len() + if message.qos() > 0 { 2 } else { 0 };
    let properties = body.get(at + 1..at + 4)?;
    (body[at] >= 3 && properties[0] == ALIAS)
        .then(|| u16::from_be_bytes([properties[1], properties[2]]))
}

/// What a client makes of it.
#[derive(Default)]
struct Known(BTreeMap<u16, String>);

impl Known {
    fn topic_of(&mut self, message: &Packet) -> String {
        let (topic, alias) = (message.topic(), alias_of(message));
        match (topic.is_empty(), alias) {
            (true, Some(alias)) => self.0.get(&alias).expect("an alias that was given").clone(),
            (true, None) => panic!("neither topic nor alias: {message}"),
            (false, alias) => {
                alias.map(|alias| self.0.insert(alias, topic.clone()));
                topic
            }
        }
    }
}

#[test]
fn repeated_topics_have_aliases_up_to_what_the_client_takes() {
    let broker = Broker::start();
    let mut reader = reader(&broker, 2, false, &[]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    let mut seen = Vec::new();
    for round in 0..2 {
        for topic in ["plant/a", "plant/b", "plant/c"] {
            writer.publish_acknowledged(&Publish::new(topic, topic, 1, 1 + round));
            let message = reader.receive(topic);
            seen.push((message.topic(), alias_of(&message)));
        }
    }
    let text = |topic: &str, alias| (topic.to_owned(), alias);
    let expected = [
        text("plant/a", Some(1)),
        text("plant/b", Some(2)),
        text("plant/c", None),
        text("", Some(1)),
        text("", Some(2)),
        text("plant/c", None),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_client_that_takes_no_alias_gets_none() {
    let broker = Broker::start_configured("[mqtt]\ntopic_alias_out_max = 0\n");
    let default = Broker::start();
    for mut reader in [reader(&broker, 9, false, &[]), reader(&default, 0, false, &[])] {
        let address = reader.broker();
        let mut writer = Wire::clean(address, Version::V5, "writer");
        for id in 1..=3 {
            writer.publish_acknowledged(&Publish::new("plant/a", "x", 1, id));
            let message = reader.receive("x");
            assert_eq!((message.topic().as_str(), alias_of(&message)), ("plant/a", None));
        }
    }
}

/// Messages at QoS 1 wait for the disk, those at QoS 0 overtake them: none may rely on an alias
/// that comes later.
#[test]
fn every_alias_was_given_before_it_is_used() {
    for is_durable in [false, true] {
        let broker = Broker::start();
        let mut reader = reader(&broker, 5, is_durable, &[]);
        let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
        const ROUNDS: u16 = 200;
        for round in 1..=ROUNDS {
            let topic = format!("plant/{}", round % 8);
            writer.publish(&Publish::new(&topic, &topic, 1, round));
            writer.publish(&Publish::new(&topic, &topic, 0, 0));
        }
        let mut known = Known::default();
        for _ in 0..2 * ROUNDS {
            let message = reader.packet_of(kind::PUBLISH);
            assert_eq!(known.topic_of(&message), message.payload_text());
            if message.qos() > 0 {
                reader.acknowledge(kind::PUBACK, message.id());
            }
        }
    }
}

#[test]
fn an_alias_makes_no_packet_larger_than_the_client_takes() {
    let broker = Broker::start();
    // The plain packet has 2 + 2 + 7 + 2 + 1 + 26 bytes: 40, the limit.
    let limit = [vec![0x27], 40_u32.to_be_bytes().to_vec()].concat();
    let mut reader = reader(&broker, 9, false, &limit);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for (payload, alias) in [("a".repeat(26), None), ("b".into(), Some(1)), ("c".repeat(26), None)]
    {
        writer.publish_acknowledged(&Publish::new("plant/a", &payload, 1, 1));
        let message = reader.receive(&payload);
        assert_eq!((message.topic().as_str(), alias_of(&message)), ("plant/a", alias));
    }
}

#[test]
fn who_asks_for_response_information_is_told_its_topic() {
    let broker = Broker::start_configured("[mqtt]\nresponse_topic_prefix = \"answers\"\n");
    let told = property::text(RESPONSE_INFORMATION, b"answers/asks");
    for (client_id, asks, is_told) in [("asks", 1, true), ("asks", 0, false), ("a+", 1, false)] {
        let mut wire = Wire::open(broker.address(), Version::V5);
        wire.send(&Hello { properties: &[0x19, asks], ..Hello::new(client_id) }.bytes());
        let connack = wire.packet_of(kind::CONNACK);
        let found = connack.body().windows(told.len()).any(|part| part == told);
        assert_eq!(found, is_told, "{client_id} {asks}: {connack}");
        let any = connack.body().windows(7).any(|part| part == b"answers");
        assert_eq!(any, is_told, "{client_id} {asks}: {connack}");
    }
}

#[test]
fn a_broker_that_stops_says_where_to_go() {
    let mut broker = Broker::start_configured("[mqtt]\nserver_reference = \"other:1883\"\n");
    let mut wire = Wire::clean(broker.address(), Version::V5, "c");
    // Has no room for the name.
    let limit = [vec![0x27], 60_u32.to_be_bytes().to_vec()].concat();
    let small = Hello { properties: &limit, ..Hello::new("small") };
    let (mut small, _) = Wire::greet(broker.address(), &small);
    let mut old = Wire::clean(broker.address(), Version::V4, "old");
    broker.stop();
    let last = wire.packet_of(kind::DISCONNECT);
    let reference = property::text(0x1c, b"other:1883");
    assert_eq!(last.reason(), 0x9c);
    assert!(last.body().ends_with(&reference), "{last}");
    assert_eq!(small.packet_of(kind::DISCONNECT).reason(), 0x9c);
    old.expect_closed();
}

#[test]
fn who_does_not_refuse_to_hear_it_is_told_what_was_wrong() {
    let broker = Broker::start();
    let limit = [vec![0x27], 30_u32.to_be_bytes().to_vec()].concat();
    // Wildcards in a topic; the CONNACK of the last client just fits.
    let wrong = frame(0x30, b"\x00\x03a/#\x00x");
    for (said, is_told) in
        [(vec![], true), (vec![0x17, 1], true), (vec![0x17, 0], false), (limit, false)]
    {
        let hello = Hello { properties: &said, ..Hello::new("c") };
        let (mut wire, _) = Wire::greet(broker.address(), &hello);
        wire.send(&wrong);
        let last = wire.packet_of(kind::DISCONNECT);
        assert_eq!(last.reason(), 0x90);
        let text = property::text(0x1f, b"the topic holds a wildcard");
        assert_eq!(last.body().ends_with(&text), is_told, "{last}");
        assert!(is_told || last.body().len() == 1, "{last}");
    }
}
