//! Does a hostile client cost more than itself? Shapes that broke other brokers, and a look at
//! memory and at those beside it.

use std::time::{Duration, Instant};

use tidewire_tests::broker::Broker;
use tidewire_tests::siege::{MIB, bear};
use tidewire_tests::wire::{
    Publish, Version, Will, Wire, connect, frame, kind, spelled, subscribe, unsubscribe,
};

/// Far more than any of these needs, far less than what they broke elsewhere.
const SOON: Duration = Duration::from_secs(60);

/// A round trip of somebody who has nothing to do with it.
fn serves_others(broker: &Broker) {
    let mut wire = Wire::clean(broker.address(), Version::V5, "honest");
    wire.subscribe(1, &[("honest/work", 1)]);
    wire.publish_acknowledged(&Publish::new("honest/work", "done", 1, 1));
    wire.receive("done");
    wire.disconnect();
}

#[test]
fn those_who_promise_much_are_given_nothing_for_it() {
    let broker = Broker::start();
    let before = broker.memory_bytes();
    let mut wires: Vec<Wire> =
        (0..200).map(|_| Wire::open(broker.address(), Version::V5)).collect();
    for wire in &mut wires {
        // 256 MiB are announced, and a little comes.
        wire.send_if_open(&[&[0x10, 0xff, 0xff, 0xff, 0x7f], &[0; 60_000][..]].concat());
    }
    for wire in &mut wires {
        wire.expect_closed();
    }
    let after = broker.memory_bytes();
    assert!(after < before + 64 * MIB, "{} MiB more", (after - before) / MIB);
    serves_others(&broker);
}

#[test]
fn packets_that_never_end_cost_what_came_of_them() {
    let broker = Broker::start();
    let before = broker.memory_bytes();
    let mut wires: Vec<Wire> = (0..100)
        .map(|at| Wire::clean(broker.address(), Version::V4, &format!("half-{at}")))
        .collect();
    for wire in &mut wires {
        // A PUBLISH of a million bytes, of which a thousand come.
        wire.send(&[&[0x30, 0xc0, 0x84, 0x3d, 0, 1, b't'], &[0; 1000][..]].concat());
    }
    serves_others(&broker);
    let after = broker.memory_bytes();
    assert!(after < before + 32 * MIB, "{} MiB more", (after - before) / MIB);
}

#[test]
fn a_hundred_thousand_user_properties_are_no_more_work_than_their_bytes() {
    let broker = Broker::start_configured("[mqtt]\nuser_properties_max = 100000\n");
    let mut wire = Wire::clean(broker.address(), Version::V5, "verbose");
    wire.subscribe(1, &[("many/properties", 1)]);
    let since = Instant::now();
    let properties = "26 $'' $''".repeat(100_000);
    wire.say(0x32, &format!("$'many/properties' 00 01 [{properties}] 'x'"));
    wire.answered(kind::PUBACK, 1);
    assert_eq!(wire.receive("x").properties().len(), 100_000);
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    // Before CONNACK nobody is trusted with so many.
    let mut stranger = Wire::open(broker.address(), Version::V5);
    stranger.send_if_open(&spelled(0x10, &format!("$'MQTT' 05 02 00 3c [{properties}] $''")));
    stranger.expect_closed();
    serves_others(&broker);
}

#[test]
fn twenty_thousand_filters_in_one_packet_are_answered_one_by_one() {
    const GRANTED: usize = 10_000;
    let broker = Broker::start();
    let since = Instant::now();
    bear(&broker, 64 * MIB, |broker| {
        for (version, refused) in [(Version::V4, 0x80), (Version::V5, 0x97)] {
            subscribe_beyond(broker, version, (GRANTED, refused));
        }
    });
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    serves_others(&broker);
}

fn subscribe_beyond(broker: &Broker, version: Version, (most, refused): (usize, u8)) {
    let filters: Vec<String> = (0..2 * most).map(|at| format!("f/{at}")).collect();
    let wanted: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 1)).collect();
    let mut wire = Wire::clean(broker.address(), version, "greedy");
    wire.send(&subscribe(version, 1, &wanted));
    let suback = wire.packet_of(kind::SUBACK);
    let codes = &suback.body()[suback.body().len() - filters.len()..];
    assert!(codes[..most].iter().all(|code| *code == 1));
    assert!(codes[most..].iter().all(|code| *code == refused));
    let names: Vec<&str> = filters.iter().map(String::as_str).collect();
    let (granted, others) = names.split_at(most);
    for (id, names) in [(2, granted), (3, others)] {
        wire.send(&unsubscribe(version, id, names));
        wire.packet_of(kind::UNSUBACK);
    }
    wire.nothing_more();
    // UNSUBACK has no word for "too many", and before MQTT 5 none at all.
    wire.send(&unsubscribe(version, 4, &names));
    match version {
        Version::V5 => wire.ended_for(0x97),
        Version::V4 => drop(wire.expect_closed()),
    }
}

/// Few enough to count, and yet they are rows of a commit and memory of a core.
#[test]
fn filters_that_are_long_together_are_refused_before_they_are_many() {
    const LONG: usize = 60_000;
    const GRANTED: usize = (2 << 20) / LONG;
    let broker = Broker::start();
    for (version, refused) in [(Version::V4, 0x80), (Version::V5, 0x97)] {
        let mut wire = Wire::clean(broker.address(), version, "long-winded");
        let long = |at: usize| format!("{at:05}{}", "x".repeat(LONG - 5));
        for at in 0..GRANTED + 3 {
            wire.send(&subscribe(version, 1, &[(&long(at), 1)]));
            let code = wire.packet_of(kind::SUBACK).body().last().copied();
            assert_eq!(code, Some(if at < GRANTED { 1 } else { refused }), "{at} {version:?}");
        }
        // What is renewed takes no more, and what is given up is room again.
        wire.subscribe(1, &[(&long(0), 1)]);
        wire.send(&tidewire_tests::wire::unsubscribe(version, 2, &[&long(0)]));
        wire.packet_of(kind::UNSUBACK);
        wire.subscribe(1, &[(&long(GRANTED), 1)]);
    }
    serves_others(&broker);
}

/// Every way to write twelve levels with or without a wildcard: one topic matches them all.
#[test]
fn thousands_of_filters_that_match_one_topic_make_one_message() {
    const LEVELS: u32 = 12;
    let broker = Broker::start();
    let filter = |ways: u32| {
        let level = |at| if ways >> at & 1 == 0 { "a" } else { "+" };
        (0..LEVELS).map(level).collect::<Vec<_>>().join("/")
    };
    let filters: Vec<String> = (0..1 << LEVELS).map(filter).collect();
    let since = Instant::now();
    let mut wire = Wire::clean(broker.address(), Version::V4, "explosive");
    for part in filters.chunks(500) {
        let wanted: Vec<(&str, u8)> = part.iter().map(|filter| (filter.as_str(), 1)).collect();
        wire.subscribe(1, &wanted);
    }
    for round in 0..20 {
        let payload = round.to_string();
        wire.publish_acknowledged(&Publish::new(&filters[0], &payload, 1, 1));
        wire.receive(&payload);
    }
    wire.nothing_more();
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    serves_others(&broker);
}

#[test]
fn names_that_mean_something_elsewhere_are_just_names() {
    let broker = Broker::start();
    for version in Version::ALL {
        for name in [
            "__proto__",
            "constructor",
            "toString",
            "../../etc/passwd",
            "C:\\nul",
            "%s%n%x",
            "'; drop table t; --",
            "${jndi:x}",
            "a\u{202e}b",
            "\u{1b}[31mred",
            "é/x",
            "é",
            "😀/😀",
            "$SYSTEM",
            "$shares",
            "$share2/a",
            "/",
            "//",
            " ",
            "\t",
            "\n",
        ] {
            let mut wire = Wire::clean(broker.address(), version, name);
            wire.subscribe(1, &[(name, 1)]);
            wire.publish_acknowledged(&Publish::new(name, name, 1, 1));
            assert_eq!(wire.receive(name).topic(), name);
            wire.disconnect();
        }
    }
    serves_others(&broker);
}

/// A device that loses its network answers with a reset: the will speaks as after silence.
#[test]
fn a_reset_connection_makes_the_will_speak() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut witness = Wire::clean(broker.address(), version, "witness");
        witness.subscribe(1, &[("reset/#", 1)]);
        let will = Will { topic: "reset/will", payload: "gone", qos: 1, retain: false };
        let mut mortal = Wire::open(broker.address(), version);
        mortal.send(&connect(version, "mortal", true, 60, Some(&will)));
        mortal.connected();
        mortal.subscribe(1, &[("reset/unread", 0)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        writer.publish_acknowledged(&Publish::new("reset/unread", "never read", 1, 1));
        witness.receive("never read");
        // What lies unread in our socket makes the kernel say RST and not FIN.
        mortal.vanish();
        witness.receive("gone");
    }
}

#[test]
fn all_packet_ids_may_be_held_open_before_mqtt_5() {
    let broker = Broker::start();
    let before = broker.memory_bytes();
    let mut wire = Wire::clean(broker.address(), Version::V4, "hoarder");
    let each = |first: u8, rest: &'static [u8]| {
        move |id: u16| frame(first, &[&rest[..rest.len().min(3)], &id.to_be_bytes()].concat())
    };
    for ids in [1..=20_000, 20_001..=40_000, 40_001..=u16::MAX] {
        let packets: Vec<u8> = ids.clone().flat_map(each(0x34, b"\0\x01h")).collect();
        wire.send(&packets);
        ids.for_each(|id| wire.answered(kind::PUBREC, id));
    }
    let after = broker.memory_bytes();
    assert!(after < before + 128 * MIB, "{} MiB more", (after - before) / MIB);
    for ids in [1..=20_000, 20_001..=40_000, 40_001..=u16::MAX] {
        let packets: Vec<u8> = ids.clone().flat_map(each(0x62, b"")).collect();
        wire.send(&packets);
        ids.for_each(|id| wire.answered(kind::PUBCOMP, id));
    }
    serves_others(&broker);
}

#[test]
fn acknowledgements_may_come_in_any_order_and_those_out_of_place_do_nothing() {
    let broker = Broker::start();
    for version in Version::ALL {
        Wire::clean(broker.address(), version, "disorderly").disconnect();
        let (mut reader, _) = Wire::resume(broker.address(), version, "disorderly");
        reader.subscribe(1, &[("disorder", 2)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        for round in 0..20 {
            writer.publish_acknowledged(&Publish::new("disorder", "m", 1 + round % 2, 1));
        }
        let messages: Vec<_> = (0..20).map(|_| reader.packet_of(kind::PUBLISH)).collect();
        for message in messages.iter().rev() {
            let id = message.id();
            if message.qos() == 1 {
                // Steps of QoS 2 mean nothing here.
                reader.acknowledge(kind::PUBCOMP, id);
                reader.acknowledge(kind::PUBREL, id);
                reader.packet_of(kind::PUBCOMP);
                reader.acknowledge(kind::PUBACK, id);
                reader.acknowledge(kind::PUBACK, id);
            } else {
                reader.acknowledge(kind::PUBACK, id);
                reader.acknowledge(kind::PUBCOMP, id);
                reader.acknowledge(kind::PUBREC, id);
                reader.answered(kind::PUBREL, id);
                reader.acknowledge(kind::PUBREC, id);
                reader.answered(kind::PUBREL, id);
                reader.acknowledge(kind::PUBCOMP, id);
            }
        }
        reader.nothing_else_on("disorder");
        reader.disconnect();
        let (mut reader, present) = Wire::resume(broker.address(), version, "disorderly");
        assert!(present);
        reader.nothing_else_on("disorder");
    }
}

#[test]
fn a_takeover_in_the_middle_of_qos2_loses_and_repeats_nothing() {
    let broker = Broker::start();
    for version in Version::ALL {
        Wire::clean(broker.address(), version, "moving").disconnect();
        let (mut old, _) = Wire::resume(broker.address(), version, "moving");
        old.subscribe(1, &[("moving", 2)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        for round in 0..30 {
            let payload = round.to_string();
            writer.publish_acknowledged(&Publish::new("moving", &payload, 2, 1));
            let message = old.packet_of(kind::PUBLISH);
            assert_eq!(message.payload_text(), payload);
            let is_recorded = round % 2 == 0;
            if is_recorded {
                old.acknowledge(kind::PUBREC, message.id());
                old.answered(kind::PUBREL, message.id());
            }
            let (mut new, present) = Wire::resume(broker.address(), version, "moving");
            assert!(present);
            if !is_recorded {
                let again = new.packet_of(kind::PUBLISH);
                assert_eq!((again.id(), again.is_dup()), (message.id(), true), "{again}");
                new.acknowledge(kind::PUBREC, message.id());
            }
            new.answered(kind::PUBREL, message.id());
            new.acknowledge(kind::PUBCOMP, message.id());
            old = new;
        }
        old.nothing_else_on("moving");
    }
}

/// What was in flight on the old connection takes no room from the new one for ever.
#[test]
fn a_session_that_comes_back_with_a_full_window_goes_on() {
    let broker = Broker::start();
    let back = || Wire::connect5(broker.address(), 0, "[11 ff ff ff ff 21 00 02] $'full'");
    let (mut reader, _) = back();
    reader.subscribe(1, &[("full", 2)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for round in 0..10 {
        let payload = round.to_string();
        writer.publish_acknowledged(&Publish::new("full", &payload, 1 + round % 2, 1));
    }
    for _ in 0..3 {
        // Two are in flight each time, and are left so.
        reader.packet_of(kind::PUBLISH);
        reader.packet_of(kind::PUBLISH);
        reader.vanish();
        (reader, _) = back();
    }
    for round in 0..10 {
        reader.receive(&round.to_string());
    }
    reader.nothing_else_on("full");
}

#[test]
fn a_flood_of_retained_messages_and_one_who_does_not_read_them_stay_in_bounds() {
    const MESSAGES: u16 = 20_000;
    let broker = Broker::start();
    let mut writer = Wire::clean(broker.address(), Version::V4, "writer");
    let payload = "r".repeat(100);
    for ids in (1..=MESSAGES).collect::<Vec<_>>().chunks(1_000) {
        for id in ids {
            writer.publish(&Publish::new(&format!("flood/{id}"), &payload, 1, *id).retained());
        }
        ids.iter().for_each(|id| writer.answered(kind::PUBACK, *id));
    }
    // The deaf are there to the end of it.
    let deaf = bear(&broker, 128 * MIB, |broker| {
        let mut deaf: Vec<Wire> = (0..20)
            .map(|at| Wire::clean(broker.address(), Version::V4, &format!("deaf-{at}")))
            .collect();
        for wire in &mut deaf {
            wire.send(&subscribe(Version::V4, 1, &[("flood/#", 0)]));
        }
        let mut reader = Wire::clean(broker.address(), Version::V4, "reader");
        reader.subscribe(1, &[("flood/#", 1)]);
        for _ in 0..MESSAGES {
            reader.receive(&payload);
        }
        deaf
    });
    drop(deaf);
    serves_others(&broker);
}
