//! One core: a thread with its connections, their sessions, and its view of the log.
//!
//! A connection lives and ends on one core. Cores meet in the log and in the registry only.

mod allowed;
#[cfg(test)]
pub(crate) mod alone;
mod auth;
mod automatic;
mod bury;
mod claims;
mod close;
mod connect;
mod delayed;
mod denial;
mod dispatch;
mod due;
mod events;
mod expel;
mod farewell;
mod feed;
mod flush;
mod granted;
mod group_events;
mod group_feed;
mod group_restore;
mod groups;
mod identify;
pub(crate) mod inbox;
mod letters;
mod member;
mod open;
mod paced;
mod packets;
mod publish;
mod refuse;
mod replay;
mod restore;
mod retained_feed;
mod run;
mod send;
pub(crate) mod shared;
mod socket;
mod state;
mod stored;
mod subscribe;
mod tick;
pub(crate) mod timers;
mod turn;
mod unsettled;
pub(crate) mod waiting_room;
pub(crate) mod will;

pub(crate) use group_restore::stored_shares;
pub(crate) use run::start;
