//! `[mqtt.rate]`, `[listener.*.rate]`: how fast messages may come.

use serde::{Deserialize, Serialize};

use super::defaults::GIB;
use super::quantity::{bytes, count};

/// How fast messages may come: of one client, or of all clients of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateConfig {
    /// Messages per second; 0: any number.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub messages_per_s_max: u32,
    /// Messages at once after a pause; 0: as many as in one second.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub messages_burst_max: u32,
    /// Bytes of PUBLISH packets per second; 0: any number.
    #[serde(deserialize_with = "bytes::<_, _, 0, { 1024 * GIB }>")]
    pub bytes_per_s_max: u64,
    /// Bytes at once after a pause; 0: as many as in one second.
    #[serde(deserialize_with = "bytes::<_, _, 0, { 1024 * GIB }>")]
    pub bytes_burst_max: u64,
}

/// What happens to a client that is faster than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtRateLimit {
    /// It is not read until it may go on: its own buffers fill, and it slows down.
    Wait,
    /// Its message is refused (0x97); before MQTT 5 it is closed, at QoS 0 the message is dropped.
    Refuse,
    /// It is closed (0x96).
    Disconnect,
}
