//! `[listener.kafka]`: the port for Kafka clients. Never reads a file.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::auth::Anonymous;
use super::defaults::{GIB, KIB, MIB};
use super::place::split_place;
use super::quantity::{bytes, count, seconds};
use super::text::{address_or_off, address_or_off_out, place_or_off, topic_or_off_out, word};
use super::tls::TlsConfig;

/// `[listener.kafka]`: streams as Kafka topics, for any Kafka client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaListener {
    /// Address and port, or `off` (`None`). The default is for this machine only.
    #[serde(deserialize_with = "address_or_off", serialize_with = "address_or_off_out")]
    pub bind: Option<SocketAddr>,
    /// Whether clients may come that do not show who they are.
    #[serde(deserialize_with = "word")]
    pub anonymous: Anonymous,
    /// Where clients are told to connect to, or `off` (`None`): where they came in.
    #[serde(deserialize_with = "place_or_off", serialize_with = "topic_or_off_out")]
    pub advertised: Option<String>,
    /// Open connections.
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    pub connections_max: u32,
    /// Open connections from one address; 0: any number.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000>")]
    pub connections_per_address_max: u32,
    /// Largest request but Produce, and largest batch of a producer, in bytes.
    #[serde(deserialize_with = "bytes::<_, _, { 4 * KIB }, { 256 * MIB }>")]
    pub request_bytes_max: u32,
    /// Largest Produce, in bytes: clients put batches of many partitions into one.
    #[serde(deserialize_with = "bytes::<_, _, { 4 * KIB }, { GIB }>")]
    pub produce_bytes_max: u32,
    /// Bytes of requests, and of answers to Fetch, that all connections hold together.
    #[serde(deserialize_with = "bytes::<_, _, { MIB }, { GIB }>")]
    pub held_bytes_max: u32,
    /// The most that one answer to a Fetch holds, in bytes, whatever the client asks for.
    #[serde(deserialize_with = "bytes::<_, _, { 4 * KIB }, { GIB }>")]
    pub fetch_bytes_max: u32,
    /// Partitions that fetch sessions remember, all together; beyond, clients go on without one.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000_000>")]
    pub fetch_session_partitions_max: u32,
    /// The time that a client has to show who it is, where it must, in seconds.
    #[serde(deserialize_with = "seconds::<_, _, 1, 86_400>")]
    pub sign_in_timeout_s: u32,
    /// A connection that says nothing is closed after this time, in seconds.
    #[serde(deserialize_with = "seconds::<_, _, 1, 86_400>")]
    pub idle_timeout_s: u32,
    /// So is one that takes less than 64 KiB of an answer in this time, in seconds.
    #[serde(deserialize_with = "seconds::<_, _, 1, 86_400>")]
    pub send_timeout_s: u32,
}

impl Default for KafkaListener {
    fn default() -> Self {
        Self {
            bind: Some((Ipv4Addr::LOCALHOST, 9092).into()),
            anonymous: Anonymous::Auto,
            advertised: None,
            connections_max: 1000,
            connections_per_address_max: 0,
            request_bytes_max: 8 * 1024 * 1024,
            produce_bytes_max: 100 * 1024 * 1024,
            held_bytes_max: 256 * 1024 * 1024,
            fetch_bytes_max: 16 * 1024 * 1024,
            fetch_session_partitions_max: 100_000,
            sign_in_timeout_s: 30,
            idle_timeout_s: 600,
            send_timeout_s: 30,
        }
    }
}

impl KafkaListener {
    /// What clients may make the port hold.
    #[must_use]
    pub fn limits(&self, topic_levels_max: u16) -> tidewire_bridge::PortLimits {
        tidewire_bridge::PortLimits {
            connections_max: self.connections_max as usize,
            connections_per_address_max: self.connections_per_address_max as usize,
            request_bytes_max: self.request_bytes_max as usize,
            produce_bytes_max: self.produce_bytes_max as usize,
            held_bytes_max: self.held_bytes_max as usize,
            fetch_bytes_max: self.fetch_bytes_max as usize,
            fetch_session_partitions_max: self.fetch_session_partitions_max as usize,
            topic_levels_max: topic_levels_max.into(),
            sign_in: Duration::from_secs(self.sign_in_timeout_s.into()),
            idle: Duration::from_secs(self.idle_timeout_s.into()),
            send: Duration::from_secs(self.send_timeout_s.into()),
        }
    }

    /// The host and the port that clients are told.
    #[must_use]
    pub fn advertised(&self) -> Option<(String, u16)> {
        split_place(self.advertised.as_deref()?)
    }
}

/// `[listener.kafkas]`: the Kafka port over TLS. The limits of `[listener.kafka]` hold for both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkasListener {
    /// Address and port, or `off` (`None`).
    #[serde(deserialize_with = "address_or_off", serialize_with = "address_or_off_out")]
    pub bind: Option<SocketAddr>,
    /// Whether clients may come that do not show who they are.
    #[serde(deserialize_with = "word")]
    pub anonymous: Anonymous,
    /// Where clients are told to connect to, or `off` (`None`): where they came in.
    #[serde(deserialize_with = "place_or_off", serialize_with = "topic_or_off_out")]
    pub advertised: Option<String>,
    /// Certificates, and who may come.
    pub tls: TlsConfig,
}

impl KafkasListener {
    /// The host and the port that clients are told.
    #[must_use]
    pub fn advertised(&self) -> Option<(String, u16)> {
        split_place(self.advertised.as_deref()?)
    }
}
