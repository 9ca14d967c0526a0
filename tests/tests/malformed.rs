//! Does the broker end what is malformed, say why where it can, and live on?

use std::fs;

use tidewire_tests::broker::Broker;
use tidewire_tests::malformed::Case;
use tidewire_tests::places;
use tidewire_tests::wire::{Publish, Version, Wire};

/// All cases of a file run on one broker; what differs is listed at once.
fn check(file: &str) {
    let path = places::source_root().join("tests/malformed").join(file);
    let text = fs::read_to_string(path).expect("the table is in the source tree");
    let cases = Case::read_table(&text).expect("the table is well written");
    assert!(cases.len() > 20, "a table that reads as empty proves nothing");
    let broker = Broker::start();
    let faults: Vec<String> =
        cases.iter().filter_map(|case| case.play(broker.address()).err()).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    still_serves(&broker);
}

/// The one behind the hostile client is served as if nothing had been.
fn still_serves(broker: &Broker) {
    let mut reader = Wire::clean(broker.address(), Version::V5, "still-reads");
    reader.subscribe(1, &[("still/#", 1)]);
    let mut writer = Wire::clean(broker.address(), Version::V4, "still-writes");
    writer.publish_acknowledged(&Publish::new("still/here", "yes", 1, 1));
    reader.receive("yes");
}

#[test]
fn a_malformed_connect_is_refused() {
    check("connect.txt");
}

#[test]
fn a_malformed_publish_or_acknowledgement_ends_the_connection() {
    check("publish.txt");
}

#[test]
fn any_other_malformed_packet_ends_the_connection() {
    check("rest.txt");
}

/// A packet must be the same whole and in pieces: no byte boundary is special.
#[test]
fn a_packet_cut_at_any_byte_is_put_together() {
    let broker = Broker::start();
    for version in Version::ALL {
        let message = Publish::new("cut/anywhere", "payload", 1, 9);
        let packet = tidewire_tests::wire::publish(version, &message);
        let mut wire = Wire::clean(broker.address(), version, "cut");
        for at in 1..packet.len() {
            let (head, tail) = packet.split_at(at);
            wire.send(head);
            wire.send(tail);
            wire.answered(tidewire_tests::wire::kind::PUBACK, 9);
        }
    }
}
