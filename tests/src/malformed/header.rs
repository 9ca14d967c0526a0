//! The fixed header of every packet: flags that may not be set, lengths in more bytes than they
//! need, packets out of turn. Never looks into a body.

use super::case::{Case, Dialect, Setup};
use super::packet::Packet;
use super::packets::{all, of_servers};
use super::rule::{Fault, MALFORMED, Verdict};

/// One more than the broker's `packet_bytes_max`, less the header of four bytes.
const TOO_LONG: [u8; 3] = [0xfd, 0xff, 0x7f];

pub(super) fn cases(dialect: Dialect) -> Vec<Case> {
    let mut packets = all(dialect);
    packets.extend(of_servers(dialect));
    let mut cases = Vec::new();
    for packet in &packets {
        cases.extend(flags(packet));
        cases.extend(lengths(packet));
        cases.extend(out_of_turn(packet));
    }
    cases.extend(reserved_types(dialect));
    cases
}

fn with_first(packet: &Packet, first: u8) -> Vec<u8> {
    let mut bytes = packet.bytes();
    bytes.splice(..1, [first]);
    bytes
}

fn flags(packet: &Packet) -> Vec<Case> {
    let mut cases = Vec::new();
    for flags in 0..16 {
        let first = packet.first & 0xf0 | flags;
        if first == packet.first || is_allowed(packet, flags) {
            continue;
        }
        let what = format!("header flags {flags:04b}");
        cases.push(packet.with_bytes(&what, with_first(packet, first), &MALFORMED));
    }
    cases
}

/// PUBLISH uses its flags: only DUP at QoS 0 and QoS 3 may not be. MQTT 3.1 has DUP elsewhere.
fn is_allowed(packet: &Packet, flags: u8) -> bool {
    const DUP: u8 = 0b1000;
    match packet.first & 0xf0 {
        0x30 => flags & 0b0110 != 0b0110 && flags & 0b1110 != DUP,
        0x60 | 0x80 | 0xa0 => packet.dialect == Dialect::V31 && flags == 0b1010,
        _ => false,
    }
}

fn lengths(packet: &Packet) -> Vec<Case> {
    let bytes = packet.bytes();
    let (header, body) = bytes.split_at(2);
    let (first, low) = (header[0], header[1]);
    assert!(low < 0x80, "packets of the description are short");
    let with = |length: &[u8]| [&[first], length, body].concat();
    let too_large = Verdict::Bad(Fault::TooLarge);
    [
        ("its length in a byte too many", with(&[low | 0x80, 0]), &MALFORMED),
        ("its length in two bytes too many", with(&[low | 0x80, 0x80, 0]), &MALFORMED),
        ("its length in three bytes too many", with(&[low | 0x80, 0x80, 0x80, 0]), &MALFORMED),
        ("its length in five bytes", with(&[low | 0x80, 0x80, 0x80, 0x80, 1]), &MALFORMED),
        ("a length that goes on", with(&[0xff, 0xff, 0xff, 0xff]), &MALFORMED),
        ("the greatest length", vec![first, 0xff, 0xff, 0xff, 0x7f], &too_large),
        ("a byte more than is taken", [&[first], &TOO_LONG[..]].concat(), &too_large),
    ]
    .map(|(what, bytes, verdict)| packet.with_bytes(what, bytes, verdict))
    .to_vec()
}

/// CONNECT comes first and once; after DISCONNECT comes nothing; servers' packets never come.
fn out_of_turn(packet: &Packet) -> Vec<Case> {
    let dialect = packet.dialect;
    let case = |what: &str, setup, bytes, verdict: &Verdict| {
        verdict.case(format!("{}: {what}", packet.name), dialect, setup, bytes)
    };
    let after_the_end = [vec![0xe0, 0], packet.bytes()].concat();
    let mut cases = vec![case("after DISCONNECT", Setup::Connected, after_the_end, &Verdict::Ends)];
    let first = Verdict::Bad(Fault::Stranger);
    match packet.first {
        0x10 => {
            let again = Verdict::Bad(Fault::Protocol);
            cases.push(case("a second time", Setup::Connected, packet.bytes(), &again));
        }
        0x20 | 0x90 | 0xb0 | 0xd0 => {
            cases.push(case("sent to a server", Setup::Connected, packet.bytes(), &packet.good));
            cases.push(case("first", Setup::Fresh, packet.bytes(), &first));
        }
        _ => cases.push(case("first", Setup::Fresh, packet.bytes(), &first)),
    }
    cases
}

/// Type 0 is no packet, and before MQTT 5 neither is 15.
fn reserved_types(dialect: Dialect) -> Vec<Case> {
    let types = if dialect == Dialect::V5 { &[0][..] } else { &[0, 0xf0] };
    let mut cases = Vec::new();
    for (first, body) in types.iter().flat_map(|t| (0..16).map(move |flags| (t | flags, [0]))) {
        for setup in [Setup::Fresh, Setup::Connected] {
            let name = format!("first byte {first:02x}");
            cases.push(MALFORMED.case(name, dialect, setup, [&[first], &body[..]].concat()));
        }
    }
    cases
}
