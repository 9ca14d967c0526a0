//! The properties of MQTT 5 by the table of the specification's section 2.2.2.2: each in every
//! place, once and twice, cut anywhere, with every kind of value that it may not have.

use super::case::{Case, Dialect, Setup};
use super::packets::good;
use super::rule::{Fault, MALFORMED, PROTOCOL, Verdict};
use super::texts::{TextRule, counted, values};
use crate::hex;
use crate::wire::frame;

/// Where properties can stand in what a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Connect,
    Will,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Auth,
}

use Place::{Auth, Connect, Disconnect, Puback, Pubcomp, Publish, Pubrec, Pubrel, Subscribe, Will};

const PLACES: [Place; 11] = [
    Connect,
    Will,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Place::Unsubscribe,
    Disconnect,
    Auth,
];

/// What a value is on the wire, and which values are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// One byte, 0 or 1.
    Flag,
    /// So many bytes, any value.
    Number(usize),
    /// So many bytes, not all of them zero.
    NotZero(usize),
    Varint,
    Text(TextRule),
    Binary,
    Pair,
}

use Sort::{Binary, Flag, NotZero, Number, Pair, Text, Varint};

struct Property {
    number: u8,
    name: &'static str,
    sort: Sort,
    places: &'static [Place],
}

const fn row(number: u8, name: &'static str, sort: Sort, places: &'static [Place]) -> Property {
    Property { number, name, sort, places }
}

const MESSAGE: &[Place] = &[Publish, Will];
const ANSWERS: &[Place] = &[Puback, Pubrec, Pubrel, Pubcomp, Disconnect, Auth];
const PLAIN: Sort = Text(TextRule::Plain);

/// Those that stand only in packets of servers have no place here.
const TABLE: [Property; 27] = [
    row(0x01, "Payload Format Indicator", Flag, MESSAGE),
    row(0x02, "Message Expiry Interval", Number(4), MESSAGE),
    row(0x03, "Content Type", PLAIN, MESSAGE),
    row(0x08, "Response Topic", Text(TextRule::Topic), MESSAGE),
    row(0x09, "Correlation Data", Binary, MESSAGE),
    row(0x0b, "Subscription Identifier", Varint, &[Publish, Subscribe]),
    row(0x11, "Session Expiry Interval", Number(4), &[Connect, Disconnect]),
    row(0x12, "Assigned Client Identifier", PLAIN, &[]),
    row(0x13, "Server Keep Alive", Number(2), &[]),
    row(0x15, "Authentication Method", PLAIN, &[Connect, Auth]),
    row(0x16, "Authentication Data", Binary, &[Connect, Auth]),
    row(0x17, "Request Problem Information", Flag, &[Connect]),
    row(0x18, "Will Delay Interval", Number(4), &[Will]),
    row(0x19, "Request Response Information", Flag, &[Connect]),
    row(0x1a, "Response Information", PLAIN, &[]),
    row(0x1c, "Server Reference", PLAIN, &[Disconnect]),
    row(0x1f, "Reason String", PLAIN, ANSWERS),
    row(0x21, "Receive Maximum", NotZero(2), &[Connect]),
    row(0x22, "Topic Alias Maximum", Number(2), &[Connect]),
    row(0x23, "Topic Alias", NotZero(2), &[Publish]),
    row(0x24, "Maximum QoS", Flag, &[]),
    row(0x25, "Retain Available", Flag, &[]),
    row(0x26, "User Property", Pair, &PLACES),
    row(0x27, "Maximum Packet Size", NotZero(4), &[Connect]),
    row(0x28, "Wildcard Subscription Available", Flag, &[]),
    row(0x29, "Subscription Identifiers Available", Flag, &[]),
    row(0x2a, "Shared Subscription Available", Flag, &[]),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for place in PLACES {
        for property in &TABLE {
            match property.places.contains(&place) {
                true => cases.extend(of_property(place, property)),
                false => {
                    let what = format!("{} does not belong there", property.name);
                    cases.push(case(place, &what, &property.typical(), &MALFORMED));
                }
            }
        }
        cases.extend(unknown(place));
    }
    cases
}

impl Property {
    /// A good value behind its number.
    fn typical(&self) -> Vec<u8> {
        let value = match self.sort {
            Flag => vec![1],
            Number(size) => vec![0; size],
            // Large enough for the answers of the cases, and an alias that is announced.
            NotZero(2) => vec![0, 1],
            NotZero(size) => vec![1; size],
            Varint => vec![0x81, 0x01],
            Text(_) => counted(b"text"),
            Binary => counted(&[0, 0xff]),
            Pair => [counted(b"name"), counted(b"value")].concat(),
        };
        self.with(&value)
    }

    fn with(&self, value: &[u8]) -> Vec<u8> {
        [&[self.number], value].concat()
    }

    /// What a good value in a good place leads to.
    fn verdict(&self, place: Place) -> Option<Verdict> {
        match (self.number, place) {
            // What a method leads to is asked where methods are tested.
            (0x15, Connect) => None,
            (0x16, Connect) => Some(PROTOCOL),
            // Only a server may send it in a PUBLISH.
            (0x0b, Publish) => Some(PROTOCOL),
            _ => Some(place.good()),
        }
    }

    /// Values that are wrong, or that look so.
    fn values(&self, place: Place, good: &Verdict) -> Vec<(String, Vec<u8>, Verdict)> {
        let named = |text: &str, value: &[u8], verdict: &Verdict| {
            (text.to_owned(), value.to_vec(), verdict.clone())
        };
        match self.sort {
            Flag => vec![
                named("0", &[0], good),
                named("1", &[1], good),
                named("2", &[2], &PROTOCOL),
                named("255", &[255], &PROTOCOL),
            ],
            Number(size) => {
                // A session that was to end with its connection cannot be made to last.
                let is_raised = self.number == 0x11 && place == Disconnect;
                let greatest = if is_raised { PROTOCOL } else { good.clone() };
                vec![
                    named("0", &vec![0; size], good),
                    named("the greatest", &vec![0xff; size], &greatest),
                ]
            }
            NotZero(size) => {
                let alias = Verdict::Bad(Fault::TopicAlias);
                let is_alias = self.number == 0x23;
                let zero = if is_alias { &alias } else { &PROTOCOL };
                let greatest = if is_alias { &alias } else { good };
                vec![
                    named("0", &vec![0; size], zero),
                    named("the greatest", &vec![0xff; size], greatest),
                ]
            }
            Varint => vec![
                named("0", &[0], &PROTOCOL),
                named("1", &[1], good),
                named("the greatest", &[0xff, 0xff, 0xff, 0x7f], good),
                named("1 in two bytes", &[0x81, 0], &MALFORMED),
                named("1 in four bytes", &[0x81, 0x80, 0x80, 0], &MALFORMED),
                named("five bytes", &[0xff, 0xff, 0xff, 0xff, 0x01], &MALFORMED),
            ],
            Text(rule) => of_text(rule, good),
            Binary => vec![
                named("nothing", &[0, 0], good),
                named("any bytes", &[0, 3, 0, 0xc0, 0x80], good),
            ],
            Pair => of_pair(good),
        }
    }
}

fn of_text(rule: TextRule, good: &Verdict) -> Vec<(String, Vec<u8>, Verdict)> {
    let with_length =
        |(what, text, verdict): (String, Vec<u8>, Verdict)| (what, counted(&text), verdict);
    values(rule, good).into_iter().map(with_length).collect()
}

/// Both halves are texts.
fn of_pair(good: &Verdict) -> Vec<(String, Vec<u8>, Verdict)> {
    let mut pairs = Vec::new();
    for (what, text, verdict) in values(TextRule::Plain, good) {
        let name = [counted(&text), counted(b"value")].concat();
        pairs.push((format!("{what} in the name"), name, verdict.clone()));
        let value = [counted(b"name"), counted(&text)].concat();
        pairs.push((format!("{what} in the value"), value, verdict));
    }
    pairs.push(("nothing in both".to_owned(), vec![0; 4], good.clone()));
    pairs
}

fn of_property(place: Place, property: &Property) -> Vec<Case> {
    let name = property.name;
    let one = property.typical();
    let mut cases = Vec::new();
    for cut in 1..one.len() {
        let what = format!("{name} ends after {cut} bytes");
        cases.push(case(place, &what, &one[..cut], &MALFORMED));
    }
    let Some(good) = property.verdict(place) else { return cases };
    let twice = if property.sort == Pair { &good } else { &PROTOCOL };
    cases.push(case(place, &format!("{name} once"), &one, &good));
    cases.push(case(place, &format!("{name} twice"), &one.repeat(2), twice));
    for (what, value, verdict) in property.values(place, &good) {
        // Where a good value is refused, what is no value may still be told apart from it.
        let what = format!("{name}: {what}");
        cases.push(case(place, &what, &property.with(&value), &verdict));
    }
    cases
}

/// Numbers that name no property, in one byte or more.
fn unknown(place: Place) -> Vec<Case> {
    let known = |number: &u8| TABLE.iter().any(|property| property.number == *number);
    let short = (0..0x80).filter(|number| !known(number)).map(|number| vec![number, 0]);
    let long = ["80 01 00", "ff 7f 00", "ff ff ff 7f 00", "a6 00 00 00 00 00", "80 80 80 80 01"];
    let long = long.map(|number| hex::parse(number).expect("our own hex"));
    let case = |bytes: Vec<u8>| {
        let what = format!("unknown property {}", hex::show(&bytes));
        case(place, &what, &bytes, &MALFORMED)
    };
    short.chain(long).map(case).collect()
}

fn case(place: Place, what: &str, properties: &[u8], verdict: &Verdict) -> Case {
    let (first, before, behind) = place.around();
    let parse = |text| hex::parse(text).expect("our own hex");
    let length = hex::varint(properties.len());
    let body = [parse(before), length, properties.to_vec(), parse(behind)].concat();
    let setup = match place {
        Connect | Will => Setup::Fresh,
        _ => Setup::Connected,
    };
    verdict.case(format!("{place:?}: {what}"), Dialect::V5, setup, frame(first, &body))
}

impl Place {
    /// First byte, and what stands before and behind the properties.
    const fn around(self) -> (u8, &'static str, &'static str) {
        match self {
            Connect => (0x10, "$'MQTT' 05 02 00 3c", "$''"),
            Will => (0x10, "$'MQTT' 05 06 00 3c [] $''", "$'w/x' $'y'"),
            Publish => (0x30, "$'t/1'", "'x'"),
            Puback => (0x40, "00 07 00", ""),
            Pubrec => (0x50, "00 07 00", ""),
            Pubrel => (0x62, "00 07 00", ""),
            Pubcomp => (0x70, "00 07 00", ""),
            Subscribe => (0x82, "00 07", "$'s/1' 00"),
            Self::Unsubscribe => (0xa2, "00 07", "$'s/1'"),
            Disconnect => (0xe0, "00", ""),
            Auth => (0xf0, "18", ""),
        }
    }

    /// What the packet around good properties leads to.
    fn good(self) -> Verdict {
        match self {
            Connect | Will | Publish | Puback | Pubcomp => good(""),
            Pubrec => good("62 03 00 07 92"),
            Pubrel => good("70 03 00 07 92"),
            Subscribe => good("90 04 00 07 00 00"),
            Self::Unsubscribe => good("b0 04 00 07 00 11"),
            Disconnect => Verdict::Ends,
            // Nobody began an authentication.
            Auth => PROTOCOL,
        }
    }
}
