//! A broker on a disk that can be full. Tests nothing itself.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tempfile::TempDir;

use crate::broker::door::Door;
use crate::broker::publisher::Publishing;
use crate::broker::{Broker, Builder, Message};
use crate::error::PublishError;
use crate::tight_disk::{Faults, tight_disk};
use crate::{Qos, ReasonCode};

/// How long sessions wait for their clients.
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// A builder of brokers whose log has small files.
pub(super) fn builder(folder: &TempDir) -> Builder {
    let builder = Broker::builder().data_folder(folder.path().join("data")).cores(1);
    builder.settings(|config| {
        config.mqtt.packet_bytes_max = 65_536;
        config.store.wal_file_bytes = 1 << 20;
        config.store.wal_bytes_max = 4 << 20;
    })
}

/// A broker on a disk that is full when told so.
pub(super) async fn start(builder: Builder, is_full: &Arc<AtomicBool>) -> Broker {
    let mut plan = builder.plan().expect("a plan");
    let faults = Arc::new(Faults::full_when(is_full));
    plan.disk = tight_disk(&plan.config.data.dir, faults);
    let door = Door::open(plan).await.expect("it starts");
    let publishing = Publishing::new(&door.shared, &door.runtime);
    Broker { door, publishing }
}

/// Publishes a large message; whether it was refused.
pub(super) async fn large_is_refused(broker: &Broker) -> bool {
    !take(broker, 20_000).await
}

/// No message fits the log any more, however small.
pub(super) async fn fill(broker: &Broker) {
    for bytes in [20_000, 2_000, 200, 1] {
        while take(broker, bytes).await {}
    }
}

/// Whether a message of that size is taken.
async fn take(broker: &Broker, bytes: usize) -> bool {
    let message = Message::new("filler", vec![b'x'; bytes]).qos(Qos::AtLeastOnce);
    match broker.publish(message).await {
        Ok(()) => true,
        Err(PublishError::Refused(ReasonCode::QUOTA_EXCEEDED)) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Nothing fits the log any more, not even the reserve.
pub(super) async fn use_up(broker: &Broker) {
    while !large_is_refused(broker).await {}
    for bytes in [20_000, 4_000, 800, 100] {
        for number in 0.. {
            let filter = format!("{bytes}/{number}/{}", "x".repeat(bytes));
            let filler = broker.subscribe(filter).durable(format!("{bytes}/{number}"), HOUR);
            match filler.await {
                Ok(filler) => filler.close().await,
                Err(_) => break,
            }
        }
    }
}
