//! QoS 1 and 2 in both directions: what a packet id means when, and what is sent again.

use std::time::Duration;

use tidewire_tests::broker::Broker;
use tidewire_tests::wire::{Packet, Publish, Version, Wire, kind};

#[test]
fn after_puback_a_packet_id_is_free() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut reader = Wire::clean(broker.address(), version, "reader");
        reader.subscribe(1, &[("free", 1)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        writer.publish_acknowledged(&Publish::new("free", "one", 1, 5));
        writer.publish_acknowledged(&Publish::new("free", "two", 1, 5).again());
        reader.receive("one");
        reader.receive("two");
    }
}

#[test]
fn a_qos2_message_is_delivered_once_however_often_it_is_sent() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut reader = Wire::clean(broker.address(), version, "reader");
        reader.subscribe(1, &[("once", 2)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        let message = Publish::new("once", "once", 2, 5);
        writer.publish(&message);
        writer.answered(kind::PUBREC, 5);
        for _ in 0..50 {
            writer.publish(&message.again());
            writer.answered(kind::PUBREC, 5);
        }
        // Not even another payload makes another message of it.
        writer.publish(&Publish { payload: "another", ..message });
        writer.answered(kind::PUBREC, 5);
        writer.acknowledge(kind::PUBREL, 5);
        writer.answered(kind::PUBCOMP, 5);
        reader.receive("once");
        reader.nothing_else_on("once");
        writer.publish_acknowledged(&message.again());
        reader.receive("once");
        // PUBREL for what is over is answered too, so that the other side can let go.
        writer.acknowledge(kind::PUBREL, 5);
        let pubcomp = writer.packet_of(kind::PUBCOMP);
        let reason = pubcomp.body().get(2).copied();
        assert_eq!(reason, (version == Version::V5).then_some(0x92), "{pubcomp}");
    }
}

#[test]
fn after_a_pubrec_that_refuses_a_packet_id_is_free() {
    let broker = Broker::start();
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    reader.subscribe(1, &[("taken", 2)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    let deep = "/".repeat(1_000);
    for payload in ["one", "two"] {
        writer.publish(&Publish::new(&deep, payload, 2, 5));
        writer.hear_refusal(0x50, "00 05 90");
        writer.publish_acknowledged(&Publish::new("taken", payload, 2, 5));
        reader.receive(payload);
    }
}

#[test]
fn a_message_that_a_client_refuses_is_over() {
    let broker = Broker::start();
    let (mut reader, _) = Wire::resume(broker.address(), Version::V5, "picky");
    reader.subscribe(1, &[("refused", 2)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for (qos, answer) in [(1, 0x40), (2, 0x50)] {
        writer.publish_acknowledged(&Publish::new("refused", "no", qos, 1));
        let [high, low] = reader.packet_of(kind::PUBLISH).id().to_be_bytes();
        reader.send(&[answer, 3, high, low, 0x83]);
        reader.nothing_more();
    }
    reader.vanish();
    let (mut reader, present) = Wire::resume(broker.address(), Version::V5, "picky");
    assert!(present);
    reader.nothing_else_on("refused");
}

#[test]
fn expiry_does_not_stop_what_was_sent() {
    let broker = Broker::start();
    let (mut reader, _) = Wire::resume(broker.address(), Version::V5, "late");
    reader.subscribe(1, &[("stale", 2)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    let mut ids = Vec::new();
    for first in [0x32, 0x34, 0x34] {
        writer.say(first, "$'stale' 00 01 [02 00 00 00 06] 'briefly'");
        writer.packet();
        if first == 0x34 {
            writer.acknowledge(kind::PUBREL, 1);
            writer.answered(kind::PUBCOMP, 1);
        }
        ids.push(reader.packet_of(kind::PUBLISH).id());
    }
    // The last one is as far as PUBREL.
    reader.acknowledge(kind::PUBREC, ids[2]);
    reader.answered(kind::PUBREL, ids[2]);
    reader.vanish();
    writer.silent_for(Duration::from_millis(7_200));
    let (mut reader, _) = Wire::resume(broker.address(), Version::V5, "late");
    for id in &ids[..2] {
        let again = reader.packet_of(kind::PUBLISH);
        assert_eq!((again.id(), again.is_dup()), (*id, true), "{again}");
    }
    reader.answered(kind::PUBREL, ids[2]);
    reader.acknowledge(kind::PUBREC, ids[1]);
    reader.answered(kind::PUBREL, ids[1]);
}

#[test]
fn a_qos2_exchange_ends_although_its_message_expired() {
    let broker = Broker::start();
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    writer.say(0x34, "$'stale' 00 01 [02 00 00 00 01] 'briefly'");
    writer.answered(kind::PUBREC, 1);
    writer.silent_for(Duration::from_millis(1_500));
    writer.say(0x3c, "$'stale' 00 01 [02 00 00 00 01] 'briefly'");
    writer.answered(kind::PUBREC, 1);
    writer.acknowledge(kind::PUBREL, 1);
    writer.hear(0x70, "00 01");
}

#[test]
fn nothing_is_sent_again_on_a_live_connection() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut reader = Wire::clean(broker.address(), version, "slow");
        reader.subscribe(1, &[("patience", 2)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        writer.publish_acknowledged(&Publish::new("patience", "one", 1, 1));
        writer.publish_acknowledged(&Publish::new("patience", "two", 2, 1));
        reader.packet_of(kind::PUBLISH);
        let two = reader.packet_of(kind::PUBLISH).id();
        reader.acknowledge(kind::PUBREC, two);
        reader.answered(kind::PUBREL, two);
        reader.silent_for(Duration::from_millis(1_500));
    }
}

#[test]
fn messages_in_flight_have_ids_of_their_own() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut reader = Wire::clean(broker.address(), version, "reader");
        reader.subscribe(1, &[("ids", 2)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        let mut ids = Vec::new();
        for round in 0..100 {
            let qos = 1 + round % 2;
            writer.publish_acknowledged(&Publish::new("ids", "one of many", qos, 1));
            let message = reader.packet_of(kind::PUBLISH);
            assert!(message.id() != 0 && !message.is_dup(), "{message}");
            assert_eq!(message.qos(), qos);
            ids.push(message.id());
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 100, "an id was used twice");
    }
}

#[test]
fn what_is_sent_again_keeps_its_order_its_id_and_its_content() {
    let broker = Broker::start();
    for version in Version::ALL {
        Wire::clean(broker.address(), version, "again").disconnect();
        let (mut reader, _) = Wire::resume(broker.address(), version, "again");
        reader.subscribe(1, &[("again/+", 2)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        let mut first: Vec<Packet> = Vec::new();
        for round in 0..20 {
            let (topic, payload) = (format!("again/{}", round % 3), round.to_string());
            writer.publish_acknowledged(&Publish::new(&topic, &payload, 1 + round % 2, 1));
            first.push(reader.packet_of(kind::PUBLISH));
        }
        reader.vanish();
        let (mut reader, _) = Wire::resume(broker.address(), version, "again");
        for was in &first {
            let is = reader.packet_of(kind::PUBLISH);
            assert!(is.is_dup(), "{is}");
            assert_eq!((is.id(), is.qos()), (was.id(), was.qos()));
            assert_eq!((is.topic(), is.payload_text()), (was.topic(), was.payload_text()));
        }
        reader.silent_for(Duration::from_millis(300));
    }
}

#[test]
fn a_message_lies_in_every_session_that_it_matches() {
    let broker = Broker::start();
    let readers = [("exact", "every/a"), ("plus", "every/+"), ("all", "#"), ("other", "other/#")];
    for version in Version::ALL {
        for (name, filter) in readers {
            Wire::clean(broker.address(), version, name).disconnect();
            let (mut reader, _) = Wire::resume(broker.address(), version, name);
            reader.subscribe(1, &[(filter, 1)]);
            reader.disconnect();
        }
        let mut writer = Wire::clean(broker.address(), version, "writer");
        writer.publish_acknowledged(&Publish::new("every/a", "for all", 1, 1));
        writer.publish_acknowledged(&Publish::new("other/a", "for two", 2, 1));
        for (name, filter) in readers {
            let (mut reader, _) = Wire::resume(broker.address(), version, name);
            if filter != "other/#" {
                reader.receive("for all");
            }
            if filter == "#" || filter == "other/#" {
                reader.receive("for two");
            }
            reader.silent_for(Duration::from_millis(100));
            reader.disconnect();
            Wire::clean(broker.address(), version, name).disconnect();
        }
    }
}

#[test]
fn each_level_keeps_the_order_of_its_publisher() {
    const MESSAGES: u16 = 200;
    let broker = Broker::start();
    for version in Version::ALL {
        for qos in [0, 2] {
            let mut reader = Wire::clean(broker.address(), version, "reader");
            reader.subscribe(1, &[("line/+", 2)]);
            let mut writer = Wire::clean(broker.address(), version, "writer");
            for id in 1..=MESSAGES {
                writer.publish(&Publish::new("line/a", &id.to_string(), qos, id));
            }
            for id in 1..=MESSAGES {
                if qos == 2 {
                    writer.answered(kind::PUBREC, id);
                }
                reader.receive(&id.to_string());
            }
        }
    }
}
