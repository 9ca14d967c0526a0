//! `tidewire bench`: a load generator for any MQTT broker and any Kafka port, on one thread. Counts
//! what is lost, repeated and reordered. Knows nothing of the broker in this program.

mod board;
mod crew;
mod kafka;
mod ledger;
mod link;
mod meter;
mod observe;
mod once;
mod options;
mod page;
mod plot;
mod publisher;
mod pulse;
mod report;
mod socket;
mod stamp;
mod streams;
mod subscriber;

use tokio::runtime::Builder;
use tokio::task::LocalSet;

pub(crate) use kafka::Topic;
pub(crate) use once::Kept;
pub(crate) use options::{Layout, Options, Place, Streams};
pub(crate) use page::page;
pub(crate) use report::Report;
pub(crate) use stamp::STAMP_BYTES;

/// What is done.
#[derive(Clone, Debug)]
pub(crate) enum Workload {
    /// Messages flow for a while.
    Streams(Streams),
    /// Connections that do nothing, each with a subscription or none.
    Connect { connections: usize, subscribes: bool },
    /// Messages wait in the broker.
    Keep(Kept),
    /// Batches are written to a Kafka port, and read.
    Kafka(Topic),
}

/// Runs one workload. `run` tells its messages from those of other runs.
///
/// # Errors
/// When the broker refuses, goes away, or speaks nonsense.
pub(crate) fn run(options: &Options, workload: &Workload, run: u32) -> Result<Report, String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    LocalSet::new().block_on(&runtime, async {
        match workload {
            Workload::Streams(streams) => streams::run(options, streams, run).await,
            Workload::Connect { connections, subscribes } => {
                once::connect(options, *connections, *subscribes).await
            }
            Workload::Keep(kept) => once::keep(options, kept, run).await,
            Workload::Kafka(topic) => kafka::run(options, topic, run).await,
        }
    })
}
