//! The process: configuration, listeners, dispatch.

pub mod banner;
pub mod cli;
pub mod config;
pub mod metrics;
pub mod server;
pub mod telemetry;
