//! CONNECT: every byte of flags, names and levels of protocols, fields that the flags do not
//! announce. The rules are those of the specification's section 3.1.

use super::case::Answer::{Answered, Connack};
use super::case::{Case, Dialect, Setup};
use super::packets::good;
use super::rule::{Fault, MALFORMED, Verdict};
use crate::wire::spelled;

const CLEAN: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

pub(super) fn cases(dialect: Dialect) -> Vec<Case> {
    let mut cases: Vec<Case> = (0..=255).map(|flags| with_flags(dialect, flags)).collect();
    cases.extend(fields_beside_flags(dialect));
    cases.extend(levels(dialect));
    cases.extend(names(dialect));
    cases.extend(client_ids(dialect));
    cases
}

/// The body up to the client id.
fn head(dialect: Dialect, flags: u8) -> String {
    let (protocol, nothing) = (dialect.protocol(), dialect.no_properties());
    format!("{protocol} {flags:02x} 00 3c {nothing}")
}

/// All fields that the flags announce.
fn fields(dialect: Dialect, flags: u8) -> String {
    let mut fields = String::new();
    if flags & WILL != 0 {
        fields += dialect.no_properties();
        fields += " $'w/flags' $'x'";
    }
    if flags & USER_NAME != 0 {
        fields += " $'user'";
    }
    if flags & PASSWORD != 0 {
        fields += " $'secret'";
    }
    fields
}

fn with_flags(dialect: Dialect, flags: u8) -> Case {
    let body = format!("{} $'flags-{flags}' {}", head(dialect, flags), fields(dialect, flags));
    let name = format!("CONNECT with flags {flags:08b}");
    verdict_on(dialect, flags).case(name, dialect, Setup::Fresh, spelled(0x10, &body))
}

fn verdict_on(dialect: Dialect, flags: u8) -> Verdict {
    let is_reserved = flags & 1 != 0;
    let has_will = flags & WILL != 0;
    // MQTT 3.1 says of these flags that they mean nothing without a will.
    let is_stray = !has_will && flags & (WILL_QOS | WILL_RETAIN) != 0 && dialect != Dialect::V31;
    let is_qos_3 = has_will && flags & WILL_QOS == WILL_QOS;
    // MQTT 5 allows a password alone.
    let is_nameless = flags & (USER_NAME | PASSWORD) == PASSWORD && dialect != Dialect::V5;
    match is_reserved || is_stray || is_qos_3 || is_nameless {
        true => MALFORMED,
        false => good(""),
    }
}

/// Flags that announce a field that is not there, and a field that no flag announces.
fn fields_beside_flags(dialect: Dialect) -> Vec<Case> {
    let mut cases = Vec::new();
    for announced in [0, WILL, USER_NAME, USER_NAME | PASSWORD, WILL | USER_NAME | PASSWORD] {
        for there in [0, WILL, USER_NAME, USER_NAME | PASSWORD, WILL | USER_NAME | PASSWORD] {
            // One field more or less can be read as another; a difference of length cannot.
            let is_part = announced & there == there || announced & there == announced;
            if announced == there || !is_part || reads_well(dialect, announced, there) {
                continue;
            }
            let (head, fields) = (head(dialect, announced | CLEAN), fields(dialect, there));
            let name = format!("CONNECT that announces {announced:08b} and has {there:08b}");
            let bytes = spelled(0x10, &format!("{head} $'' {fields}"));
            cases.push(MALFORMED.case(name, dialect, Setup::Fresh, bytes));
        }
    }
    cases
}

/// MQTT 3.1 lets user name and password be missing at the end, whatever the flags say; so two
/// fields there can be read as a will.
fn reads_well(dialect: Dialect, announced: u8, there: u8) -> bool {
    let is_same_will = announced & WILL == there & WILL && announced & there == there;
    let reads_as_will = announced & WILL != 0 && there == USER_NAME | PASSWORD;
    dialect == Dialect::V31 && (is_same_will || reads_as_will)
}

fn levels(dialect: Dialect) -> Vec<Case> {
    let (name, spoken): (&str, &[u8]) = match dialect {
        Dialect::V31 => ("MQIsdp", &[3]),
        Dialect::V311 => ("MQTT", &[4, 5]),
        Dialect::V5 => return Vec::new(),
    };
    let others = (0..=255).filter(|level| !spoken.contains(level));
    let case = |level| {
        let bytes = spelled(0x10, &format!("$'{name}' {level:02x} 02 00 3c $'level'"));
        let what = format!("{name} of level {level}");
        Verdict::Bad(Fault::Level(level)).case(what, dialect, Setup::Fresh, bytes)
    };
    others.map(case).collect()
}

fn names(dialect: Dialect) -> Vec<Case> {
    const NAMES: [&str; 12] = [
        "", "M", "MQT", "MQTTT", "mqtt", "Mqtt", "MQIsd", "MQIsdpp", "mqisdp", "HTTP/1.1", "AMQP",
        "TTQM",
    ];
    let level = match dialect {
        Dialect::V31 => 3,
        Dialect::V311 => 4,
        Dialect::V5 => 5,
    };
    let nothing = dialect.no_properties();
    let case = |name: &str| {
        let body = format!("$'{name}' {level:02x} 02 00 3c {nothing} $'name'");
        let what = format!("CONNECT of the protocol {name:?}");
        Verdict::Bad(Fault::Stranger).case(what, dialect, Setup::Fresh, spelled(0x10, &body))
    };
    NAMES.into_iter().map(case).collect()
}

/// How long a client id may be, and who must give one.
fn client_ids(dialect: Dialect) -> Vec<Case> {
    const LONGEST: usize = 1024;
    let refused = if dialect == Dialect::V5 { 0x85 } else { 0x02 };
    let case = |flags: u8, length: usize, answer| {
        let text = "i".repeat(length);
        let bytes = spelled(0x10, &format!("{} $'{text}'", head(dialect, flags)));
        let name = format!("CONNECT with flags {flags:08b}, client id of {length} bytes");
        Case { name, dialect, setup: Setup::Fresh, bytes, expected: vec![answer] }
    };
    let taken = || Answered(Vec::new());
    let mut cases = vec![
        case(CLEAN, 1, taken()),
        case(CLEAN, 23, taken()),
        case(CLEAN, 24, taken()),
        case(CLEAN, LONGEST, taken()),
        case(CLEAN, LONGEST + 1, Connack(refused)),
        case(CLEAN, 60_000, Connack(refused)),
    ];
    cases.push(match dialect {
        Dialect::V31 => case(CLEAN, 0, Connack(refused)),
        Dialect::V311 | Dialect::V5 => case(CLEAN, 0, taken()),
    });
    cases.push(match dialect {
        Dialect::V31 | Dialect::V311 => case(0, 0, Connack(refused)),
        Dialect::V5 => case(0, 0, taken()),
    });
    cases
}
