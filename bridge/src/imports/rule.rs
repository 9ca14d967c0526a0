//! From a record of somebody else's Kafka to a message of ours: which topic, QoS and RETAIN, which
//! properties. Pure.

use std::borrow::Cow;

use tidewire_proto::message::Message;
use tidewire_proto::mqtt::{PropertiesBuilder, PropertyId, PropertyValue};
use tidewire_proto::qos::Qos;
use tidewire_proto::record::Record;

use crate::template::{Template, TemplateError};

/// Headers that say what a record is to be, as at the Kafka port; they are taken out.
const TOPIC: &[u8] = b"mqtt.topic";
const RETAIN: &[u8] = b"mqtt.retain";
const QOS: &[u8] = b"mqtt.qos";
/// Our own first header: the record was exported from a broker such as this.
const OURS: &[u8] = b"q";
/// MQTT writes the length of a text in two bytes.
const TEXT_BYTES_MAX: usize = 65_535;
/// Properties of one message, together.
const PROPERTIES_BYTES_MAX: usize = 128 << 10;

/// What can stand in the template of an MQTT topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hole {
    /// The Kafka topic.
    Topic,
    /// The record's key.
    Key,
    /// The partition.
    Partition,
    /// The first header of this name.
    Header(String),
}

/// How records become messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The MQTT topic.
    pub topic: Template<Hole>,
    /// The QoS of records that do not say theirs.
    pub qos: Qos,
    /// RETAIN of records that do not say theirs.
    pub retain: bool,
    /// Whether headers become user properties.
    pub headers: bool,
}

/// Parses the template of an MQTT topic.
///
/// # Errors
/// When it is none.
pub fn topic(text: &str) -> Result<Template<Hole>, TemplateError> {
    let hole = |name: &str| match name {
        "topic" => Some(Hole::Topic),
        "key" => Some(Hole::Key),
        "partition" => Some(Hole::Partition),
        _ => {
            let name = name.strip_prefix("header:").filter(|name| !name.is_empty())?;
            Some(Hole::Header(name.to_owned()))
        }
    };
    Template::parse(text, hole, |text| !text.contains(['+', '#', '\0']))
}

/// Where a record comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
}

/// What a record becomes, but for its payload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) topic: String,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
}

/// Why a record cannot be a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoMessage {
    #[error("it has nothing for the template of the MQTT topic, or no text")]
    Hole,
    #[error("the header mqtt.qos is 0, 1 or 2, mqtt.retain is 1, 0, true or false")]
    Header,
}

impl Rule {
    /// Judges a record, and writes its properties.
    pub(crate) fn apply(
        &self,
        origin: Origin<'_>,
        record: &Record<'_>,
        properties: &mut PropertiesBuilder,
    ) -> Result<Incoming, NoMessage> {
        let header = |name: &[u8]| {
            let found = record.headers().find(|header| header.key == name);
            found.map(|header| header.value.unwrap_or_default())
        };
        let filled = self.topic.fill(|hole| match hole {
            Hole::Topic => Some(Cow::Borrowed(origin.topic)),
            Hole::Key => std::str::from_utf8(record.key?).ok().map(Cow::Borrowed),
            Hole::Partition => Some(Cow::Owned(origin.partition.to_string())),
            Hole::Header(name) => text(header(name.as_bytes())?).map(Cow::Borrowed),
        });
        let topic = filled.ok_or(NoMessage::Hole)?.into_owned();
        // Whatever its key is: only the headers are looked at.
        let exported = record.headers().next().is_some_and(|first| first.key == OURS);
        let ours = Message::of(record).filter(|_| exported);
        let (mut qos, mut retain) = match &ours {
            Some(message) => (message.qos, message.retain),
            None => (self.qos, self.retain),
        };
        if let Some(value) = header(QOS) {
            qos = digit(value).ok_or(NoMessage::Header)?;
        }
        if let Some(value) = header(RETAIN) {
            retain = truth(value).ok_or(NoMessage::Header)?;
        }
        if self.headers {
            match &ours {
                Some(message) => carry(message, properties),
                None => self.carry_all(record, properties),
            }
        }
        Ok(Incoming { topic, qos, retain })
    }

    /// Every header that MQTT can carry, in their order.
    fn carry_all(&self, record: &Record<'_>, properties: &mut PropertiesBuilder) {
        let mut room = PROPERTIES_BYTES_MAX;
        for header in record.headers() {
            if [TOPIC, RETAIN, QOS].contains(&header.key) {
                continue;
            }
            let value = header.value.unwrap_or_default();
            let Some((name, value)) = text(header.key).zip(text(value)) else { continue };
            let Some(left) = room.checked_sub(name.len() + value.len()) else { return };
            room = left;
            // What does not fit is left out: it is told nowhere that all headers arrive.
            let _ = properties.user(name, value);
        }
    }
}

/// The properties of a message that was exported; its expiry counts from now.
fn carry(message: &Message<'_>, properties: &mut PropertiesBuilder) {
    let mut push = |id, value| {
        let _ = properties.push(id, value);
    };
    if message.is_text {
        push(PropertyId::PayloadFormat, PropertyValue::Byte(1));
    }
    if let Some(seconds) = message.expiry_s {
        push(PropertyId::MessageExpiry, PropertyValue::FourByte(seconds));
    }
    if let Some(text) = message.content_type {
        push(PropertyId::ContentType, PropertyValue::Text(text));
    }
    if let Some(topic) = message.response_topic {
        push(PropertyId::ResponseTopic, PropertyValue::Text(topic));
    }
    if let Some(data) = message.correlation {
        push(PropertyId::CorrelationData, PropertyValue::Binary(data));
    }
    for (name, value) in message.user_properties() {
        let _ = properties.user(name, value);
    }
}

/// A text that fits into a property.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (text.len() <= TEXT_BYTES_MAX && !text.contains('\0')).then_some(text)
}

fn digit(value: &[u8]) -> Option<Qos> {
    match value {
        [digit @ b'0'..=b'2'] => Qos::from_bits(digit - b'0'),
        _ => None,
    }
}

fn truth(value: &[u8]) -> Option<bool> {
    match value {
        b"1" | b"true" => Some(true),
        b"0" | b"false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::mqtt::PropertiesBuilder;
    use tidewire_proto::qos::Qos;
    use tidewire_proto::record::{BatchBuilder, Header};

    use super::{Incoming, NoMessage, Origin, Rule, topic};

    type Pair<'a> = (&'a str, &'a str);
    type Found = (Result<Incoming, NoMessage>, Vec<(String, String)>);

    fn applied(template: &str, key: Option<&str>, headers: &[Pair<'_>]) -> Found {
        let headers: Vec<_> = headers
            .iter()
            .map(|(key, value)| Header { key: key.as_bytes(), value: Some(value.as_bytes()) })
            .collect();
        let mut builder = BatchBuilder::new();
        builder.push(1, key.map(str::as_bytes), Some(b"21.5"), &headers);
        let batch = builder.finish();
        let record = batch.records().next().expect("one");
        let topic = topic(template).expect("a template");
        let rule = Rule { topic, qos: Qos::AtLeastOnce, retain: false, headers: true };
        let mut properties = PropertiesBuilder::default();
        let origin = Origin { topic: "orders", partition: 3 };
        let found = rule.apply(origin, &record, &mut properties);
        let user = properties.as_properties().user_properties();
        (found, user.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[track_caller]
    fn check(template: &str, key: Option<&str>, headers: &[Pair<'_>], expected: Option<&str>) {
        let found = applied(template, key, headers).0.ok().map(|it| it.topic);
        assert_eq!(found.as_deref(), expected, "{template} {key:?}");
    }

    #[test]
    fn topics_are_filled_from_the_record() {
        check("${topic}/${key}", Some("7"), &[], Some("orders/7"));
        check("in/${partition}", None, &[], Some("in/3"));
        check("in/${header:site}", None, &[("site", "north")], Some("in/north"));
        check("in/${header:site}", None, &[], None);
        check("${topic}/${key}", None, &[], None);
        assert!(topic("a/+").is_err() && topic("${header:}").is_err() && topic("").is_err());
    }

    #[test]
    fn headers_say_qos_and_retain_and_the_rest_are_properties_in_their_order() {
        let headers = [
            ("a", "1"),
            ("mqtt.qos", "2"),
            ("mqtt.retain", "true"),
            ("a", "2"),
            ("mqtt.topic", "x"),
        ];
        let (found, user) = applied("${key}", Some("k"), &headers);
        let expected = Incoming { topic: "k".into(), qos: Qos::ExactlyOnce, retain: true };
        assert_eq!(found, Ok(expected));
        assert_eq!(user, [("a".into(), "1".into()), ("a".into(), "2".into())]);
        assert_eq!(applied("x", None, &[("mqtt.qos", "3")]).0, Err(NoMessage::Header));
    }

    #[test]
    fn what_was_exported_comes_back_as_it_was() {
        let headers = [("q", "2r"), ("u", ""), ("unit", "C")];
        let (found, user) = applied("${key}", Some("plant/7"), &headers);
        let expected = Incoming { topic: "plant/7".into(), qos: Qos::ExactlyOnce, retain: true };
        assert_eq!(found, Ok(expected));
        assert_eq!(user, [("unit".into(), "C".into())]);
    }
}
