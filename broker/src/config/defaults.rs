//! Every default, once. Says nothing about what a setting does: that is in `sections`.

use std::time::Duration;

/// 1 KiB, in bytes.
pub(super) const KIB: u64 = 1024;
/// 1 MiB, in bytes.
pub(super) const MIB: u64 = 1024 * KIB;
/// 1 GiB, in bytes.
pub(super) const GIB: u64 = 1024 * MIB;

/// The stream that takes what no other stream's filter matches.
pub(super) const STREAM_NAME: &str = "mqtt";

pub(super) const DATA_DIR: &str = "./tidewire-data";
pub(super) const MQTT_PORT: u16 = 1883;

// The device list of a large zigbee2mqtt is one message of more than 1 MiB.
pub(super) const PACKET_BYTES_MAX: u32 = 2 * 1024 * 1024;
pub(super) const CONNECT_BYTES_MAX: u32 = 64 * 1024;
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const KEEP_ALIVE_S_MAX: u16 = u16::MAX;
pub(super) const INFLIGHT_MAX: u16 = 1000;
pub(super) const RECEIVE_MAX: u16 = 1000;
pub(super) const TOPIC_ALIAS_MAX: u16 = 32;
pub(super) const TOPIC_ALIAS_OUT_MAX: u16 = 32;
pub(super) const TOPIC_LEVELS_MAX: u16 = 128;
pub(super) const USER_PROPERTIES_MAX: u32 = 1_000;
// A session that nobody comes back to holds the log; a month outlives holidays and repairs.
pub(super) const SESSION_EXPIRY_S_MAX: u32 = 30 * 24 * 60 * 60;
pub(super) const SUBSCRIPTIONS_PER_SESSION_MAX: u32 = 10_000;
// Ten thousand long filters; all rows of a session fit one commit.
pub(super) const SUBSCRIPTION_BYTES_PER_SESSION_MAX: u32 = 2 << 20;
// Home Assistant asks for all it wants in one SUBSCRIBE: thousands of filters.
pub(super) const FILTERS_PER_SUBSCRIBE_MAX: u32 = 10_000;
pub(super) const CLIENT_ID_BYTES_MAX: u16 = 1024;
pub(super) const CONNECTIONS_MAX: u32 = 100_000;
/// `mqtt.unauthenticated_max`.
pub(super) const UNAUTHENTICATED_MAX: u32 = 20_000;
/// `mqtt.unauthenticated_bytes_max`.
pub(super) const UNAUTHENTICATED_BYTES_MAX: u32 = 32 * 1024 * 1024;
// Counting them takes some 30 bytes of memory each.
pub(super) const RETAINED_MESSAGES_MAX: u64 = 1_000_000;
pub(super) const RETAINED_BYTES_MAX: u64 = 4 * GIB;
// Counting one takes some 20 bytes of memory.
pub(super) const SESSIONS_MAX: u32 = 1_000_000;
// Each takes some 100 bytes of memory and its name, once somebody has asked.
pub(super) const TOPICS_COUNT_MAX: u32 = 100_000;
pub(super) const WILLS_BYTES_MAX: u64 = 256 * MIB;
pub(super) const OUTBOUND_BUFFER_BYTES_MAX: u32 = 1024 * 1024;
// Two hundred and fifty who do not read, at their most.
pub(super) const BUFFERS_BYTES_MAX: u64 = 256 * MIB;
pub(super) const REPLAYS_PER_MINUTE_MAX: u32 = 600;
pub(super) const WILL_GRACE_AFTER_RESTART_S: u32 = 10;
pub(super) const DELAY_S_MAX: u32 = 30 * 24 * 60 * 60;
pub(super) const DELAYED_MESSAGES_MAX: u32 = 100_000;
pub(super) const DELAYED_BYTES_MAX: u64 = 256 * MIB;

pub(super) const WAL_FILE_BYTES: u64 = 64 * MIB;
pub(super) const SEGMENT_BYTES_MAX: u64 = 256 * MIB;
pub(super) const RECENT_BYTES_MAX: u64 = 64 * MIB;
pub(super) const BACKLOG_BYTES_MAX: u64 = 64 * MIB;
pub(super) const WAL_BYTES_MAX: u64 = 512 * MIB;

pub(super) const STREAM_PARTITIONS: u16 = 4;
pub(super) const RETENTION_AGE_S: u64 = 7 * 24 * 60 * 60;
pub(super) const LOG_FILTER: &str = "info";

// What we accept, the next stage must be able to hold, or a publish could never succeed.
const _: () = assert!(4 * PACKET_BYTES_MAX as u64 <= WAL_FILE_BYTES);
const _: () = assert!(2 * PACKET_BYTES_MAX as u64 <= SEGMENT_BYTES_MAX);
const _: () = assert!(PACKET_BYTES_MAX as u64 <= BACKLOG_BYTES_MAX);
const _: () = assert!(CONNECT_BYTES_MAX <= PACKET_BYTES_MAX);
// One file is written while another is filed.
const _: () = assert!(2 * WAL_FILE_BYTES <= WAL_BYTES_MAX);

/// `share.groups_max`.
pub(super) const SHARE_GROUPS_MAX: u32 = 100_000;
/// `share.groups_per_session_max`.
pub(super) const SHARE_GROUPS_PER_SESSION_MAX: u32 = 1_000;

/// `listener.*.tls.handshake_timeout_ms`.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// `listener.*.tls.handshakes_max`.
pub(super) const HANDSHAKES_MAX: u32 = 10_000;

/// `threads.gather_us_max`: eight messages of 20,000 a second.
pub(super) const GATHER_US_MAX: u16 = 400;

/// `threads.log_readers`.
pub(super) const LOG_READERS: u16 = 4;

/// `system.sys_interval_s`.
pub(super) const SYS_INTERVAL_S: u16 = 10;
/// `system.node_name`.
pub(super) const NODE_NAME: &str = "tidewire";
