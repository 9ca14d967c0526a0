//! The codec as a target: whatever the bytes, no panic, nothing read beyond them, and what is
//! read can be written and reads the same again.

use tidewire_proto::mqtt::{
    DecodeError, Framing, Packet, Properties, Version, decode, encode, frame,
};

use super::outcome::{Outcome, mark};

/// What a broker takes by default.
const PACKET_BYTES_MAX: u32 = 1 << 20;

/// Reads the bytes as packets of each version.
///
/// # Panics
/// When the codec breaks a promise.
#[must_use]
pub fn target(input: &[u8]) -> Outcome {
    let mut outcome = Vec::new();
    for version in Version::ALL {
        let mut rest = input;
        while let Some(used) = first_packet(rest, version, &mut outcome) {
            rest = &rest[used..];
        }
    }
    outcome
}

/// How many bytes the first packet has; `None` when there is none to go on behind.
fn first_packet(bytes: &[u8], version: Version, outcome: &mut Outcome) -> Option<usize> {
    match frame(bytes, PACKET_BYTES_MAX) {
        Ok(Framing::Packet(found)) => {
            assert!(found.len <= bytes.len() && bytes[..found.len].ends_with(found.body));
            let decoded = decode(&found, version);
            outcome.push(met(version, found.first_byte, &decoded));
            if let Ok(packet) = &decoded {
                check_packet(packet, version, found.len, outcome);
            }
            check_beginnings(&bytes[..found.len]);
            Some(found.len)
        }
        Ok(Framing::NeedMore { at_least }) => {
            assert!(at_least > bytes.len(), "asks for what is there");
            None
        }
        Err(error) => {
            outcome.push(met(version, bytes[0], &Err(error)));
            None
        }
    }
}

/// A beginning of a packet is no packet.
fn check_beginnings(packet: &[u8]) {
    for end in [packet.len() - 1, packet.len() / 2] {
        let found = frame(&packet[..end], PACKET_BYTES_MAX);
        assert!(matches!(found, Ok(Framing::NeedMore { .. })), "{found:?}");
    }
}

fn check_packet(packet: &Packet<'_>, version: Version, size: usize, outcome: &mut Outcome) {
    let version = match packet {
        Packet::Connect(connect) => connect.version,
        _ => version,
    };
    let mut out = b"before".to_vec();
    encode(packet, version, &mut out).expect("what was decoded can be encoded");
    let written = &out[b"before".len()..];
    assert!(written.len() <= size, "nothing grows: {packet:?}");
    let Ok(Framing::Packet(again)) = frame(written, PACKET_BYTES_MAX) else {
        panic!("what we wrote is no packet: {packet:?}");
    };
    assert_eq!(decode(&again, version).as_ref(), Ok(packet));
    match packet {
        Packet::Publish(publish) => mark_properties(3, publish.properties, outcome),
        Packet::Connect(connect) => {
            mark_properties(1, connect.properties, outcome);
            if let Some(will) = &connect.will {
                mark_properties(0, will.properties, outcome);
            }
        }
        Packet::Subscribe(subscribe) => {
            mark_properties(8, subscribe.properties, outcome);
            outcome.push(mark(&("filters", subscribe.filters().count().min(4))));
        }
        Packet::Unsubscribe(unsubscribe) => {
            outcome.push(mark(&("ended", unsubscribe.filters().count().min(4))));
        }
        Packet::Disconnect(disconnect) => mark_properties(14, disconnect.properties, outcome),
        Packet::Auth(auth) => mark_properties(15, auth.properties, outcome),
        _ => (),
    }
}

/// Each property in each place, and how many there are.
fn mark_properties(place: u8, properties: Properties<'_>, outcome: &mut Outcome) {
    let mut count = 0;
    for (id, _) in properties.iter() {
        outcome.push(mark(&(place, id.bits())));
        count += 1;
    }
    outcome.push(mark(&(place, "properties", count.min(8))));
}

/// Which packet of which version, and what became of it.
fn met(version: Version, first: u8, decoded: &Result<Packet<'_>, DecodeError>) -> u64 {
    let end = match decoded {
        Ok(_) => "good".to_owned(),
        // Which rule, and of which property; the very numbers would only swell the corpus.
        Err(error) => format!("{:?}", error.kind()).replace(|c: char| c.is_ascii_digit(), ""),
    };
    mark(&(version, first >> 4, end))
}
