//! The table of hot paths: what is counted, and how often. Counts nothing.

mod batches;
mod codec;
mod delivery;
mod log;
mod retained;
mod routing;
mod session;

use tidewire_proto::qos::Qos;

use crate::round::Round;

/// One hot path.
pub(crate) struct Path {
    pub(crate) name: &'static str,
    /// Enough of them that what chance does to one is not seen.
    pub(crate) rounds: u64,
    /// Of each round: figures are for one message.
    pub(crate) messages: u64,
    /// Whatever is done once.
    pub(crate) prepare: fn() -> Round,
}

const fn path(name: &'static str, rounds: u64, messages: u64, prepare: fn() -> Round) -> Path {
    Path { name, rounds, messages, prepare }
}

/// All of them. `decode-wasteful` does what nobody should: the gate that does not see it is blind.
pub(crate) const PATHS: &[Path] = &[
    path("decode", 50, 1000, codec::plain),
    path("decode-properties", 50, 1000, codec::with_properties),
    path("decode-wasteful", 50, 1000, codec::wasteful),
    path("websocket-unmask", 50, 1000, codec::masked),
    path("take-qos0", 200, 100, || session::take(Qos::AtMostOnce)),
    path("take-qos1", 200, 100, || session::take(Qos::AtLeastOnce)),
    path("take-qos2", 200, 100, || session::take(Qos::ExactlyOnce)),
    path("batch-build", 200, 100, batches::build),
    path("batch-read", 200, 100, batches::read),
    path("commit", 100, 100, log::commit),
    path("route-kept", 200, 100, routing::kept),
    path("route-match", 50, 100, routing::matched),
    path("deliver-qos0", 200, 100, || delivery::one(Qos::AtMostOnce)),
    path("deliver-qos1", 200, 100, || delivery::one(Qos::AtLeastOnce)),
    path("deliver-qos2", 200, 100, || delivery::one(Qos::ExactlyOnce)),
    path("deliver-properties", 200, 100, delivery::with_properties),
    path("fan-out", 500, 200, delivery::fan_out),
    path("fetch-memory", 50, 2000, log::fetch_memory),
    path("fetch-file", 50, 2000, log::fetch_file),
    path("retained-one", 500, 1, retained::one),
    path("retained-wildcard", 20, 200, retained::wildcard),
];
