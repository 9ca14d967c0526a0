//! Copies the log to somebody else's Kafka, from a cursor. Knows no supervisor beyond what a kind
//! of bridge has to be.

mod basis;
mod judge;
pub(crate) mod letters;
mod load;
mod options;
mod portion;
mod position;
mod producer;
mod rule;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_store::rows::bridge::BridgeRow;

pub use options::{AtRefusedTopic, ExportOptions};
pub use rule::{Headers, Hole, Partition, Rule, topic};

use crate::bridges::Plan;
use crate::bridges::desk::Desk;
use crate::bridges::scope::Scope;
use crate::bridges::work::{Ended, Running, Testing, Work};
use position::Kept;
use producer::Producer;
use run::{Export, Stopped};

/// As kinds of bridges are called.
const KIND: &str = "export";

/// An export that is to be.
#[must_use]
pub fn export(name: String, options: ExportOptions) -> Plan {
    let scope = Scope { streams: options.streams.clone(), filters: options.filters.clone() };
    let work = Arc::new(Exporting { scope, options: Arc::new(options) });
    Plan { name, kind: KIND, work }
}

struct Exporting {
    scope: Scope,
    options: Arc<ExportOptions>,
}

impl Work for Exporting {
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }

    fn run(self: Arc<Self>, desk: Desk) -> Running {
        Box::pin(async move {
            desk.connecting(address(&self.options));
            let mut leaving = desk.clone();
            let beginning = Export::begin(desk.clone(), &self.scope, Arc::clone(&self.options));
            let begun = tokio::select! {
                biased;
                () = leaving.leaves() => return Ended::Left,
                begun = beginning => begun,
            };
            let ended = match begun {
                Ok((mut export, portions)) => export.run(portions).await,
                Err(stopped) => Err(stopped),
            };
            match ended {
                Ok(()) => Ended::Left,
                Err(Stopped::Ours(words)) => Ended::Failed(words),
                Err(Stopped::Fault(fault)) => {
                    if fault.is_fenced() {
                        desk.trouble("another export uses our transactional id");
                    }
                    Ended::Failed(fault.to_string())
                }
            }
        })
    }

    fn test(self: Arc<Self>) -> Testing {
        Box::pin(async move {
            // Without a transaction: whoever is at work is not disturbed.
            let options = ExportOptions { exactly_once: false, ..(*self.options).clone() };
            let opened = Producer::open(Arc::new(options), &"".into()).await;
            let (mut producer, _) = opened.map_err(|fault| fault.to_string())?;
            let address = producer.cluster.address().to_owned();
            let Some(topic) = self.options.rule.topic.literal() else {
                return Ok(format!("{address} answers"));
            };
            let looked_up = producer.cluster.look_up(topic, false, self.options.topic_wait).await;
            looked_up.map_err(|fault| fault.to_string())?;
            Ok(format!("{address} answers, and has the topic {topic:?}"))
        })
    }

    fn moved(&self, row: BridgeRow, positions: Vec<(PartitionId, u64)>) -> BridgeRow {
        let kept = Kept::decode(&row.extra);
        let generation = kept.generation.saturating_add(1);
        let extra = Kept { generation, buried: Vec::new(), ..kept }.encode();
        BridgeRow { positions, extra, ..row }
    }
}

/// The first address, as it is shown while it is looked for.
fn address(options: &ExportOptions) -> String {
    let first = options.target.addresses.first();
    first.map(|(host, port)| format!("{host}:{port}")).unwrap_or_default()
}
