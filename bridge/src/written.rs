//! From a producer's record to the record that lies in the log: which topic, retained or not, at
//! which QoS. Pure; knows nothing of batches on the wire nor of the store.
//!
//! A record is told what it is by its key, the topic, or by headers: `mqtt.topic` instead of the
//! key, `mqtt.retain` (`1` or `true`), `mqtt.qos` (`0`, `1` or `2`). They are taken out; all others
//! stay; those that MQTT cannot carry are for Kafka's consumers alone. A record that begins with
//! our own header `q`, as those that were read from a stream do, is kept as it is, but for who
//! published it.

use tidewire_proto::delayed;
use tidewire_proto::delivery;
use tidewire_proto::message::Message;
use tidewire_proto::mqtt::PropertiesBuilder;
use tidewire_proto::record::{BATCH_HEADER_BYTES, BatchBuilder, Header, Record};
use tidewire_proto::topic::{check_topic_name, levels};

const TOPIC: &[u8] = b"mqtt.topic";
const RETAIN: &[u8] = b"mqtt.retain";
const QOS: &[u8] = b"mqtt.qos";
/// Holds the key of a record whose topic came in a header.
const KEY: &[u8] = b"mqtt.key";

/// Ours: QoS and RETAIN, who published it, then the mark behind which all headers are the user's.
const OURS: &[u8] = b"q";
const AUTHOR: &[u8] = b"o";
const USER: &[u8] = b"u";

/// Headers of one record: in memory each is worth many times the two bytes that it may take.
const HEADERS_MAX: usize = 100_000;

/// A record as it will lie in the log.
#[derive(Debug)]
pub(crate) struct Written<'a> {
    pub(crate) topic: &'a str,
    pub(crate) value: Option<&'a [u8]>,
    /// To be kept for later subscribers; without a payload, what is kept is to go.
    pub(crate) is_retained: bool,
    headers: Beside<'a>,
}

/// Headers of a record; most have one or none.
#[derive(Debug)]
enum Beside<'a> {
    One(Option<Header<'a>>),
    Many(Vec<Header<'a>>),
}

impl<'a> Beside<'a> {
    fn as_slice(&self) -> &[Header<'a>] {
        match self {
            Self::One(one) => one.as_slice(),
            Self::Many(many) => many,
        }
    }
}

/// Why a record cannot be a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoMessage {
    #[error("the key, or the header mqtt.topic, has to be the MQTT topic")]
    NoTopic,
    #[error("the key, or the header mqtt.topic, is no MQTT topic that can be published to")]
    Topic,
    #[error("the topic has more levels than mqtt.topic_levels_max")]
    Levels,
    #[error("topics under $SYS and $delayed are the broker's own")]
    Ours,
    #[error("the record has more headers than one may have")]
    Headers,
    #[error("the header mqtt.qos is 0, 1 or 2, mqtt.retain is 1, 0, true or false")]
    Header,
}

impl<'a> Written<'a> {
    /// Judges a record.
    pub(crate) fn of(record: &Record<'a>, levels_max: usize) -> Result<Self, NoMessage> {
        let mut headers = record.headers();
        let (first, has_more) = (headers.next(), headers.next().is_some());
        if has_more && headers.nth(HEADERS_MAX - 2).is_some() {
            return Err(NoMessage::Headers);
        }
        let own = first.filter(|first| first.key == OURS);
        let is_carried = |message: &Message<'_>| !has_more || is_carried(message);
        let copied = own.and_then(|_| Message::of(record)).filter(is_carried);
        let written = match copied {
            Some(message) => Self {
                topic: message.topic,
                value: record.value,
                is_retained: message.retain,
                headers: match has_more {
                    true => Beside::Many(without_author(record)),
                    false => Beside::One(own),
                },
            },
            None => Self::of_foreign(record)?,
        };
        check(written.topic, levels_max)?;
        Ok(written)
    }

    fn of_foreign(record: &Record<'a>) -> Result<Self, NoMessage> {
        let (mut topic, mut qos, mut is_retained) = (None, None, None);
        let mut user = Vec::new();
        for header in record.headers() {
            match header.key {
                TOPIC => topic = header.value,
                QOS => qos = Some(digit(header.value)?),
                RETAIN => is_retained = Some(truth(header.value)?),
                _ => user.push(header),
            }
        }
        if let (Some(_), Some(key)) = (topic, record.key) {
            user.push(Header { key: KEY, value: Some(key) });
        }
        let is_plain = qos.is_none() && is_retained.is_none();
        let is_mistakable = user.first().is_some_and(|first| first.key == OURS);
        let is_retained = is_retained.unwrap_or(false);
        let headers = match is_plain && !is_mistakable {
            true => user,
            false => marked(qos.unwrap_or(b'1'), is_retained, user),
        };
        let topic = topic.or(record.key).ok_or(NoMessage::NoTopic)?;
        let topic = std::str::from_utf8(topic).map_err(|_| NoMessage::Topic)?;
        Ok(Self { topic, value: record.value, is_retained, headers: Beside::Many(headers) })
    }

    /// Adds it to a batch; answers its index there.
    pub(crate) fn push_to(&self, batch: &mut BatchBuilder, now_ms: i64) -> u32 {
        batch.push(now_ms, Some(self.topic.as_bytes()), self.value, self.headers.as_slice())
    }

    /// Bytes that it takes besides those of the record.
    pub(crate) fn held_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(self.headers.as_slice())
    }

    /// Bytes of it as a batch of its own, at least.
    pub(crate) fn bytes(&self) -> usize {
        let header = |it: &Header<'_>| it.key.len() + it.value.map_or(0, <[u8]>::len) + 4;
        let headers: usize = self.headers.as_slice().iter().map(header).sum();
        BATCH_HEADER_BYTES + self.topic.len() + self.value.map_or(0, <[u8]>::len) + headers
    }

    /// Nothing is left to be kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.value.unwrap_or_default().is_empty()
    }
}

/// Does what stands in our own headers fit into MQTT's properties? Who else wrote them, who knows.
fn is_carried(message: &Message<'_>) -> bool {
    delivery::copy_properties(&mut PropertiesBuilder::default(), message, 0).is_ok()
}

/// A producer may name anybody: who published it is for us to say, and no MQTT client did.
fn without_author<'a>(record: &Record<'a>) -> Vec<Header<'a>> {
    let mut is_ours = true;
    let stays = move |header: &Header<'a>| {
        is_ours &= header.key != USER;
        !is_ours || header.key != AUTHOR
    };
    record.headers().filter(stays).collect()
}

/// Our header, the mark, and theirs.
fn marked(qos: u8, is_retained: bool, user: Vec<Header<'_>>) -> Vec<Header<'_>> {
    let value: &[u8] = match (qos, is_retained) {
        (b'0', false) => b"0",
        (b'0', true) => b"0r",
        (b'2', false) => b"2",
        (b'2', true) => b"2r",
        (_, false) => b"1",
        (_, true) => b"1r",
    };
    let mut headers = Vec::with_capacity(user.len() + 2);
    headers.push(Header { key: OURS, value: Some(value) });
    if !user.is_empty() {
        headers.push(Header { key: USER, value: None });
    }
    headers.extend(user);
    headers
}

fn check(topic: &str, levels_max: usize) -> Result<(), NoMessage> {
    check_topic_name(topic).map_err(|_| NoMessage::Topic)?;
    if levels(topic) > levels_max {
        return Err(NoMessage::Levels);
    }
    let is_ours = topic == "$SYS" || topic.starts_with("$SYS/");
    if is_ours || topic.starts_with(delayed::PREFIX) {
        return Err(NoMessage::Ours);
    }
    Ok(())
}

fn digit(value: Option<&[u8]>) -> Result<u8, NoMessage> {
    match value {
        Some([digit @ b'0'..=b'2']) => Ok(*digit),
        _ => Err(NoMessage::Header),
    }
}

fn truth(value: Option<&[u8]>) -> Result<bool, NoMessage> {
    match value {
        Some(b"1" | b"true") => Ok(true),
        Some(b"0" | b"false") => Ok(false),
        _ => Err(NoMessage::Header),
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::message::Message;
    use tidewire_proto::qos::Qos;
    use tidewire_proto::record::{BatchBuilder, Header};

    use super::{NoMessage, Written};

    type Pair<'a> = (&'a str, &'a str);

    /// Writes a record as a producer does, and says what MQTT subscribers get.
    fn check(
        key: Option<&str>,
        headers: &[Pair<'_>],
        test: impl FnOnce(Result<&Message<'_>, NoMessage>),
    ) {
        let header = |(key, value): &Pair<'_>| (key.as_bytes().to_vec(), value.as_bytes().to_vec());
        let owned: Vec<_> = headers.iter().map(header).collect();
        let headers: Vec<_> =
            owned.iter().map(|(key, value)| Header { key, value: Some(value) }).collect();
        let mut theirs = BatchBuilder::new();
        theirs.push(1, key.map(str::as_bytes), Some(b"21.5"), &headers);
        let theirs = theirs.finish();
        let record = theirs.records().next().unwrap();
        let mut ours = BatchBuilder::new();
        match Written::of(&record, 8) {
            Err(error) => return test(Err(error)),
            Ok(written) => assert_eq!(written.push_to(&mut ours, 2), 0),
        }
        let ours = ours.finish();
        let record = ours.records().next().unwrap();
        test(Ok(&Message::of(&record).unwrap()));
    }

    fn user<'a>(message: &Message<'a>) -> Vec<Pair<'a>> {
        message.user_properties().collect()
    }

    #[test]
    fn a_plain_record_is_a_message_to_its_key() {
        check(Some("plant/7"), &[("a", "1"), ("a", "2")], |message| {
            let message = message.unwrap();
            assert_eq!((message.topic, message.payload), ("plant/7", &b"21.5"[..]));
            assert_eq!((message.qos, message.retain), (Qos::AtLeastOnce, false));
            assert_eq!(user(message), [("a", "1"), ("a", "2")]);
        });
    }

    #[test]
    fn headers_say_topic_retain_and_qos() {
        let headers =
            [("mqtt.topic", "plant/8"), ("a", "1"), ("mqtt.retain", "true"), ("mqtt.qos", "2")];
        check(Some("k"), &headers, |message| {
            let message = message.unwrap();
            assert_eq!(message.topic, "plant/8");
            assert_eq!((message.qos, message.retain), (Qos::ExactlyOnce, true));
            assert_eq!(user(message), [("a", "1"), ("mqtt.key", "k")]);
        });
        check(None, &[("mqtt.topic", "a")], |message| {
            assert_eq!(user(message.unwrap()), []);
        });
    }

    #[test]
    fn what_was_read_from_a_stream_can_be_written_to_one() {
        check(Some("a"), &[("q", "0r"), ("t", "text/plain"), ("u", ""), ("q", "x")], |message| {
            let message = message.unwrap();
            assert_eq!((message.qos, message.retain), (Qos::AtMostOnce, true));
            assert_eq!(message.content_type, Some("text/plain"));
            assert_eq!(user(message), [("q", "x")]);
        });
    }

    #[test]
    fn a_producer_names_no_mqtt_client_as_the_publisher() {
        check(Some("a"), &[("q", "1"), ("o", "sensor-1"), ("u", ""), ("o", "mine")], |message| {
            let message = message.unwrap();
            assert_eq!(message.origin, None);
            assert_eq!(user(message), [("o", "mine")]);
        });
    }

    #[test]
    fn a_producers_own_header_is_not_taken_for_ours() {
        check(Some("a"), &[("q", "why?"), ("b", "1")], |message| {
            let message = message.unwrap();
            assert_eq!((message.qos, message.retain), (Qos::AtLeastOnce, false));
            assert_eq!(user(message), [("q", "why?"), ("b", "1")]);
        });
    }

    #[test]
    fn a_record_has_as_many_headers_as_one_may_have() {
        check(Some("a"), &[("b", "1"); super::HEADERS_MAX], |message| {
            assert_eq!(user(message.unwrap()).len(), super::HEADERS_MAX);
        });
    }

    #[test]
    fn whatever_the_headers_subscribers_of_mqtt_5_get_the_message() {
        let long = "x".repeat(65_536);
        let most = &long[1..];
        let all = |headers: &[Pair<'_>], expected: &[Pair<'_>]| {
            let headers = [headers, &[("u", ""), ("b", most)]].concat();
            check(Some("a"), &headers, |message| {
                let message = message.unwrap();
                assert!(super::is_carried(message));
                assert_eq!(user(message), expected);
            });
        };
        for bad in ["nul\0", &long] {
            let foreign = [("u", ""), ("b", most)];
            all(&[("a", bad), (bad, "1")], &foreign);
            all(&[("q", "1"), ("t", bad)], &[&[("q", "1")], &foreign[..]].concat());
            all(&[("q", "1"), ("p", bad)], &[&[("q", "1")], &foreign[..]].concat());
            all(&[("q", "1"), ("u", ""), (bad, bad)], &foreign);
        }
        all(&[("q", "1"), ("d", &long)], &[("q", "1"), ("u", ""), ("b", most)]);
        all(&[("q", "1"), ("p", "a/#")], &[("q", "1"), ("p", "a/#"), ("u", ""), ("b", most)]);
        all(&[("q", "1"), ("d", "nul\0")], &[("b", most)]);
    }

    #[test]
    fn a_record_that_is_no_message_is_refused_with_its_reason() {
        let refused = |key: Option<&str>, headers: &[Pair<'_>], expected: NoMessage| {
            check(key, headers, |message| assert_eq!(message.err(), Some(expected)));
        };
        refused(None, &[], NoMessage::NoTopic);
        refused(Some("a/+"), &[], NoMessage::Topic);
        refused(Some(""), &[], NoMessage::Topic);
        refused(Some("a"), &[("mqtt.topic", "#")], NoMessage::Topic);
        refused(Some("1/2/3/4/5/6/7/8/9"), &[], NoMessage::Levels);
        refused(Some("$SYS/x"), &[], NoMessage::Ours);
        refused(Some("$delayed/5/x"), &[], NoMessage::Ours);
        refused(Some("a"), &[("mqtt.qos", "3")], NoMessage::Header);
        refused(Some("a"), &[("", ""); super::HEADERS_MAX + 1], NoMessage::Headers);
        refused(Some("a"), &[("mqtt.retain", "maybe")], NoMessage::Header);
    }
}
