//! `[bridge]`: what is copied from and to other brokers. Settings and their rules.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidewire_bridge::links::{LinkProblem, check_rules};

use super::defaults::MIB;
use super::exports::{ExportConfig, ImportConfig, check_export, check_import};
use super::pushes::{PushConfig, check_push};
use super::quantity::{bytes, count, millis, millis_out, seconds};
use super::rules::Breach;
use super::text::{
    file_or_off, file_or_off_out, name_or_off, topic_or_off, topic_or_off_out, word,
};

/// `[bridge]`: bridges, and how they are tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BridgeConfig {
    /// The shortest wait before a bridge that failed is tried again, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 1, 3_600_000>", serialize_with = "millis_out")]
    pub retry_ms_min: Duration,
    /// The longest, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 1, 86_400_000>", serialize_with = "millis_out")]
    pub retry_ms_max: Duration,
    /// Links to other MQTT brokers.
    pub link: Vec<LinkConfig>,
    /// To other Kafka clusters.
    pub export: Vec<ExportConfig>,
    /// From other Kafka clusters.
    pub import: Vec<ImportConfig>,
    /// To HTTP receivers.
    pub push: Vec<PushConfig>,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self {
            retry_ms_min: Duration::from_secs(1),
            retry_ms_max: Duration::from_secs(60),
            link: Vec::new(),
            export: Vec::new(),
            import: Vec::new(),
            push: Vec::new(),
        }
    }
}

/// `[[bridge.link]]`: one other MQTT broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkConfig {
    /// Its name here: for its position, its status and its metrics.
    pub name: String,
    /// Where the other broker is, as `host:port`; tried in this order, by turns.
    pub addresses: Vec<String>,
    /// Which version is spoken.
    #[serde(deserialize_with = "word")]
    pub protocol: LinkProtocol,
    /// What we are called there, or `off` (`None`): `tidewire-`, eight characters of this broker's
    /// own name, and the name of the link.
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub client_id: Option<String>,
    /// User name, or `off` (`None`).
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub user: Option<String>,
    /// A file whose first line is the password, or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub password_file: Option<PathBuf>,
    /// Whether, and how, TLS is spoken.
    pub tls: LinkTlsConfig,
    /// The path at which MQTT is spoken within WebSocket there, or `off` (`None`).
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub websocket_path: Option<String>,
    /// How often we show that we are there, in seconds.
    #[serde(deserialize_with = "seconds::<_, _, 1, 65_535>")]
    pub keep_alive_s: u16,
    /// How long the other broker keeps our session while we are away, in seconds.
    #[serde(deserialize_with = "seconds::<_, _, 1, 4_294_967_295>")]
    pub session_expiry_s: u32,
    /// Messages on their way at a time, in each direction.
    #[serde(deserialize_with = "count::<_, _, 1, 65_535>")]
    pub in_flight_max: u16,
    /// The largest packet that we take from there, in bytes.
    #[serde(deserialize_with = "bytes::<_, _, 128, { 256 * MIB }>")]
    pub packet_bytes_max: u32,
    /// The largest packet that is sent there, in bytes; 0: as large as it says.
    #[serde(deserialize_with = "bytes::<_, _, 0, { 256 * MIB }>")]
    pub remote_packet_bytes_max: u32,
    /// Where a link begins that was never there before.
    #[serde(deserialize_with = "word")]
    pub start: BridgeStart,
    /// With `protocol = "3.1.1"`: tell Mosquitto that we are a bridge: it does not send back then
    /// what came from us.
    pub try_private: bool,
    /// A topic there that is retained as `1` while we are connected and `0` when not, or `off`.
    #[serde(deserialize_with = "topic_or_off", serialize_with = "topic_or_off_out")]
    pub remote_state_topic: Option<String>,
    /// What is copied.
    pub rules: Vec<LinkRuleConfig>,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            addresses: Vec::new(),
            protocol: LinkProtocol::V5,
            client_id: None,
            user: None,
            password_file: None,
            tls: LinkTlsConfig::default(),
            websocket_path: None,
            keep_alive_s: 30,
            session_expiry_s: 7 * 86_400,
            in_flight_max: 10_000,
            packet_bytes_max: 1024 * 1024,
            remote_packet_bytes_max: 0,
            start: BridgeStart::Latest,
            try_private: true,
            remote_state_topic: None,
            rules: Vec::new(),
        }
    }
}

/// Versions of MQTT that a link speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkProtocol {
    /// MQTT 5.
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1.
    #[serde(rename = "3.1.1")]
    V311,
}

/// Where a bridge begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BridgeStart {
    /// With what comes from now on.
    Latest,
    /// With all that the log holds.
    Earliest,
}

/// TLS of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkTlsConfig {
    /// Whether TLS is spoken at all.
    pub enabled: bool,
    /// Authorities that are believed, in PEM, or `off` (`None`): those of the system.
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub ca_file: Option<PathBuf>,
    /// Our certificate, in PEM, or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub cert_file: Option<PathBuf>,
    /// Its key, in PEM, or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub key_file: Option<PathBuf>,
    /// The name that its certificate must have, or `off` (`None`): the host of the address.
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub server_name: Option<String>,
}

/// `[[bridge.link.rules]]`: what is copied, which way, and what becomes of its topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkRuleConfig {
    /// Which way.
    #[serde(deserialize_with = "word")]
    pub direction: LinkDirection,
    /// The topics, without their prefixes.
    pub filter: String,
    /// The highest QoS.
    #[serde(deserialize_with = "count::<_, _, 0, 2>")]
    pub qos: u8,
    /// What stands before them here.
    pub local_prefix: String,
    /// What stands before them there.
    pub remote_prefix: String,
    /// What becomes of the RETAIN flag.
    #[serde(deserialize_with = "word")]
    pub retain: LinkRetain,
}

impl Default for LinkRuleConfig {
    fn default() -> Self {
        Self {
            direction: LinkDirection::Out,
            filter: String::new(),
            qos: 1,
            local_prefix: String::new(),
            remote_prefix: String::new(),
            retain: LinkRetain::Keep,
        }
    }
}

/// Which way messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkDirection {
    /// From here to there.
    Out,
    /// From there to here.
    In,
    /// Both.
    Both,
}

/// What becomes of the RETAIN flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkRetain {
    /// It stays.
    Keep,
    /// It is taken off.
    Drop,
}

impl LinkConfig {
    /// Its rules, as links know them.
    #[must_use]
    pub fn link_rules(&self) -> Vec<tidewire_bridge::links::LinkRule> {
        use tidewire_bridge::links::LinkRule;
        let rule = |rule: &LinkRuleConfig| LinkRule {
            is_out: rule.direction != LinkDirection::In,
            is_in: rule.direction != LinkDirection::Out,
            filter: rule.filter.clone(),
            qos: rule.qos,
            local_prefix: rule.local_prefix.clone(),
            remote_prefix: rule.remote_prefix.clone(),
            keeps_retain: rule.retain == LinkRetain::Keep,
        };
        self.rules.iter().map(rule).collect()
    }
}

/// Each bridge by itself, and that no two have one name.
pub(super) fn check_bridges(bridge: &BridgeConfig) -> Vec<Breach> {
    let mut breaches = Vec::new();
    if bridge.retry_ms_min > bridge.retry_ms_max {
        let settings = ["bridge.retry_ms_min", "bridge.retry_ms_max"];
        let message = "`bridge.retry_ms_min` is more than `bridge.retry_ms_max`".into();
        breaches.push(Breach::new(&settings, message));
    }
    let mut names = BTreeSet::new();
    for (number, link) in bridge.link.iter().enumerate() {
        let at = |setting: &str| format!("bridge.link.{number}.{setting}");
        breaches.extend(check_name(&at("name"), &link.name, &mut names));
        breaches.extend(check_link(&at, link));
    }
    for (number, export) in bridge.export.iter().enumerate() {
        let setting = format!("bridge.export.{number}.name");
        breaches.extend(check_name(&setting, &export.name, &mut names));
        breaches.extend(check_export(number, export));
    }
    for (number, import) in bridge.import.iter().enumerate() {
        let setting = format!("bridge.import.{number}.name");
        breaches.extend(check_name(&setting, &import.name, &mut names));
        breaches.extend(check_import(number, import));
    }
    for (number, push) in bridge.push.iter().enumerate() {
        let setting = format!("bridge.push.{number}.name");
        breaches.extend(check_name(&setting, &push.name, &mut names));
        breaches.extend(check_push(number, push));
    }
    breaches
}

/// A name that a bridge may have, and that no other has.
fn check_name<'a>(setting: &str, name: &'a str, names: &mut BTreeSet<&'a str>) -> Option<Breach> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let message = match name {
        _ if !(1..=64).contains(&name.len()) || !name.chars().all(fits) => {
            format!("{name:?} cannot be the name of a bridge")
        }
        _ if !names.insert(name) => format!("there are two bridges with the name {name:?}"),
        _ => return None,
    };
    Some(
        Breach::new(&[setting], message).hint("1 to 64 letters, digits, dots, dashes, underscores"),
    )
}

fn check_link(at: &dyn Fn(&str) -> String, link: &LinkConfig) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let is_place = |address: &String| {
        let split = address.rsplit_once(':');
        split.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if link.addresses.is_empty() || !link.addresses.iter().all(is_place) {
        let message = "a link needs `addresses`, each a host with a port".into();
        let breach = Breach::new(&[&at("addresses")], message);
        breaches.push(breach.hint("such as addresses = [\"broker.example:8883\"]"));
    }
    let is_path =
        |path: &String| path.starts_with('/') && path.bytes().all(|it| it.is_ascii_graphic());
    if !link.websocket_path.iter().all(is_path) {
        let message = "websocket_path is the path of a URL, such as \"/mqtt\", or off".into();
        breaches.push(Breach::new(&[&at("websocket_path")], message));
    }
    if link.tls.cert_file.is_some() != link.tls.key_file.is_some() {
        let message = "a certificate needs its key, and a key its certificate".into();
        breaches.push(Breach::new(&[&at("tls.cert_file"), &at("tls.key_file")], message));
    }
    let private = link.protocol == LinkProtocol::V5 || link.try_private;
    if let Err(LinkProblem { rule, setting, message }) = check_rules(&link.link_rules(), private) {
        let setting = match rule {
            Some(rule) => at(&format!("rules.{rule}.{setting}")),
            None => at("rules"),
        };
        breaches.push(Breach::new(&[&setting], message));
    }
    breaches
}
