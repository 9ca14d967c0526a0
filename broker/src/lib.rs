//! An MQTT broker whose storage is a persistent log, as a library and as a program.
//!
//! [`Broker`] is the whole of it for a program that wants one inside: see its example.

mod access_file;
mod accounts;
mod address_range;
mod arrivals;
mod backlog;
mod backup;
mod ban;
pub mod banner;
mod bans;
mod bench;
mod bridges;
mod broker;
mod census;
mod cert_watch;
mod chain;
pub mod cli;
mod closed_doors;
pub mod config;
mod core;
mod data_rights;
mod error;
mod exclusive;
mod file_watch;
mod handshakes;
mod held_file;
mod high_water;
mod hook;
mod http;
mod http_client;
mod jwt;
mod jwt_words;
mod kafka;
mod kafka_access;
mod kafka_advertised;
mod kafka_gate;
mod kafka_socket;
mod lags;
mod ledger;
mod link;
mod listener;
mod live;
pub mod metrics;
mod mock_secret;
mod moment;
mod network;
mod newcomers;
mod notify;
mod open_files;
mod pace;
mod paces;
mod passwords;
mod payer;
mod ports;
mod privileges;
mod proxied;
mod read_once;
mod recovering;
mod registry;
mod reload;
mod reserved;
mod restart;
mod retained;
mod seat;
mod serve;
mod server;
mod share_gauges;
mod share_lag;
mod shares;
mod store_options;
mod subscribed;
mod system_topics;
pub mod telemetry;
mod teller;
#[cfg(test)]
mod tight_disk;
mod timed_disk;
mod tls;
mod topic_census;
mod topic_rules;
mod trust_watch;
mod unix_socket;
mod upkeep;
mod users;
mod wall_clock;
mod web_link;
mod wire;

pub use access_file::AccessFileError;
pub use address_range::{AddressRange, AddressRangeError};
pub use ban::{Ban, BanTarget};
pub use broker::{Broker, Builder, Message, Received, Subscribe, Subscription, SubscriptionEnd};
pub use error::{AdminError, PublishError, StartError, StopError, SubscribeError};
pub use hook::HookError;
pub use http::TokenFileError;
pub use http_client::HttpClientError;
pub use jwt::{JwksError, KeyFileError};
pub use passwords::{BookError, PasswordFileError};
pub use reload::{ReloadError, ReloadReport};
pub use share_lag::ShareGroupLag;
pub use tidewire_bridge::bridges::{
    Counts as BridgeCounts, Event as BridgeEvent, Order as BridgeOrder,
    OrderError as BridgeOrderError, State as BridgeState, Status as BridgeStatus, To as BridgeTo,
    Trouble as BridgeTrouble,
};
pub use tidewire_bridge::{
    ConsumerGroups, GroupLag, Lag, MemberLag, Move as OffsetMove, PartitionLag,
    Reset as OffsetReset, ResetError as OffsetResetError, ResetTo as OffsetResetTo,
};
pub use tidewire_proto::access::AccessError;
pub use tidewire_proto::mqtt::ReasonCode;
pub use tidewire_proto::qos::Qos;
pub use tls::TlsError;
