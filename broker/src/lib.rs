//! The process: configuration, listeners, dispatch.

pub mod banner;
pub mod cli;
pub mod config;
mod core;
mod listener;
pub mod metrics;
mod registry;
pub mod server;
mod shares;
mod store_options;
pub mod telemetry;
mod upkeep;
