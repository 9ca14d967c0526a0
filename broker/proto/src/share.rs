//! Shared subscriptions: one reader of the log with many members. Pure: no session, no store.

pub mod group;
pub mod strategy;
