//! The routes of `/api/v1`, one file per noun.

pub(super) mod bans;
pub(super) mod bridges;
pub(super) mod clients;
pub(super) mod groups;
pub(super) mod overview;
pub(super) mod publish;
pub(super) mod reload;
pub(super) mod retained;
pub(super) mod sessions;
pub(super) mod streams;
pub(super) mod subscriptions;
pub(super) mod topics;
