//! Texts that are none, topics and filters that break their grammar: what may stand in no field.

use super::rule::{Fault, MALFORMED, PROTOCOL, Verdict};

/// What a text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextRule {
    Plain,
    Topic,
    Filter,
}

/// Bytes that are not well-formed UTF-8 wherever they stand, and the one character that is and
/// may not stand anywhere.
const NO_TEXT: &[(&str, &[u8])] = &[
    ("U+0000", &[0]),
    ("U+0000 in two bytes", &[0xc0, 0x80]),
    ("a slash in two bytes", &[0xc0, 0xaf]),
    ("the last overlong form of two bytes", &[0xc1, 0xbf]),
    ("a slash in three bytes", &[0xe0, 0x80, 0xaf]),
    ("the last overlong form of three bytes", &[0xe0, 0x9f, 0xbf]),
    ("a slash in four bytes", &[0xf0, 0x80, 0x80, 0xaf]),
    ("the last overlong form of four bytes", &[0xf0, 0x8f, 0xbf, 0xbf]),
    ("the first surrogate", &[0xed, 0xa0, 0x80]),
    ("the last surrogate", &[0xed, 0xbf, 0xbf]),
    ("a pair of surrogates", &[0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]),
    ("beyond U+10FFFF", &[0xf4, 0x90, 0x80, 0x80]),
    ("a form of five bytes", &[0xf8, 0x88, 0x80, 0x80, 0x80]),
    ("a form of six bytes", &[0xfc, 0x84, 0x80, 0x80, 0x80, 0x80]),
    ("a lone continuation byte", &[0x80]),
    ("the last continuation byte alone", &[0xbf]),
    ("a form of two bytes that is cut", &[0xc3]),
    ("a form of three bytes that is cut", &[0xe2, 0x82]),
    ("a form of four bytes that is cut", &[0xf0, 0x9f, 0x98]),
    ("a letter for a continuation byte", &[0xc3, 0x28]),
    ("byte f5", &[0xf5, 0x80, 0x80, 0x80]),
    ("byte fe", &[0xfe]),
    ("byte ff", &[0xff]),
];

/// Texts that are taken, as they are.
const GOOD: &[(&str, &str)] = &[
    ("a byte order mark", "\u{feff}x"),
    ("the last character of all", "x\u{10ffff}"),
    ("the characters around the surrogates", "\u{d7ff}\u{e000}"),
    ("a character that is none", "x\u{ffff}"),
    ("a control character", "x\u{1}"),
    ("a first character of four bytes", "\u{1f600}x"),
    ("spaces and a quotation mark", " \" "),
];

const BAD_FILTERS: &[&str] = &[
    "s#", "#s", "##", "s/#/t", "s/#/", "s/t#", "s/#t", "s+", "+s", "++", "s+/t", "s/+t", "s/t+/u",
    "s/++", "+#", "+/#/", "#/",
];

/// Filters that MQTT 5 forbids: what begins as a share must go on as one.
pub(super) const BAD_SHARES: &[&str] = &[
    "$share/",
    "$share//",
    "$share//s",
    "$share/g",
    "$share/g/",
    "$share/+/s",
    "$share/#/s",
    "$share/g+/s",
    "$share/g#/s",
    "$share/g/s#",
    "$share/g/+s",
    "$share/g/#/s",
];

/// Values for a text field and the verdict on each. `good` is what a good one leads to.
pub(super) fn values(rule: TextRule, good: &Verdict) -> Vec<(String, Vec<u8>, Verdict)> {
    let mut values = Vec::new();
    for (name, bytes) in NO_TEXT {
        values.push(((*name).to_owned(), bytes.to_vec(), MALFORMED));
        let within = [b"s/", *bytes, b"t"].concat();
        values.push((format!("{name} among others"), within, MALFORMED));
    }
    // The wills of some cases go to these topics while others subscribe: filters are of two
    // levels, so that no case is sent the message of another.
    let more = if rule == TextRule::Filter { "/s" } else { "" };
    for (name, text) in GOOD {
        values.push(((*name).to_owned(), format!("{text}{more}").into_bytes(), good.clone()));
    }
    let (empty, wrong, verdict) = match rule {
        TextRule::Plain => return values,
        TextRule::Topic => {
            (PROTOCOL, &["+", "#", "t/+", "t/#", "t+", "#t", "t/+/u"][..], Fault::TopicName)
        }
        TextRule::Filter => (Verdict::Bad(Fault::TopicFilter), BAD_FILTERS, Fault::TopicFilter),
    };
    values.push(("nothing".to_owned(), Vec::new(), empty));
    for text in wrong {
        values.push((format!("{text:?}"), text.as_bytes().to_vec(), Verdict::Bad(verdict)));
    }
    values
}

/// A two-byte length and the bytes.
pub(super) fn counted(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("texts of cases are short");
    [&length.to_be_bytes()[..], bytes].concat()
}
