//! The flags that set something, and which setting each stands for. Never reads their values.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Flag, Sources};

#[derive(Debug, Default, Args)]
pub(super) struct Flags {
    /// Read settings from this TOML file.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep everything durable in this folder [data.dir].
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
    /// Serve MQTT at this address, or "off" [listener.mqtt.bind].
    #[arg(long, global = true, value_name = "ADDR")]
    mqtt: Option<String>,
    /// Serve Kafka clients at this address, or "off" [listener.kafka.bind].
    #[arg(long, global = true, value_name = "ADDR")]
    kafka: Option<String>,
    /// Serve health, metrics and the API at this address, or "off" [listener.http.bind].
    #[arg(long, global = true, value_name = "ADDR")]
    http: Option<String>,
    /// Started by root, become this user, or user:group [system.run_as].
    #[arg(long, global = true, value_name = "USER")]
    run_as: Option<String>,
    /// What to log: a level or a list like info,tidewire_store=debug [log.filter].
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

impl Flags {
    /// All that settings are read from, with the real environment.
    pub(super) fn sources(&self) -> Sources {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        };
        Sources {
            file: self.config.clone(),
            variables: std::env::vars_os().map(text).collect(),
            flags: self.given(),
        }
    }

    fn given(&self) -> Vec<Flag> {
        let all = [
            ("--data", "data.dir", &self.data),
            ("--mqtt", "listener.mqtt.bind", &self.mqtt),
            ("--kafka", "listener.kafka.bind", &self.kafka),
            ("--http", "listener.http.bind", &self.http),
            ("--run-as", "system.run_as", &self.run_as),
            ("--log", "log.filter", &self.log),
        ];
        let given = |(name, setting, value): (_, _, &Option<String>)| {
            value.clone().map(|value| Flag { name, setting, value })
        };
        all.into_iter().filter_map(given).collect()
    }
}
