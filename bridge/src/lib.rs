//! The peers: the Kafka port, export and MQTT links. Stands on the store alone.

pub mod groups;
