//! What all cores share: the store, the registry, the ways to each other, the limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tidewire_store::Store;
use tokio::sync::watch;

use crate::config::{MqttConfig, ShareConfig};
use crate::core::inbox::Event;
use crate::core::inbox::Inbox;
use crate::link::Accepted;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::retained::{RetainedIndex, RetainedLimits};
use crate::shares::Shares;

/// Shared by all cores of a broker.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) inboxes: Vec<Arc<Inbox>>,
    pub(crate) limits: MqttConfig,
    pub(crate) share: ShareConfig,
    /// Some share group looks at who published a message.
    pub(crate) notes_publisher: bool,
    pub(crate) shares: Shares,
    pub(crate) metrics: Metrics,
    pub(crate) retained: RetainedIndex,
    /// Connections now open, over all cores.
    pub(crate) connections: Arc<AtomicUsize>,
    /// A core ended in a panic: nothing is served any more.
    pub(crate) failed: watch::Sender<bool>,
    turns: AtomicUsize,
    serials: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        store: Store,
        shares: Shares,
        inboxes: Vec<Arc<Inbox>>,
        (limits, share): (MqttConfig, ShareConfig),
        metrics: Metrics,
    ) -> Self {
        let retained = RetainedIndex::new(RetainedLimits {
            messages_max: limits.retained_messages_max,
            bytes_max: limits.retained_bytes_max,
        });
        Self {
            store,
            registry: Registry::default(),
            inboxes,
            limits,
            notes_publisher: share.asks_for_publisher(),
            share,
            shares,
            metrics,
            retained,
            connections: Arc::new(AtomicUsize::new(0)),
            failed: watch::Sender::new(false),
            turns: AtomicUsize::new(0),
            serials: AtomicU64::new(1),
        }
    }

    /// Gives a new connection to a core; cores take turns.
    pub(crate) fn seat(&self, accepted: Accepted) {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed) % self.inboxes.len();
        self.inboxes[turn].push(Event::Accepted(accepted));
    }

    /// A number that no other connection of this process has.
    pub(crate) fn next_serial(&self) -> u64 {
        self.serials.fetch_add(1, Ordering::Relaxed)
    }
}

/// Wall-clock time in milliseconds of the Unix epoch. Asked once per turn, not per message.
pub(crate) fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
