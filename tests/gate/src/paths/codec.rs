//! Bytes of a socket to packets.

use std::hint::black_box;

use tidewire_proto::mqtt::{Framing, Packet, Properties, Version, decode, frame};
use tidewire_proto::qos::Qos;
use tidewire_proto::websocket::{Decoder, put_masked_frame};

use crate::round::Round;
use crate::samples::{PACKET_BYTES_MAX, properties, publishes};

const COUNT: u16 = 1000;

/// What a device sends most.
pub(crate) fn plain() -> Round {
    let bytes = publishes(COUNT, Qos::AtLeastOnce, Version::V311, Properties::EMPTY);
    Box::new(move || read_all(&bytes, Version::V311, false))
}

pub(crate) fn with_properties() -> Round {
    let properties = properties();
    let bytes = publishes(COUNT, Qos::AtLeastOnce, Version::V5, properties.as_properties());
    Box::new(move || read_all(&bytes, Version::V5, false))
}

/// Copies each topic: the kind of thing that slips in.
pub(crate) fn wasteful() -> Round {
    let bytes = publishes(COUNT, Qos::AtLeastOnce, Version::V311, Properties::EMPTY);
    Box::new(move || read_all(&bytes, Version::V311, true))
}

/// Each packet in a frame of its own, as browsers send them.
pub(crate) fn masked() -> Round {
    let bytes = publishes(COUNT, Qos::AtLeastOnce, Version::V311, Properties::EMPTY);
    let (mut frames, mut at) = (Vec::new(), 0);
    while let Ok(Framing::Packet(found)) = frame(&bytes[at..], PACKET_BYTES_MAX) {
        put_masked_frame(&bytes[at..][..found.len], [1, 2, 3, 4], &mut frames);
        at += found.len;
    }
    let (mut decoder, mut scratch, mut out) = (Decoder::default(), Vec::new(), Vec::new());
    Box::new(move || {
        scratch.clear();
        scratch.extend_from_slice(&frames);
        let taken = decoder.take(&mut scratch, &mut out).expect("good frames");
        assert_eq!(taken, bytes.len(), "all that was sent");
    })
}

fn read_all(bytes: &[u8], version: Version, is_wasteful: bool) {
    let (mut at, mut count) = (0, 0);
    while let Ok(Framing::Packet(found)) = frame(&bytes[at..], PACKET_BYTES_MAX) {
        at += found.len;
        let Ok(Packet::Publish(publish)) = decode(&found, version) else { break };
        if is_wasteful {
            black_box(publish.topic.to_owned());
        }
        black_box(&publish);
        count += 1;
    }
    assert_eq!((at, count), (bytes.len(), COUNT), "all of it was read");
}
