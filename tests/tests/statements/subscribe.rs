//! SUBSCRIBE and UNSUBSCRIBE: what each filter gets, and what ends with it.

use tidewire_tests::broker::Broker;
use tidewire_tests::wire::{Publish, Version, Wire, kind, spelled, subscribe, unsubscribe};

#[test]
fn no_local_keeps_a_clients_own_messages_from_it() {
    const NO_LOCAL: u8 = 0x04;
    let broker = Broker::start();
    let mut wire = Wire::clean(broker.address(), Version::V5, "speaker");
    wire.subscribe5("local/#", NO_LOCAL | 1);
    for qos in 0..=2 {
        wire.publish_acknowledged(&Publish::new("local/a", "own", qos, 1));
    }
    // Another client's come, and so do one's own through another subscription.
    wire.nothing_else_on("local/a");
    wire.subscribe5("local/+", 1);
    wire.publish_acknowledged(&Publish::new("local/a", "own again", 1, 1));
    wire.receive("own again");
    wire.publish_acknowledged(&Publish::new("local/a/b", "own and deep", 1, 1));
    wire.nothing_else_on("local/a");
}

#[test]
fn the_same_filter_again_replaces_the_subscription() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut writer = Wire::clean(broker.address(), version, "writer");
        let kept = Publish::new("same/kept", "kept", 1, 1).retained();
        writer.publish_acknowledged(&kept);
        let mut reader = Wire::clean(broker.address(), version, "reader");
        for qos in [0, 2, 1] {
            reader.subscribe(1, &[("same/#", qos)]);
            // Retained messages come again each time.
            assert_eq!(reader.receive("kept").qos(), qos.min(1));
            writer.publish_acknowledged(&Publish::new("same/a", "one copy", 2, 2));
            assert_eq!(reader.receive("one copy").qos(), qos);
            writer.publish_acknowledged(&Publish::new("same/a", "next", 2, 2));
            assert_eq!(reader.receive("next").qos(), qos);
        }
    }
}

#[test]
fn nothing_is_lost_while_a_subscription_is_replaced() {
    const MESSAGES: u16 = 300;
    let broker = Broker::start();
    for version in Version::ALL {
        let mut reader = Wire::clean(broker.address(), version, "reader");
        reader.subscribe(1, &[("replaced", 1)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        let again = subscribe(version, 2, &[("replaced", 1)]);
        let mut confirmed = 0;
        for id in 1..=MESSAGES {
            writer.publish(&Publish::new("replaced", &id.to_string(), 1, id));
            reader.send(&again);
        }
        for id in 1..=MESSAGES {
            let mut packet = reader.packet();
            while packet.kind() == kind::SUBACK {
                confirmed += 1;
                packet = reader.packet();
            }
            assert_eq!(packet.payload_text(), id.to_string(), "{packet}");
            reader.acknowledge(kind::PUBACK, packet.id());
        }
        for _ in confirmed..MESSAGES {
            reader.packet_of(kind::SUBACK);
        }
    }
}

#[test]
fn each_filter_of_a_subscribe_has_its_answer_in_order() {
    let broker = Broker::start();
    let deep = "d/".repeat(200);
    for (version, refused) in [(Version::V4, "80"), (Version::V5, "8f")] {
        let mut wire = Wire::clean(broker.address(), version, "many");
        let filters = [("m/0", 0), (&deep, 1), ("m/2", 2), ("m/1", 1), (&deep, 0), ("m/0/+", 0)];
        wire.send(&subscribe(version, 0x1234, &filters));
        let nothing = if version == Version::V5 { "[]" } else { "" };
        wire.hear_refusal(0x90, &format!("12 34 {nothing} 00 {refused} 02 01 {refused} 00"));
        for (topic, qos) in [("m/0", 0), ("m/2", 2), ("m/1", 1)] {
            wire.publish_acknowledged(&Publish::new(topic, topic, 2, 9));
            assert_eq!(wire.receive(topic).qos(), qos, "as granted");
        }
    }
}

#[test]
fn a_subscription_works_once_it_is_confirmed() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut writer = Wire::clean(broker.address(), version, "writer");
        for round in 0..50 {
            let topic = format!("works/{round}");
            let mut reader = Wire::clean(broker.address(), version, "reader");
            reader.subscribe(1, &[(&topic, 0)]);
            writer.publish(&Publish::new(&topic, "first", 0, 0));
            reader.receive("first");
            reader.disconnect();
        }
    }
}

#[test]
fn unsubscribe_ends_what_it_names_letter_by_letter() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut wire = Wire::clean(broker.address(), version, "fickle");
        wire.subscribe(1, &[("un/+", 1), ("un/a", 2), ("un/a/#", 0)]);
        let named = ["un/A", "un/a", "un/a", "un/#", "un/a/+", "un/a/"];
        wire.send(&unsubscribe(version, 0x4321, &named));
        match version {
            Version::V5 => wire.hear(0xb0, "43 21 [] 11 00 11 11 11 11"),
            Version::V4 => wire.hear(0xb0, "43 21"),
        }
        wire.publish_acknowledged(&Publish::new("un/a", "still", 2, 1));
        assert_eq!(wire.receive("still").qos(), 1, "through un/+");
        wire.publish(&Publish::new("un/a/b", "deeper", 0, 0));
        wire.receive("deeper");
        // One that ends nothing is answered as well.
        wire.send(&unsubscribe(version, 2, &["nothing/here"]));
        match version {
            Version::V5 => wire.hear(0xb0, "00 02 [] 11"),
            Version::V4 => wire.hear(0xb0, "00 02"),
        }
    }
}

#[test]
fn what_was_begun_is_finished_after_unsubscribe() {
    let broker = Broker::start();
    for version in Version::ALL {
        Wire::clean(broker.address(), version, "finisher").disconnect();
        let (mut reader, _) = Wire::resume(broker.address(), version, "finisher");
        reader.subscribe(1, &[("begun", 2)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        writer.publish_acknowledged(&Publish::new("begun", "one", 1, 1));
        writer.publish_acknowledged(&Publish::new("begun", "two", 2, 2));
        let one = reader.packet_of(kind::PUBLISH).id();
        let two = reader.packet_of(kind::PUBLISH).id();
        reader.send(&unsubscribe(version, 2, &["begun"]));
        reader.packet_of(kind::UNSUBACK);
        reader.acknowledge(kind::PUBREC, two);
        reader.answered(kind::PUBREL, two);
        reader.vanish();

        let (mut reader, present) = Wire::resume(broker.address(), version, "finisher");
        assert!(present);
        let again = reader.packet_of(kind::PUBLISH);
        assert_eq!((again.id(), again.is_dup()), (one, true), "{again}");
        reader.answered(kind::PUBREL, two);
        reader.acknowledge(kind::PUBACK, one);
        reader.acknowledge(kind::PUBCOMP, two);
        writer.publish_acknowledged(&Publish::new("begun", "three", 2, 3));
        reader.subscribe(3, &[("after", 0)]);
        reader.send(&spelled(
            0x30,
            match version {
                Version::V5 => "$'after' [] 'end'",
                Version::V4 => "$'after' 'end'",
            },
        ));
        reader.receive("end");
    }
}
