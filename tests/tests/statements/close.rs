//! The end of a connection: who speaks last, and what is heard after it.

use tidewire_tests::broker::Broker;
use tidewire_tests::wire::{Publish, Version, Wire, kind, publish, subscribe};

#[test]
fn after_disconnect_nothing_is_heard() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut wire = Wire::clean(broker.address(), version, "leaver");
        let mut bytes = vec![0xe0, 0];
        bytes.extend(publish(version, &Publish::new("after/the-end", "no", 1, 1).retained()));
        bytes.extend(subscribe(version, 2, &[("after/#", 1)]));
        wire.send(&bytes);
        wire.expect_closed();
    }
    let mut reader = Wire::clean(broker.address(), Version::V4, "reader");
    reader.subscribe(1, &[("after/#", 1)]);
    reader.nothing_else_on("after/the-end");
}

#[test]
fn what_follows_a_fault_is_not_heard() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut wire = Wire::clean(broker.address(), version, "faulty");
        let mut bytes = vec![0, 0];
        bytes.extend(publish(version, &Publish::new("after/fault", "no", 1, 1).retained()));
        wire.send(&bytes);
        wire.ended_for(0x81);
    }
    let mut reader = Wire::clean(broker.address(), Version::V4, "reader");
    reader.subscribe(1, &[("after/#", 1)]);
    reader.nothing_else_on("after/fault");
}

#[test]
fn a_broker_that_stops_says_so_and_nothing_of_sessions() {
    let mut broker = Broker::start();
    let mut wires = Version::ALL.map(|version| {
        let (wire, _) = Wire::resume(broker.address(), version, &format!("{version:?}"));
        (version, wire)
    });
    broker.stop();
    for (version, wire) in &mut wires {
        if *version == Version::V5 {
            let last = wire.packet_of(kind::DISCONNECT);
            assert_eq!(last.reason(), 0x8b, "{last}");
            assert!(last.body().len() <= 2, "no properties: {last}");
        }
        wire.expect_closed();
    }
}

#[test]
fn a_ping_is_answered_at_any_time() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut wire = Wire::clean(broker.address(), version, "ping");
        wire.send(&[0xc0, 0].repeat(1_000));
        for _ in 0..1_000 {
            wire.hear(0xd0, "");
        }
    }
}
