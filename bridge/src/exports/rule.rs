//! From a record of our log to a record of somebody else's: which topic, which key, which headers,
//! which partition. Pure.

use std::borrow::Cow;
use std::cell::OnceCell;

use tidewire_proto::message::Message;
use tidewire_proto::record::{Header, KeyRule, Record, partition_index};

use crate::template::{Template, TemplateError};

/// The topic of a record whose key is another.
pub(crate) const TOPIC: &[u8] = b"mqtt.topic";
/// The longest name of a Kafka topic.
const TOPIC_BYTES_MAX: usize = 249;

/// What can stand in the template of a Kafka topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hole {
    /// The stream.
    Stream,
    /// The MQTT topic.
    Topic,
    /// One level of it, counted from 0.
    Level(u16),
    /// The first user property of this name.
    User(String),
}

/// Which headers go along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Headers {
    /// All, as they lie in the log.
    #[default]
    All,
    /// User properties alone.
    User,
    /// None.
    None,
}

/// How the partition is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partition {
    /// By the hash of the key, as Kafka's own producers do; without a key as `Source`.
    #[default]
    Key,
    /// By the number of ours.
    Source,
}

/// How records become somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The Kafka topic.
    pub topic: Template<Hole>,
    /// What the key is, if there is to be one.
    pub key: Option<KeyRule>,
    /// Which headers go along.
    pub headers: Headers,
    /// How the partition is chosen.
    pub partition: Partition,
}

/// Parses the template of a Kafka topic.
///
/// # Errors
/// When it is none.
pub fn topic(text: &str) -> Result<Template<Hole>, TemplateError> {
    Template::parse(text, hole, |text| text.chars().all(is_legal))
}

fn hole(name: &str) -> Option<Hole> {
    match name {
        "stream" => Some(Hole::Stream),
        "topic" => Some(Hole::Topic),
        _ => match name.split_once(':')? {
            ("level", level) => level.parse().ok().map(Hole::Level),
            ("user", name) if !name.is_empty() => Some(Hole::User(name.to_owned())),
            _ => None,
        },
    }
}

/// A record on its way out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: Cow<'a, str>,
    pub(crate) key: Option<Cow<'a, [u8]>>,
    pub(crate) headers: Vec<Header<'a>>,
}

/// Why a record cannot go out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRecord {
    #[error("it has nothing for the template of the Kafka topic")]
    Hole,
    #[error("its Kafka topic would be called {0:?}, which none can be")]
    Name(String),
}

impl Rule {
    /// What becomes of a record of this stream.
    pub(crate) fn apply<'a>(
        &'a self,
        stream: &'a str,
        record: &Record<'a>,
    ) -> Result<Outgoing<'a>, NoRecord> {
        // Most rules do not look into the message.
        let message = OnceCell::new();
        let message = || message.get_or_init(|| Message::of(record)).as_ref();
        let mqtt = || String::from_utf8_lossy(record.key.unwrap_or_default());
        let user = |name: &str| {
            let found = message()?.user_properties().find(|(key, _)| *key == name);
            found.map(|(_, value)| value)
        };
        let filled = self.topic.fill(|hole| match hole {
            Hole::Stream => Some(Cow::Borrowed(stream)),
            Hole::Topic => Some(legal(&mqtt())),
            Hole::Level(level) => mqtt().split('/').nth(usize::from(*level)).map(legal),
            Hole::User(name) => user(name).map(legal),
        });
        let topic = filled.ok_or(NoRecord::Hole)?;
        if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX || topic == "." || topic == ".." {
            return Err(NoRecord::Name(topic.into_owned()));
        }
        let key = match self.key {
            None => None,
            Some(KeyRule::Topic) => record.key.map(Cow::Borrowed),
            Some(_) => self.key_of(record, message()),
        };
        let mut headers = Vec::new();
        if key.as_deref() != record.key {
            headers.extend(record.key.map(|topic| Header { key: TOPIC, value: Some(topic) }));
        }
        match self.headers {
            Headers::All => headers.extend(record.headers()),
            Headers::User => {
                let properties = message().into_iter().flat_map(Message::user_properties);
                headers.extend(properties.map(|(name, value)| Header {
                    key: name.as_bytes(),
                    value: Some(value.as_bytes()),
                }));
            }
            Headers::None => (),
        }
        Ok(Outgoing { topic, key, headers })
    }

    fn key_of<'a>(
        &self,
        record: &Record<'a>,
        message: Option<&Message<'a>>,
    ) -> Option<Cow<'a, [u8]>> {
        let rule = self.key.as_ref()?;
        let Some(message) = message else { return record.key.map(Cow::Borrowed) };
        let origin = message.origin.unwrap_or(message.topic);
        let named = |name: &str| {
            message.user_properties().find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        Some(Cow::Borrowed(rule.key_of(message.topic, origin, named).as_bytes()))
    }

    /// The partition, of so many, for a record with this key from that partition of ours.
    pub(crate) fn partition(&self, key: Option<&[u8]>, source: u32, partitions: u32) -> u32 {
        match (self.partition, key) {
            (Partition::Key, Some(key)) => partition_index(key, partitions),
            _ => source % partitions.max(1),
        }
    }
}

/// As part of a Kafka topic's name: levels are kept apart by dots, what cannot be there is `_`.
fn legal(text: &str) -> Cow<'static, str> {
    let one = |letter| match letter {
        '/' => '.',
        letter if is_legal(letter) => letter,
        _ => '_',
    };
    text.chars().map(one).collect::<String>().into()
}

fn is_legal(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use tidewire_proto::message::Published;
    use tidewire_proto::mqtt::PropertiesBuilder;
    use tidewire_proto::qos::Qos;
    use tidewire_proto::record::{Batch, BatchBuilder, KeyRule};

    use super::{Headers, NoRecord, Partition, Rule, topic};

    fn rule(text: &str, key: Option<KeyRule>) -> Rule {
        let topic = topic(text).expect("a template");
        Rule { topic, key, headers: Headers::All, partition: Partition::Key }
    }

    fn stored(mqtt: &str) -> Batch {
        let mut properties = PropertiesBuilder::default();
        for (name, value) in [("site", "north 1"), ("a", "1"), ("a", "2")] {
            properties.user(name, value).expect("fits");
        }
        let published = Published {
            topic: mqtt,
            payload: b"21.5",
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: properties.as_properties(),
            origin: None,
        };
        let mut batch = BatchBuilder::new();
        published.push_to(&mut batch, 1_000);
        batch.finish()
    }

    #[track_caller]
    fn check_topic(template: &str, mqtt: &str, expected: Result<&str, NoRecord>) {
        let (rule, batch) = (rule(template, Some(KeyRule::Topic)), stored(mqtt));
        let record = batch.records().next().expect("one");
        let found = rule.apply("readings", &record).map(|it| it.topic.into_owned());
        assert_eq!(found, expected.map(str::to_owned), "{template} {mqtt}");
    }

    #[test]
    fn topics_are_filled_and_made_legal() {
        check_topic("all", "plant/7", Ok("all"));
        check_topic("mqtt.${stream}", "plant/7", Ok("mqtt.readings"));
        check_topic("${topic}", "plant/7 ä", Ok("plant.7__"));
        check_topic("p-${level:1}", "plant/7", Ok("p-7"));
        check_topic("p-${level:2}", "plant/7", Err(NoRecord::Hole));
        check_topic("${user:site}", "plant/7", Ok("north_1"));
        check_topic("${user:none}", "plant/7", Err(NoRecord::Hole));
        check_topic("${topic}", "/", Err(NoRecord::Name(".".into())));
        let long = "x".repeat(250);
        check_topic("${topic}", &long, Err(NoRecord::Name(long.clone())));
        assert!(topic("a/b").is_err() && topic("${level:x}").is_err() && topic("").is_err());
    }

    #[test]
    fn keys_follow_their_rule_and_the_topic_is_never_lost() {
        let batch = stored("plant/7");
        let record = batch.records().next().expect("one");
        for (key, expected, has_topic) in [
            (Some(KeyRule::Topic), Some("plant/7"), false),
            (Some(KeyRule::Level(1)), Some("7"), true),
            (Some(KeyRule::UserProperty("site".into())), Some("north 1"), true),
            (Some(KeyRule::ClientId), Some("plant/7"), false),
            (None, None, true),
        ] {
            let rule = rule("all", key);
            let found = rule.apply("mqtt", &record).expect("goes out");
            assert_eq!(found.key.as_deref(), expected.map(str::as_bytes));
            let names: Vec<_> = found.headers.iter().map(|header| header.key).collect();
            let ours: [&[u8]; 5] = [b"q", b"u", b"site", b"a", b"a"];
            let expected: Vec<&[u8]> =
                has_topic.then_some(super::TOPIC).into_iter().chain(ours).collect();
            assert_eq!(names, expected);
        }
    }

    #[test]
    fn headers_are_all_or_the_users_or_none() {
        let batch = stored("plant/7");
        let record = batch.records().next().expect("one");
        for (headers, count) in [(Headers::All, 5), (Headers::User, 3), (Headers::None, 0)] {
            let rule = Rule { headers, ..rule("all", Some(KeyRule::Topic)) };
            assert_eq!(rule.apply("mqtt", &record).expect("goes out").headers.len(), count);
        }
    }

    #[test]
    fn partitions_are_those_of_javas_producer_or_of_ours() {
        let by_key = rule("all", None);
        // What Java's default partitioner says of these keys and eight partitions.
        for (key, hash) in [("21", -973_932_308_i32), ("foobar", -790_332_482)] {
            let expected = (hash & i32::MAX).cast_unsigned() % 8;
            assert_eq!(by_key.partition(Some(key.as_bytes()), 5, 8), expected);
        }
        assert_eq!(by_key.partition(None, 9, 8), 1);
        let by_source = Rule { partition: Partition::Source, ..rule("all", None) };
        assert_eq!(by_source.partition(Some(b"21"), 5, 4), 1);
    }
}
