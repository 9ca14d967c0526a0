//! Does the broker end what is malformed, say why where it can, and live on?

use std::collections::HashSet;
use std::fs;

use tidewire_tests::broker::Broker;
use tidewire_tests::malformed::{Case, generated, read_table};
use tidewire_tests::places;
use tidewire_tests::wire::{Publish, Version, Wire};

/// All cases of a file run on one broker; what differs is listed at once.
fn check(file: &str) {
    let path = places::source_root().join("tests/malformed").join(file);
    let text = fs::read_to_string(path).expect("the table is in the source tree");
    let cases = read_table(&text).expect("the table is well written");
    assert!(cases.len() > 20, "a table that reads as empty proves nothing");
    play_all(&cases);
}

/// All on one broker, one after the other: many share a client id, and who connects under the id
/// of another in the middle of its case ends it.
fn play_all(cases: &[Case]) {
    let broker = Broker::start();
    let address = broker.address();
    // Some faults are enough: each may have waited for an answer in vain.
    let faults = cases.iter().filter_map(|case| case.play(address).err()).take(8);
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "{} faults or more:\n{}", faults.len(), faults.join("\n"));
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

/// Thousands: every packet, field and rule. The number is of use to those who compare.
#[test]
fn every_fault_of_every_field_is_answered_by_the_rules() {
    let cases = generated();
    let names: HashSet<_> = cases.iter().map(|case| format!("{case:?}")).collect();
    println!("malformed: {} cases, {} of them different", cases.len(), names.len());
    assert!(names.len() >= 2_500, "the description has lost its packets");
    play_all(&cases);
}
