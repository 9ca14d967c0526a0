//! One core: a thread with its connections, their sessions, and its view of the log.
//!
//! A connection lives and ends on one core. Cores meet in the log and in the registry only.

mod allowed;
#[cfg(test)]
pub(crate) mod alone;
mod answer;
pub(crate) mod asked;
mod auth;
mod automatic;
mod awake;
mod bell;
mod beside;
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
mod gather;
mod granted;
mod greeting;
mod group_events;
mod group_feed;
mod group_restore;
mod groups;
mod identify;
pub(crate) mod inbox;
mod letters;
mod looks;
mod member;
mod news;
mod open;
mod outputs;
mod overflow;
mod paced;
mod packets;
mod presence;
pub(crate) mod publish;
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
mod system_feed;
mod tellers;
mod tick;
pub(crate) mod timers;
mod turn;
mod unsettled;
pub(crate) mod waiting_room;
pub(crate) mod will;

pub(crate) use group_restore::stored_shares;
pub(crate) use run::start;
