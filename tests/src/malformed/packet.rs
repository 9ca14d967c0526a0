//! A valid packet as a row of fields, and the faults that follow from what each field is: cut
//! anywhere, too long, too short, a zero, a text that is none. Knows no packet by name.

use super::case::{Case, Dialect, Setup};
use super::rule::{MALFORMED, PROTOCOL, Verdict};
use super::texts::{TextRule, counted, values};
use crate::hex;
use crate::wire::frame;

/// The packet id that every packet here has, if any.
pub(super) const ID: [u8; 2] = [0, 7];

/// A valid packet, and what is answered to it.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) name: String,
    pub(super) dialect: Dialect,
    pub(super) setup: Setup,
    pub(super) first: u8,
    pub(super) fields: Vec<Field>,
    pub(super) good: Verdict,
}

/// A part of its body.
#[derive(Clone, Debug)]
pub(super) struct Field {
    name: &'static str,
    sort: Sort,
    bytes: Vec<u8>,
    /// When the packet ends before it.
    missing: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Id,
    /// Any value is as good as any other.
    Number,
    /// Not looked at here; it has rules of its own.
    Fixed,
    Text(TextRule),
    Binary,
    Properties,
    /// All that is left.
    Rest,
}

impl Field {
    fn new(name: &'static str, sort: Sort, bytes: &str) -> Self {
        let bytes = hex::parse(bytes).expect("our own hex");
        Self { name, sort, bytes, missing: MALFORMED }
    }

    pub(super) fn id() -> Self {
        Self { bytes: ID.to_vec(), ..Self::new("packet id", Sort::Id, "") }
    }

    pub(super) fn number(name: &'static str, bytes: &str) -> Self {
        Self::new(name, Sort::Number, bytes)
    }

    pub(super) fn fixed(name: &'static str, bytes: &str) -> Self {
        Self::new(name, Sort::Fixed, bytes)
    }

    pub(super) fn text(name: &'static str, rule: TextRule, text: &str) -> Self {
        Self { bytes: counted(text.as_bytes()), ..Self::new(name, Sort::Text(rule), "") }
    }

    pub(super) fn binary(name: &'static str, bytes: &str) -> Self {
        Self::new(name, Sort::Binary, bytes)
    }

    pub(super) fn properties(name: &'static str, bytes: &str) -> Self {
        Self::new(name, Sort::Properties, bytes)
    }

    pub(super) fn rest(bytes: &str) -> Self {
        Self::new("payload", Sort::Rest, bytes)
    }

    /// The packet may end before it, or that means something of its own.
    pub(super) fn or_missing(self, verdict: Verdict) -> Self {
        Self { missing: verdict, ..self }
    }
}

impl Packet {
    fn body(&self) -> Vec<u8> {
        self.fields.iter().flat_map(|field| field.bytes.iter().copied()).collect()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        frame(self.first, &self.body())
    }

    /// A case of this packet: `what` is wrong in `bytes`.
    pub(super) fn with_bytes(&self, what: &str, bytes: Vec<u8>, verdict: &Verdict) -> Case {
        verdict.case(format!("{}: {what}", self.name), self.dialect, self.setup, bytes)
    }

    fn with_body(&self, what: &str, body: &[u8], verdict: &Verdict) -> Case {
        self.with_bytes(what, frame(self.first, body), verdict)
    }

    /// The body with other bytes for one field.
    fn body_with(&self, at: usize, bytes: &[u8]) -> Vec<u8> {
        let part = |(index, field): (usize, &Field)| {
            if index == at { bytes.to_vec() } else { field.bytes.clone() }
        };
        self.fields.iter().enumerate().flat_map(part).collect()
    }

    /// All that its fields say.
    pub(super) fn cases(&self) -> Vec<Case> {
        let mut cases = vec![self.with_body("nothing wrong", &self.body(), &self.good)];
        cases.extend(self.cuts());
        if self.fields.last().is_none_or(|field| field.sort != Sort::Rest) {
            let longer = [self.body(), vec![0]].concat();
            cases.push(self.with_body("a byte behind the last field", &longer, &MALFORMED));
            let longer = [self.body(), vec![0xff; 200]].concat();
            cases.push(self.with_body("200 bytes behind the last field", &longer, &MALFORMED));
        }
        for (at, field) in self.fields.iter().enumerate() {
            cases.extend(self.of_field(at, field));
        }
        cases
    }

    /// The remaining length is right each time: it is the fields that are cut.
    fn cuts(&self) -> Vec<Case> {
        let body = self.body();
        let mut cases = Vec::new();
        let mut start = 0;
        for field in &self.fields {
            for cut in 0..field.bytes.len() {
                let (what, verdict) = match (cut, field.sort) {
                    (0, _) => (format!("ends before the {}", field.name), &field.missing),
                    (_, Sort::Rest) => (format!("{cut} bytes of payload"), &self.good),
                    _ => (format!("ends at byte {cut} of the {}", field.name), &MALFORMED),
                };
                let body = body.get(..start + cut).expect("within the body");
                cases.push(self.with_body(&what, body, verdict));
            }
            start += field.bytes.len();
        }
        cases
    }

    fn of_field(&self, at: usize, field: &Field) -> Vec<Case> {
        match field.sort {
            Sort::Id => self.ids(at),
            Sort::Number => self.numbers(at, field),
            Sort::Text(rule) => {
                let mut cases = self.lengths(at, field);
                for (what, text, verdict) in values(rule, &self.good) {
                    let body = self.body_with(at, &counted(&text));
                    cases.push(self.with_body(&format!("{}: {what}", field.name), &body, &verdict));
                }
                cases
            }
            Sort::Binary => {
                let mut cases = self.lengths(at, field);
                for (what, bytes) in [("nothing", &[][..]), ("any bytes", &[0, 0xff, 0xc0, 0x80])] {
                    let what = format!("{}: {what}", field.name);
                    let body = self.body_with(at, &counted(bytes));
                    cases.push(self.with_body(&what, &body, &self.good));
                }
                cases
            }
            Sort::Properties => self.property_lengths(at, field),
            Sort::Fixed | Sort::Rest => Vec::new(),
        }
    }

    fn ids(&self, at: usize) -> Vec<Case> {
        let zero = self.with_body("packet id 0", &self.body_with(at, &[0, 0]), &PROTOCOL);
        let good = match &self.good {
            // Every answer here has the packet id behind its two-byte header.
            Verdict::Good(reply) if !reply.is_empty() => {
                let mut reply = reply.clone();
                reply.splice(2..4, [0xff, 0xff]);
                Verdict::Good(reply)
            }
            other => other.clone(),
        };
        let last = self.body_with(at, &[0xff, 0xff]);
        vec![zero, self.with_body("packet id 65535", &last, &good)]
    }

    fn numbers(&self, at: usize, field: &Field) -> Vec<Case> {
        let value = |byte: u8| {
            let body = self.body_with(at, &vec![byte; field.bytes.len()]);
            self.with_body(&format!("{}: bytes of {byte:02x}", field.name), &body, &self.good)
        };
        vec![value(0), value(0xff), value(0x80)]
    }

    /// A two-byte length that says more than there is.
    fn lengths(&self, at: usize, field: &Field) -> Vec<Case> {
        let (_, behind) = self.around(at);
        let content = field.bytes.get(2..).unwrap_or_default();
        let one_too_many = u16::try_from(content.len() + behind + 1).expect("short packets");
        let mut cases = Vec::new();
        for (what, length) in [
            ("runs one byte past the packet", one_too_many),
            ("runs 256 bytes past the packet", one_too_many + 255),
            ("has the greatest length", 0xffff),
        ] {
            let bytes = [&length.to_be_bytes()[..], content].concat();
            let body = self.body_with(at, &bytes);
            cases.push(self.with_body(&format!("{} {what}", field.name), &body, &MALFORMED));
        }
        cases
    }

    /// How many bytes stand before and behind a field.
    fn around(&self, at: usize) -> (usize, usize) {
        let count = |fields: &[Field]| fields.iter().map(|field| field.bytes.len()).sum();
        let (before, behind) = self.fields.split_at(at);
        (count(before), count(behind.get(1..).unwrap_or_default()))
    }

    fn property_lengths(&self, at: usize, field: &Field) -> Vec<Case> {
        let (_, behind) = self.around(at);
        let content = field.bytes.get(1..).unwrap_or_default();
        let length = content.len();
        let low = u8::try_from(length).expect("short properties");
        let past = u8::try_from(length + behind + 1).expect("short packets");
        let mut cases = Vec::new();
        for (what, bytes) in [
            ("run one byte past the packet", vec![past]),
            ("run far past the packet", vec![0xff, 0x7f]),
            ("have the greatest length", vec![0xff, 0xff, 0xff, 0x7f]),
            ("have their length in a byte too many", vec![low | 0x80, 0]),
            ("have their length in two bytes too many", vec![low | 0x80, 0x80, 0]),
            ("have their length in three bytes too many", vec![low | 0x80, 0x80, 0x80, 0]),
            ("have their length in five bytes", vec![low | 0x80, 0x80, 0x80, 0x80, 0]),
            ("have a length that goes on", vec![0xff, 0xff, 0xff, 0xff]),
        ] {
            let body = self.body_with(at, &[&bytes[..], content].concat());
            cases.push(self.with_body(&format!("{} {what}", field.name), &body, &MALFORMED));
        }
        cases
    }
}
