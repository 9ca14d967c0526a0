//! `[listener.unix]`: MQTT over a socket file, for clients on this machine. Makes no file.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::auth::Anonymous;
use super::quantity::count;
use super::rate::RateConfig;
use super::text::{file_or_off, file_or_off_out, name_or_off, read, topic_or_off_out, word};

/// The owner and its group may connect.
const MODE: u32 = 0o660;

/// `[listener.unix]`: MQTT over a socket file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnixListener {
    /// The socket file, or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub path: Option<PathBuf>,
    /// Who may connect, as the rights of a file: who may write to it.
    #[serde(deserialize_with = "mode", serialize_with = "mode_out")]
    pub mode: u32,
    /// Whose it is, by name or number; `off` (`None`): the user's that runs the broker.
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub owner: Option<String>,
    /// Its group, by name or number; `off` (`None`): the group that runs the broker.
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub group: Option<String>,
    /// Whether clients may come that do not show who they are.
    #[serde(deserialize_with = "word")]
    pub anonymous: Anonymous,
    /// Open connections of this listener; 0: as many as `mqtt.connections_max` allows.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000_000>")]
    pub connections_max: u32,
    /// New connections per second; 0: any number. Beyond it they wait to be accepted.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub connections_per_s_max: u32,
    /// New connections at once after a pause; 0: as many as in one second.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub connections_burst_max: u32,
    /// How fast messages may come over all clients of this listener.
    pub rate: RateConfig,
}

impl Default for UnixListener {
    fn default() -> Self {
        Self {
            path: None,
            mode: MODE,
            owner: None,
            group: None,
            anonymous: Anonymous::Auto,
            connections_max: 0,
            connections_per_s_max: 0,
            connections_burst_max: 0,
            rate: RateConfig::default(),
        }
    }
}

fn mode<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    read(from, "the rights of a file in quotes, such as \"660\" or \"666\"", |text| {
        let mode = u32::from_str_radix(text, 8).ok()?;
        (text.bytes().all(|byte| byte.is_ascii_digit()) && mode <= 0o777).then_some(mode)
    })
}

fn mode_out<S: Serializer>(mode: &u32, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{mode:o}"))
}
