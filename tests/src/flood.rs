//! Very many small messages, published as fast as the broker takes them, and read again: numbers
//! that count up in each topic. Speaks as little of MQTT as that takes.

use std::net::SocketAddr;
use std::ops::Range;

use crate::wire::{self, Publish, Version, Wire, kind};

/// Topics, of which each gets every so many-th message.
const TOPICS: usize = 10;
/// Messages that are on their way at a time.
const WINDOW: usize = 500;
/// How long a payload is.
const PAYLOAD_BYTES: usize = 100;

/// Publishes messages of these numbers at QoS 1 under `prefix/`; all are acknowledged when it
/// returns.
///
/// # Panics
/// When the broker does not acknowledge.
pub fn publish(broker: SocketAddr, prefix: &str, numbers: Range<usize>) {
    let mut wire = Wire::clean(broker, Version::V4, "flood");
    let mut sent = numbers.start;
    while sent < numbers.end {
        let now = WINDOW.min(numbers.end - sent);
        let mut packets = Vec::new();
        for at in 0..now {
            let number = sent + at;
            let (topic, payload) =
                (format!("{prefix}/{}", number % TOPICS), format!("{number:0PAYLOAD_BYTES$}"));
            let id = u16::try_from(at + 1).expect("less than a window");
            let message = Publish::new(&topic, &payload, 1, id);
            packets.extend_from_slice(&wire::publish(Version::V4, &message));
        }
        wire.send(&packets);
        (0..now).for_each(|_| drop(wire.packet_of(kind::PUBACK)));
        sent += now;
    }
    wire.disconnect();
}

/// Takes so many messages under `prefix/` from a reader that is subscribed to them at QoS 1, until
/// each has come once. Repeats and others are passed over; so is order, which a Mosquitto with a
/// long queue does not keep.
///
/// # Panics
/// When nothing comes any more.
pub fn take(reader: &mut Wire, prefix: &str, count: usize) {
    let (mut seen, mut left) = (vec![false; count], count);
    while left > 0 {
        let packet = reader.packet_of(kind::PUBLISH);
        if packet.qos() > 0 {
            reader.acknowledge(kind::PUBACK, packet.id());
        }
        if !packet.topic().starts_with(&format!("{prefix}/")) {
            continue;
        }
        let number: usize = packet.payload_text().parse().expect("a number");
        left -= usize::from(!std::mem::replace(&mut seen[number], true));
    }
}
