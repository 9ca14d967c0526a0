//! `[system]`: what the broker is to the machine that it runs on. Asks the machine nothing.

use serde::{Deserialize, Serialize};

use super::text::{name_or_off, topic_or_off_out};

/// `[system]`: what the broker is to its machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SystemConfig {
    /// Started by root, it becomes this `user` or `user:group` once its ports are bound; `off`
    /// (`None`): it stays who it is.
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub run_as: Option<String>,
}
