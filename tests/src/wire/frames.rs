//! MQTT packets as bytes, written out by hand: independent of the codec under test on purpose.

use crate::hex;

/// The protocol levels that the raw client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V4,
    /// MQTT 5.
    V5,
}

impl Version {
    /// Both, for tests that hold in either.
    pub const ALL: [Self; 2] = [Self::V4, Self::V5];

    const fn level(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V5 => 5,
        }
    }

    /// An empty property block where this version has one.
    const fn no_properties(self) -> &'static [u8] {
        match self {
            Self::V4 => &[],
            Self::V5 => &[0],
        }
    }
}

/// What the broker publishes when the client is lost.
#[derive(Clone, Copy, Debug)]
pub struct Will<'a> {
    /// Where.
    pub topic: &'a str,
    /// What.
    pub payload: &'a str,
    /// At which level.
    pub qos: u8,
    /// Whether it becomes the retained message.
    pub retain: bool,
}

/// A PUBLISH; change what matters with `..Publish::new(…)`.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// Where.
    pub topic: &'a str,
    /// What.
    pub payload: &'a str,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The packet id; not sent at QoS 0.
    pub id: u16,
    /// A repeat.
    pub dup: bool,
    /// Becomes the retained message.
    pub retain: bool,
}

impl<'a> Publish<'a> {
    /// A first send, not retained.
    #[must_use]
    pub const fn new(topic: &'a str, payload: &'a str, qos: u8, id: u16) -> Self {
        Self { topic, payload, qos, id, dup: false, retain: false }
    }

    /// The same message sent once more.
    #[must_use]
    pub const fn again(self) -> Self {
        Self { dup: true, ..self }
    }

    /// The same message, retained.
    #[must_use]
    pub const fn retained(self) -> Self {
        Self { retain: true, ..self }
    }
}

/// A packet: first byte, remaining length, body.
///
/// # Panics
/// When the body is longer than the protocol allows.
#[must_use]
pub fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let length = hex::varint(body.len());
    assert!(length.len() <= 4, "the remaining length has at most four bytes");
    [&[first], length.as_slice(), body].concat()
}

/// A packet whose body is written as `hex::parse` reads it.
///
/// # Panics
/// When it is not well written.
#[must_use]
pub fn spelled(first: u8, body: &str) -> Vec<u8> {
    let body = hex::parse(body).unwrap_or_else(|problem| panic!("{problem}"));
    frame(first, &body)
}

/// CONNECT. Not clean means in MQTT 5 too that the session never expires.
#[must_use]
pub fn connect(
    version: Version,
    client_id: &str,
    clean: bool,
    keep_alive_s: u16,
    will: Option<&Will<'_>>,
) -> Vec<u8> {
    let mut body = vec![0, 4];
    body.extend_from_slice(b"MQTT");
    body.push(version.level());
    let mut flags = if clean { 0x02 } else { 0 };
    if let Some(will) = will {
        flags |= 0x04 | (will.qos << 3) | if will.retain { 0x20 } else { 0 };
    }
    body.push(flags);
    body.extend_from_slice(&keep_alive_s.to_be_bytes());
    match (version, clean) {
        (Version::V4, _) => (),
        (Version::V5, true) => body.push(0),
        (Version::V5, false) => body.extend_from_slice(&[5, 0x11, 0xff, 0xff, 0xff, 0xff]),
    }
    text(&mut body, client_id);
    if let Some(will) = will {
        body.extend_from_slice(version.no_properties());
        text(&mut body, will.topic);
        text(&mut body, will.payload);
    }
    frame(0x10, &body)
}

/// PUBLISH.
#[must_use]
pub fn publish(version: Version, message: &Publish<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, message.topic);
    if message.qos > 0 {
        body.extend_from_slice(&message.id.to_be_bytes());
    }
    body.extend_from_slice(version.no_properties());
    body.extend_from_slice(message.payload.as_bytes());
    let dup = if message.dup { 0x08 } else { 0 };
    frame(0x30 | dup | (message.qos << 1) | u8::from(message.retain), &body)
}

/// SUBSCRIBE with one option byte per filter: the level alone.
#[must_use]
pub fn subscribe(version: Version, id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend_from_slice(version.no_properties());
    for (filter, options) in filters {
        text(&mut body, filter);
        body.push(*options);
    }
    frame(0x82, &body)
}

/// UNSUBSCRIBE.
#[must_use]
pub fn unsubscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend_from_slice(version.no_properties());
    for filter in filters {
        text(&mut body, filter);
    }
    frame(0xa2, &body)
}

fn text(body: &mut Vec<u8>, value: &str) {
    let length = u16::try_from(value.len()).expect("test texts are short");
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(value.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::{Publish, Version, Will, connect, frame, publish, subscribe, unsubscribe};
    use crate::hex::{parse, show};

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(show(bytes), show(&parse(expected).expect("our own hex")));
    }

    #[test]
    fn packets_are_as_the_specification_writes_them() {
        let v4 = connect(Version::V4, "a", true, 60, None);
        check(&v4, "10 0d 00 04 'MQTT' 04 02 00 3c 00 01 'a'");
        let will = Will { topic: "w", payload: "x", qos: 1, retain: true };
        let v5 = connect(Version::V5, "a", false, 1, Some(&will));
        let body = "'MQTT' 05 2c 00 01 05 11 ff ff ff ff 00 01 'a' 00 00 01 'w' 00 01 'x'";
        check(&v5, &format!("10 1a 00 04 {body}"));
        let message = Publish::new("t", "hi", 1, 7);
        check(&publish(Version::V4, &message), "32 07 00 01 't' 00 07 'hi'");
        check(&publish(Version::V5, &message.again().retained()), "3b 08 00 01 't' 00 07 00 'hi'");
        check(&subscribe(Version::V4, 2, &[("#", 2)]), "82 06 00 02 00 01 '#' 02");
        check(&unsubscribe(Version::V5, 3, &["#"]), "a2 06 00 03 00 00 01 '#'");
    }

    #[test]
    fn the_remaining_length_grows_by_seven_bits() {
        assert_eq!(frame(0x30, &[0; 127])[..2], [0x30, 127]);
        assert_eq!(frame(0x30, &[0; 128])[..3], [0x30, 0x80, 1]);
        assert_eq!(frame(0x30, &[0; 16_384])[..4], [0x30, 0x80, 0x80, 1]);
    }
}
