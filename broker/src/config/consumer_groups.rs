//! `[consumer_groups]`: groups of Kafka clients. Never reads a file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::defaults::{KIB, MIB};
use super::quantity::{bytes, count, millis, millis_out, seconds};

/// `[consumer_groups]`: what groups of Kafka clients may hold, and how long things take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsumerGroupsConfig {
    /// Groups at one time.
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    pub groups_max: u32,
    /// Members of one group.
    #[serde(deserialize_with = "count::<_, _, 1, 100_000>")]
    pub members_max: u32,
    /// Bytes that the members of one group say about themselves, and of what they are assigned.
    #[serde(deserialize_with = "bytes::<_, _, { 4 * KIB }, { 32 * MIB }>")]
    pub group_bytes_max: u32,
    /// Bytes of what a client writes beside a committed offset.
    #[serde(deserialize_with = "bytes::<_, _, 0, { 64 * KIB }>")]
    pub offset_metadata_bytes_max: u32,
    /// The shortest time for which a member may ask to be silent, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 1, 86_400_000>", serialize_with = "millis_out")]
    pub session_timeout_ms_min: Duration,
    /// The longest, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 1, 86_400_000>", serialize_with = "millis_out")]
    pub session_timeout_ms_max: Duration,
    /// How long a group without members waits for more of them once one has come.
    #[serde(deserialize_with = "millis::<_, 0, 60_000>", serialize_with = "millis_out")]
    pub initial_delay_ms: Duration,
    /// How long offsets of a group without members are kept, in seconds.
    #[serde(deserialize_with = "seconds::<_, _, 60, 315_360_000>")]
    pub offsets_retention_s: u32,
}

impl Default for ConsumerGroupsConfig {
    fn default() -> Self {
        Self {
            groups_max: 10_000,
            members_max: 1_000,
            group_bytes_max: 4 * 1024 * 1024,
            offset_metadata_bytes_max: 4096,
            session_timeout_ms_min: Duration::from_secs(1),
            session_timeout_ms_max: Duration::from_secs(1800),
            initial_delay_ms: Duration::from_millis(100),
            offsets_retention_s: 7 * 86_400,
        }
    }
}

impl ConsumerGroupsConfig {
    /// As the groups want it.
    #[must_use]
    pub fn limits(&self) -> tidewire_bridge::groups::Limits {
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        tidewire_bridge::groups::Limits {
            groups_max: self.groups_max as usize,
            members_max: self.members_max as usize,
            group_bytes_max: self.group_bytes_max as usize,
            offset_metadata_bytes_max: self.offset_metadata_bytes_max as usize,
            session_ms_min: millis(self.session_timeout_ms_min),
            session_ms_max: millis(self.session_timeout_ms_max),
            initial_delay_ms: millis(self.initial_delay_ms),
            retention_ms: u64::from(self.offsets_retention_s) * 1000,
            ..tidewire_bridge::groups::Limits::default()
        }
    }
}
