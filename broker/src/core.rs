//! One core: a thread with its connections, their sessions, and its view of the log.
//!
//! A connection lives and ends on one core. Cores meet in the log and in the registry only.

mod close;
mod connect;
mod dispatch;
mod events;
mod feed;
mod flush;
pub(crate) mod inbox;
mod open;
mod packets;
mod publish;
mod restore;
mod run;
mod send;
pub(crate) mod shared;
mod socket;
mod state;
mod subscribe;
mod tick;
mod turn;

pub(crate) use run::start;
