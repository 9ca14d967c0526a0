//! Is anything promised that the disk did not take? Each step here comes when no write succeeds
//! any more: a broker that speaks before the outcome of a commit is heard at once, where a kill
//! after its word would have to win a race.

use tidewire_tests::broker::Broker;
use tidewire_tests::wire::{
    Hello, LastWill, Publish, Version, Wire, connect, frame, kind, subscribe, unsubscribe,
};

/// Success at what needed the disk must not be heard: an error, or the end.
fn not_promised(wire: &mut Wire, promise: u8) {
    let Some(answer) = wire.packet_or_end() else { return };
    let is_refusal = answer.kind() == promise
        && answer.body().get(2).is_some_and(|reason| *reason >= 0x80)
        || answer.kind() == kind::DISCONNECT && answer.reason() >= 0x80;
    assert!(is_refusal, "the disk took nothing, the broker said {answer}");
}

#[test]
fn a_publisher_hears_no_success_that_is_not_on_disk() {
    for version in Version::ALL {
        for (qos, promise) in [(1, kind::PUBACK), (2, kind::PUBREC)] {
            let broker = Broker::start();
            let mut reader = Wire::clean(broker.address(), version, "reader");
            reader.subscribe(1, &[("#", 2)]);
            let (mut writer, _) = Wire::resume(broker.address(), version, "writer");
            broker.break_disk();
            writer.publish(&Publish::new("lost/a", "nowhere", qos, 1));
            not_promised(&mut writer, promise);
            reader.nothing_more();
        }
    }
}

#[test]
fn pubcomp_waits_for_the_end_of_its_exchange_on_disk() {
    for version in Version::ALL {
        let broker = Broker::start();
        let (mut writer, _) = Wire::resume(broker.address(), version, "writer");
        writer.publish(&Publish::new("kept/a", "held", 2, 7));
        writer.answered(kind::PUBREC, 7);
        broker.break_disk();
        writer.acknowledge(kind::PUBREL, 7);
        // A broker that cannot write says so and lets go, rather than leave the client waiting.
        not_promised(&mut writer, kind::PUBCOMP);
    }
}

#[test]
fn a_subscription_that_is_not_on_disk_is_not_confirmed() {
    for version in Version::ALL {
        let broker = Broker::start();
        let open = |name| {
            let (mut wire, _) = Wire::resume(broker.address(), version, name);
            wire.subscribe(1, &[("here/#", 1)]);
            wire
        };
        let (mut comes, mut goes) = (open("comes"), open("goes"));
        broker.break_disk();
        comes.send(&subscribe(version, 2, &[("there/#", 1)]));
        not_promised(&mut comes, kind::SUBACK);
        goes.send(&unsubscribe(version, 2, &["here/#"]));
        not_promised(&mut goes, kind::UNSUBACK);
    }
}

#[test]
fn a_session_that_is_not_on_disk_is_not_opened() {
    for version in Version::ALL {
        let broker = Broker::start();
        let mut wire = Wire::open(broker.address(), version);
        broker.break_disk();
        wire.send(&connect(version, "late", false, 60, None));
        let said = wire.packet_or_end();
        assert!(said.as_ref().is_none_or(|answer| answer.reason() != 0), "{said:?}");
    }
}

/// It would be lost with the next crash, and its client would not know.
#[test]
fn a_will_that_is_not_on_disk_is_not_taken() {
    let broker = Broker::start();
    let mut wire = Wire::open(broker.address(), Version::V5);
    broker.break_disk();
    let hello = Hello { will: Some(LastWill::new("lost/a", "gone")), ..Hello::new("late") };
    wire.send(&hello.bytes());
    let said = wire.packet_or_end();
    assert!(said.as_ref().is_none_or(|answer| answer.reason() != 0), "{said:?}");
}

#[test]
fn a_delayed_message_that_is_not_on_disk_is_not_acknowledged() {
    for version in Version::ALL {
        for (qos, promise) in [(1, kind::PUBACK), (2, kind::PUBREC)] {
            let broker = Broker::start();
            let mut writer = Wire::clean(broker.address(), version, "writer");
            broker.break_disk();
            writer.publish(&Publish::new("$delayed/9/lost/a", "nowhere", qos, 1));
            not_promised(&mut writer, promise);
        }
    }
}

/// Sent again after a crash with another packet id it would be another message.
#[test]
fn a_message_leaves_for_a_session_when_its_packet_id_is_on_disk() {
    let broker = Broker::start();
    let mut reader = Wire::open(broker.address(), Version::V5);
    // Receive Maximum 1: the second message waits for the end of the first.
    let hello = b"\x00\x04MQTT\x05\x00\x00\x3c\x08\x11\xff\xff\xff\xff\x21\x00\x01\x00\x01r";
    reader.send(&frame(0x10, hello));
    reader.connected();
    reader.subscribe(1, &[("kept/#", 1)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    writer.publish_acknowledged(&Publish::new("kept/a", "first", 1, 1));
    writer.publish_acknowledged(&Publish::new("kept/a", "second", 1, 2));
    let first = reader.packet_of(kind::PUBLISH);
    broker.break_disk();
    reader.acknowledge(kind::PUBACK, first.id());
    not_promised(&mut reader, kind::PUBLISH);
}

/// Once PUBREL is out the reader forgets the id: the broker must not send the message again.
#[test]
fn pubrel_leaves_for_a_session_when_its_step_is_on_disk() {
    for version in Version::ALL {
        let broker = Broker::start();
        let (mut reader, _) = Wire::resume(broker.address(), version, "reader");
        reader.subscribe(1, &[("kept/#", 2)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        writer.publish_acknowledged(&Publish::new("kept/a", "held", 2, 1));
        let id = reader.packet_of(kind::PUBLISH).id();
        broker.break_disk();
        reader.acknowledge(kind::PUBREC, id);
        not_promised(&mut reader, kind::PUBREL);
    }
}
