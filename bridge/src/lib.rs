//! The peers: the Kafka port, export and MQTT links. Stands on the store alone.

mod api;
mod append;
mod commits;
mod context;
mod coordinator;
mod fetch_sessions;
mod foreign;
pub mod groups;
mod guard;
mod limits;
mod member_id;
mod names;
mod numbers;
mod options;
mod output;
mod placed;
mod port;
mod producer_ids;
mod producers;
mod reads;
mod retained;
mod room;
mod subscription;
mod tail;
mod text;
pub mod transactions;
mod versions;
mod wire;
mod written;

pub use limits::PortLimits;
pub use numbers::PortNumbers;
pub use options::PortOptions;
pub use port::{BoundPort, Port, PortError};
pub use retained::{RetainedLimit, Settle};
