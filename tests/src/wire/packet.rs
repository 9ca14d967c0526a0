//! A packet that the broker sent, with questions that tests ask of it. Takes apart no more
//! than they ask.

use std::fmt;

use super::frames::{Version, frame};
use super::properties;
use crate::hex;

/// The packet types that tests name.
pub mod kind {
    /// Answer to CONNECT.
    pub const CONNACK: u8 = 2;
    /// A message.
    pub const PUBLISH: u8 = 3;
    /// End of a QoS 1 exchange.
    pub const PUBACK: u8 = 4;
    /// The receiver holds a QoS 2 message.
    pub const PUBREC: u8 = 5;
    /// The sender lets go of it.
    pub const PUBREL: u8 = 6;
    /// End of a QoS 2 exchange.
    pub const PUBCOMP: u8 = 7;
    /// Answer to SUBSCRIBE.
    pub const SUBACK: u8 = 9;
    /// Answer to UNSUBSCRIBE.
    pub const UNSUBACK: u8 = 11;
    /// Answer to PINGREQ.
    pub const PINGRESP: u8 = 13;
    /// The broker ends an MQTT 5 connection.
    pub const DISCONNECT: u8 = 14;
    /// One step of an enhanced authentication.
    pub const AUTH: u8 = 15;
}

const REASON_STRING: u8 = 0x1f;

/// First byte and body of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    version: Version,
    first: u8,
    body: Vec<u8>,
}

impl Packet {
    pub(super) const fn new(version: Version, first: u8, body: Vec<u8>) -> Self {
        Self { version, first, body }
    }

    /// One of `kind`.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.first >> 4
    }

    /// What follows the remaining length.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// All of it, as it came but for the form of its length.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        frame(self.first, &self.body)
    }

    /// Of a PUBLISH.
    #[must_use]
    pub const fn qos(&self) -> u8 {
        (self.first >> 1) & 3
    }

    /// Of a PUBLISH: sent before.
    #[must_use]
    pub const fn is_dup(&self) -> bool {
        self.first & 0x08 != 0
    }

    /// Of a PUBLISH: it was kept before we subscribed.
    #[must_use]
    pub const fn is_retained(&self) -> bool {
        self.first & 0x01 != 0
    }

    /// The reason of a DISCONNECT or CONNACK of MQTT 5, or the return code of a CONNACK.
    #[must_use]
    pub fn reason(&self) -> u8 {
        let at = if self.kind() == kind::CONNACK { 1 } else { 0 };
        self.body.get(at).copied().unwrap_or(0)
    }

    /// The topic of a PUBLISH.
    ///
    /// # Panics
    /// When the packet has none.
    #[must_use]
    pub fn topic(&self) -> String {
        let topic = self.body.get(2..self.after_topic()).expect("a PUBLISH has a topic");
        String::from_utf8_lossy(topic).into_owned()
    }

    /// The packet id of those that have one.
    ///
    /// # Panics
    /// When the packet has none.
    #[must_use]
    pub fn id(&self) -> u16 {
        let at = if self.kind() == kind::PUBLISH { self.after_topic() } else { 0 };
        assert!(self.kind() != kind::PUBLISH || self.qos() > 0, "QoS 0 has no packet id: {self}");
        self.u16_at(at)
    }

    /// The payload of a PUBLISH, as text.
    ///
    /// # Panics
    /// When the packet ends before it.
    #[must_use]
    pub fn payload_text(&self) -> String {
        let at = self.after_topic() + if self.qos() > 0 { 2 } else { 0 };
        let behind = self.body.get(at..).expect("the packet id is there");
        let payload = match self.version {
            Version::V4 => behind,
            Version::V5 => properties::split(behind).expect("MQTT 5 has a property length").1,
        };
        String::from_utf8_lossy(payload).into_owned()
    }

    /// The properties of a packet of MQTT 5 that may have some: number and value bytes.
    /// A text's length is part of its value. None before MQTT 5.
    ///
    /// # Panics
    /// When they are no properties.
    #[must_use]
    pub fn properties(&self) -> Vec<(u8, Vec<u8>)> {
        if self.version == Version::V4 {
            return Vec::new();
        }
        let behind = self.body.get(self.before_properties()..).unwrap_or_default();
        if behind.is_empty() && self.kind() != kind::CONNACK {
            return Vec::new();
        }
        properties::read(behind).unwrap_or_else(|| panic!("no properties: {self}"))
    }

    fn before_properties(&self) -> usize {
        match self.kind() {
            kind::CONNACK | kind::SUBACK | kind::UNSUBACK => 2,
            kind::PUBACK..=kind::PUBCOMP => 3,
            kind::PUBLISH => self.after_topic() + if self.qos() > 0 { 2 } else { 0 },
            _ => 1,
        }
    }

    /// The Reason String.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let value = self.property(REASON_STRING)?;
        Some(String::from_utf8_lossy(value.get(2..)?).into_owned())
    }

    /// The same packet as it is to those who want no Reason String.
    ///
    /// # Panics
    /// When its properties are none.
    #[must_use]
    pub fn without_words(&self) -> Self {
        if self.words().is_none() {
            return self.clone();
        }
        let (before, behind) = self.body.split_at(self.before_properties());
        let (_, behind) = properties::split(behind).expect("it has properties");
        let others = self.properties().into_iter().filter(|(number, _)| *number != REASON_STRING);
        let others: Vec<u8> =
            others.flat_map(|(number, value)| [vec![number], value].concat()).collect();
        let is_short = matches!(self.kind(), kind::PUBACK..=kind::PUBCOMP) && others.is_empty();
        let length = u8::try_from(others.len()).expect("few others");
        let length: &[u8] = if is_short { &[] } else { &[length] };
        let body = [before, length, &others, behind].concat();
        Self { body, ..self.clone() }
    }

    /// The value of the first property with this number.
    #[must_use]
    pub fn property(&self, number: u8) -> Option<Vec<u8>> {
        self.properties().into_iter().find(|(found, _)| *found == number).map(|(_, value)| value)
    }

    fn after_topic(&self) -> usize {
        2 + usize::from(self.u16_at(0))
    }

    fn u16_at(&self, at: usize) -> u16 {
        let bytes = self.body.get(at..at + 2).unwrap_or_else(|| panic!("too short: {self}"));
        u16::from_be_bytes([bytes[0], bytes[1]])
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "kind {} flags {:x} {}", self.kind(), self.first & 15, hex::show(&self.body))
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::Version;
    use super::Packet;
    use crate::hex::parse;

    #[test]
    fn a_publish_is_read_in_both_versions() {
        for (version, first, body) in [
            (Version::V4, 0x3a, "00 01 't' 01 02 'hello'"),
            (Version::V5, 0x3a, "00 01 't' 01 02 02 01 01 'hello'"),
            (Version::V5, 0x3b, "00 01 't' 01 02 00 'hello'"),
        ] {
            let packet = Packet::new(version, first, parse(body).expect("our own hex"));
            assert_eq!(packet.payload_text(), "hello");
            assert_eq!((packet.topic().as_str(), packet.id(), packet.qos()), ("t", 0x0102, 1));
            assert!(packet.is_dup());
            assert_eq!(packet.is_retained(), first == 0x3b);
        }
    }

    #[test]
    fn the_reason_is_found_where_each_packet_has_it() {
        assert_eq!(Packet::new(Version::V5, 0x20, vec![0, 0x84, 0]).reason(), 0x84);
        assert_eq!(Packet::new(Version::V5, 0xe0, vec![0x8e]).reason(), 0x8e);
        assert_eq!(Packet::new(Version::V5, 0xe0, vec![]).reason(), 0);
    }
}
