//! Is a message to `$delayed/<seconds>/<topic>` published at its time, once, also when the broker
//! was away then?

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tidewire_tests::broker::Broker;
use tidewire_tests::clock::Clock;
use tidewire_tests::wire::{Hello, Publish, Version, Wire, frame, kind, property};

fn leave_a_reader(broker: &Broker, version: Version) {
    let (mut reader, _) = Wire::resume(broker.address(), version, "reader");
    reader.subscribe(1, &[("later/#", 2)]);
    reader.disconnect();
}

fn come_back(broker: &Broker, version: Version) -> Wire {
    Wire::resume(broker.address(), version, "reader").0
}

#[test]
fn a_delayed_message_comes_at_its_time_at_every_level() {
    const DELAY: Duration = Duration::from_secs(8);
    let waiting = Version::ALL.map(|version| {
        let broker = Broker::start();
        let mut reader = Wire::clean(broker.address(), version, "reader");
        reader.subscribe(1, &[("later/#", 2), ("$delayed/#", 2)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        let since = Instant::now();
        for qos in 0..=2 {
            let payload = format!("qos {qos}");
            let message = Publish::new("$delayed/8/later/a", &payload, qos, 7);
            writer.publish_acknowledged(&message);
        }
        assert!(since.elapsed() < DELAY, "it does not wait to acknowledge");
        (broker, reader, since)
    });
    for (_broker, mut reader, since) in waiting {
        for qos in 0..=2 {
            let message = reader.receive(&format!("qos {qos}"));
            assert_eq!((message.qos(), message.topic().as_str()), (qos, "later/a"));
        }
        assert!(since.elapsed() >= DELAY);
        reader.nothing_else_on("later/a");
    }
}

#[test]
fn what_was_acknowledged_comes_once_through_kills() {
    let mut clock = Clock::start();
    for version in Version::ALL {
        for qos in [1, 2] {
            let mut broker = Broker::start();
            leave_a_reader(&broker, version);
            let (mut writer, _) = Wire::resume(broker.address(), version, "writer");
            let message = Publish::new("$delayed/1/later/a", "later", qos, 7);
            writer.publish(&message);
            writer.answered(if qos == 1 { kind::PUBACK } else { kind::PUBREC }, 7);
            broker.kill9();
            drop(writer);
            // Longer than the delay: it is late, not lost.
            clock.pass(2);
            broker.restart();
            if qos == 2 {
                // The exchange goes on; a repeat is no second message.
                let (mut writer, _) = Wire::resume(broker.address(), version, "writer");
                writer.publish(&message.again());
                writer.answered(kind::PUBREC, 7);
                writer.acknowledge(kind::PUBREL, 7);
                writer.answered(kind::PUBCOMP, 7);
            }
            let mut reader = come_back(&broker, version);
            reader.receive("later");
            reader.disconnect();
            // Its CONNACK says that the end of its last visit is on disk.
            drop(come_back(&broker, version));
            broker.kill9();
            broker.restart();
            come_back(&broker, version).nothing_else_on("later/a");
        }
    }
}

/// Kills fall before, into and behind the moment at which the messages are published.
#[test]
fn kills_around_the_due_time_lose_and_repeat_nothing() {
    const MESSAGES: u16 = 60;
    let mut broker = Broker::start();
    leave_a_reader(&broker, Version::V5);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for id in 1..=MESSAGES {
        let topic = format!("$delayed/{}/later/{}", 1 + id % 3, id % 7);
        writer.publish_acknowledged(&Publish::new(&topic, &id.to_string(), 1 + (id % 2) as u8, id));
    }
    drop(writer);
    // A restart takes some tenths of a second: these reach over all due times.
    for _ in 0..12 {
        broker.kill9();
        broker.restart();
    }
    let mut reader = come_back(&broker, Version::V5);
    let mut seen = BTreeSet::new();
    for _ in 1..=MESSAGES {
        let message = reader.packet_of(kind::PUBLISH);
        if message.qos() == 1 {
            reader.acknowledge(kind::PUBACK, message.id());
        } else {
            reader.acknowledge(kind::PUBREC, message.id());
            reader.answered(kind::PUBREL, message.id());
            reader.acknowledge(kind::PUBCOMP, message.id());
        }
        assert!(seen.insert(message.payload_text()), "repeated: {message}");
    }
    for topic in 0..7 {
        reader.nothing_else_on(&format!("later/{topic}"));
    }
}

#[test]
fn a_delayed_message_that_is_retained_is_retained_from_its_time_on() {
    let broker = Broker::start();
    let mut early = Wire::clean(broker.address(), Version::V5, "early");
    early.subscribe(1, &[("later/#", 1)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    writer.publish_acknowledged(&Publish::new("$delayed/1/later/a", "kept", 1, 1).retained());
    let message = early.receive("kept");
    assert!(!message.is_retained(), "it came live: {message}");
    let mut late = Wire::clean(broker.address(), Version::V5, "late");
    late.subscribe(1, &[("later/#", 1)]);
    assert!(late.receive("kept").is_retained());
}

#[test]
fn the_expiry_of_a_delayed_message_counts_from_its_publish() {
    let broker = Broker::start();
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    reader.subscribe(1, &[("later/#", 1)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for (id, expiry_s, payload) in [(1, 1, b"stale"), (2, 60, b"fresh")] {
        let expiry = property::message_expiry(expiry_s);
        let head = [b"\x00\x12$delayed/2/later/a".as_slice(), &[0, id, 5]].concat();
        writer.send(&frame(0x32, &[head, expiry, payload.to_vec()].concat()));
        writer.answered(kind::PUBACK, u16::from(id));
    }
    let message = reader.receive("fresh");
    let left = message.body()[13..17].try_into().map(u32::from_be_bytes).expect("four bytes");
    assert!((1..60).contains(&left), "{left} of {message}");
}

#[test]
fn what_is_no_delay_is_refused() {
    let config = "[mqtt]\ndelay_s_max = 100\ntopic_levels_max = 5\n";
    let broker = Broker::start_configured(config);
    for topic in [
        "$delayed/101/later/a",
        "$delayed/99999999999/later/a",
        "$delayed/x/later/a",
        "$delayed/-1/later/a",
        "$delayed/1",
        "$delayed/1/",
        "$delayed/1/$delayed/1/a",
        "$delayed/1/$SYS/a",
        "$delayed/1/1/2/3/4/5/6",
    ] {
        let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
        writer.publish(&Publish::new(topic, "no", 1, 1));
        let answer = writer.packet_of(kind::PUBACK);
        assert_eq!(answer.body()[..3], [0, 1, 0x90], "{topic}");
        writer.publish(&Publish::new(topic, "no", 2, 2));
        let answer = writer.packet_of(kind::PUBREC);
        assert_eq!(answer.body()[..3], [0, 2, 0x90], "{topic}");
        writer.publish(&Publish::new(topic, "no", 0, 0));
        assert_eq!(writer.packet_of(kind::DISCONNECT).reason(), 0x90, "{topic}");
        let mut writer = Wire::clean(broker.address(), Version::V4, "writer");
        writer.publish(&Publish::new(topic, "no", 1, 1));
        writer.expect_closed();
    }
}

#[test]
fn no_more_waits_than_is_allowed() {
    let broker = Broker::start_configured("[mqtt]\ndelayed_messages_max = 2\n");
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    reader.subscribe(1, &[("later/#", 1)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for id in 1..=3 {
        writer.publish(&Publish::new("$delayed/6/later/a", "later", 1, id));
        let answer = writer.packet_of(kind::PUBACK);
        assert_eq!(answer.body().get(2).copied().unwrap_or(0), if id < 3 { 0 } else { 0x97 });
    }
    reader.receive("later");
    reader.receive("later");
    // There is room again, once it is known that they are out.
    loop {
        writer.publish(&Publish::new("$delayed/0/later/a", "again", 1, 4));
        if writer.packet_of(kind::PUBACK).body().get(2).is_none_or(|reason| *reason == 0) {
            break;
        }
    }
    reader.receive("again");
}

#[test]
fn a_will_of_a_client_that_publishes_with_a_delay_is_another_row() {
    // Both wait in one table: the one must not be taken for the other.
    let mut broker = Broker::start_configured("[mqtt]\nwill_grace_after_restart_s = 0\n");
    leave_a_reader(&broker, Version::V5);
    let will = tidewire_tests::wire::LastWill::new("later/will", "gone");
    let hello = Hello { will: Some(will), ..Hello::new("0") };
    let (mut writer, _) = Wire::greet(broker.address(), &hello);
    writer.publish_acknowledged(&Publish::new("$delayed/2/later/a", "later", 1, 1));
    broker.kill9();
    broker.restart();
    let mut reader = come_back(&broker, Version::V5);
    // The restart may have taken longer than the delay.
    let mut heard = [(); 2].map(|()| reader.packet_of(kind::PUBLISH).payload_text());
    heard.sort();
    assert_eq!(heard, ["gone", "later"]);
    reader.nothing_else_on("later/a");
}
