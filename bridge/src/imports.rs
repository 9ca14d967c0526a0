//! Copies topics of somebody else's Kafka into the log. Knows no supervisor beyond what a kind of
//! bridge has to be.

pub(crate) mod aborted;
mod behind;
mod consumer;
pub(crate) mod fetched;
mod options;
mod position;
mod rule;
mod run;

use std::sync::Arc;

pub use options::{From, ImportOptions};
pub use rule::{Hole, Rule, topic};

use tidewire_store::rows::bridge::BridgeRow;

use crate::bridges::Plan;
use crate::bridges::desk::Desk;
use crate::bridges::order::{Order, To};
use crate::bridges::scope::Scope;
use crate::bridges::work::{Ended, Running, Testing, Work};
use consumer::Consumer;
use position::{AT_EARLIEST, AT_LATEST, Positions, at_time};
use run::{Import, Stopped};

/// As kinds of bridges are called.
const KIND: &str = "import";

/// An import that is to be.
#[must_use]
pub fn import(name: String, options: ImportOptions) -> Plan {
    Plan { name, kind: KIND, work: Arc::new(Importing(Arc::new(options))) }
}

struct Importing(Arc<ImportOptions>);

impl Work for Importing {
    fn scope(&self) -> Option<&Scope> {
        None
    }

    fn reads_elsewhere(&self) -> bool {
        true
    }

    fn told(&self, row: BridgeRow, order: &Order) -> Option<BridgeRow> {
        let mut positions = Positions::decode(&row.extra)?;
        match order {
            Order::Rewind(To::Earliest) => positions.set_all(AT_EARLIEST),
            Order::Rewind(To::Latest) => positions.set_all(AT_LATEST),
            Order::Rewind(To::Time(at_ms)) => positions.set_all(at_time(*at_ms)),
            Order::Rewind(To::Offset { stream, partition, offset }) => {
                let partition = i32::try_from(*partition).ok()?;
                positions.get(stream, partition)?;
                positions.set(stream, partition, i64::try_from(*offset).ok()?);
            }
            Order::Skip { stream, partition, records } => {
                let partition = i32::try_from(*partition).ok()?;
                let known = positions.get(stream, partition).filter(|offset| *offset >= 0)?;
                let records = i64::try_from(*records).ok()?;
                positions.set(stream, partition, known.checked_add(records)?);
            }
            Order::Pause | Order::Stop | Order::Start | Order::Test => return None,
        }
        Some(BridgeRow { extra: positions.encode(), ..row })
    }

    fn run(self: Arc<Self>, mut desk: Desk) -> Running {
        Box::pin(async move {
            let first = self.0.source.addresses.first();
            let first = first.map(|(host, port)| format!("{host}:{port}"));
            desk.connecting(first.unwrap_or_default());
            let at_work = desk.clone();
            let working = async {
                let mut import = Import::begin(at_work, Arc::clone(&self.0)).await?;
                import.run().await
            };
            // Dropped anywhere, it begins anew from its row.
            let ended = tokio::select! {
                biased;
                () = desk.leaves() => return Ended::Left,
                ended = working => ended,
            };
            match ended {
                Ok(()) => Ended::Left,
                Err(Stopped::Ours(words)) => Ended::Failed(words),
                Err(Stopped::Fault(fault)) => Ended::Failed(fault.to_string()),
            }
        })
    }

    fn test(self: Arc<Self>) -> Testing {
        Box::pin(async move {
            let mut consumer =
                Consumer::open(Arc::clone(&self.0)).await.map_err(|fault| fault.to_string())?;
            let wrong = consumer.look().await.map_err(|fault| fault.to_string())?;
            if let Some(fault) = wrong {
                return Err(fault.to_string());
            }
            let (address, count) = (consumer.cluster.address(), consumer.partitions().len());
            Ok(format!("{address} answers; there are {count} partitions to read"))
        })
    }
}
