//! What all requests share: what holds at the port, how far the broker is, and, once it serves,
//! the way to its parts.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tidewire_bridge::ConsumerGroups;
use tidewire_bridge::bridges::Bridges;
use tidewire_store::Recovering;
use tokio::sync::{Semaphore, watch};

use super::gate::Gate;
use super::numbers::HttpNumbers;
use super::problem::Problem;
use crate::banner::BoundListener;
use crate::broker::publisher::Publishing;
use crate::config::Config;
use crate::core::shared::Shared;
use crate::live::Live;
use crate::metrics::exposition::Exposition;
use crate::ports::ShownPorts;
use crate::reload::Reloader;
use crate::topic_census::TopicCensus;

/// How far the broker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The data folder is being opened.
    Recovering,
    /// Everything is open.
    Serving,
    /// It was told to stop.
    Stopping,
}

/// The parts of a broker that serves.
pub(crate) struct Inside {
    pub(crate) shared: Arc<Shared>,
    /// The settings in force.
    pub(crate) in_force: Arc<Live<Config>>,
    pub(crate) ports: ShownPorts,
    /// What is open beside them.
    pub(crate) of_others: Vec<BoundListener>,
    pub(crate) bridges: Bridges,
    /// Of Kafka clients, if there is a port for them.
    pub(crate) groups: Option<ConsumerGroups>,
    pub(crate) reloader: Arc<Reloader>,
    pub(crate) publishing: Publishing,
}

impl Inside {
    /// What is open now. Does not wait while that changes: one thread answers everybody.
    pub(super) fn listeners(&self) -> Vec<BoundListener> {
        let open = self.ports.lock();
        open.iter().chain(&self.of_others).cloned().collect()
    }
}

/// Threads that read tables and files for requests.
pub(super) const READERS_MAX: usize = 2;

/// What is measured when somebody asks: by one at a time, and not more often than it may.
#[derive(Default)]
pub(super) struct Measured {
    /// What was found last.
    pub(super) last: Option<Arc<str>>,
    /// When it may be measured again, in milliseconds since the start.
    pub(super) again_ms: i64,
    /// The one that is under way; closed when it is over.
    pub(super) under_way: Option<watch::Receiver<Option<Finding>>>,
}

/// What came of measuring.
pub(super) type Finding = Result<Arc<str>, Problem>;

/// What all requests share.
pub(super) struct Site {
    pub(super) gate: Arc<Live<Gate>>,
    pub(super) body_bytes_max: usize,
    pub(super) request_timeout: Duration,
    pub(super) numbers: HttpNumbers,
    /// All series, if they are not recorded elsewhere.
    pub(super) served: Option<Exposition>,
    /// How far the data folder is opened.
    pub(super) recovering: Arc<Recovering>,
    pub(super) measured: Mutex<Measured>,
    /// Who may have something read now: others wait, and are forgotten when they go.
    pub(super) readers: Arc<Semaphore>,
    /// Which topics there are, as far as somebody asked.
    pub(super) topics: TopicCensus,
    stage: Mutex<Stage>,
    inside: OnceLock<Inside>,
}

impl Site {
    pub(super) fn new(
        gate: Gate,
        config: &Config,
        (numbers, served): (HttpNumbers, Option<Exposition>),
    ) -> Self {
        let http = &config.listener.http;
        Self {
            gate: Arc::new(Live::new(gate)),
            body_bytes_max: http.body_bytes_max as usize,
            request_timeout: http.request_timeout,
            numbers,
            served,
            recovering: Arc::default(),
            measured: Mutex::default(),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            topics: TopicCensus::default(),
            stage: Mutex::new(Stage::Recovering),
            inside: OnceLock::new(),
        }
    }

    pub(super) fn stage(&self) -> Stage {
        *self.stage.lock()
    }

    /// The broker serves now.
    pub(super) fn serve(&self, inside: Inside) {
        // It is said once.
        let _ = self.inside.set(inside);
        *self.stage.lock() = Stage::Serving;
    }

    /// It serves no more.
    pub(super) fn stop(&self) {
        *self.stage.lock() = Stage::Stopping;
    }

    /// Its parts, once there are any.
    pub(super) fn inside(&self) -> Result<&Inside, Problem> {
        let starting = || Problem::unavailable("the broker is starting: see /readyz");
        self.inside.get().ok_or_else(starting)
    }
}
