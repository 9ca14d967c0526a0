//! `[[bridge.export]]` and `[[bridge.import]]`: what is copied to and from other Kafka clusters.
//! Settings and their rules; reads no file.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidewire_bridge::{exports, imports};
use tidewire_proto::record::KeyRule;
use tidewire_proto::topic::{TopicFilter, check_topic_name};

use super::defaults::{KIB, MIB};
use super::place::split_place;
use super::quantity::{bytes, count, millis, millis_out};
use super::rules::Breach;
use super::text::{
    file_or_off, file_or_off_out, key_rule_or_none, key_rule_or_none_out, name_or_off,
    topic_or_off_out, word,
};

/// Where dead letters go unless it is said otherwise.
const DEAD_LETTERS: &str = "$dead/${bridge}";

/// Another Kafka cluster, and who we are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// Brokers to ask first, as `host:port`: any of them knows the others.
    pub addresses: Vec<String>,
    /// What we call ourselves there.
    pub client_id: String,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Authorities that are believed, in PEM, or `off` (`None`): those of the system.
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub ca_file: Option<PathBuf>,
    /// Our certificate, in PEM, or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub cert_file: Option<PathBuf>,
    /// Its key, in PEM, or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub key_file: Option<PathBuf>,
    /// How we show who we are.
    #[serde(deserialize_with = "word")]
    pub sasl: SaslWord,
    /// The user, where SASL is spoken, or `off` (`None`).
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub user: Option<String>,
    /// A file whose first line is the password, or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub password_file: Option<PathBuf>,
    /// How long a connection may take to come up, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 10, 600_000>", serialize_with = "millis_out")]
    pub connect_timeout_ms: Duration,
    /// How long an answer may take, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 1_000, 3_600_000>", serialize_with = "millis_out")]
    pub answer_timeout_ms: Duration,
    /// The largest answer that is taken, in bytes.
    #[serde(deserialize_with = "bytes::<_, _, { MIB }, { 1024 * MIB }>")]
    pub answer_bytes_max: u32,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            client_id: "tidewire".into(),
            tls: false,
            ca_file: None,
            cert_file: None,
            key_file: None,
            sasl: SaslWord::Off,
            user: None,
            password_file: None,
            connect_timeout_ms: Duration::from_secs(10),
            answer_timeout_ms: Duration::from_secs(40),
            answer_bytes_max: 128 * 1024 * 1024,
        }
    }
}

impl ClusterConfig {
    /// The addresses, taken apart.
    #[must_use]
    pub fn places(&self) -> Vec<(String, u16)> {
        self.addresses.iter().filter_map(|address| split_place(address)).collect()
    }
}

/// How we show who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SaslWord {
    /// Not by SASL.
    #[serde(rename = "off")]
    Off,
    /// The password as it is: over TLS only.
    #[serde(rename = "PLAIN")]
    Plain,
    /// A proof of the password.
    #[serde(rename = "SCRAM-SHA-256")]
    Scram256,
    /// The same with a longer hash.
    #[serde(rename = "SCRAM-SHA-512")]
    Scram512,
}

/// `[[bridge.export]]`: streams to another Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExportConfig {
    /// Its name here: for its position, its status and its metrics.
    pub name: String,
    /// Where to.
    pub cluster: ClusterConfig,
    /// The streams that it reads; none: all.
    pub streams: Vec<String>,
    /// The MQTT topics that it reads; none: every record.
    pub filters: Vec<String>,
    /// Where an export begins that was never there before.
    #[serde(deserialize_with = "word")]
    pub start: ExportStart,
    /// The Kafka topic.
    pub topic: String,
    /// What the key is.
    #[serde(deserialize_with = "key_rule_or_none", serialize_with = "key_rule_or_none_out")]
    pub key: Option<KeyRule>,
    /// Which headers go along.
    #[serde(deserialize_with = "word")]
    pub headers: HeadersWord,
    /// How the partition is chosen.
    #[serde(deserialize_with = "word")]
    pub partition: PartitionWord,
    /// How batches are compressed.
    #[serde(deserialize_with = "word")]
    pub compression: PackingWord,
    /// Whether each record is there once, whatever happens.
    pub exactly_once: bool,
    /// Our transactional id and the name of our group there, or `off` (`None`): one of our own.
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub transactional_id: Option<String>,
    /// How long a transaction may stay open there if we do not come back, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 1_000, 900_000>", serialize_with = "millis_out")]
    pub transaction_timeout_ms: Duration,
    /// About how much of the log goes at a time, in bytes.
    #[serde(deserialize_with = "bytes::<_, _, { 4 * KIB }, { 8 * MIB }>")]
    pub transaction_bytes_max: u32,
    /// A batch is not made larger, in bytes before it is compressed.
    #[serde(deserialize_with = "bytes::<_, _, { KIB }, { 8 * MIB }>")]
    pub batch_bytes_max: u32,
    /// A larger message is not tried, in bytes.
    #[serde(deserialize_with = "bytes::<_, _, { KIB }, { 256 * MIB }>")]
    pub message_bytes_max: u32,
    /// Requests on their way to one broker at a time.
    #[serde(deserialize_with = "count::<_, _, 1, 5>")]
    pub in_flight_max: u8,
    /// How long it is waited for more messages, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 0, 60_000>", serialize_with = "millis_out")]
    pub linger_ms: Duration,
    /// Whether the cluster may make topics that do not exist, if it does that.
    pub create_topics: bool,
    /// How long a topic that cannot be found is looked for, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 0, 600_000>", serialize_with = "millis_out")]
    pub topic_wait_ms: Duration,
    /// What becomes of messages for a topic that does not exist or that we may not write to.
    #[serde(deserialize_with = "word")]
    pub at_refused_topic: AtRefusedTopic,
    /// Where messages go that the cluster will never take, or `off` (`None`).
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub dead_letter_topic: Option<String>,
}

impl Default for ExportConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            cluster: ClusterConfig::default(),
            streams: Vec::new(),
            filters: Vec::new(),
            start: ExportStart::Latest,
            topic: "${stream}".into(),
            key: Some(KeyRule::Topic),
            headers: HeadersWord::All,
            partition: PartitionWord::Key,
            compression: PackingWord::None,
            exactly_once: true,
            transactional_id: None,
            transaction_timeout_ms: Duration::from_secs(60),
            transaction_bytes_max: 4 * 1024 * 1024,
            batch_bytes_max: 900 * 1024,
            message_bytes_max: 64 * 1024 * 1024,
            in_flight_max: 5,
            linger_ms: Duration::from_millis(5),
            create_topics: true,
            topic_wait_ms: Duration::from_secs(10),
            at_refused_topic: AtRefusedTopic::DeadLetter,
            dead_letter_topic: Some(DEAD_LETTERS.into()),
        }
    }
}

/// Where an export begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportStart {
    /// With what comes from now on.
    Latest,
    /// With all that the log holds.
    Earliest,
}

/// Which headers go along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadersWord {
    /// All, as they lie in the log.
    All,
    /// User properties alone.
    User,
    /// None.
    None,
}

/// How the partition is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionWord {
    /// By the hash of the key, as Kafka's own producers do.
    Key,
    /// By the number of ours.
    Source,
}

/// How batches are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackingWord {
    /// Not at all.
    None,
    /// Gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// What becomes of messages for a topic that takes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtRefusedTopic {
    /// They get a dead letter, and the rest goes on.
    DeadLetter,
    /// The export waits, and says so.
    Wait,
}

/// `[[bridge.import]]`: topics of another Kafka cluster into the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImportConfig {
    /// Its name here: for its position, its status and its metrics.
    pub name: String,
    /// Where from.
    pub cluster: ClusterConfig,
    /// The Kafka topics that it reads.
    pub topics: Vec<String>,
    /// Where it begins in a topic that it has never read: `earliest`, `latest`, or milliseconds
    /// since 1970.
    pub start: String,
    /// The MQTT topic.
    pub topic: String,
    /// The QoS of records that do not say theirs.
    #[serde(deserialize_with = "count::<_, _, 0, 2>")]
    pub qos: u8,
    /// RETAIN of records that do not say theirs.
    pub retain: bool,
    /// Whether headers become user properties.
    pub headers: bool,
    /// Whether records of transactions that were aborted, or are not over, are left out.
    pub read_committed: bool,
    /// Bytes of one answer, compressed as they are; a batch that is larger comes alone.
    #[serde(deserialize_with = "bytes::<_, _, { 4 * KIB }, { 64 * MIB }>")]
    pub fetch_bytes_max: u32,
    /// Bytes of one commit of ours.
    #[serde(deserialize_with = "bytes::<_, _, { 4 * KIB }, { 8 * MIB }>")]
    pub commit_bytes_max: u32,
    /// How long the cluster waits for something to come, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 1, 20_000>", serialize_with = "millis_out")]
    pub fetch_wait_ms: Duration,
    /// How often it is looked for new partitions, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 100, 86_400_000>", serialize_with = "millis_out")]
    pub look_ms: Duration,
    /// Where records go that are no messages, or `off` (`None`).
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub dead_letter_topic: Option<String>,
}

impl Default for ImportConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            cluster: ClusterConfig::default(),
            topics: Vec::new(),
            start: "earliest".into(),
            topic: "${topic}/${key}".into(),
            qos: 1,
            retain: false,
            headers: true,
            read_committed: true,
            fetch_bytes_max: 4 * 1024 * 1024,
            commit_bytes_max: 4 * 1024 * 1024,
            fetch_wait_ms: Duration::from_millis(500),
            look_ms: Duration::from_secs(30),
            dead_letter_topic: Some(DEAD_LETTERS.into()),
        }
    }
}

impl ImportConfig {
    /// Where it begins, if it says so in words that are known.
    #[must_use]
    pub fn from(&self) -> Option<imports::From> {
        match self.start.as_str() {
            "earliest" => Some(imports::From::Earliest),
            "latest" => Some(imports::From::Latest),
            text => text.parse().ok().filter(|at_ms| *at_ms >= 0).map(imports::From::Time),
        }
    }
}

/// A topic for dead letters, with the bridge's name in its place.
#[must_use]
pub fn dead_letter_topic(topic: Option<&String>, bridge: &str) -> Option<String> {
    topic.map(|topic| topic.replace("${bridge}", bridge))
}

/// An export by itself.
pub(super) fn check_export(number: usize, export: &ExportConfig) -> Vec<Breach> {
    let at = |setting: &str| format!("bridge.export.{number}.{setting}");
    let mut breaches = check_cluster(&at, &export.cluster);
    let mut blame = |setting: &str, message: String| {
        breaches.push(Breach::new(&[&at(setting)], message));
    };
    if let Err(error) = exports::topic(&export.topic) {
        blame("topic", format!("{:?} is no template of a Kafka topic: {error}", export.topic));
    }
    for filter in &export.filters {
        if TopicFilter::parse(filter).is_err() {
            blame("filters", format!("{filter:?} is no filter"));
        }
    }
    if let Some(message) = wrong_letters(export.dead_letter_topic.as_ref()) {
        blame("dead_letter_topic", message);
    }
    breaches
}

/// An import by itself.
pub(super) fn check_import(number: usize, import: &ImportConfig) -> Vec<Breach> {
    let at = |setting: &str| format!("bridge.import.{number}.{setting}");
    let mut breaches = check_cluster(&at, &import.cluster);
    let mut blame = |setting: &str, message: String| {
        breaches.push(Breach::new(&[&at(setting)], message));
    };
    if import.topics.is_empty() {
        blame("topics", "an import needs the `topics` that it reads".into());
    }
    if let Err(error) = imports::topic(&import.topic) {
        blame("topic", format!("{:?} is no template of an MQTT topic: {error}", import.topic));
    }
    if import.from().is_none() {
        let words = "is not \"earliest\", \"latest\" or milliseconds since 1970";
        blame("start", format!("{:?} {words}", import.start));
    }
    if let Some(message) = wrong_letters(import.dead_letter_topic.as_ref()) {
        blame("dead_letter_topic", message);
    }
    breaches
}

fn wrong_letters(topic: Option<&String>) -> Option<String> {
    let topic = dead_letter_topic(topic, "x")?;
    // What lies there is exported by nobody: a letter of a letter would have no end.
    let is_wrong = !topic.starts_with("$dead/") || check_topic_name(&topic).is_err();
    is_wrong.then(|| {
        "a topic under $dead/, without wildcards, such as \"$dead/${bridge}\", or \"off\"".into()
    })
}

fn check_cluster(at: &dyn Fn(&str) -> String, cluster: &ClusterConfig) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let is_place = |address: &String| split_place(address).is_some();
    if cluster.addresses.is_empty() || !cluster.addresses.iter().all(is_place) {
        let message = "a cluster needs `addresses`, each a host with a port".into();
        let breach = Breach::new(&[&at("cluster.addresses")], message);
        breaches.push(breach.hint("such as cluster.addresses = [\"kafka.example:9092\"]"));
    }
    if cluster.cert_file.is_some() != cluster.key_file.is_some() {
        let settings = [&at("cluster.cert_file"), &at("cluster.key_file")];
        let message = "a certificate needs its key, and a key its certificate".into();
        breaches.push(Breach::new(&settings.map(String::as_str), message));
    }
    let is_whole = cluster.user.is_some() && cluster.password_file.is_some();
    if cluster.sasl != SaslWord::Off && !is_whole {
        let settings = [&at("cluster.user"), &at("cluster.password_file")];
        let message = "SASL needs `user` and `password_file`".into();
        breaches.push(Breach::new(&settings.map(String::as_str), message));
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::{ClusterConfig, ExportConfig, ImportConfig, SaslWord, check_export, check_import};

    fn cluster() -> ClusterConfig {
        ClusterConfig { addresses: vec!["kafka:9092".into()], ..ClusterConfig::default() }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut ExportConfig), expected: Option<&str>) {
        let mut export =
            ExportConfig { name: "out".into(), cluster: cluster(), ..ExportConfig::default() };
        change(&mut export);
        let found = check_export(3, &export);
        let settings: Vec<_> = found.iter().map(|it| it.settings[0].join(".")).collect();
        let expected = expected.map(|setting| format!("bridge.export.3.{setting}"));
        assert_eq!(settings, Vec::from_iter(expected), "{found:?}");
    }

    #[test]
    fn an_export_is_blamed_for_what_cannot_be() {
        check(|_| (), None);
        check(|it| it.topic = "a/b".into(), Some("topic"));
        check(|it| it.topic = "${nothing}".into(), Some("topic"));
        check(|it| it.filters = vec!["a/#/b".into()], Some("filters"));
        check(|it| it.dead_letter_topic = Some("a/+".into()), Some("dead_letter_topic"));
        check(|it| it.cluster.addresses.clear(), Some("cluster.addresses"));
        check(|it| it.cluster.addresses = vec!["kafka".into()], Some("cluster.addresses"));
        check(|it| it.cluster.key_file = Some("k".into()), Some("cluster.cert_file"));
        check(|it| it.cluster.sasl = SaslWord::Plain, Some("cluster.user"));
    }

    #[test]
    fn an_import_is_blamed_for_what_cannot_be() {
        let import = |start: &str, topics: &[&str], topic: &str| {
            let import = ImportConfig {
                cluster: cluster(),
                start: start.into(),
                topics: topics.iter().map(|it| (*it).into()).collect(),
                topic: topic.into(),
                ..ImportConfig::default()
            };
            let found = check_import(0, &import);
            found.iter().map(|it| it.settings[0][3].clone()).collect::<Vec<_>>()
        };
        assert!(import("1700000000000", &["a"], "x/${key}").is_empty());
        assert_eq!(import("yesterday", &[], "x/#"), ["topics", "topic", "start"]);
    }
}
