//! The peers: the Kafka port, export and MQTT links. Stands on the store alone.

mod api;
mod commits;
mod context;
mod coordinator;
pub mod groups;
mod guard;
mod limits;
mod names;
mod numbers;
mod port;
mod subscription;
mod text;
mod versions;
mod wire;

pub use limits::PortLimits;
pub use numbers::PortNumbers;
pub use port::{BoundPort, Port, PortError, PortOptions};
