//! `[access]`: who may do what. Never reads a file of rules.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::text::{file_or_off, file_or_off_out, word};

/// `[access]`: who may do what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessConfig {
    /// File with rules, or `off` (`None`). Without any file of rules everybody may do everything.
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub rules_file: Option<PathBuf>,
    /// File with rules as Mosquitto has them, or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub mosquitto_file: Option<PathBuf>,
    /// What becomes of a SUBSCRIBE to more than the client may receive.
    #[serde(deserialize_with = "word")]
    pub wide_filters: WideFilters,
    /// What becomes of a message that may not be published, at QoS 1 and 2 before MQTT 5: there
    /// an acknowledgement cannot say no.
    #[serde(deserialize_with = "word")]
    pub unauthorized_publish: UnauthorizedPublish,
}

impl AccessConfig {
    /// Whether there are rules.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        self.rules_file.is_some() || self.mosquitto_file.is_some()
    }
}

/// What becomes of a SUBSCRIBE to more than the client may receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WideFilters {
    /// Refused, unless all rules are Mosquitto's.
    #[default]
    Auto,
    /// It is refused.
    Refuse,
    /// It is taken, and what the client may not receive is left out.
    Sieve,
}

/// What becomes of a message that may not be published, where nobody can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnauthorizedPublish {
    /// It is acknowledged, dropped and counted.
    #[default]
    Drop,
    /// Its client is closed.
    Close,
}
