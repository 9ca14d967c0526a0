//! A publisher, pure: which packets it sends and what it awaits. Never a socket, never a clock.

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{
    EncodeError, Packet, Properties, Publish, PublishHead, Version, encode_publish_head,
};
use tidewire_proto::qos::Qos;

use super::stamp::{STAMP_BYTES, Stamp};

/// PUBREL without properties, up to its packet identifier.
const PUBREL: [u8; 2] = [0x62, 2];
/// Of a topic that has a number.
const DIGITS: usize = 9;

/// Sends the same message again and again, with another stamp.
#[derive(Debug)]
pub(crate) struct Publisher {
    stamp: Stamp,
    qos: Qos,
    packet: Vec<u8>,
    head: PublishHead,
    stamp_at: usize,
    /// Where the digits of the topic stand, if it has a number.
    digits_at: Option<usize>,
    next_id: u16,
    /// Exchanges that are over.
    done: u64,
    /// Refused with a reason.
    pub(crate) refused: u64,
}

/// Where its messages go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Topic<'a> {
    /// All to one topic.
    Same(&'a str),
    /// Each to a topic of its own, one level below.
    Numbered(&'a str),
}

impl Topic<'_> {
    fn first(self) -> String {
        match self {
            Self::Same(topic) => topic.to_owned(),
            Self::Numbered(above) => format!("{above}/{}", "0".repeat(DIGITS)),
        }
    }
}

/// What its messages are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Messages<'a> {
    pub(crate) topic: Topic<'a>,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) payload_bytes: usize,
}

impl Publisher {
    pub(crate) fn new(
        stamp: Stamp,
        messages: Messages<'_>,
        version: Version,
    ) -> Result<Self, EncodeError> {
        let payload = vec![b'x'; messages.payload_bytes.max(STAMP_BYTES)];
        let topic = messages.topic.first();
        let publish = Publish {
            dup: false,
            qos: messages.qos,
            retain: messages.retain,
            topic: &topic,
            packet_id: None,
            properties: Properties::EMPTY,
            payload: &payload,
        };
        let mut packet = Vec::new();
        let head = encode_publish_head(&publish, version, &mut packet)?;
        let stamp_at = packet.len();
        packet.extend_from_slice(&payload);
        let digits_at = match messages.topic {
            Topic::Same(_) => None,
            Topic::Numbered(_) => {
                let found = packet.windows(topic.len()).position(|part| part == topic.as_bytes());
                found.map(|at| at + topic.len() - DIGITS)
            }
        };
        let (qos, next_id, done, refused) = (messages.qos, 1, 0, 0);
        Ok(Self { stamp, qos, packet, head, stamp_at, digits_at, next_id, done, refused })
    }

    /// Messages so far.
    pub(crate) fn sent(&self) -> u64 {
        self.stamp.number
    }

    /// Messages whose exchange is not over; none at QoS 0.
    pub(crate) fn in_flight(&self) -> u64 {
        if self.qos == Qos::AtMostOnce { 0 } else { self.sent() - self.done }
    }

    /// The next message.
    pub(crate) fn send(&mut self, due_ns: u64, out: &mut Vec<u8>) {
        self.stamp.due_ns = due_ns;
        self.packet[self.stamp_at..][..STAMP_BYTES].copy_from_slice(&self.stamp.bytes());
        if let Some(at) = self.digits_at {
            let digits = format!("{:0DIGITS$}", self.stamp.number);
            self.packet[at..][..DIGITS].copy_from_slice(&digits.as_bytes()[..DIGITS]);
        }
        self.stamp.number += 1;
        if let Some(id) = PacketId::new(self.next_id) {
            self.head.set_packet_id(&mut self.packet, id);
        }
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        out.extend_from_slice(&self.packet);
    }

    /// An answer of the broker.
    pub(crate) fn take(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        match packet {
            Packet::PubAck(ack) | Packet::PubComp(ack) => {
                self.done += 1;
                self.refused += u64::from(ack.reason.is_error());
            }
            Packet::PubRec(ack) if ack.reason.is_error() => {
                self.done += 1;
                self.refused += 1;
            }
            Packet::PubRec(ack) => {
                out.extend_from_slice(&PUBREL);
                out.extend_from_slice(&ack.packet_id.get().to_be_bytes());
            }
            Packet::PingResp => {}
            other => return Err(format!("a publisher got {:?}", other.kind())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Messages, Publisher, Topic};
    use crate::bench::stamp::Stamp;
    use tidewire_proto::id::PacketId;
    use tidewire_proto::mqtt::{Ack, Framing, Packet, Version, decode, frame};
    use tidewire_proto::qos::Qos;

    fn publisher(qos: Qos) -> Publisher {
        to(Topic::Same("a"), qos)
    }

    fn to(topic: Topic<'_>, qos: Qos) -> Publisher {
        let stamp = Stamp { run: 1, publisher: 2, number: 0, due_ns: 0 };
        let messages = Messages { topic, qos, retain: false, payload_bytes: 100 };
        Publisher::new(stamp, messages, Version::V5).expect("valid")
    }

    #[test]
    fn messages_are_numbered_and_have_identifiers_of_their_own() {
        let mut publisher = publisher(Qos::AtLeastOnce);
        for number in 0..3_u16 {
            let mut out = Vec::new();
            publisher.send(77, &mut out);
            let Ok(Framing::Packet(found)) = frame(&out, 1 << 20) else { panic!("{out:?}") };
            let Ok(Packet::Publish(publish)) = decode(&found, Version::V5) else { panic!() };
            let stamp = Stamp::read(publish.payload).expect("stamped");
            assert_eq!((stamp.number, stamp.due_ns), (u64::from(number), 77));
            assert_eq!(publish.packet_id, PacketId::new(number + 1));
            assert_eq!(publish.payload.len(), 100);
        }
        assert_eq!(publisher.in_flight(), 3);
    }

    #[test]
    fn an_exchange_at_qos_2_is_over_with_its_pubcomp() {
        let (mut publisher, mut out) = (publisher(Qos::ExactlyOnce), Vec::new());
        publisher.send(0, &mut out);
        out.clear();
        let ack = Ack::success(PacketId::MIN);
        publisher.take(&Packet::PubRec(ack), &mut out).expect("awaited");
        assert_eq!((out.as_slice(), publisher.in_flight()), (&[0x62, 2, 0, 1][..], 1));
        publisher.take(&Packet::PubComp(ack), &mut out).expect("awaited");
        assert_eq!(publisher.in_flight(), 0);
    }

    #[test]
    fn numbered_topics_are_all_different() {
        let mut publisher = to(Topic::Numbered("kept"), Qos::AtMostOnce);
        for number in 0..12 {
            let mut out = Vec::new();
            publisher.send(0, &mut out);
            let Ok(Framing::Packet(found)) = frame(&out, 1 << 20) else { panic!("{out:?}") };
            let Ok(Packet::Publish(publish)) = decode(&found, Version::V5) else { panic!() };
            assert_eq!(publish.topic, format!("kept/{number:09}"));
        }
    }
}
