//! PUBLISH: flags, properties, aliases, identifiers, and how many may be on their way.

use std::collections::HashMap;
use std::time::Duration;

use tidewire_tests::broker::Broker;
use tidewire_tests::wire::{Packet, Publish, Version, Wire, kind};

#[test]
fn dup_of_a_publisher_is_not_passed_on() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut reader = Wire::clean(broker.address(), version, "reader");
        reader.subscribe(1, &[("dup", 2)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        for qos in [1, 2] {
            let message = Publish::new("dup", "sent again", qos, 1).again();
            writer.publish_acknowledged(&message);
            assert!(!reader.receive("sent again").is_dup());
        }
        writer.publish(&Publish::new("dup", "at QoS 0", 0, 0));
        let message = reader.receive("at QoS 0");
        assert_eq!((message.qos(), message.is_dup()), (0, false));
    }
}

#[test]
fn a_message_that_is_not_retained_leaves_the_retained_one_alone() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut writer = Wire::clean(broker.address(), version, "writer");
        let kept = Publish::new("alone", "kept", 1, 1).retained();
        writer.publish_acknowledged(&kept);
        writer.publish_acknowledged(&Publish::new("alone", "passing", 1, 2));
        writer.publish_acknowledged(&Publish::new("alone", "", 1, 3));
        let mut reader = Wire::clean(broker.address(), version, "reader");
        reader.subscribe(1, &[("alone", 1)]);
        assert!(reader.receive("kept").is_retained());
        reader.nothing_else_on("alone");
        writer.publish_acknowledged(&Publish { payload: "", ..kept });
    }
}

#[test]
fn retain_handling_says_when_retained_messages_come() {
    const QOS_1: u8 = 1;
    let broker = Broker::start();
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    writer.publish_acknowledged(&Publish::new("greet/a", "hello", 1, 1).retained());
    for (handling, when_new, when_known) in [(0, true, true), (1, true, false), (2, false, false)] {
        let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
        for (is_wanted, state) in [(when_new, "new"), (when_known, "known")] {
            reader.subscribe5("greet/+", QOS_1 | handling << 4);
            if is_wanted {
                assert!(reader.receive("hello").is_retained(), "{handling} {state}");
            }
            reader.nothing_else_on("greet/a");
        }
        reader.say(0xa2, "00 02 [] $'greet/+'");
        reader.packet_of(kind::UNSUBACK);
        reader.subscribe5("greet/+", QOS_1 | handling << 4);
        if when_new {
            reader.receive("hello");
        }
        reader.nothing_else_on("greet/a");
        reader.disconnect();
    }
}

#[test]
fn properties_reach_every_subscriber_as_they_were_sent() {
    const PROPERTIES: &str = "01 01 03 $'text/plain' 08 $'answers/é' 09 $'\u{1}\u{2}' \
         26 $'b' $'1' 26 $'' $'' 26 $'a' $'2' 26 $'b' $'1'";
    let broker = Broker::start();
    let mut readers = ["one", "two"].map(|name| {
        let mut wire = Wire::clean(broker.address(), Version::V5, name);
        wire.subscribe(1, &[("rich/#", 2)]);
        wire
    });
    let mut plain = Wire::clean(broker.address(), Version::V4, "before properties");
    plain.subscribe(1, &[("rich/#", 2)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for qos in 0..=2_u8 {
        let id = if qos > 0 { "00 05" } else { "" };
        writer.say(0x31 | qos << 1, &format!("$'rich/{qos}' {id} [{PROPERTIES}] 'body'"));
        for reader in &mut readers {
            check_rich(&reader.receive("body"));
        }
        assert_eq!(plain.receive("body").qos(), qos);
        match qos {
            0 => (),
            1 => writer.answered(kind::PUBACK, 5),
            _ => {
                writer.answered(kind::PUBREC, 5);
                writer.acknowledge(kind::PUBREL, 5);
                writer.answered(kind::PUBCOMP, 5);
            }
        }
    }
    // What is kept has them too.
    let mut late = Wire::clean(broker.address(), Version::V5, "late");
    late.subscribe(1, &[("rich/#", 2)]);
    for _ in 0..=2 {
        check_rich(&late.receive("body"));
    }
}

fn check_rich(message: &Packet) {
    assert_eq!(message.property(0x01), Some(vec![1]), "{message}");
    assert_eq!(message.property(0x03), Some(b"\0\x0atext/plain".to_vec()), "{message}");
    assert_eq!(message.property(0x08), Some("\0\x0aanswers/é".as_bytes().to_vec()), "{message}");
    assert_eq!(message.property(0x09), Some(vec![0, 2, 1, 2]), "{message}");
    let user = message.properties().into_iter().filter(|(number, _)| *number == 0x26);
    let user: Vec<Vec<u8>> = user.map(|(_, value)| value).collect();
    let wanted: [&[u8]; 4] = [b"\0\x01b\0\x011", b"\0\0\0\0", b"\0\x01a\0\x012", b"\0\x01b\0\x011"];
    assert_eq!(user, wanted, "all of them, repeats too, in their order: {message}");
    assert_eq!(message.properties().len(), 8, "and nothing else: {message}");
}

/// Seconds of a Message Expiry Interval.
fn expiry(message: &Packet) -> Option<u32> {
    let value = message.property(0x02)?;
    value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[test]
fn a_message_that_waits_loses_its_time() {
    let broker = Broker::start();
    let (mut reader, _) = Wire::resume(broker.address(), Version::V5, "away");
    reader.subscribe(1, &[("wait/#", 2)]);
    reader.vanish();
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for (first, topic, seconds) in [
        (0x33, "wait/kept", 100),
        (0x33, "wait/kept-briefly", 1),
        (0x32, "wait/long", 100),
        (0x32, "wait/briefly", 1),
        (0x34, "wait/briefly", 1),
    ] {
        writer.say(first, &format!("$'{topic}' 00 01 [02 00 00 00 {seconds:02x}] '{topic}'"));
        writer.packet();
    }
    writer.silent_for(Duration::from_millis(2_200));
    let (mut reader, present) = Wire::resume(broker.address(), Version::V5, "away");
    assert!(present);
    for payload in ["wait/kept", "wait/long"] {
        let left = expiry(&reader.receive(payload)).expect("it still has an end");
        assert!((50..=98).contains(&left), "{left} s left of 100");
    }
    reader.nothing_else_on("wait/briefly");
    let mut late = Wire::clean(broker.address(), Version::V5, "late");
    late.subscribe(1, &[("wait/#", 2)]);
    let left = expiry(&late.receive("wait/kept")).expect("it still has an end");
    assert!((50..=98).contains(&left), "{left} s left of 100");
    late.nothing_else_on("wait/kept-briefly");
}

#[test]
fn an_alias_stands_for_its_topic_until_its_connection_ends() {
    let broker = Broker::start();
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    reader.subscribe(1, &[("alias/#", 0)]);
    let (mut writer, connack) = Wire::connect5(broker.address(), 2, "[] $'writer'");
    let maximum = connack.property(0x22).expect("aliases are announced");
    let maximum = u16::from_be_bytes([maximum[0], maximum[1]]);
    assert!(maximum > 1);
    for alias in 1..=maximum {
        writer.say(0x30, &format!("$'alias/{alias}' [23 {alias:04x}] 'set'"));
        assert_eq!(reader.receive("set").topic(), format!("alias/{alias}"));
    }
    for alias in (1..=maximum).rev() {
        writer.say(0x30, &format!("$'' [23 {alias:04x}] 'used'"));
        let message = reader.receive("used");
        assert_eq!(message.topic(), format!("alias/{alias}"));
        assert_eq!(message.property(0x23), None, "it is between the publisher and us");
    }
    writer.say(0x30, "$'alias/other' [23 00 01] 'set anew'");
    reader.receive("set anew");
    writer.say(0x30, "$'' [23 00 01] 'used anew'");
    assert_eq!(reader.receive("used anew").topic(), "alias/other");
    writer.say(0x30, &format!("$'alias/beyond' [23 {:04x}] ''", maximum + 1));
    writer.ended_for(0x94);

    let (mut again, _) = Wire::connect5(broker.address(), 2, "[] $'writer'");
    again.say(0x30, "$'' [23 00 02] 'of the connection before'");
    again.ended_for(0x82);
    reader.nothing_more();
}

/// Whether we send aliases is our choice; within which limit is the client's.
#[test]
fn no_alias_goes_beyond_what_the_client_takes() {
    let broker = Broker::start();
    for (properties, maximum) in [("[]", 0), ("[22 00 00]", 0), ("[22 00 02]", 2)] {
        let (mut reader, _) =
            Wire::connect5(broker.address(), 2, &format!("{properties} $'reader'"));
        reader.subscribe(1, &[("out/#", 1)]);
        let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
        let mut topics: HashMap<Vec<u8>, String> = HashMap::new();
        for round in 0..30_u16 {
            let topic = format!("out/{}", [1, 2, 1, 3, 2][usize::from(round) % 5]);
            writer.publish_acknowledged(&Publish::new(&topic, &topic, u8::from(round % 2 == 1), 1));
            let message = reader.receive(&topic);
            let alias = message.property(0x23);
            let number = alias.as_ref().map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
            assert!(number <= maximum && alias.is_none_or(|_| number > 0), "{message}");
            let told = message.topic();
            let known = message.property(0x23).and_then(|alias| match told.is_empty() {
                true => topics.get(&alias).cloned(),
                false => topics.insert(alias, told.clone()).map(|_| told.clone()),
            });
            assert_eq!(if told.is_empty() { known.unwrap_or_default() } else { told }, topic);
        }
        reader.disconnect();
    }
}

/// Those of a message, in rising order.
fn identifiers(message: &Packet) -> Vec<Vec<u8>> {
    let all = message.properties().into_iter().filter(|(number, _)| *number == 0x0b);
    let mut values: Vec<Vec<u8>> = all.map(|(_, value)| value).collect();
    values.sort();
    values
}

#[test]
fn subscription_identifiers_name_all_that_matched() {
    let broker = Broker::start();
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    writer.publish_acknowledged(&Publish::new("id/kept", "kept", 1, 1).retained());
    let (mut reader, _) = Wire::resume(broker.address(), Version::V5, "reader");
    reader.say(0x82, "00 01 [0b 01] $'id/#' 01");
    reader.packet_of(kind::SUBACK);
    assert_eq!(identifiers(&reader.receive("kept")), [[1]]);
    for filter in ["[0b ff ff ff 7f] $'id/+' 20", "[] $'id/x' 21"] {
        reader.say(0x82, &format!("00 02 {filter}"));
        reader.packet_of(kind::SUBACK);
    }
    for qos in 0..=1 {
        writer.publish_acknowledged(&Publish::new("id/x", "both", qos, 2));
        let message = reader.receive("both");
        assert_eq!(identifiers(&message), [vec![1], vec![0xff, 0xff, 0xff, 0x7f]]);
        writer.publish_acknowledged(&Publish::new("id/x/y", "one", qos, 2));
        assert_eq!(identifiers(&reader.receive("one")), [[1]]);
    }
    // The same filter again has the new identifier, or none.
    reader.say(0x82, "00 03 [0b 05] $'id/#' 21 $'id/+' 21");
    reader.packet_of(kind::SUBACK);
    reader.say(0x82, "00 03 [] $'id/+' 21");
    reader.packet_of(kind::SUBACK);
    reader.vanish();
    // They are part of the session.
    writer.publish_acknowledged(&Publish::new("id/x", "while away", 1, 2));
    let (mut reader, _) = Wire::resume(broker.address(), Version::V5, "reader");
    assert_eq!(identifiers(&reader.receive("while away")), [[5]]);
}

#[test]
fn a_client_beyond_the_receive_maximum_is_disconnected() {
    let broker = Broker::start();
    let (mut writer, connack) = Wire::connect5(broker.address(), 2, "[] $'eager'");
    let maximum = connack.property(0x21).expect("a receive maximum is announced");
    let maximum = u16::from_be_bytes([maximum[0], maximum[1]]);
    for id in 1..=maximum {
        writer.publish(&Publish::new("eager", "e", 2, id));
        writer.answered(kind::PUBREC, id);
    }
    // QoS 0 is not counted, and a repeat is not another one.
    writer.publish(&Publish::new("eager", "e", 0, 0));
    writer.publish(&Publish::new("eager", "e", 2, 1).again());
    writer.answered(kind::PUBREC, 1);
    writer.acknowledge(kind::PUBREL, 1);
    writer.answered(kind::PUBCOMP, 1);
    writer.publish_acknowledged(&Publish::new("eager", "e", 1, maximum + 1));
    writer.publish(&Publish::new("eager", "e", 2, 1));
    writer.answered(kind::PUBREC, 1);
    writer.publish(&Publish::new("eager", "one too many", 1, maximum + 1));
    writer.ended_for(0x93);
}

#[test]
fn no_more_is_in_flight_than_the_client_allows() {
    let broker = Broker::start();
    let (mut reader, _) = Wire::connect5(broker.address(), 2, "[21 00 02] $'narrow'");
    reader.subscribe(1, &[("flight", 2)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for (qos, payload) in [(1, "a"), (2, "b"), (1, "c"), (2, "d"), (1, "e")] {
        writer.publish_acknowledged(&Publish::new("flight", payload, qos, 1));
    }
    let quiet = Duration::from_millis(300);
    let [one, two] = ["a", "b"].map(|payload| {
        let message = reader.packet_of(kind::PUBLISH);
        assert_eq!(message.payload_text(), payload);
        message.id()
    });
    reader.silent_for(quiet);
    // Everything else goes on: QoS 0, pings, subscriptions, the steps of what is in flight.
    writer.publish(&Publish::new("flight", "at once", 0, 0));
    assert_eq!(reader.receive("at once").qos(), 0);
    reader.subscribe(2, &[("other", 1)]);
    reader.nothing_more();
    reader.acknowledge(kind::PUBREC, two);
    reader.answered(kind::PUBREL, two);
    reader.silent_for(quiet);
    reader.acknowledge(kind::PUBCOMP, two);
    let three = reader.packet_of(kind::PUBLISH);
    assert_eq!(three.payload_text(), "c");
    reader.silent_for(quiet);
    reader.acknowledge(kind::PUBACK, one);
    let four = reader.packet_of(kind::PUBLISH);
    assert_eq!(four.payload_text(), "d");
    // Who refuses a message has room for the next.
    let [high, low] = four.id().to_be_bytes();
    reader.send(&[0x50, 3, high, low, 0x83]);
    assert_eq!(reader.packet_of(kind::PUBLISH).payload_text(), "e");
    reader.acknowledge(kind::PUBACK, three.id());
    reader.silent_for(quiet);
}

#[test]
fn a_packet_of_the_greatest_size_goes_through() {
    const PACKET_BYTES_MAX: usize = 2_097_152;
    let broker = Broker::start();
    for version in Version::ALL {
        let mut wire = Wire::clean(broker.address(), version, "large");
        wire.subscribe(1, &[("large", 1)]);
        let around = if version == Version::V5 { 14 } else { 13 };
        let payload = "x".repeat(PACKET_BYTES_MAX - around);
        let message = Publish::new("large", &payload, 1, 1);
        let bytes = tidewire_tests::wire::publish(version, &message);
        assert_eq!(bytes.len(), PACKET_BYTES_MAX);
        wire.publish(&message);
        wire.answered(kind::PUBACK, 1);
        wire.receive(&payload);
    }
}

#[test]
fn at_qos_0_a_message_does_not_overtake_a_retained_one_of_its_topic() {
    let broker = Broker::start();
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    reader.subscribe(1, &[("state", 0)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    let payloads: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    for (n, payload) in payloads.iter().enumerate() {
        let message = Publish::new("state", payload, 0, 0);
        writer.publish(&if n % 4 == 0 { message.retained() } else { message });
    }
    for payload in &payloads {
        assert_eq!(reader.packet_of(kind::PUBLISH).payload_text(), *payload);
    }
}

/// Before MQTT 5 an acknowledgement cannot say no: it is given, or the connection ends.
#[test]
fn a_publish_that_is_not_allowed_is_refused_in_the_words_of_its_version() {
    for (setting, closes) in [("drop", false), ("close", true)] {
        refuse_publish(setting, closes);
    }
}

fn refuse_publish(setting: &str, closes: bool) {
    const TOPIC: &str = "$SYS/of/the/broker";
    let broker =
        Broker::start_configured(&format!("[access]\nunauthorized_publish = \"{setting}\"\n"));
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    reader.subscribe(1, &[("$SYS/of/#", 1), ("after", 1)]);
    for version in Version::ALL {
        for qos in 0..=2 {
            let mut wire = Wire::clean(broker.address(), version, "bold");
            wire.publish(&Publish::new(TOPIC, "not mine", qos, 1).retained());
            match (qos, version) {
                (0, _) => wire.nothing_more(),
                (1, Version::V5) => wire.hear_refusal(0x40, "00 01 87"),
                (_, Version::V5) => wire.hear_refusal(0x50, "00 01 87"),
                (_, Version::V4) if closes => {
                    wire.expect_closed();
                }
                (1, Version::V4) => wire.hear(0x40, "00 01"),
                (_, Version::V4) => wire.hear(0x50, "00 01"),
            }
        }
    }
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    writer.publish_acknowledged(&Publish::new("after", "the first", 1, 1));
    reader.receive("the first");
    reader.subscribe(2, &[(TOPIC, 1)]);
    reader.nothing_else_on("after");
}
