//! Whatever bytes come, the codec neither panics nor claims more than it was given; and what it
//! writes it reads back as it was.

#[path = "codec_parts/packets.rs"]
mod packets;

use packets::{Parts, parts};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any};
use proptest::proptest;
use proptest::sample::{Index, select};
use tidewire_proto::mqtt::{
    DecodeError, Frame, Framing, Packet, PacketKind, Properties, Version, decode, encode, frame,
};

const PACKET_BYTES_MAX: u32 = 1 << 20;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn encoded(parts: &Parts) -> Vec<u8> {
    let mut out = Vec::new();
    parts.with_packet(|packet| {
        encode(packet, parts.version, &mut out).unwrap_or_else(|error| {
            panic!("{error}: {packet:?}");
        });
    });
    out
}

fn whole(bytes: &[u8]) -> Option<Frame<'_>> {
    match frame(bytes, PACKET_BYTES_MAX) {
        Ok(Framing::Packet(frame)) => Some(frame),
        _ => None,
    }
}

/// Frames and decodes; checks what holds of any bytes.
fn probe(bytes: &[u8], version: Version) -> Option<Result<Packet<'_>, DecodeError>> {
    match frame(bytes, PACKET_BYTES_MAX) {
        Ok(Framing::Packet(frame)) => {
            assert!(frame.len <= bytes.len());
            assert!(bytes[..frame.len].ends_with(frame.body));
            let decoded = decode(&frame, version);
            if let Ok(packet) = &decoded {
                check_again(packet, version);
            }
            Some(decoded)
        }
        Ok(Framing::NeedMore { at_least }) => {
            assert!(at_least > bytes.len());
            None
        }
        Err(error) => Some(Err(error)),
    }
}

/// What was taken can be written, and reads back the same: so every part of it was checked.
fn check_again(packet: &Packet<'_>, version: Version) {
    let version = match packet {
        Packet::Connect(connect) => connect.version,
        _ => version,
    };
    let mut out = Vec::new();
    encode(packet, version, &mut out).expect("what was decoded can be encoded");
    let frame = whole(&out).expect("a whole packet");
    assert_eq!(frame.len, out.len());
    assert_eq!(decode(&frame, version).as_ref(), Ok(packet));
    walk(packet);
}

/// Reads everything that is read lazily, and finds nothing missing.
fn walk(packet: &Packet<'_>) {
    match packet {
        Packet::Subscribe(subscribe) => assert!(subscribe.filters().count() > 0),
        Packet::Unsubscribe(unsubscribe) => assert!(unsubscribe.filters().count() > 0),
        Packet::Publish(publish) => walk_properties(publish.properties),
        Packet::Connect(connect) => {
            walk_properties(connect.properties);
            connect.will.iter().for_each(|will| walk_properties(will.properties));
        }
        _ => {}
    }
}

fn walk_properties(properties: Properties<'_>) {
    let users = properties.iter().filter(|(id, _)| id.bits() == 38).count();
    assert_eq!(properties.user_properties().count(), users);
    assert_eq!(properties.iter().count() == 0, properties.is_empty());
}

/// A change to bytes: set, cut out, put in.
fn mutations() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    vec((any::<Index>(), 0..4_u8, any::<u8>()), 1..5)
}

fn mutate(bytes: &mut Vec<u8>, changes: &[(Index, u8, u8)]) {
    for (index, change, value) in changes {
        let at = index.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
        match change {
            _ if bytes.is_empty() => bytes.push(*value),
            0 => bytes[at] = *value,
            1 => bytes[at] ^= 1 << (value % 8),
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, *value),
        }
    }
}

/// The same bytes with a remaining length that is right again.
fn reframed(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first_byte];
    let mut rest = body.len();
    loop {
        let low = u8::try_from(rest % 128).expect("7 bits");
        rest /= 128;
        out.push(if rest == 0 { low } else { low | 0x80 });
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

proptest! {
    #![proptest_config(config(10_000))]

    #[test]
    fn what_is_written_is_read_back(parts in parts()) {
        let bytes = encoded(&parts);
        let frame = whole(&bytes).expect("a whole packet");
        assert_eq!(frame.len, bytes.len());
        parts.with_packet(|packet| {
            assert_eq!(decode(&frame, parts.version).as_ref(), Ok(packet));
        });
    }

    #[test]
    fn mutated_packets_are_taken_whole_or_refused(
        parts in parts(),
        changes in mutations(),
        version in select(&Version::ALL[..]),
    ) {
        let mut bytes = encoded(&parts);
        mutate(&mut bytes, &changes);
        probe(&bytes, parts.version);
        probe(&bytes, version);
    }

    #[test]
    fn mutated_bodies_are_taken_whole_or_refused(
        parts in parts(),
        changes in mutations(),
        version in select(&Version::ALL[..]),
    ) {
        let bytes = encoded(&parts);
        let frame = whole(&bytes).expect("a whole packet");
        let mut body = frame.body.to_vec();
        mutate(&mut body, &changes);
        let bytes = reframed(frame.first_byte, &body);
        probe(&bytes, parts.version);
        probe(&bytes, version);
    }

    #[test]
    fn random_bytes_are_taken_whole_or_refused(
        first_byte in any::<u8>(),
        body in vec(any::<u8>(), 0..40),
        version in select(&Version::ALL[..]),
    ) {
        probe(&reframed(first_byte, &body), version);
        probe(&body, version);
    }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn a_packet_cut_anywhere_needs_more(parts in parts()) {
        let bytes = encoded(&parts);
        for end in 0..bytes.len() {
            match frame(&bytes[..end], PACKET_BYTES_MAX) {
                Ok(Framing::NeedMore { at_least }) => {
                    assert!(end < at_least && at_least <= bytes.len().max(2));
                }
                other => panic!("{end} of {} bytes: {other:?}", bytes.len()),
            }
        }
    }

    /// A header that promises less cannot make fields appear that are not there.
    #[test]
    fn a_body_cut_anywhere_is_refused_or_a_shorter_packet(parts in parts()) {
        let bytes = encoded(&parts);
        let frame = whole(&bytes).expect("a whole packet");
        for end in 0..frame.body.len() {
            let cut = reframed(frame.first_byte, &frame.body[..end]);
            let is_taken = matches!(probe(&cut, parts.version), Some(Ok(_)));
            assert!(!is_taken || may_be_shorter(&parts), "{end}: {cut:02x?}");
        }
    }
}

/// Packets whose end is optional or a list.
fn may_be_shorter(parts: &Parts) -> bool {
    match parts.kind {
        PacketKind::Connect => parts.version == Version::V31,
        PacketKind::ConnAck | PacketKind::PingReq | PacketKind::PingResp => false,
        _ => true,
    }
}
