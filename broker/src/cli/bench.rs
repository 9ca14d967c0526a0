//! `tidewire bench`: reads what to measure. Measures nothing itself.

use std::io::{IsTerminal as _, stderr};
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs, process};

use clap::{Args, Subcommand, ValueEnum};
use tidewire_bridge::TlsFiles;
use tidewire_bridge::links::LinkTls;
use tidewire_proto::mqtt::Version;
use tidewire_proto::qos::Qos;

use crate::bench::{
    self, Kept, Layout, Options, Place, Report, STAMP_BYTES, Streams, Topic, Workload,
};
use crate::cli::connection::{Url, parse_url};

#[derive(Clone, Debug, Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    workload: Named,
    /// The broker: host:port, or mqtt://, mqtts://, ws:// or wss:// with that.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1883", global = true)]
    #[arg(value_parser = parse_url)]
    to: Url,
    /// The authorities to believe, for mqtts:// and wss://; without it, those of the system.
    #[arg(long, value_name = "FILE", global = true)]
    cafile: Option<PathBuf>,
    /// Of publishers and subscriptions.
    #[arg(long, default_value_t = 0, global = true)]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// The protocol.
    #[arg(long, value_enum, default_value = "3.1.1", global = true)]
    protocol: Protocol,
    /// Bytes of each payload, at least 24.
    #[arg(long, value_name = "BYTES", default_value_t = 100, global = true)]
    payload: usize,
    /// Unacknowledged messages of each publisher, at most.
    #[arg(long, value_name = "N", default_value_t = 100, global = true)]
    inflight: u16,
    /// Undelivered messages of each publisher, at most.
    #[arg(long, value_name = "N", default_value_t = 1000, global = true)]
    undelivered: u64,
    /// Seconds that are measured, where the workload is not a number of messages.
    #[arg(long, value_name = "S", default_value_t = 5.0, global = true)]
    seconds: f64,
    /// Seconds before, which are not.
    #[arg(long, value_name = "S", default_value_t = 1.0, global = true)]
    warm_up: f64,
    /// Messages a second, of all publishers together; without it, as many as go.
    #[arg(long, value_name = "N", global = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// The broker's process: its processor time and memory are read.
    #[arg(long, value_name = "PID", global = true)]
    pid: Option<u32>,
    /// Prints the result as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Writes a page with plots there.
    #[arg(long, value_name = "FILE", global = true)]
    html: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Protocol {
    #[value(name = "3.1.1")]
    V311,
    #[value(name = "5")]
    V5,
}

#[derive(Clone, Debug, Subcommand)]
enum Named {
    /// Many publishers, one subscriber of all.
    FanIn {
        #[arg(long, default_value_t = 10)]
        publishers: usize,
        #[arg(long, default_value_t = 1)]
        subscribers: usize,
    },
    /// One publisher, many subscribers.
    FanOut {
        #[arg(long, default_value_t = 1)]
        publishers: usize,
        #[arg(long, default_value_t = 200)]
        subscribers: usize,
    },
    /// Publishers with a subscriber each.
    Pairs {
        #[arg(long, default_value_t = 50)]
        pairs: usize,
    },
    /// Many publishers, one share group.
    Shared {
        #[arg(long, default_value_t = 10)]
        publishers: usize,
        #[arg(long, default_value_t = 4)]
        subscribers: usize,
    },
    /// Connections that do nothing.
    Connect {
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        /// Each with a subscription.
        #[arg(long)]
        subscribe: bool,
    },
    /// Retained messages, and a subscriber that asks for all of them.
    Retained {
        #[arg(long, default_value_t = 100_000)]
        messages: u64,
        #[arg(long, default_value_t = 10)]
        publishers: usize,
    },
    /// Messages for sessions that are away; one comes back for them.
    Offline {
        #[arg(long, default_value_t = 100_000)]
        messages: u64,
        #[arg(long, default_value_t = 10)]
        publishers: usize,
        #[arg(long, default_value_t = 1)]
        sessions: usize,
    },
    /// Batches for a topic of Kafka, and a reader of all of them; --to is a Kafka port.
    Kafka {
        /// The topic; for this broker a stream.
        #[arg(long, default_value = "mqtt")]
        topic: String,
        #[arg(long, default_value_t = 1_000_000)]
        messages: u64,
        /// Messages of a batch.
        #[arg(long, value_name = "N", default_value_t = 100)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
        batch: u32,
    },
}

impl Bench {
    fn options(&self) -> Result<Options, String> {
        let keeps = matches!(self.workload, Named::Retained { .. } | Named::Offline { .. });
        if keeps && self.qos == 0 {
            return Err("messages that are kept are counted when acknowledged: --qos 1 or 2".into());
        }
        if self.payload < STAMP_BYTES {
            return Err(format!("--payload {}: at least {STAMP_BYTES}", self.payload));
        }
        let version = match self.protocol {
            Protocol::V311 => Version::V311,
            Protocol::V5 => Version::V5,
        };
        Ok(Options {
            to: self.place(),
            version,
            qos: Qos::from_bits(self.qos).unwrap_or(Qos::AtMostOnce),
            payload_bytes: self.payload,
            inflight: self.inflight,
            undelivered: self.undelivered,
            prefix: format!("bench{}", process::id()),
            pid: self.pid,
            shows_progress: stderr().is_terminal(),
        })
    }

    fn place(&self) -> Place {
        let Url { address, is_secret, websocket_path } = self.to.clone();
        let files = TlsFiles { authorities: self.cafile.clone(), shown: None };
        let tls = is_secret.then_some(LinkTls { files, server_name: None });
        Place { address, tls, websocket_path }
    }

    fn workload(&self) -> Result<Workload, String> {
        let streams = |publishers, subscribers, layout| {
            let [warm_up, time] = [self.warm_up, self.seconds].map(Duration::try_from_secs_f64);
            let warm_up = warm_up.map_err(|error| format!("--warm-up: {error}"))?;
            let time = time.map_err(|error| format!("--seconds: {error}"))?;
            let rate = self.rate;
            let streams = Streams { publishers, subscribers, layout, rate, warm_up, time };
            match publishers {
                0 => Err("--publishers 0: nothing would be sent".to_owned()),
                _ => Ok(Workload::Streams(streams)),
            }
        };
        match self.workload.clone() {
            Named::Kafka { topic, messages, batch } => {
                Ok(Workload::Kafka(Topic { name: topic, messages, records: batch }))
            }
            Named::FanIn { publishers, subscribers }
            | Named::FanOut { publishers, subscribers } => {
                streams(publishers, subscribers, Layout::All)
            }
            Named::Pairs { pairs } => streams(pairs, pairs, Layout::Pairs),
            Named::Shared { publishers, subscribers } => {
                streams(publishers, subscribers, Layout::Shared)
            }
            Named::Connect { connections, subscribe } => {
                Ok(Workload::Connect { connections, subscribes: subscribe })
            }
            Named::Retained { messages, publishers } => {
                let publishers = publishers.max(1);
                Ok(Workload::Keep(Kept { messages, publishers, is_retained: true, sessions: 0 }))
            }
            Named::Offline { messages, publishers, sessions } => {
                let (publishers, sessions) = (publishers.max(1), sessions.max(1));
                Ok(Workload::Keep(Kept { messages, publishers, is_retained: false, sessions }))
            }
        }
    }
}

/// The result as text, and whether nothing was lost, repeated or reordered.
pub(super) fn run(bench: &Bench) -> Result<(String, bool), String> {
    let (options, workload) = (bench.options()?, bench.workload()?);
    let report: Report = bench::run(&options, &workload, process::id())?;
    if let Some(file) = &bench.html {
        let words: Vec<String> = env::args().skip(1).collect();
        let page = bench::page(&report, &format!("tidewire {}", words.join(" ")));
        let failed = |error| format!("--html {}: {error}", file.display());
        fs::write(file, page).map_err(failed)?;
    }
    let text = match bench.json {
        true => serde_json::to_string(&report).map_err(|error| error.to_string())?,
        false => report.to_string(),
    };
    Ok((text, report.is_whole()))
}
