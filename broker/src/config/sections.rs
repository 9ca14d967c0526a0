//! The settings, section by section: name, type, range, what it is for.
//! Never reads a file and never decides between layers.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidewire_proto::share::strategy::Strategy;
use tidewire_store::KeyRule;

use super::defaults::{self, GIB, KIB, MIB};
use super::quantity::{bytes, count, millis, millis_out, seconds};
use super::rate::{AtRateLimit, RateConfig};
use super::text::{
    folder, key_rule, key_rule_out, log_filter, name_or_off, topic_or_off, topic_or_off_out, word,
};

/// `[data]`: where everything durable lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The one data folder. Made if it is missing.
    #[serde(deserialize_with = "folder")]
    pub dir: PathBuf,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { dir: defaults::DATA_DIR.into() }
    }
}

/// `[mqtt]`: what one client, or all of them, may make us hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttConfig {
    /// Largest packet a client may send, in bytes; told to MQTT 5 clients.
    #[serde(deserialize_with = "bytes::<_, _, 128, { 256 * MIB }>")]
    pub packet_bytes_max: u32,
    /// Largest first packet, in bytes: what a peer may send before we know it.
    #[serde(deserialize_with = "bytes::<_, _, 128, { MIB }>")]
    pub connect_bytes_max: u32,
    /// How long a new socket may take to send its CONNECT, in milliseconds.
    #[serde(rename = "connect_timeout_ms", serialize_with = "millis_out")]
    #[serde(deserialize_with = "millis::<_, 100, 600_000>")]
    pub connect_timeout: Duration,
    /// Longest keep-alive granted, in seconds; a client that asks for more is told this one.
    #[serde(deserialize_with = "seconds::<_, _, 1, 65_535>")]
    pub keep_alive_s_max: u16,
    /// Unacknowledged QoS 1 and 2 messages on their way to one client.
    #[serde(deserialize_with = "count::<_, _, 1, 65_535>")]
    pub inflight_max: u16,
    /// Unacknowledged QoS 1 and 2 messages that one client may have on their way to us.
    #[serde(deserialize_with = "count::<_, _, 1, 65_535>")]
    pub receive_max: u16,
    /// Topic aliases that one connection may set; 0 forbids them.
    #[serde(deserialize_with = "count::<_, _, 0, 65_535>")]
    pub topic_alias_max: u16,
    /// Topic aliases that we set for one connection, of those that it takes; 0: none.
    #[serde(deserialize_with = "count::<_, _, 0, 65_535>")]
    pub topic_alias_out_max: u16,
    /// Levels (parts between `/`) of a topic or filter.
    #[serde(deserialize_with = "count::<_, _, 1, 1024>")]
    pub topic_levels_max: u16,
    /// Length of a topic or filter, in bytes.
    #[serde(deserialize_with = "count::<_, _, 1, 65_535>")]
    pub topic_bytes_max: u16,
    /// User properties of one packet, and of a will.
    #[serde(deserialize_with = "count::<_, _, 0, 100_000_000>")]
    pub user_properties_max: u32,
    /// Longest life of a session without its client, in seconds; 4294967295 is for ever.
    #[serde(deserialize_with = "seconds::<_, _, 0, 4_294_967_295>")]
    pub session_expiry_s_max: u32,
    /// Subscriptions of one session.
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    pub subscriptions_per_session_max: u32,
    /// Length of all filters of one session together, in bytes.
    #[serde(deserialize_with = "count::<_, _, 1024, 16_777_216>")]
    pub subscription_bytes_per_session_max: u32,
    /// Filters in one SUBSCRIBE or UNSUBSCRIBE.
    #[serde(deserialize_with = "count::<_, _, 1, 65_535>")]
    pub filters_per_subscribe_max: u32,
    /// Length of a client id, in bytes.
    #[serde(deserialize_with = "count::<_, _, 23, 65_535>")]
    pub client_id_bytes_max: u16,
    /// Open connections, over all listeners.
    #[serde(deserialize_with = "count::<_, _, 1, 10_000_000>")]
    pub connections_max: u32,
    /// Open connections whose clients are not in yet, over all listeners; of one address half as
    /// many. Who comes beyond is closed. They never have more than half of `connections_max` (16 in
    /// any case).
    #[serde(deserialize_with = "count::<_, _, 2, 10_000_000>")]
    pub unauthenticated_max: u32,
    /// Bytes that are kept of them, beyond 4 KiB of each; of one address half as many. Who sends
    /// more is closed.
    #[serde(deserialize_with = "bytes::<_, _, { 64 * KIB }, { 2 * GIB - 1 }>")]
    pub unauthenticated_bytes_max: u32,
    /// Sessions that outlive their connections, over all clients; beyond them no new one is made.
    #[serde(deserialize_with = "count::<_, _, 0, 100_000_000>")]
    pub sessions_max: u32,
    /// The same of one user (of one address, where clients show nothing); 0: as many as of all.
    #[serde(deserialize_with = "count::<_, _, 0, 100_000_000>")]
    pub sessions_per_user_max: u32,
    /// Bytes that wills may take, over all clients; who brings one beyond them is refused.
    #[serde(deserialize_with = "bytes::<_, _, 0, { 1024 * GIB }>")]
    pub wills_bytes_max: u64,
    /// Messages that may be retained, over all clients; beyond them new ones are refused.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub retained_messages_max: u64,
    /// Bytes that retained messages may take, with their topics, over all clients.
    #[serde(deserialize_with = "bytes::<_, _, 0, { 1024 * 1024 * GIB }>")]
    pub retained_bytes_max: u64,
    /// Messages that one user (one address, where clients show nothing) has retained since the
    /// start; 0: as many as all may.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000_000>")]
    pub retained_messages_per_user_max: u64,
    /// The bytes of these.
    #[serde(deserialize_with = "bytes::<_, _, 0, { 1024 * 1024 * GIB }>")]
    pub retained_bytes_per_user_max: u64,
    /// What happens to a client that is faster than it, or its listener, may be.
    #[serde(deserialize_with = "word")]
    pub at_rate_limit: AtRateLimit,
    /// How fast messages of one client may come.
    pub rate: RateConfig,
    /// Bytes waiting for one connection's socket; beyond them it reads from the log.
    #[serde(deserialize_with = "bytes::<_, _, { 4 * KIB }, { GIB }>")]
    pub outbound_buffer_bytes_max: u32,
    /// Bytes waiting for the sockets of all clients together. Beyond them, who has not taken what
    /// it was sent gets 16 KiB more at most, and is closed when it takes nothing for ten seconds.
    #[serde(deserialize_with = "bytes::<_, _, { MIB }, { 1024 * GIB }>")]
    pub outbound_all_bytes_max: u64,
    /// Bytes of packets of all clients that are not whole yet; beyond them, who is in the middle of
    /// a packet and has sent more than 64 KiB of it is closed.
    #[serde(deserialize_with = "bytes::<_, _, { MIB }, { 1024 * GIB }>")]
    pub inbound_all_bytes_max: u64,
    /// Subscriptions of one connection that may begin in the past, in a minute; 0: any number.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000>")]
    pub replays_per_minute_max: u32,
    /// Clients that ask for Response Information are told to have answers sent to
    /// `<prefix>/<client id>`; `off` (`None`): they are told nothing.
    #[serde(deserialize_with = "topic_or_off", serialize_with = "topic_or_off_out")]
    pub response_topic_prefix: Option<String>,
    /// Where MQTT 5 clients are sent when we stop, or `off` (`None`).
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub server_reference: Option<String>,
    /// How long clients may take to come back after a restart of ours before their wills are
    /// sent, in seconds.
    #[serde(deserialize_with = "seconds::<_, _, 0, 86_400>")]
    pub will_grace_after_restart_s: u32,
    /// Longest delay of a message published to `$delayed/<seconds>/<topic>`, in seconds.
    #[serde(deserialize_with = "seconds::<_, _, 0, 4_294_967_295>")]
    pub delay_s_max: u32,
    /// Messages that may wait for their time; 0 takes none.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000_000>")]
    pub delayed_messages_max: u32,
    /// Those of one user (one address, where clients show nothing) since the start; 0: as many as
    /// of all.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000_000>")]
    pub delayed_messages_per_user_max: u32,
    /// Bytes of messages that may wait for their time.
    #[serde(deserialize_with = "bytes::<_, _, 0, { 1024 * GIB }>")]
    pub delayed_bytes_max: u64,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            packet_bytes_max: defaults::PACKET_BYTES_MAX,
            connect_bytes_max: defaults::CONNECT_BYTES_MAX,
            connect_timeout: defaults::CONNECT_TIMEOUT,
            keep_alive_s_max: defaults::KEEP_ALIVE_S_MAX,
            inflight_max: defaults::INFLIGHT_MAX,
            receive_max: defaults::RECEIVE_MAX,
            topic_alias_max: defaults::TOPIC_ALIAS_MAX,
            topic_alias_out_max: defaults::TOPIC_ALIAS_OUT_MAX,
            topic_levels_max: defaults::TOPIC_LEVELS_MAX,
            topic_bytes_max: u16::MAX,
            user_properties_max: defaults::USER_PROPERTIES_MAX,
            session_expiry_s_max: defaults::SESSION_EXPIRY_S_MAX,
            subscriptions_per_session_max: defaults::SUBSCRIPTIONS_PER_SESSION_MAX,
            subscription_bytes_per_session_max: defaults::SUBSCRIPTION_BYTES_PER_SESSION_MAX,
            filters_per_subscribe_max: defaults::FILTERS_PER_SUBSCRIBE_MAX,
            client_id_bytes_max: defaults::CLIENT_ID_BYTES_MAX,
            connections_max: defaults::CONNECTIONS_MAX,
            unauthenticated_max: defaults::UNAUTHENTICATED_MAX,
            unauthenticated_bytes_max: defaults::UNAUTHENTICATED_BYTES_MAX,
            sessions_max: defaults::SESSIONS_MAX,
            sessions_per_user_max: defaults::SESSIONS_MAX / 10,
            wills_bytes_max: defaults::WILLS_BYTES_MAX,
            retained_messages_max: defaults::RETAINED_MESSAGES_MAX,
            retained_bytes_max: defaults::RETAINED_BYTES_MAX,
            retained_messages_per_user_max: defaults::RETAINED_MESSAGES_MAX / 2,
            retained_bytes_per_user_max: defaults::RETAINED_BYTES_MAX / 2,
            at_rate_limit: AtRateLimit::Wait,
            rate: RateConfig::default(),
            outbound_buffer_bytes_max: defaults::OUTBOUND_BUFFER_BYTES_MAX,
            outbound_all_bytes_max: defaults::BUFFERS_BYTES_MAX,
            inbound_all_bytes_max: defaults::BUFFERS_BYTES_MAX,
            replays_per_minute_max: defaults::REPLAYS_PER_MINUTE_MAX,
            response_topic_prefix: None,
            server_reference: None,
            will_grace_after_restart_s: defaults::WILL_GRACE_AFTER_RESTART_S,
            delay_s_max: defaults::DELAY_S_MAX,
            delayed_messages_max: defaults::DELAYED_MESSAGES_MAX,
            delayed_messages_per_user_max: defaults::DELAYED_MESSAGES_MAX / 10,
            delayed_bytes_max: defaults::DELAYED_BYTES_MAX,
        }
    }
}

/// `[share]`: shared subscriptions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShareConfig {
    /// Which member of a group gets a message, where the group's own entry does not say.
    #[serde(deserialize_with = "word")]
    pub strategy: ShareStrategy,
    /// How often a message is handed out before it is given up; 0: as often as it takes.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000>")]
    pub delivery_attempts_max: u32,
    /// Where messages go that a member refused or none acknowledged, or `off` (`None`).
    #[serde(deserialize_with = "topic_or_off", serialize_with = "topic_or_off_out")]
    pub dead_letter_topic: Option<String>,
    /// Groups, over all clients.
    #[serde(deserialize_with = "count::<_, _, 1, 10_000_000>")]
    pub groups_max: u32,
    /// Groups that one session may be a member of.
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    pub groups_per_session_max: u32,
    /// Groups that differ.
    #[serde(rename = "group")]
    pub groups: Vec<ShareGroupConfig>,
}

impl Default for ShareConfig {
    fn default() -> Self {
        Self {
            strategy: ShareStrategy::RoundRobin,
            delivery_attempts_max: 0,
            dead_letter_topic: None,
            groups_max: defaults::SHARE_GROUPS_MAX,
            groups_per_session_max: defaults::SHARE_GROUPS_PER_SESSION_MAX,
            groups: Vec::new(),
        }
    }
}

impl ShareConfig {
    /// Whether any group looks at who published a message.
    #[must_use]
    pub fn asks_for_publisher(&self) -> bool {
        let mut words = self.groups.iter().map(|group| group.strategy).chain([self.strategy]);
        words.any(|strategy| strategy == ShareStrategy::StickyPublisher)
    }
}

/// `[[share.group]]`: groups of one name, whatever their filters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareGroupConfig {
    /// The name between `$share/` and the filter.
    pub name: String,
    /// Which member gets a message.
    #[serde(deserialize_with = "word")]
    pub strategy: ShareStrategy,
}

/// Which member of a share group gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareStrategy {
    /// One after the other.
    RoundRobin,
    /// Who has the fewest unacknowledged.
    LeastInFlight,
    /// A topic stays with one member: its order holds.
    StickyTopic,
    /// A publisher stays with one member.
    StickyPublisher,
}

impl From<ShareStrategy> for Strategy {
    fn from(word: ShareStrategy) -> Self {
        match word {
            ShareStrategy::RoundRobin => Self::RoundRobin,
            ShareStrategy::LeastInFlight => Self::LeastInFlight,
            ShareStrategy::StickyTopic => Self::StickyTopic,
            ShareStrategy::StickyPublisher => Self::StickyPublisher,
        }
    }
}

/// `[store]`: sizes of the log's files and of what it keeps in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Size of one write-ahead log file, allocated ahead, in bytes.
    #[serde(deserialize_with = "bytes::<_, _, { MIB }, { 4 * GIB }>")]
    pub wal_file_bytes: u64,
    /// A segment of a partition is sealed when it has this many bytes.
    #[serde(deserialize_with = "bytes::<_, _, { MIB }, { 4 * GIB }>")]
    pub segment_bytes_max: u64,
    /// Newest records kept in memory for readers that are nearly live, in bytes.
    #[serde(deserialize_with = "bytes::<_, _, { MIB }, { 1024 * GIB }>")]
    pub recent_bytes_max: u64,
    /// Bytes waiting for the disk; beyond them publishers are made to wait.
    #[serde(deserialize_with = "bytes::<_, _, { MIB }, { 1024 * GIB }>")]
    pub backlog_bytes_max: u64,
    /// Write-ahead log that may wait to be filed into segments, in bytes: beyond it publishers
    /// wait. It is also the most that a start after a crash has to replay.
    #[serde(deserialize_with = "bytes::<_, _, { 2 * MIB }, { 1024 * GIB }>")]
    pub wal_bytes_max: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            wal_file_bytes: defaults::WAL_FILE_BYTES,
            segment_bytes_max: defaults::SEGMENT_BYTES_MAX,
            recent_bytes_max: defaults::RECENT_BYTES_MAX,
            backlog_bytes_max: defaults::BACKLOG_BYTES_MAX,
            wal_bytes_max: defaults::WAL_BYTES_MAX,
        }
    }
}

/// `[[stream]]`: a named, partitioned part of the log; the Kafka topic of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamConfig {
    /// Name, as Kafka clients see it.
    pub name: String,
    /// Topics that go here, as MQTT filters; the first stream that matches takes the message.
    pub filters: Vec<String>,
    /// Partitions. May grow from one start to the next, never shrink.
    #[serde(deserialize_with = "count::<_, _, 1, 1024>")]
    pub partitions: u16,
    /// What of a message chooses its partition: order holds among messages with the same.
    #[serde(deserialize_with = "key_rule", serialize_with = "key_rule_out")]
    pub key: KeyRule,
    /// What an acknowledgement promises.
    #[serde(deserialize_with = "word")]
    pub durability: Durability,
    /// Whether QoS 0 messages are stored too, so that later readers find them.
    pub log_qos0: bool,
    /// Whether Kafka readers see who published: the client id as header `o`.
    pub client_id_header: bool,
    /// Older records go, in seconds; 0: none does for its age.
    #[serde(deserialize_with = "seconds::<_, _, 0, { 100 * 365 * 86_400 }>")]
    pub retention_age_s: u64,
    /// The oldest records go when the stream holds more, in bytes; 0: any number may stay.
    #[serde(deserialize_with = "bytes::<_, _, 0, { 1024 * 1024 * GIB }>")]
    pub retention_bytes: u64,
    /// What a session has not read is held beyond its age until the stream holds this much, in
    /// bytes; 0: as long as there is room.
    #[serde(deserialize_with = "bytes::<_, _, 0, { 1024 * 1024 * GIB }>")]
    pub hold_bytes_max: u64,
    /// What happens there.
    #[serde(deserialize_with = "word")]
    pub at_hold_limit: AtHoldLimit,
    /// How sealed segments are compressed.
    #[serde(deserialize_with = "word")]
    pub compression: Compression,
    /// Whether only the newest record of each topic is kept in sealed segments.
    pub compact: bool,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            filters: Vec::new(),
            partitions: defaults::STREAM_PARTITIONS,
            key: KeyRule::Topic,
            durability: Durability::Disk,
            log_qos0: true,
            client_id_header: false,
            retention_age_s: defaults::RETENTION_AGE_S,
            retention_bytes: 0,
            hold_bytes_max: 0,
            at_hold_limit: AtHoldLimit::Refuse,
            compression: Compression::None,
            compact: false,
        }
    }
}

impl StreamConfig {
    /// The stream `mqtt`: whatever no other stream's filter matches.
    #[must_use]
    pub fn catch_all() -> Self {
        Self { name: defaults::STREAM_NAME.into(), filters: vec!["#".into()], ..Self::default() }
    }
}

/// What happens when what is held for readers reaches its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtHoldLimit {
    /// New messages are refused until readers have caught up.
    Refuse,
    /// The oldest records go, read or not.
    DeleteOldest,
}

/// How sealed segments are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    None,
    /// Quick, about a third of the size.
    Lz4,
    /// Thorough.
    Zstd,
}

/// What an acknowledgement promises about the message, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// It is synced: it survives a power cut.
    Disk,
    /// The operating system has it: it survives a crash of ours.
    Os,
    /// Nothing: it is in our memory.
    None,
}

impl Durability {
    /// The word that the config uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Os => "os",
            Self::None => "none",
        }
    }
}

/// `[threads]`: how many cores we use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThreadsConfig {
    /// Threads that serve connections; 0 is one per core of the machine.
    #[serde(deserialize_with = "count::<_, _, 0, 1024>")]
    pub cores: u16,
    /// Threads for TLS handshakes, where a listener speaks TLS; 0 is one for every two cores of
    /// the machine.
    #[serde(deserialize_with = "count::<_, _, 0, 1024>")]
    pub handshakes: u16,
    /// Threads that hash passwords, where there is a file of them; 0 is one for every four cores
    /// of the machine.
    #[serde(deserialize_with = "count::<_, _, 0, 1024>")]
    pub passwords: u16,
    /// A core to which many slow publishers come pauses so long before it looks for more, in
    /// microseconds: then it has several to serve at once. 0: it never pauses.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000>")]
    pub gather_us_max: u16,
    /// A core stays awake so long after it was read from or told something, in microseconds, and
    /// asks for more again and again. 0: it sleeps at once.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000>")]
    pub awake_us: u16,
    /// Threads that read the log for those that are behind, for each thread that serves
    /// connections.
    #[serde(deserialize_with = "count::<_, _, 1, 512>")]
    pub log_readers: u16,
}

impl Default for ThreadsConfig {
    fn default() -> Self {
        Self {
            cores: 0,
            handshakes: 0,
            passwords: 0,
            gather_us_max: defaults::GATHER_US_MAX,
            awake_us: 0,
            log_readers: defaults::LOG_READERS,
        }
    }
}

/// `[log]`: what we tell about ourselves, on stderr.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A level, or a list such as `info,tidewire_store=debug`.
    #[serde(deserialize_with = "log_filter")]
    pub filter: String,
    /// The shape of a log line.
    #[serde(deserialize_with = "word")]
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: defaults::LOG_FILTER.into(), format: LogFormat::Auto }
    }
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Human on a terminal, JSON elsewhere.
    Auto,
    /// One readable line.
    Human,
    /// One JSON object per line.
    Json,
}
