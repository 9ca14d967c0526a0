//! What a run of the load generator is asked for. Does nothing.

use std::time::Duration;

use tidewire_bridge::links::LinkTls;
use tidewire_proto::mqtt::Version;
use tidewire_proto::qos::Qos;

/// Where a broker is, and what MQTT is spoken over.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Host and port.
    pub(crate) address: String,
    /// How TLS is spoken, if it is.
    pub(crate) tls: Option<LinkTls>,
    /// The path of WebSocket, if it is spoken.
    pub(crate) websocket_path: Option<String>,
}

/// What all workloads need.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The broker.
    pub(crate) to: Place,
    pub(crate) version: Version,
    /// Of publishers and of subscriptions.
    pub(crate) qos: Qos,
    /// Bytes of a payload; the first [`STAMP_BYTES`](super::stamp::STAMP_BYTES) are ours.
    pub(crate) payload_bytes: usize,
    /// Unacknowledged messages of one publisher, at most.
    pub(crate) inflight: u16,
    /// Undelivered messages of one publisher, at most: no broker is asked to drop.
    pub(crate) undelivered: u64,
    /// Begins every topic, so that runs do not meet.
    pub(crate) prefix: String,
    /// The broker's process, whose processor time and memory are read.
    pub(crate) pid: Option<u32>,
    /// Whether the run says how far it is.
    pub(crate) shows_progress: bool,
}

/// Who reads what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Every subscriber reads every publisher.
    All,
    /// The n-th subscriber reads the n-th publisher.
    Pairs,
    /// The subscribers are one share group.
    Shared,
}

/// Messages that flow for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streams {
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) layout: Layout,
    /// Messages a second of all publishers together; as many as go if there is none.
    pub(crate) rate: Option<u32>,
    /// Not measured.
    pub(crate) warm_up: Duration,
    /// Measured.
    pub(crate) time: Duration,
}

impl Streams {
    /// How many subscribers get each message.
    pub(crate) fn copies(&self) -> u64 {
        match self.layout {
            Layout::All => self.subscribers as u64,
            Layout::Pairs | Layout::Shared => 1,
        }
    }
}
