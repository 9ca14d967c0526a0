//! What a run begins with, besides its corpus: valid packets of every type, and conversations.

use crate::malformed::valid_packets;
use crate::wire::{Publish, Version, Will, connect, publish, spelled, subscribe, unsubscribe};

pub(super) fn all() -> Vec<Vec<u8>> {
    let mut seeds = valid_packets();
    for version in Version::ALL {
        seeds.extend(conversations(version));
    }
    seeds
}

/// A whole life of a client each, from CONNECT on.
fn conversations(version: Version) -> Vec<Vec<u8>> {
    let will = Will { topic: "f/w", payload: "w", qos: 1, retain: true };
    let hello = connect(version, "f", true, 60, Some(&will));
    let stays = connect(version, "fuzz-stays", false, 60, None);
    let sub = subscribe(version, 1, &[("f/+", 2), ("f/#", 1)]);
    let message = |qos, id| publish(version, &Publish::new("f/a", "m", qos, id));
    let kept = publish(version, &Publish::new("f/kept", "k", 1, 9).retained());
    let ack = |first: u8, id: u8| vec![first, 2, 0, id];
    let bye = spelled(0xe0, "");
    let special = [("$share/g/f/#", 1), ("$queue/f/+", 2), ("$s/earliest/f/#", 1), ("#", 0)];
    let delayed = publish(version, &Publish::new("$delayed/1/f/a", "d", 1, 7));
    vec![
        [hello.clone(), sub.clone(), message(0, 0), message(1, 2), message(2, 3)].concat(),
        [hello.clone(), message(2, 3), ack(0x62, 3), message(2, 3), bye.clone()].concat(),
        [stays.clone(), sub.clone(), message(2, 5), ack(0x50, 1), ack(0x70, 1)].concat(),
        [stays.clone(), kept, sub.clone(), unsubscribe(version, 4, &["f/+"])].concat(),
        [stays.clone(), ack(0x40, 1), ack(0x50, 2), ack(0x62, 3), ack(0x70, 4), bye].concat(),
        [stays, subscribe(version, 6, &special), delayed, message(2, 8)].concat(),
        [hello.clone(), subscribe(version, 6, &special), message(1, 2), ack(0x40, 1)].concat(),
        [hello, message(1, 1), message(1, 1), sub, vec![0xc0, 0]].concat(),
    ]
}
