//! `[system]`: what the broker is to the machine that it runs on, and what it says of itself. Asks
//! the machine nothing.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::defaults;
use super::quantity::{count, millis, millis_out};
use super::text::{name_or_off, read, topic_or_off_out};

/// `[system]`: what the broker is to its machine, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SystemConfig {
    /// Started by root, it becomes this `user` or `user:group` once its ports are bound; `off`
    /// (`None`): it stays who it is.
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub run_as: Option<String>,
    /// A stop takes so long at most, in milliseconds; then the program ends as it is. Clients have
    /// a third of it to take what is on its way to them.
    #[serde(rename = "stop_timeout_ms", serialize_with = "millis_out")]
    #[serde(deserialize_with = "millis::<_, 1_000, 3_600_000>")]
    pub stop_timeout: Duration,
    /// How often what is new under `$SYS` is published, in seconds; 0: there is nothing there.
    #[serde(deserialize_with = "count::<_, _, 0, 3600>")]
    pub sys_interval_s: u16,
    /// What this broker is called in topics such as `$SYS/brokers/tidewire/uptime`.
    #[serde(deserialize_with = "node_name")]
    pub node_name: String,
    /// Whether clients that come and go are told of under `$SYS/brokers/NODE/clients/`.
    pub presence_events: bool,
}

impl Default for SystemConfig {
    fn default() -> Self {
        Self {
            run_as: None,
            stop_timeout: Duration::from_secs(30),
            sys_interval_s: defaults::SYS_INTERVAL_S,
            node_name: defaults::NODE_NAME.into(),
            presence_events: false,
        }
    }
}

impl SystemConfig {
    /// The name under which clients that come and go are told of, if they are.
    pub(crate) fn presence_node(&self) -> Option<Box<str>> {
        self.presence_events.then(|| self.node_name.as_str().into())
    }
}

/// Programs make names of series of topics: what stands in them has to be plain.
fn node_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let expected = "1 to 64 lower-case letters, digits, `_` and `-`";
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    read(from, expected, |text| {
        let fits = (1..=64).contains(&text.len());
        (fits && text.bytes().all(|byte| is_plain(byte) || byte == b'-')).then(|| text.into())
    })
}
