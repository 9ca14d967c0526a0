//! Bytes that may have few of their 256 values: reason codes and subscription options. Every
//! value is tried.

use super::case::{Case, Dialect, Setup};
use super::packets::good;
use super::rule::{Fault, MALFORMED, PROTOCOL, Verdict};
use super::texts::BAD_SHARES;
use crate::wire::spelled;

const OF_PUBLISH: &[u8] = &[0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const OF_PUBREL: &[u8] = &[0, 0x92];
const OF_DISCONNECT: &[u8] = &[
    0, 4, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95,
    0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
];

pub(super) fn cases(dialect: Dialect) -> Vec<Case> {
    let mut cases: Vec<Case> = (0..=255).map(|options| subscribe(dialect, options)).collect();
    if dialect == Dialect::V5 {
        cases.extend((0..=255).flat_map(reasons));
        cases.extend(BAD_SHARES.iter().flat_map(|filter| bad_share(filter)));
        cases.push(no_local_on_share());
    }
    cases
}

fn case(dialect: Dialect, name: String, bytes: Vec<u8>, verdict: &Verdict) -> Case {
    verdict.case(name, dialect, Setup::Connected, bytes)
}

/// One packet of each type that carries a reason.
fn reasons(code: u8) -> Vec<Case> {
    // Who refused a message expects nothing more of its exchange.
    let pubrel = if code < 0x80 { good("62 03 00 07 92") } else { good("") };
    [
        ("PUBACK", 0x40, "00 07", OF_PUBLISH, good("")),
        ("PUBREC", 0x50, "00 07", OF_PUBLISH, pubrel),
        ("PUBREL", 0x62, "00 07", OF_PUBREL, good("70 03 00 07 92")),
        ("PUBCOMP", 0x70, "00 07", OF_PUBREL, good("")),
        ("DISCONNECT", 0xe0, "", OF_DISCONNECT, Verdict::Ends),
    ]
    .map(|(name, first, before, listed, good)| {
        let verdict = if listed.contains(&code) { good } else { PROTOCOL };
        let bytes = spelled(first, &format!("{before} {code:02x}"));
        case(Dialect::V5, format!("{name} with reason {code:02x}"), bytes, &verdict)
    })
    .to_vec()
}

fn subscribe(dialect: Dialect, options: u8) -> Case {
    let nothing = dialect.no_properties();
    let bytes = spelled(0x82, &format!("00 07 {nothing} $'s/options' {options:02x}"));
    let name = format!("SUBSCRIBE with options {options:08b}");
    let (qos, retain_handling) = (options & 0b11, options >> 4 & 0b11);
    let verdict = match dialect {
        Dialect::V5 if options & 0b1100_0000 != 0 => MALFORMED,
        Dialect::V5 if qos == 3 || retain_handling == 3 => PROTOCOL,
        Dialect::V5 => good(&format!("90 04 00 07 00 {qos:02x}")),
        Dialect::V31 | Dialect::V311 if options > 2 => MALFORMED,
        Dialect::V31 | Dialect::V311 => good(&format!("90 03 00 07 {qos:02x}")),
    };
    case(dialect, name, bytes, &verdict)
}

fn bad_share(filter: &str) -> Vec<Case> {
    let verdict = Verdict::Bad(Fault::TopicFilter);
    [
        ("SUBSCRIBE", spelled(0x82, &format!("00 07 [] $'{filter}' 00"))),
        ("UNSUBSCRIBE", spelled(0xa2, &format!("00 07 [] $'{filter}'"))),
    ]
    .map(|(name, bytes)| case(Dialect::V5, format!("{name} of {filter}"), bytes, &verdict))
    .to_vec()
}

fn no_local_on_share() -> Case {
    let bytes = spelled(0x82, "00 07 [] $'$share/g/s' 04");
    case(Dialect::V5, "No Local on a shared subscription".to_owned(), bytes, &PROTOCOL)
}
