//! An MQTT message in a record: which header means what. The table is in
//! docs/decisions/0004-message-in-a-record.md.

use crate::as_it_came::AsItCame;
use crate::mqtt::{Properties, Publish};
use crate::qos::Qos;
use crate::record::{BatchBuilder, Header, Headers, Record, SharedRecord};
use crate::topic::check_topic_name;

const QOS: &[u8] = b"q";
const ORIGIN: &[u8] = b"o";
const EXPIRY: &[u8] = b"x";
const TEXT: &[u8] = b"f";
const CONTENT_TYPE: &[u8] = b"t";
const RESPONSE_TOPIC: &[u8] = b"p";
const CORRELATION: &[u8] = b"d";
const USER: &[u8] = b"u";

/// Room for the headers of most messages that have properties.
const HEADERS_USUAL: usize = 8;
/// MQTT writes the length of a text in two bytes.
const TEXT_BYTES_MAX: usize = 65_535;

/// A message as it lies in the log.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// Where it was published.
    pub topic: &'a str,
    /// What was published.
    pub payload: &'a [u8],
    /// At which QoS it was published.
    pub qos: Qos,
    /// Whether it was published with RETAIN.
    pub retain: bool,
    /// When we received it, in milliseconds of the Unix epoch.
    pub received_ms: i64,
    /// Client id of the publisher, kept only where somebody may ask for it.
    pub origin: Option<&'a str>,
    /// Seconds after which it is stale.
    pub expiry_s: Option<u32>,
    /// The publisher says that the payload is text.
    pub is_text: bool,
    /// Content type.
    pub content_type: Option<&'a str>,
    /// Response topic.
    pub response_topic: Option<&'a str>,
    /// Correlation data.
    pub correlation: Option<&'a [u8]>,
    /// Its packet, for subscribers whose own would be the same.
    pub as_it_came: Option<AsItCame<'a>>,
    user: Headers<'a>,
    /// Holds the user's of a message that was in no record yet.
    given: Properties<'a>,
}

impl<'a> Message<'a> {
    /// The message in a record. `None` when the record has no topic that MQTT could carry: a
    /// Kafka producer may write such records, and MQTT subscribers do not get them.
    #[must_use]
    pub fn of(record: &Record<'a>) -> Option<Self> {
        let mut message = Self {
            topic: std::str::from_utf8(record.key?).ok()?,
            payload: record.value.unwrap_or_default(),
            qos: Qos::AtLeastOnce,
            retain: false,
            received_ms: record.timestamp_ms,
            origin: None,
            expiry_s: None,
            is_text: false,
            content_type: None,
            response_topic: None,
            correlation: None,
            as_it_came: None,
            user: record.headers(),
            given: Properties::EMPTY,
        };
        let mut headers = record.headers();
        let first = headers.next().filter(|header| header.key == QOS);
        if let Some(first) = first {
            (message.qos, message.retain) = parse_qos(first.value?)?;
            message.read_ours(headers)?;
        } else {
            // Nobody has checked it yet.
            check_topic_name(message.topic).ok()?;
        }
        Some(message)
    }

    /// Reads our own headers up to the mark behind which the user's begin.
    fn read_ours(&mut self, mut headers: Headers<'a>) -> Option<()> {
        loop {
            let rest = headers.clone();
            let Some(header) = headers.next() else {
                self.user = rest;
                return Some(());
            };
            let value = header.value.unwrap_or_default();
            match header.key {
                ORIGIN => self.origin = Some(text(value)?),
                EXPIRY => self.expiry_s = Some(text(value)?.parse().ok()?),
                TEXT => self.is_text = true,
                CONTENT_TYPE => self.content_type = Some(text(value)?),
                RESPONSE_TOPIC => self.response_topic = Some(text(value)?),
                CORRELATION => self.correlation = Some(value),
                USER => {
                    self.user = headers;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// User properties in their order. Kafka headers that are no text as MQTT has it are left out:
    /// it could not carry them.
    pub fn user_properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let kept = self.user.clone().filter_map(|header| {
            Some((carried(header.key)?, carried(header.value.unwrap_or_default())?))
        });
        kept.chain(self.given.user_properties())
    }

    /// Whether a subscriber of MQTT 5 gets any property besides its own.
    #[must_use]
    pub fn has_properties(&self) -> bool {
        self.expiry_s.is_some()
            || self.is_text
            || self.content_type.is_some()
            || self.response_topic.is_some()
            || self.correlation.is_some()
            || self.user.clone().next().is_some()
            || self.given.user_properties().next().is_some()
    }

    /// The message to be published anew: one that was kept until its time came.
    #[must_use]
    pub fn published<'b>(&'b self, properties: Properties<'b>) -> Published<'b> {
        Published {
            topic: self.topic,
            payload: self.payload,
            qos: self.qos,
            retain: self.retain,
            properties,
            origin: self.origin,
        }
    }

    /// Seconds left until the message is stale: `None` when it never is, `Some(0)` when it is.
    #[must_use]
    pub fn seconds_left(&self, now_ms: i64) -> Option<u32> {
        let waited_s = now_ms.saturating_sub(self.received_ms).max(0) / 1000;
        let waited_s = u32::try_from(waited_s).unwrap_or(u32::MAX);
        self.expiry_s.map(|expiry_s| expiry_s.saturating_sub(waited_s))
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// A text that fits into a property.
fn carried(bytes: &[u8]) -> Option<&str> {
    text(bytes).filter(|text| text.len() <= TEXT_BYTES_MAX && !text.contains('\0'))
}

fn parse_qos(value: &[u8]) -> Option<(Qos, bool)> {
    let (digit, rest) = value.split_first()?;
    let qos = Qos::from_bits(digit.checked_sub(b'0')?)?;
    Some((qos, rest == b"r"))
}

fn qos_text(qos: Qos, retain: bool) -> &'static [u8] {
    match (qos, retain) {
        (Qos::AtMostOnce, false) => b"0",
        (Qos::AtMostOnce, true) => b"0r",
        (Qos::AtLeastOnce, false) => b"1",
        (Qos::AtLeastOnce, true) => b"1r",
        (Qos::ExactlyOnce, false) => b"2",
        (Qos::ExactlyOnce, true) => b"2r",
    }
}

/// What a publisher gives, with the topic already resolved.
#[derive(Clone, Copy, Debug)]
pub struct Published<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The payload.
    pub payload: &'a [u8],
    /// QoS of the PUBLISH.
    pub qos: Qos,
    /// RETAIN of the PUBLISH.
    pub retain: bool,
    /// Its properties.
    pub properties: Properties<'a>,
    /// Client id to note down, where somebody may ask for it.
    pub origin: Option<&'a str>,
}

impl<'a> Published<'a> {
    /// A PUBLISH under its resolved topic.
    #[must_use]
    pub fn new(publish: &Publish<'a>, topic: &'a str, origin: Option<&'a str>) -> Self {
        Self {
            topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            properties: publish.properties,
            origin,
        }
    }

    /// The message as it would be read back from a batch, without one.
    #[must_use]
    pub fn received(&self, now_ms: i64) -> Message<'a> {
        let mut message = Message {
            topic: self.topic,
            payload: self.payload,
            qos: self.qos,
            retain: self.retain,
            received_ms: now_ms,
            origin: self.origin,
            expiry_s: None,
            is_text: false,
            content_type: None,
            response_topic: None,
            correlation: None,
            as_it_came: None,
            user: Headers::default(),
            given: self.properties,
        };
        if self.properties.has_ours() {
            message.expiry_s = self.properties.message_expiry();
            message.is_text = self.properties.payload_format() == Some(1);
            message.content_type = self.properties.content_type();
            message.response_topic = self.properties.response_topic();
            message.correlation = self.properties.correlation_data();
        }
        message
    }

    /// The message in a record of its own.
    #[must_use]
    pub fn alone(&self, now_ms: i64) -> SharedRecord {
        let mut batch = BatchBuilder::new();
        self.push_to(&mut batch, now_ms);
        let batch = batch.finish();
        let record = batch.records().next().expect("it was just pushed");
        batch.share(&record)
    }

    /// Adds the message to a batch. Answers its index there.
    pub fn push_to(&self, batch: &mut BatchBuilder, now_ms: i64) -> u32 {
        let first = Header { key: QOS, value: Some(qos_text(self.qos, self.retain)) };
        let (key, value) = (Some(self.topic.as_bytes()), Some(self.payload));
        if self.properties.raw().is_empty() && self.origin.is_none() {
            return batch.push(now_ms, key, value, &[first]);
        }
        // Most have nothing but what is the user's.
        let properties = match self.properties.has_ours() {
            true => self.properties,
            false => Properties::EMPTY,
        };
        let expiry = properties.message_expiry().map(|seconds| seconds.to_string());
        let is_text = properties.payload_format() == Some(1);
        let mut headers = Vec::with_capacity(HEADERS_USUAL);
        headers.push(first);
        let mut add = |key, value: Option<&'a [u8]>| {
            headers.extend(value.map(|value| Header { key, value: Some(value) }));
        };
        add(ORIGIN, self.origin.map(str::as_bytes));
        add(TEXT, is_text.then_some(b"1"));
        add(CONTENT_TYPE, properties.content_type().map(str::as_bytes));
        add(RESPONSE_TOPIC, properties.response_topic().map(str::as_bytes));
        add(CORRELATION, properties.correlation_data());
        if let Some(expiry) = &expiry {
            headers.push(Header { key: EXPIRY, value: Some(expiry.as_bytes()) });
        }
        let ours = headers.len();
        headers.push(Header { key: USER, value: None });
        headers.extend(
            self.properties.user_bytes().map(|(key, value)| Header { key, value: Some(value) }),
        );
        if headers.len() == ours + 1 {
            headers.pop();
        }
        batch.push(now_ms, key, value, &headers)
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, Published};
    use crate::mqtt::{Properties, PropertiesBuilder, PropertyId, PropertyValue};
    use crate::qos::Qos;
    use crate::record::{Batch, BatchBuilder, Header};

    fn stored(published: &Published<'_>) -> Batch {
        let mut batch = BatchBuilder::new();
        published.push_to(&mut batch, 1_000);
        batch.finish()
    }

    fn check(batch: &Batch, test: impl FnOnce(Option<Message<'_>>)) {
        let record = batch.records().next().expect("one record");
        test(Message::of(&record));
    }

    fn published<'a>(properties: Properties<'a>, origin: Option<&'a str>) -> Published<'a> {
        Published {
            topic: "plant/7",
            payload: b"21.5",
            qos: Qos::ExactlyOnce,
            retain: true,
            properties,
            origin,
        }
    }

    #[test]
    fn what_was_published_is_read_back_with_repeats_and_order_kept() {
        let mut properties = PropertiesBuilder::default();
        properties.push(PropertyId::MessageExpiry, PropertyValue::FourByte(60)).expect("fits");
        properties
            .push(PropertyId::CorrelationData, PropertyValue::Binary(&[0, 255]))
            .expect("fits");
        for (name, value) in [("q", "mine"), ("a", "1"), ("a", "2"), ("u", "")] {
            properties.user(name, value).expect("fits");
        }
        check(&stored(&published(properties.as_properties(), Some("me"))), |message| {
            let message = message.expect("a message");
            assert_eq!((message.topic, message.payload), ("plant/7", &b"21.5"[..]));
            assert_eq!((message.qos, message.retain), (Qos::ExactlyOnce, true));
            assert_eq!((message.origin, message.correlation), (Some("me"), Some(&[0, 255][..])));
            assert_eq!(message.seconds_left(11_999), Some(50));
            assert_eq!(message.seconds_left(61_000), Some(0));
            let user: Vec<_> = message.user_properties().collect();
            assert_eq!(user, [("q", "mine"), ("a", "1"), ("a", "2"), ("u", "")]);
        });
    }

    /// All that a subscriber may see of a message.
    fn seen(message: &Message<'_>) -> String {
        let user: Vec<_> = message.user_properties().collect();
        let Message { topic, payload, qos, retain, received_ms, origin, .. } = message;
        let Message { expiry_s, is_text, content_type, response_topic, correlation, .. } = message;
        let first = format!("{topic} {payload:?} {qos:?} {retain} {received_ms} {origin:?}");
        let then = format!("{expiry_s:?} {is_text} {content_type:?} {response_topic:?}");
        format!("{first} {then} {correlation:?} {user:?} {}", message.has_properties())
    }

    #[test]
    fn a_message_says_the_same_before_it_is_in_a_record_as_after() {
        let mut all = PropertiesBuilder::default();
        all.push(PropertyId::PayloadFormat, PropertyValue::Byte(1)).expect("fits");
        all.push(PropertyId::MessageExpiry, PropertyValue::FourByte(60)).expect("fits");
        all.push(PropertyId::ContentType, PropertyValue::Text("t")).expect("fits");
        all.push(PropertyId::ResponseTopic, PropertyValue::Text("r")).expect("fits");
        all.push(PropertyId::CorrelationData, PropertyValue::Binary(&[0])).expect("fits");
        let mut user = PropertiesBuilder::default();
        for (name, value) in [("q", "mine"), ("a", "1"), ("a", "2"), ("u", "")] {
            all.user(name, value).expect("fits");
            user.user(name, value).expect("fits");
        }
        let mut format = PropertiesBuilder::default();
        format.push(PropertyId::PayloadFormat, PropertyValue::Byte(0)).expect("fits");
        for properties in [&all, &user, &format, &PropertiesBuilder::default()] {
            for origin in [None, Some("me")] {
                let message = published(properties.as_properties(), origin);
                let received = seen(&message.received(1_000));
                check(&stored(&message), |read| {
                    assert_eq!(received, seen(&read.expect("a message")));
                });
                let alone = message.alone(1_000);
                let record = alone.record().expect("whole");
                assert_eq!(received, seen(&Message::of(&record).expect("a message")));
            }
        }
    }

    #[test]
    fn a_plain_message_has_no_properties() {
        check(&stored(&published(Properties::EMPTY, None)), |message| {
            assert!(!message.expect("a message").has_properties());
        });
    }

    #[test]
    fn every_header_of_a_kafka_producer_is_a_user_property() {
        let mut batch = BatchBuilder::new();
        let headers = [Header { key: b"u", value: None }, Header { key: b"t", value: Some(b"x") }];
        batch.push(1, Some(b"a"), None, &headers);
        check(&batch.finish(), |message| {
            let message = message.expect("a message");
            assert_eq!((message.qos, message.payload), (Qos::AtLeastOnce, &b""[..]));
            assert_eq!(message.user_properties().collect::<Vec<_>>(), [("u", ""), ("t", "x")]);
        });
    }

    #[test]
    fn a_record_without_a_topic_that_mqtt_allows_is_no_message() {
        for key in [None, Some(&[0xff][..]), Some(b""), Some(b"a/+"), Some(b"a\0")] {
            let mut batch = BatchBuilder::new();
            batch.push(1, key, Some(b"x"), &[]);
            check(&batch.finish(), |message| assert!(message.is_none()));
        }
    }
}
