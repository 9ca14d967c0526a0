//! Pure protocol code: bytes or events and `now` in, effects out. Never a socket, file or clock.

pub mod access;
pub mod as_it_came;
pub mod delayed;
pub mod delivery;
mod hash;
pub mod id;
pub mod message;
pub mod mqtt;
pub mod proxied;
pub mod qos;
pub mod record;
pub mod replay;
pub mod routing;
pub mod scram;
pub mod session;
pub mod share;
pub mod topic;
pub mod topic_walk;
pub mod websocket;
