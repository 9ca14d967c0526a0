//! Is what was acknowledged still there after `kill -9`, and there once?

use tidewire_tests::broker::Broker;
use tidewire_tests::wire::{Publish, Version, Wire, kind, publish, subscribe, unsubscribe};

/// Leaves a session that waits for `kept/#` at this level.
fn leave_a_reader(broker: &Broker, version: Version, qos: u8) {
    let (mut reader, _) = Wire::resume(broker.address(), version, "reader");
    reader.subscribe(1, &[("kept/#", qos)]);
    reader.disconnect();
}

fn come_back(broker: &Broker, version: Version, client_id: &str) -> Wire {
    let (wire, present) = Wire::resume(broker.address(), version, client_id);
    assert!(present, "the session of {client_id} must survive");
    wire
}

/// The reader has `payload` waiting, exactly once, now and at its next visit.
fn reads_exactly_once(broker: &Broker, version: Version, payload: &str) {
    let mut reader = come_back(broker, version, "reader");
    let message = reader.receive(payload);
    assert!(!message.is_dup(), "it was never sent before: {message}");
    reader.nothing_else_on("kept/a");
    reader.disconnect();
    come_back(broker, version, "reader").nothing_else_on("kept/a");
}

#[test]
fn a_qos1_message_survives_a_kill_after_its_puback() {
    for version in Version::ALL {
        let mut broker = Broker::start();
        leave_a_reader(&broker, version, 1);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        writer.publish(&Publish::new("kept/a", "promised", 1, 1));
        writer.answered(kind::PUBACK, 1);
        broker.kill9();
        broker.restart();
        reads_exactly_once(&broker, version, "promised");
    }
}

#[test]
fn a_qos2_message_repeated_after_a_kill_is_stored_once() {
    for version in Version::ALL {
        let mut broker = Broker::start();
        leave_a_reader(&broker, version, 2);
        let (mut writer, _) = Wire::resume(broker.address(), version, "writer");
        let message = Publish::new("kept/a", "exactly", 2, 7);
        writer.publish(&message);
        writer.answered(kind::PUBREC, 7);
        broker.kill9();
        broker.restart();
        // As if PUBREC had been lost on its way.
        let mut writer = come_back(&broker, version, "writer");
        writer.publish(&message.again());
        writer.answered(kind::PUBREC, 7);
        writer.acknowledge(kind::PUBREL, 7);
        writer.answered(kind::PUBCOMP, 7);
        reads_exactly_once(&broker, version, "exactly");
    }
}

#[test]
fn a_qos2_exchange_goes_on_with_pubrel_after_a_kill() {
    for version in Version::ALL {
        let mut broker = Broker::start();
        leave_a_reader(&broker, version, 2);
        let (mut writer, _) = Wire::resume(broker.address(), version, "writer");
        writer.publish(&Publish::new("kept/a", "exactly", 2, 7));
        writer.answered(kind::PUBREC, 7);
        broker.kill9();
        broker.restart();
        let mut writer = come_back(&broker, version, "writer");
        writer.acknowledge(kind::PUBREL, 7);
        writer.answered(kind::PUBCOMP, 7);
        reads_exactly_once(&broker, version, "exactly");
    }
}

/// The id is free again once the exchange is complete, also across a kill.
#[test]
fn a_packet_id_used_again_after_its_pubcomp_is_a_new_message() {
    for version in Version::ALL {
        let mut broker = Broker::start();
        leave_a_reader(&broker, version, 2);
        let (mut writer, _) = Wire::resume(broker.address(), version, "writer");
        writer.publish_acknowledged(&Publish::new("kept/a", "first", 2, 7));
        broker.kill9();
        broker.restart();
        let mut writer = come_back(&broker, version, "writer");
        writer.publish_acknowledged(&Publish::new("kept/a", "second", 2, 7));
        let mut reader = come_back(&broker, version, "reader");
        reader.receive("first");
        reader.receive("second");
        reader.nothing_else_on("kept/a");
    }
}

#[test]
fn retained_messages_and_subscriptions_survive_a_kill() {
    for version in Version::ALL {
        let mut broker = Broker::start();
        let (mut reader, _) = Wire::resume(broker.address(), version, "reader");
        let mut writer = Wire::clean(broker.address(), version, "writer");
        for (topic, payload, id) in [("state/a", "on", 1), ("state/b", "x", 2), ("state/b", "", 3)]
        {
            writer.publish_acknowledged(&Publish::new(topic, payload, 1, id).retained());
        }
        // The last word before the kill: SUBACK of a session that stays is a promise too.
        reader.subscribe(1, &[("kept/#", 1)]);
        broker.kill9();
        broker.restart();
        let mut writer = Wire::clean(broker.address(), version, "writer");
        writer.publish_acknowledged(&Publish::new("kept/a", "found you", 1, 1));
        reads_exactly_once(&broker, version, "found you");
        let mut newcomer = Wire::clean(broker.address(), version, "newcomer");
        newcomer.subscribe(1, &[("state/#", 1)]);
        let greeting = newcomer.receive("on");
        assert!(greeting.is_retained() && greeting.topic() == "state/a", "{greeting}");
        newcomer.nothing_else_on("state/b");
    }
}

#[test]
fn an_unsubscribe_survives_a_kill() {
    for version in Version::ALL {
        let mut broker = Broker::start();
        let (mut reader, _) = Wire::resume(broker.address(), version, "reader");
        reader.subscribe(1, &[("kept/a", 1), ("kept/left", 1)]);
        reader.send(&unsubscribe(version, 2, &["kept/left"]));
        reader.packet_of(kind::UNSUBACK);
        broker.kill9();
        broker.restart();
        let mut writer = Wire::clean(broker.address(), version, "writer");
        writer.publish_acknowledged(&Publish::new("kept/left", "not for you", 1, 1));
        let mut reader = come_back(&broker, version, "reader");
        writer.publish_acknowledged(&Publish::new("kept/left", "not for you", 1, 2));
        reader.nothing_else_on("kept/a");
    }
}

/// Neither subscriptions nor packet ids of the old session may show in the next of its name.
#[test]
fn a_clean_start_ends_all_of_the_old_session() {
    for version in Version::ALL {
        let broker = Broker::start();
        let mut other = Wire::clean(broker.address(), version, "other");
        other.subscribe(1, &[("kept/#", 0)]);
        let (mut old, _) = Wire::resume(broker.address(), version, "again");
        old.subscribe(1, &[("kept/old", 1)]);
        old.publish(&Publish::new("kept/x", "old exchange", 2, 7));
        old.answered(kind::PUBREC, 7);
        other.receive("old exchange");
        old.vanish();
        Wire::clean(broker.address(), version, "again").disconnect();
        let (mut new, present) = Wire::resume(broker.address(), version, "again");
        assert!(!present, "{version:?}");
        new.subscribe(1, &[("kept/new", 1)]);
        new.disconnect();
        // What the rows say shows when they are read.
        let mut new = come_back(&broker, version, "again");
        new.publish(&Publish::new("kept/x", "new exchange", 2, 7));
        new.answered(kind::PUBREC, 7);
        other.receive("new exchange");
        let mut writer = Wire::clean(broker.address(), version, "writer");
        writer.publish_acknowledged(&Publish::new("kept/old", "not for you", 1, 1));
        new.nothing_else_on("kept/new");
    }
}

#[test]
fn an_unacknowledged_qos1_message_is_sent_again_with_dup() {
    for version in Version::ALL {
        let broker = Broker::start();
        let (mut reader, _) = Wire::resume(broker.address(), version, "reader");
        reader.subscribe(1, &[("kept/#", 1)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        writer.publish_acknowledged(&Publish::new("kept/a", "again", 1, 1));
        let first = reader.packet_of(kind::PUBLISH);
        assert!(!first.is_dup(), "{first}");
        reader.vanish();
        let mut reader = come_back(&broker, version, "reader");
        let second = reader.receive("again");
        assert!(second.is_dup() && second.id() == first.id(), "{first} then {second}");
        reader.nothing_else_on("kept/a");
        reader.disconnect();
        come_back(&broker, version, "reader").nothing_else_on("kept/a");
    }
}

#[test]
fn a_message_in_flight_keeps_its_packet_id_through_a_kill() {
    for version in Version::ALL {
        for qos in [1, 2] {
            let mut broker = Broker::start();
            let (mut reader, _) = Wire::resume(broker.address(), version, "reader");
            reader.subscribe(1, &[("kept/#", qos)]);
            let mut writer = Wire::clean(broker.address(), version, "writer");
            // One exchange before it, so that the id is not just the first of all.
            writer.publish_acknowledged(&Publish::new("kept/a", "done", qos, 1));
            reader.receive("done");
            reader.nothing_else_on("kept/a");
            // What it has acknowledged was heard, or that would be sent again as well.
            reader.nothing_more();
            writer.publish_acknowledged(&Publish::new("kept/a", "in flight", qos, 2));
            let first = reader.packet_of(kind::PUBLISH);
            broker.kill9();
            broker.restart();
            let mut reader = come_back(&broker, version, "reader");
            let second = reader.receive("in flight");
            assert_eq!(second.id(), first.id(), "another id would be another message");
            assert!(second.is_dup(), "it was sent before: {second}");
            reader.nothing_else_on("kept/a");
        }
    }
}

/// PUBREC is durable before PUBREL goes out, so the broker knows that the reader has it.
#[test]
fn after_pubrec_only_pubrel_is_sent_again() {
    for version in Version::ALL {
        for kill in [true, false] {
            let mut broker = Broker::start();
            let (mut reader, _) = Wire::resume(broker.address(), version, "reader");
            reader.subscribe(1, &[("kept/#", 2)]);
            let mut writer = Wire::clean(broker.address(), version, "writer");
            writer.publish_acknowledged(&Publish::new("kept/a", "held", 2, 1));
            let id = reader.packet_of(kind::PUBLISH).id();
            reader.acknowledge(kind::PUBREC, id);
            reader.answered(kind::PUBREL, id);
            if kill {
                broker.kill9();
                broker.restart();
            } else {
                reader.vanish();
            }
            let mut reader = come_back(&broker, version, "reader");
            reader.answered(kind::PUBREL, id);
            reader.acknowledge(kind::PUBCOMP, id);
            reader.nothing_else_on("kept/a");
            reader.disconnect();
            come_back(&broker, version, "reader").nothing_else_on("kept/a");
        }
    }
}

#[test]
fn what_was_acknowledged_under_load_is_all_there_after_a_kill() {
    const MESSAGES: u16 = 500;
    for version in Version::ALL {
        let mut broker = Broker::start();
        leave_a_reader(&broker, version, 1);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        for id in 1..=MESSAGES {
            writer.publish(&Publish::new("kept/many", &id.to_string(), 1, id));
        }
        let acknowledged = MESSAGES / 2;
        (1..=acknowledged).for_each(|id| writer.answered(kind::PUBACK, id));
        broker.kill9();
        broker.restart();
        let mut reader = come_back(&broker, version, "reader");
        (1..=acknowledged).for_each(|id| {
            reader.receive(&id.to_string());
        });
    }
}

#[test]
fn a_clean_stop_keeps_all_that_a_kill_keeps() {
    for version in Version::ALL {
        let mut broker = Broker::start();
        leave_a_reader(&broker, version, 1);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        writer.publish_acknowledged(&Publish::new("kept/a", "calm", 1, 1));
        broker.stop();
        broker.restart();
        reads_exactly_once(&broker, version, "calm");
    }
}

#[test]
fn many_restarts_lose_and_repeat_nothing() {
    let version = Version::V5;
    let mut broker = Broker::start();
    leave_a_reader(&broker, version, 2);
    for round in 1..=5 {
        let mut writer = Wire::clean(broker.address(), version, "writer");
        writer.publish_acknowledged(&Publish::new("kept/a", &format!("round {round}"), 2, round));
        broker.kill9();
        broker.restart();
    }
    let mut reader = come_back(&broker, version, "reader");
    for round in 1..=5 {
        reader.receive(&format!("round {round}"));
    }
    reader.nothing_else_on("kept/a");
}

/// What a client began and ended in one breath is not found again by its next session.
#[test]
fn a_session_ended_in_the_turn_that_filled_it_leaves_nothing() {
    let broker = Broker::start();
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    reader.subscribe(1, &[("kept/#", 2)]);
    let (mut client, _) = Wire::resume(broker.address(), Version::V5, "hasty");
    let mut packets = subscribe(Version::V5, 1, &[("never/again", 1)]);
    packets.extend(publish(Version::V5, &Publish::new("kept/a", "first", 2, 7)));
    // DISCONNECT with the session's expiry set to 0.
    packets.extend([0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0]);
    client.send(&packets);
    drop(client);
    reader.receive("first");
    let (client, present) = Wire::resume(broker.address(), Version::V5, "hasty");
    assert!(!present);
    client.disconnect();
    let mut client = come_back(&broker, Version::V5, "hasty");
    client.publish_acknowledged(&Publish::new("kept/a", "second", 2, 7));
    reader.receive("second");
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    writer.publish_acknowledged(&Publish::new("never/again", "x", 1, 1));
    client.nothing_more();
    client.subscribe(1, &[("kept/b", 1)]);
    client.nothing_else_on("kept/b");
}
