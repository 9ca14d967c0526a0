//! The configuration: defaults, then a file, then the environment, then flags; checked as a
//! whole before anything starts. Nothing else reads settings.

mod access;
mod auth;
mod auth_http;
mod bridges;
mod consumer_groups;
mod defaults;
mod diff;
mod document;
mod explained;
mod exports;
mod gather;
mod http;
mod http_client;
mod jwt;
mod kafka;
mod layers;
mod listeners;
mod origins;
mod place;
mod problem;
mod proxy;
mod pushes;
mod quantity;
mod rate;
mod rules;
mod sections;
mod system;
mod text;
mod tls;
mod topics;
mod transactions;
mod unix;

use std::path::PathBuf;

use figment::value::Value;
use serde::{Deserialize, Serialize};

pub use access::{AccessConfig, UnauthorizedPublish, WideFilters};
pub use auth::{Anonymous, AuthConfig};
pub use auth_http::AuthHttpConfig;
pub use bridges::{
    BridgeConfig, BridgeStart, LinkConfig, LinkDirection, LinkProtocol, LinkRetain, LinkRuleConfig,
    LinkTlsConfig,
};
pub use consumer_groups::ConsumerGroupsConfig;
pub use diff::Change;
pub use explained::Explained;
pub use exports::{
    AtRefusedTopic, ClusterConfig, ExportConfig, ExportStart, HeadersWord, ImportConfig,
    PackingWord, PartitionWord, SaslWord, dead_letter_topic,
};
pub use http::HttpListener;
pub use http_client::HttpUrl;
pub use jwt::{JwtConfig, TokenUserName};
pub use kafka::{KafkaListener, KafkasListener};
pub use layers::{Flag, Sources};
pub use listeners::{ListenerConfig, MqttListener, MqttsListener, WebSocketListener, WssListener};
pub use problem::ConfigErrors;
pub use proxy::ProxyProtocol;
pub use pushes::{PushBody, PushConfig};
pub use rate::{AtRateLimit, RateConfig};
pub use sections::{
    AtHoldLimit, Compression, DataConfig, Durability, LogConfig, LogFormat, MqttConfig,
    ShareConfig, ShareGroupConfig, ShareStrategy, StoreConfig, StreamConfig, ThreadsConfig,
};
pub use system::SystemConfig;
pub use tls::{ClientAuth, TlsConfig, TlsIdentity, TlsPair, TlsVersion};
pub use topics::{AutoRetained, AutoSubscribeConfig, RewriteConfig, RewriteOn, TopicsConfig};
pub use transactions::TransactionsConfig;
pub use unix::UnixListener;

use document::Aim;
use layers::Layers;
use problem::Problem;
use rules::Breach;

/// Every setting, checked. `config/tidewire.toml` shows each with its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything durable lives.
    pub data: DataConfig,
    /// What we serve, and where.
    pub listener: ListenerConfig,
    /// Limits of MQTT clients.
    pub mqtt: MqttConfig,
    /// Who may connect.
    pub auth: AuthConfig,
    /// Who may do what.
    pub access: AccessConfig,
    /// Shared subscriptions.
    pub share: ShareConfig,
    /// Groups of Kafka clients.
    pub consumer_groups: ConsumerGroupsConfig,
    /// Transactions of Kafka producers.
    pub transactions: TransactionsConfig,
    /// What is copied from and to others.
    pub bridge: BridgeConfig,
    /// Sizes of the log's files and memory.
    pub store: StoreConfig,
    /// The parts of the log. The stream `mqtt` is always among them.
    #[serde(rename = "stream")]
    pub streams: Vec<StreamConfig>,
    /// Rules for topics and filters.
    pub topics: TopicsConfig,
    /// What the broker is to its machine.
    pub system: SystemConfig,
    /// How many cores we use.
    pub threads: ThreadsConfig,
    /// What we tell about ourselves.
    pub log: LogConfig,
    /// The file that was read; `None` is the built-in defaults.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: DataConfig::default(),
            listener: ListenerConfig::default(),
            mqtt: MqttConfig::default(),
            auth: AuthConfig::default(),
            access: AccessConfig::default(),
            share: ShareConfig::default(),
            consumer_groups: ConsumerGroupsConfig::default(),
            transactions: TransactionsConfig::default(),
            bridge: BridgeConfig::default(),
            store: StoreConfig::default(),
            streams: vec![StreamConfig::catch_all()],
            topics: TopicsConfig::default(),
            system: SystemConfig::default(),
            threads: ThreadsConfig::default(),
            log: LogConfig::default(),
            file: None,
        }
    }
}

impl Config {
    /// Reads all sources. On a mistake: all mistakes, each with its place.
    pub fn load(sources: &Sources) -> Result<Self, ConfigErrors> {
        let fail = |problems| ConfigErrors::new(problems, sources.file.clone());
        let known = Self::settings();
        let layers = Layers::stack(sources, &known).map_err(fail)?;
        let (mut config, mut problems): (Self, _) = gather::gather(&layers, &known);
        config.complete_streams();
        config.file = sources.file.clone();
        problems.extend(broken_rules(&config, &layers, &problems));
        if problems.is_empty() { Ok(config) } else { Err(fail(problems)) }
    }

    /// All settings with who said so. On a mistake: all mistakes, each with its place.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn explain(sources: &Sources) -> Result<Vec<Explained>, ConfigErrors> {
        let config = Self::load(sources)?;
        let known = Self::settings();
        let layers = Layers::stack(sources, &known);
        let layers =
            layers.map_err(|problems| ConfigErrors::new(problems, sources.file.clone()))?;
        let config = serde_json::to_value(&config).expect("plain data serializes");
        Ok(explained::explain(&config, &layers, &known))
    }

    /// The settings that a program made, held to the same ranges and rules as those of a file.
    pub(crate) fn checked(self) -> Result<Self, ConfigErrors> {
        let settings = Value::serialize(&self).expect("plain data serializes");
        let layers = Layers::of_program(&settings);
        let (mut config, mut problems): (Self, _) = gather::gather(&layers, &Self::settings());
        config.complete_streams();
        config.file = self.file;
        problems.extend(broken_rules(&config, &layers, &problems));
        if problems.is_empty() { Ok(config) } else { Err(ConfigErrors::new(problems, None)) }
    }

    /// The paths of all settings: `mqtt.receive_max`. A list such as `stream` counts as one.
    #[must_use]
    pub fn settings() -> Vec<String> {
        let defaults = Value::serialize(Self::default()).expect("plain data serializes");
        gather::paths(&defaults)
    }

    /// What is different in another configuration, in the order of the settings' names.
    #[must_use]
    pub fn changes_to(&self, other: &Self) -> Vec<Change> {
        let value = |config| Value::serialize(config).expect("plain data serializes");
        diff::changes(&value(self), &value(other))
    }

    /// The weakest promise that any stream makes.
    #[must_use]
    pub fn durability_weakest(&self) -> Durability {
        let levels = self.streams.iter().map(|stream| stream.durability);
        levels.max().unwrap_or(Durability::Disk)
    }

    /// No topic may be without a stream.
    fn complete_streams(&mut self) {
        let catch_all = StreamConfig::catch_all();
        match self.streams.iter_mut().find(|stream| stream.name == catch_all.name) {
            Some(stream) if stream.filters.is_empty() => stream.filters = catch_all.filters,
            Some(_) => (),
            None => self.streams.push(catch_all),
        }
    }
}

/// What could not be read stands at its default by now: no rule may blame it a second time.
fn broken_rules(config: &Config, layers: &Layers, known: &[Problem]) -> Vec<Problem> {
    let covered = |setting: &Vec<String>| known.iter().any(|problem| problem.covers(setting));
    let settings = layers.merged();
    let mut breaches = rules::check_sizes(&config.mqtt, &config.store);
    breaches.extend(rules::check_sessions(&config.consumer_groups));
    breaches.extend(rules::check_streams(&config.streams));
    breaches.extend(jwt::check_jwt(&config.auth.jwt));
    breaches.extend(auth_http::check_auth_http(&config.auth.http));
    breaches.extend(topics::check_topics(&config.topics));
    breaches.extend(listeners::check_listeners(&config.listener));
    breaches.extend(listeners::check_hook(&config.listener, &config.auth));
    breaches.extend(bridges::check_bridges(&config.bridge));
    breaches.retain(|breach| !breach.settings.iter().any(covered));
    breaches.into_iter().map(|breach| locate(breach, &settings, layers)).collect()
}

/// Blames a setting that somebody made; a default is never the culprit. What is missing
/// altogether is blamed on what should hold it.
fn locate(breach: Breach, settings: &Value, layers: &Layers) -> Problem {
    let made = |setting: &&Vec<String>| gather::find(settings, setting).is_some();
    let culprit = breach.settings.iter().find(made).or(breach.settings.first());
    let setting = culprit.cloned().unwrap_or_default();
    let nearest = (0..=setting.len()).rev().find_map(|end| {
        let part = setting.get(..end)?;
        gather::find(settings, part)
    });
    let tag = nearest.unwrap_or(settings).tag();
    let place = layers.place(tag, &setting, Aim::Value);
    Problem { place, setting, message: breach.message, hint: breach.hint }
}
