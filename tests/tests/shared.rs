//! Do share groups give each message to one member, and lose none whoever comes and goes?

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use tidewire_tests::broker::Broker;
use tidewire_tests::clients::{Mosquitto, Subscriber};
use tidewire_tests::configured::Configured;
use tidewire_tests::places::built_program;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::wire::{Packet, Publish, Version, Wire, connect, kind, subscribe, unsubscribe};

const GROUP: &str = "$share/team/jobs/#";

fn member(broker: &Broker, version: Version, client_id: &str, qos: u8) -> Wire {
    let (mut wire, _) = Wire::resume(broker.address(), version, client_id);
    wire.subscribe(1, &[(GROUP, qos)]);
    wire
}

fn come_back(broker: &Broker, version: Version, client_id: &str) -> Wire {
    let (wire, present) = Wire::resume(broker.address(), version, client_id);
    assert!(present, "the session of {client_id} must survive");
    wire
}

fn publish(broker: &Broker, qos: u8, payloads: std::ops::Range<u16>) {
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for number in payloads {
        let payload = number.to_string();
        writer.publish_acknowledged(&Publish::new("jobs/a", &payload, qos, number + 1));
    }
    writer.disconnect();
}

/// The first message; a PUBREL that an old exchange may still be owed is answered.
fn first_message(wire: &mut Wire) -> Packet {
    loop {
        let packet = wire.packet();
        if packet.kind() == kind::PUBLISH {
            return packet;
        }
        assert_eq!(packet.kind(), kind::PUBREL, "{packet}");
        wire.acknowledge(kind::PUBCOMP, packet.id());
    }
}

/// Takes `count` messages and acknowledges none.
fn take(wire: &mut Wire, count: usize) -> Vec<Packet> {
    (0..count).map(|_| wire.packet_of(kind::PUBLISH)).collect()
}

fn payloads(packets: &[Packet]) -> Vec<String> {
    packets.iter().map(Packet::payload_text).collect()
}

#[test]
fn members_take_turns_and_each_message_goes_to_one() {
    for version in Version::ALL {
        for qos in 0..=2 {
            let broker = Broker::start();
            let mut members: Vec<Wire> =
                ["a", "b", "c"].map(|name| member(&broker, version, name, qos)).into();
            publish(&broker, qos, 0..9);
            for (at, wire) in members.iter_mut().enumerate() {
                for round in 0..3 {
                    wire.receive(&(round * 3 + at).to_string());
                }
                wire.nothing_more();
            }
        }
    }
}

#[test]
fn a_shared_subscription_stands_beside_an_ordinary_one() {
    let broker = Broker::start();
    let mut both = member(&broker, Version::V5, "both", 1);
    both.subscribe(2, &[("jobs/#", 1)]);
    publish(&broker, 1, 0..1);
    both.receive("0");
    both.receive("0");
    both.nothing_more();
}

#[test]
fn what_a_lost_member_did_not_acknowledge_goes_to_another() {
    for version in Version::ALL {
        let broker = Broker::start();
        let mut lost = member(&broker, version, "lost", 1);
        let mut other = member(&broker, version, "other", 1);
        publish(&broker, 1, 0..6);
        assert_eq!(payloads(&take(&mut lost, 3)), ["0", "2", "4"]);
        for payload in ["1", "3", "5"] {
            other.receive(payload);
        }
        lost.vanish();
        for payload in ["0", "2", "4"] {
            other.receive(payload);
        }
        other.nothing_more();
        let mut back = come_back(&broker, version, "lost");
        publish(&broker, 1, 10..12);
        let first = take(&mut back, 1);
        assert!(
            ["10", "11"].contains(&payloads(&first)[0].as_str()),
            "nothing old comes: {first:?}"
        );
    }
}

#[test]
fn a_group_waits_while_all_its_members_are_away() {
    for version in Version::ALL {
        let mut broker = Broker::start();
        member(&broker, version, "a", 1).disconnect();
        member(&broker, version, "b", 1).vanish();
        publish(&broker, 1, 0..20);
        broker.kill9();
        broker.restart();
        let mut back = come_back(&broker, version, "b");
        for number in 0..20 {
            back.receive(&number.to_string());
        }
        back.nothing_more();
        publish(&broker, 1, 20..21);
        back.receive("20");
    }
}

#[test]
fn a_qos2_message_stays_with_the_session_that_has_it_through_a_kill() {
    for version in Version::ALL {
        let mut broker = Broker::start();
        let mut first = member(&broker, version, "first", 2);
        let mut second = member(&broker, version, "second", 2);
        publish(&broker, 2, 0..4);
        let held = take(&mut first, 2);
        assert_eq!(payloads(&held), ["0", "2"]);
        second.receive("1");
        second.receive("3");
        // It has the second and says so; of the first nobody knows.
        first.acknowledge(kind::PUBREC, held[1].id());
        first.answered(kind::PUBREL, held[1].id());
        broker.kill9();
        broker.restart();
        let mut second = come_back(&broker, version, "second");
        publish(&broker, 2, 4..5);
        assert_eq!(first_message(&mut second).payload_text(), "4");
        let mut first = come_back(&broker, version, "first");
        let again = first.packet_of(kind::PUBLISH);
        assert_eq!((again.id(), again.payload_text()), (held[0].id(), "0".into()));
        assert!(again.is_dup());
        first.acknowledge(kind::PUBREC, again.id());
        let mut released = [first.packet().id(), first.packet().id()];
        released.sort_unstable();
        assert_eq!(released, [held[0].id(), held[1].id()], "both are released, once each");
        for held in &held {
            first.acknowledge(kind::PUBCOMP, held.id());
        }
        first.nothing_more();
    }
}

#[test]
fn a_refused_message_ends_for_the_group_and_is_put_aside() {
    let config = Configured::new("[share]\ndead_letter_topic = \"dead/letters\"\n");
    for qos in [1, 2] {
        let broker = config.start();
        let mut graves = Wire::clean(broker.address(), Version::V5, "graves");
        graves.subscribe(1, &[("dead/letters", 2)]);
        let mut picky = member(&broker, Version::V5, "picky", qos);
        publish(&broker, qos, 0..1);
        let refused = picky.packet_of(kind::PUBLISH);
        let [high, low] = refused.id().to_be_bytes();
        let answer = if qos == 1 { 0x40 } else { 0x50 };
        // Implementation specific error.
        picky.send(&[answer, 3, high, low, 0x83]);
        let mut other = member(&broker, Version::V5, "other", qos);
        // At QoS 2 the next could stay with a session that has not ended yet.
        picky.disconnect();
        let letter = graves.receive("0");
        for part in ["dead-letter-reason", "refused with 0x83", "jobs/a", GROUP] {
            let body = String::from_utf8_lossy(letter.body()).into_owned();
            assert!(body.contains(part), "{part} in {body:?}");
        }
        publish(&broker, qos, 1..2);
        other.receive("1");
    }
}

#[test]
fn a_message_that_nobody_acknowledges_is_given_up_after_as_many_attempts() {
    let config = Configured::new(
        "[share]\ndelivery_attempts_max = 3\ndead_letter_topic = \"dead/letters\"\n",
    );
    let broker = config.start();
    let mut graves = Wire::clean(broker.address(), Version::V5, "graves");
    graves.subscribe(1, &[("dead/letters", 1)]);
    member(&broker, Version::V5, "crashing", 1).disconnect();
    publish(&broker, 1, 0..1);
    for _ in 0..3 {
        let mut crashing = come_back(&broker, Version::V5, "crashing");
        assert_eq!(payloads(&take(&mut crashing, 1)), ["0"]);
        crashing.vanish();
    }
    let mut cured = come_back(&broker, Version::V5, "crashing");
    let letter = graves.receive("0");
    assert!(String::from_utf8_lossy(letter.body()).contains("not acknowledged"), "{letter}");
    publish(&broker, 1, 1..2);
    cured.receive("1");
}

#[test]
fn a_sticky_topic_keeps_its_order() {
    let config = Configured::new("[share]\nstrategy = \"sticky_topic\"\n");
    let broker = config.start();
    let mut members: Vec<Wire> =
        ["a", "b", "c"].map(|name| member(&broker, Version::V5, name, 1)).into();
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for number in 0..60u16 {
        let (topic, payload) = (format!("jobs/{}", number % 6), number.to_string());
        writer.publish_acknowledged(&Publish::new(&topic, &payload, 1, number + 1));
    }
    let mut by_topic: BTreeMap<String, Vec<u16>> = BTreeMap::new();
    let mut owners: BTreeMap<String, usize> = BTreeMap::new();
    members.iter().for_each(|wire| wire.be_patient_for(Duration::from_millis(50)));
    let until = Instant::now() + PATIENCE;
    while by_topic.values().map(Vec::len).sum::<usize>() < 60 && Instant::now() < until {
        for (at, wire) in members.iter_mut().enumerate() {
            let Ok(Some(packet)) = wire.try_packet() else { continue };
            wire.acknowledge(kind::PUBACK, packet.id());
            let owner = owners.entry(packet.topic()).or_insert(at);
            assert_eq!(*owner, at, "{} went to two members", packet.topic());
            let number = packet.payload_text().parse().expect("a number");
            by_topic.entry(packet.topic()).or_default().push(number);
        }
    }
    let all: usize = by_topic.values().map(Vec::len).sum();
    assert_eq!(all, 60, "{by_topic:?}");
    assert!(by_topic.values().all(|numbers| numbers.is_sorted()), "{by_topic:?}");
}

#[test]
fn a_member_that_is_full_leaves_the_rest_to_others_and_gets_more_when_it_has_room() {
    let config = Configured::new("[mqtt]\ninflight_max = 2\n");
    let broker = config.start();
    let mut slow = member(&broker, Version::V5, "slow", 1);
    let mut quick = member(&broker, Version::V5, "quick", 1);
    publish(&broker, 1, 0..8);
    let held = take(&mut slow, 2);
    let mut got: Vec<u16> = Vec::new();
    for _ in 0..6 {
        let message = quick.packet_of(kind::PUBLISH);
        quick.acknowledge(kind::PUBACK, message.id());
        got.push(message.payload_text().parse().expect("a number"));
    }
    got.extend(held.iter().map(|p| p.payload_text().parse::<u16>().expect("a number")));
    got.sort_unstable();
    assert_eq!(got, (0..8).collect::<Vec<_>>());
    for message in &held {
        slow.acknowledge(kind::PUBACK, message.id());
    }
    quick.vanish();
    publish(&broker, 1, 8..9);
    slow.receive("8");
}

#[test]
fn unsubscribing_leaves_the_group_and_the_last_takes_it_along() {
    for version in Version::ALL {
        let mut broker = Broker::start();
        let mut stays = member(&broker, version, "stays", 1);
        let mut leaves = member(&broker, version, "leaves", 1);
        leaves.send(&unsubscribe(version, 2, &[GROUP]));
        assert_eq!(leaves.packet_of(kind::UNSUBACK).id(), 2);
        publish(&broker, 1, 0..3);
        for number in 0..3 {
            stays.receive(&number.to_string());
        }
        stays.send(&unsubscribe(version, 2, &[GROUP]));
        assert_eq!(stays.packet_of(kind::UNSUBACK).id(), 2);
        publish(&broker, 1, 3..4);
        broker.kill9();
        broker.restart();
        let mut again = member(&broker, version, "stays", 1);
        publish(&broker, 1, 4..5);
        again.receive("4");
    }
}

#[test]
fn no_retained_message_comes_with_a_shared_subscription() {
    let broker = Broker::start();
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    writer.publish_acknowledged(&Publish::new("jobs/a", "kept", 1, 1).retained());
    let mut wire = member(&broker, Version::V5, "a", 1);
    publish(&broker, 1, 0..1);
    wire.receive("0");
}

#[test]
fn a_queue_is_a_group_without_a_name() {
    let broker = Broker::start();
    let mut members: Vec<Wire> = ["a", "b"]
        .map(|name| {
            let mut wire = Wire::clean(broker.address(), Version::V4, name);
            wire.subscribe(1, &[("$queue/jobs/#", 1)]);
            wire
        })
        .into();
    publish(&broker, 1, 0..4);
    for (at, wire) in members.iter_mut().enumerate() {
        wire.receive(&at.to_string());
        wire.receive(&(at + 2).to_string());
        wire.send(&unsubscribe(Version::V4, 2, &["$queue/jobs/#"]));
        assert_eq!(wire.packet_of(kind::UNSUBACK).id(), 2);
    }
}

#[test]
fn a_member_that_comes_back_for_one_connection_gets_what_the_group_kept() {
    let broker = Broker::start();
    member(&broker, Version::V5, "a", 1).disconnect();
    publish(&broker, 1, 0..5);
    // Not clean, and a session that ends with this connection.
    let mut packet = connect(Version::V5, "a", true, 60, None);
    packet[9] = 0;
    let mut wire = Wire::open(broker.address(), Version::V5);
    wire.send(&packet);
    assert!(wire.connected(), "the session is there");
    for number in 0..5 {
        wire.receive(&number.to_string());
    }
    publish(&broker, 1, 5..6);
    wire.receive("5");
    wire.vanish();
    let (_, present) = Wire::resume(broker.address(), Version::V5, "a");
    assert!(!present, "it ended with its connection");
}

#[test]
fn no_local_and_bad_names_are_refused() {
    let broker = Broker::start();
    let mut wire = Wire::clean(broker.address(), Version::V5, "a");
    wire.send(&subscribe(Version::V5, 1, &[("$share/team/jobs", 0b101)]));
    assert_eq!(wire.packet_of(kind::DISCONNECT).reason(), 0x82);
    let mut wire = Wire::clean(broker.address(), Version::V5, "a");
    wire.send(&subscribe(Version::V5, 1, &[("$queue/jobs", 0b101)]));
    assert!(wire.packet_of(kind::SUBACK).body().ends_with(&[0x8f]), "its own would be lost");
    for filter in ["$share/team", "$share//jobs", "$share/te+am/jobs", "$share/team/"] {
        let mut wire = Wire::clean(broker.address(), Version::V5, "a");
        wire.send(&subscribe(Version::V5, 1, &[(filter, 1)]));
        let answer = wire.packet();
        let refused = match answer.kind() {
            kind::SUBACK => answer.body().ends_with(&[0x8f]),
            _ => [0x81, 0x82, 0x8f].contains(&answer.reason()),
        };
        assert!(refused, "{filter}: {answer}");
    }
}

#[test]
fn the_lag_of_a_group_and_its_attempts_can_be_seen_from_outside() {
    let broker = Broker::start();
    let mut wire = member(&broker, Version::V5, "a", 1);
    publish(&broker, 1, 0..3);
    take(&mut wire, 3);
    wire.disconnect();
    publish(&broker, 1, 3..10);
    let output = Command::new(built_program("tidewire"))
        .args(["log", "stats", "--json", "--data"])
        .arg(broker.data())
        .output()
        .expect("tidewire runs");
    let stats = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "\"filter\":\"$share/team/jobs/#\"",
        "\"behind\":7",
        "\"waiting\":3",
        "\"attempts_max\":1",
        "\"members\":1",
    ] {
        assert!(stats.contains(part), "{part} in {stats}");
    }
}

#[test]
fn mosquitto_subscribers_share() {
    let broker = Broker::start();
    for version in ["mqttv311", "mqttv5"] {
        let mosquitto = Mosquitto::new(broker.address(), version);
        let flags = ["-q", "1", "-C", "5"];
        let mut readers = [mosquitto.subscribe(GROUP, &flags), mosquitto.subscribe(GROUP, &flags)];
        publish(&broker, 1, 0..10);
        let mut all: Vec<String> = readers.iter_mut().flat_map(Subscriber::messages).collect();
        all.sort();
        let expected: Vec<String> = (0..10).map(|number| format!("1 0 jobs/a {number}")).collect();
        assert_eq!(all, expected);
    }
}
