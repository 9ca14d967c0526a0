//! Packets that say they are huge, or are, or name what is not there.

use std::thread;

use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::siege::{MIB, bear, sized};
use tidewire_tests::wire::{
    Hello, LastWill, Publish, Version, Wire, frame, kind, publish, spelled, subscribe, unsubscribe,
};

use crate::ONE_CORE;

fn start() -> Broker {
    Configured::new(ONE_CORE).start()
}

#[test]
fn lengths_that_are_promised_and_properties_without_end_cost_what_came_of_them() {
    let broker =
        Configured::new(&format!("[mqtt]\nuser_properties_max = 100000\n{ONE_CORE}")).start();
    let count = sized(1_000, 60);
    let held = bear(&broker, 96 * MIB, |broker| {
        let mut held: Vec<Wire> = Vec::new();
        for at in 0..count {
            // Nobody is known yet: 256 MiB are promised.
            let mut stranger = Wire::open(broker.address(), Version::V5);
            stranger.send_if_open(&[&[0x10, 0xff, 0xff, 0xff, 0x7f], &[0; 50_000][..]].concat());
            held.push(stranger);
            let mut known = Wire::clean(broker.address(), Version::V5, &format!("half-{at}"));
            known.send(&[&[0x30, 0xc0, 0x84, 0x3d, 0, 1, b't', 0], &[0; 1000][..]].concat());
            held.push(known);
        }
        let properties = "26 $'' $''".repeat(100_000);
        for _ in 0..sized(100, 10) {
            let mut wire = Wire::clean(broker.address(), Version::V5, "verbose");
            wire.say(0x32, &format!("$'many/properties' 00 01 [{properties}] 'x'"));
            wire.answered(kind::PUBACK, 1);
            wire.say(0x82, &format!("00 02 [{properties}] $'never' 00"));
            let _ = wire.packet_of(kind::SUBACK);
            let mut stranger = Wire::open(broker.address(), Version::V5);
            let hello = format!("$'MQTT' 05 02 00 3c [{properties}] $''");
            stranger.send_if_open(&spelled(0x10, &hello));
            stranger.expect_closed();
        }
        held
    });
    drop(held);
}

/// As many as fit, with and without wildcards, wherever a topic or a filter may stand.
#[test]
fn topics_and_filters_of_65535_levels_are_refused_wherever_they_stand() {
    let broker = start();
    let deep = "/".repeat(65_535);
    let wild = format!("{}#", "+/".repeat(32_767));
    let shared = format!("$share/g/{}", "/".repeat(65_000));
    let filters = [deep.as_str(), &wild, &shared];
    bear(&broker, 48 * MIB, |broker| {
        for round in 0..sized(200, 10) {
            for version in Version::ALL {
                refuses_deep(broker, version, &deep, filters[round % 3]);
            }
        }
    });
}

/// Every way to write the first levels with and without a wildcard, and many more levels behind:
/// what costs a node for each level elsewhere is one of each filter here.
#[test]
fn filters_of_many_levels_cost_what_they_are_long_and_no_more() {
    const WAYS: u32 = 13;
    let broker = start();
    let tail = "/a".repeat(128 - WAYS as usize);
    let filter = |ways: u32| {
        let level = |at| if ways >> at & 1 == 0 { "a" } else { "+" };
        (0..WAYS).map(level).collect::<Vec<_>>().join("/") + &tail
    };
    let filters: Vec<String> = (0..1 << WAYS).map(filter).collect();
    let held = bear(&broker, 48 * MIB, |broker| {
        let mut greedy = Wire::clean(broker.address(), Version::V5, "greedy");
        for part in filters.chunks(2_048) {
            let wanted: Vec<(&str, u8)> = part.iter().map(|filter| (filter.as_str(), 0)).collect();
            greedy.subscribe(1, &wanted);
        }
        // Topics that nobody has asked for before: each has to be looked for among all.
        let topic = filters[0].strip_suffix("/a").expect("it has it");
        let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
        for at in 0..sized(1_000, 50) {
            writer.publish(&Publish::new(&format!("{topic}/{at}"), "x", 0, 0));
            writer.publish(&Publish::new(&format!("{topic}/a"), "x", 0, 0));
            let _ = greedy.packet_of(kind::PUBLISH);
        }
        greedy
    });
    drop(held);
}

fn refuses_deep(broker: &Broker, version: Version, deep: &str, filter: &str) {
    let known = || Wire::clean(broker.address(), version, "deep");
    for qos in [0, 1, 2] {
        let mut wire = known();
        wire.publish(&Publish::new(deep, "x", qos, 1));
        if version == Version::V4 || qos == 0 {
            wire.ended_for(0x90);
        } else {
            assert_eq!(wire.packet().body().get(2), Some(&0x90));
        }
    }
    let mut wire = known();
    wire.send(&subscribe(version, 1, &[(filter, 1)]));
    let refused = wire.packet_of(kind::SUBACK).body().last().copied();
    assert!(refused.is_some_and(|code| code >= 0x80), "{refused:?}");
    // Nobody can have it, so nothing is there to end.
    wire.send(&unsubscribe(version, 2, &[filter]));
    let _ = wire.packet_of(kind::UNSUBACK);
    wire.nothing_more();
    // As many as a first packet holds.
    let will = Some(LastWill::new(&deep[..65_000], "gone"));
    let mut mortal = Wire::open(broker.address(), Version::V5);
    mortal.send(&Hello { will, ..Hello::new("deep-will") }.bytes());
    assert_eq!(mortal.packet_of(kind::CONNACK).body().get(1), Some(&0x90));
}

/// PUBLISH at QoS 0 with an alias.
fn with_alias(topic: &str, alias: u16) -> Vec<u8> {
    let length = u16::try_from(topic.len()).expect("a topic");
    let [high, low] = alias.to_be_bytes();
    let body = [&length.to_be_bytes(), topic.as_bytes(), &[3, 0x23, high, low, b'x']].concat();
    frame(0x30, &body)
}

#[test]
fn aliases_that_are_not_there_are_refused_and_those_that_are_have_a_ceiling() {
    const ALIASES: u16 = 32;
    let broker = start();
    let clients = sized(200, 20);
    let bytes_max = 64 * MIB + clients as u64 * 3 * MIB;
    let held = bear(&broker, bytes_max, |broker| {
        let known = |name: &str| Wire::clean(broker.address(), Version::V5, name);
        for _ in 0..sized(1_000, 20) {
            for (topic, alias, code) in
                [("a", 0, 0x94), ("a", ALIASES + 1, 0x94), ("a", u16::MAX, 0x94), ("", 1, 0x82)]
            {
                let mut wire = known("abuser");
                wire.send(&with_alias(topic, alias));
                wire.ended_for(code);
            }
            // What it stood for is forgotten with its connection.
            let mut wire = known("abuser");
            wire.send(&with_alias("was/there", 1));
            wire.nothing_more();
            let mut wire = known("abuser");
            wire.send(&with_alias("", 1));
            wire.ended_for(0x82);
        }
        let longest = "t".repeat(65_000);
        (0..clients)
            .map(|at| {
                let mut wire = known(&format!("long-{at}"));
                for alias in 1..=ALIASES {
                    wire.send(&with_alias(&longest, alias));
                }
                wire.nothing_more();
                wire
            })
            .collect::<Vec<Wire>>()
    });
    drop(held);
}

#[test]
fn packet_ids_may_run_out_and_nobody_else_feels_it() {
    let broker = start();
    let hoarders = sized(20, 2);
    let bytes_max = 64 * MIB + hoarders as u64 * 32 * MIB;
    let held = bear(&broker, bytes_max, |broker| {
        // In MQTT 5 who goes beyond what was agreed is closed.
        let mut greedy = Wire::clean(broker.address(), Version::V5, "greedy");
        let many = (1..=1_001).flat_map(|id| publish(Version::V5, &Publish::new("h", "", 2, id)));
        greedy.send_if_open(&many.collect::<Vec<u8>>());
        let mut last = greedy.packet();
        while last.kind() == kind::PUBREC {
            last = greedy.packet();
        }
        assert_eq!((last.kind(), last.reason()), (kind::DISCONNECT, 0x93), "{last}");
        // Before it, all that there are.
        (0..hoarders).map(|at| hoard(broker, &format!("hoarder-{at}"))).collect::<Vec<Wire>>()
    });
    drop(held);
}

/// Holds every packet id there is in the middle of its exchange.
fn hoard(broker: &Broker, client_id: &str) -> Wire {
    let mut wire = Wire::clean(broker.address(), Version::V4, client_id);
    for ids in (1..=u16::MAX).collect::<Vec<u16>>().chunks(5_000) {
        let message = |id: &u16| publish(Version::V4, &Publish::new("h", "", 2, *id));
        wire.send(&ids.iter().flat_map(message).collect::<Vec<u8>>());
        ids.iter().for_each(|id| wire.answered(kind::PUBREC, *id));
    }
    wire
}

/// What all of them together may have waiting is little; nothing is kept from who reads.
#[test]
fn those_who_read_nothing_hold_little_together_and_who_reads_gets_all() {
    const MESSAGES: u16 = 600;
    let settings = "[mqtt]\noutbound_all_bytes_max = \"4 MiB\"\n";
    let broker = Configured::new(&format!("{settings}{ONE_CORE}")).start();
    let readers = sized(400, 100);
    let bytes_max = 64 * MIB + readers as u64 * 64 * 1024;
    let held = bear(&broker, bytes_max, |broker| {
        let mut deaf: Vec<Wire> = (0..readers)
            .map(|at| Wire::clean(broker.address(), Version::V4, &format!("deaf-{at}")))
            .collect();
        for wire in &mut deaf {
            wire.subscribe(1, &[("flood/#", 0)]);
        }
        let mut reader = Wire::clean(broker.address(), Version::V4, "reader");
        reader.subscribe(1, &[("flood/#", 1)]);
        thread::scope(|scope| {
            let reading = scope.spawn(move || {
                for at in 1..=MESSAGES {
                    let message = reader.packet_of(kind::PUBLISH);
                    assert_eq!(message.topic(), format!("flood/{at}"));
                    reader.acknowledge(kind::PUBACK, message.id());
                }
            });
            let mut writer = Wire::clean(broker.address(), Version::V4, "writer");
            let payload = "x".repeat(10_000);
            for at in 1..=MESSAGES {
                let topic = format!("flood/{at}");
                writer.publish_acknowledged(&Publish::new(&topic, &payload, 1, at));
            }
            reading.join().expect("it gets all, in order");
        });
        deaf
    });
    drop(held);
}

/// They subscribe to what comes in floods and read nothing of it.
#[test]
fn those_who_read_nothing_are_not_waited_for_and_hold_little() {
    const PIECE: usize = 10_000;
    let readers = sized(1_000, 100);
    let broker = start();
    // The most that waits for one, the message that went beyond it, and what a connection costs.
    let bytes_max = 96 * MIB + readers as u64 * (MIB + 256 * 1024);
    let held = bear(&broker, bytes_max, |broker| {
        let mut deaf: Vec<Wire> = (0..readers)
            .map(|at| Wire::clean(broker.address(), Version::V4, &format!("deaf-{at}")))
            .collect();
        for wire in &mut deaf {
            wire.subscribe(1, &[("flood/#", 0)]);
        }
        let mut writer = Wire::clean(broker.address(), Version::V4, "writer");
        let payload = "x".repeat(PIECE);
        for at in 0..500 {
            writer.publish(&Publish::new(&format!("flood/{at}"), &payload, 0, 0));
        }
        writer.publish_acknowledged(&Publish::new("flood/end", &payload, 1, 1));
        deaf
    });
    drop(held);
}
