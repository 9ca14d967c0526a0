//! Builds all parts of the broker, lets them run, and takes them down in order.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tidewire_bridge::Port;
use tidewire_bridge::bridges::{Bridges, BridgesThread};
use tidewire_proto::routing::placement::{Placement, Shelf};
use tidewire_proto::session::cursor::Positions;
use tidewire_proto::topic::TopicFilter;
use tidewire_store::{Disk, Store};
use tokio::sync::oneshot;

use crate::access_file::AccessFile;
use crate::banner::BoundListener;
use crate::cert_watch::CertWatch;
use crate::chain::Chain;
use crate::config::{Config, StreamConfig};
use crate::core::inbox::{Event, Inbox};
use crate::core::shared::{Shared, wall_clock_ms};
use crate::error::{StartError, StopError};
use crate::metrics::Counted;
use crate::mock_secret::mock_secret;
use crate::passwords::Guesses;
use crate::ports::{OpenPorts, Ports};
use crate::reserved::Reserved;
use crate::trust_watch::TrustWatch;
use crate::upkeep::Upkeep;
use crate::users::UsersFile;
use crate::{bridges, core, kafka, restart, store_options};

/// How long clients may take to let a stopping broker go.
const DRAIN: Duration = Duration::from_secs(10);

/// All parts of a running broker.
pub(crate) struct Server {
    shared: Arc<Shared>,
    cores: Vec<JoinHandle<()>>,
    ports: OpenPorts,
    listeners: Vec<BoundListener>,
    kafka: Option<Port>,
    bridges: (Bridges, Option<BridgesThread>),
    upkeep: Upkeep,
    trust_watch: TrustWatch,
    is_new: bool,
}

impl Server {
    /// Opens the store, binds every port, starts every core: in this order, so that nobody
    /// connects to a broker that cannot keep a message.
    pub(crate) fn start(
        config: &Config,
        disk: Arc<dyn Disk>,
        counted: Counted,
        mut reserved: Reserved,
    ) -> Result<Self, StartError> {
        let Counted { metrics, kafka: numbers, bridges: bridge_numbers } = counted;
        let users = config.auth.scram_file.as_ref().map(|file| UsersFile::open(file)).transpose();
        let users = users.map_err(StartError::Users)?;
        let guesses = Guesses::of(&config.auth);
        let chain = Chain::open(config, &guesses, &metrics)?;
        let access = AccessFile::open(&config.access).map_err(StartError::Access)?;
        let dir = &config.data.dir;
        // Who gave up root's rights has made it before, and left it empty.
        let is_new = dir.read_dir().map_or(true, |mut found| found.next().is_none());
        let failed = |error| StartError::Store(dir.clone(), error);
        let options = store_options::from_config(config);
        let (store, report) = Store::open(disk, options).map_err(failed)?;
        tracing::info!(%report, "The data folder is open.");
        fit_streams(&store, config)?;
        if let Some(users) = &users {
            match mock_secret(&store).map_err(StartError::Tables)? {
                Some(secret) => users.keep_secret(secret),
                None => tracing::error!("the system gives no random bytes"),
            }
        }

        let ports = Ports::bind(&config.listener, &mut reserved)?;
        let kafka = kafka::bind(config, &mut reserved)?;
        let count = core_count(config);
        let inboxes: Vec<Arc<Inbox>> = (0..count).map(|_| Arc::default()).collect();
        let shares = core::stored_shares(&store).map_err(StartError::Tables)?;
        let mut shared = Shared::new(store, shares, inboxes, config, metrics);
        (shared.users, shared.chain, shared.access) = (users, chain, access);
        shared.guesses = guesses;
        shared.bridges = bridges::names(config).into_iter().map(|(name, _)| name).collect();
        shared.mark = bridges::mark(&shared.store, config);
        let shared = Arc::new(shared);
        shared.retained.load(&shared.store).map_err(StartError::Tables)?;
        shared.exclusives.load(&shared.store).map_err(StartError::Tables)?;
        shared.bans.load(&shared.store).map_err(StartError::Tables)?;
        let waiting = restart::take_up(&shared).map_err(StartError::Tables)?;
        let cores = start_cores(&shared, config)?;
        for (inbox, due) in shared.inboxes.iter().zip(waiting) {
            inbox.push(Event::Due(due));
        }
        let upkeep = Upkeep::start(Arc::clone(&shared))
            .map_err(|error| StartError::System("a thread", error))?;
        let trust_watch = TrustWatch::start(Arc::clone(&shared))
            .map_err(|error| StartError::System("a thread", error))?;
        let ports = ports.open(&shared, config, kafka.slot())?;
        let mut listeners = ports.listeners().to_vec();
        listeners.extend(kafka.listeners(config));
        let kafka = kafka.open(&shared, config, (numbers, ports.handshakes()))?;
        let bridges = bridges::open(&shared, config, placing(&shared, config), bridge_numbers)?;
        Ok(Self { shared, cores, ports, listeners, kafka, bridges, upkeep, trust_watch, is_new })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn listeners(&self) -> &[BoundListener] {
        &self.listeners
    }

    /// Who reads certificates anew, if any are in use.
    pub(crate) fn cert_watch(&self) -> Option<Arc<CertWatch>> {
        self.ports.cert_watch()
    }

    /// Orders to the bridges go this way.
    pub(crate) fn bridges(&self) -> Bridges {
        self.bridges.0.clone()
    }

    /// Whether this start made the data folder.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Takes no more connections and lets go of those that there are.
    pub(crate) fn close(&self) -> Vec<oneshot::Receiver<()>> {
        self.ports.close();
        let mut ended = Vec::new();
        for inbox in &self.shared.inboxes {
            let (done, over) = oneshot::channel();
            inbox.push(Event::Stop(done));
            ended.push(over);
        }
        ended
    }

    /// No new connections, then no old ones, then no writes.
    pub(crate) async fn stop(self) -> Result<(), StopError> {
        tracing::info!("Stopping.");
        let ended = self.close();
        let has_failed = *self.shared.failed.borrow();
        let drained = async {
            for over in ended {
                // A core that is gone has ended too.
                let _ = over.await;
            }
        };
        if has_failed {
            // A core that panicked lets nobody go any more.
            tracing::error!("a part of the broker had ended in a panic");
        } else if tokio::time::timeout(DRAIN, drained).await.is_ok() {
            for core in self.cores {
                if core.join().is_err() {
                    tracing::error!("a core ended in a panic");
                }
            }
        } else {
            tracing::warn!("some clients did not let go in time");
        }
        self.ports.stop();
        if let Some(chain) = &self.shared.chain {
            chain.stop();
        }
        self.upkeep.stop();
        self.trust_watch.stop();
        if let Some(kafka) = self.kafka {
            kafka.close();
        }
        if let (_, Some(thread)) = self.bridges {
            thread.close();
        }
        self.shared.store.shutdown().map_err(StopError::Close)?;
        tracing::info!("Stopped.");
        if has_failed { Err(StopError::Panicked) } else { Ok(()) }
    }
}

/// Makes streams that were there before what the configuration says now.
fn fit_streams(store: &Store, config: &Config) -> Result<(), StartError> {
    for stream in store.streams().iter() {
        let Some(wanted) = config.streams.iter().find(|wanted| wanted.name == stream.name) else {
            tracing::warn!(stream = stream.name, "in the data folder, not in the configuration");
            continue;
        };
        let failed = |error| StartError::Stream(stream.name.clone(), error);
        let fitting = store_options::stream_config(wanted);
        if fitting != stream.config {
            store.set_stream_config(&stream.name, fitting).map_err(failed)?;
        }
        let (has, wants) = (stream.partitions.len(), usize::from(wanted.partitions));
        if wants < has {
            let stream = &*stream.name;
            tracing::warn!(stream, has, wants, "a stream cannot have fewer partitions than it has");
        } else if wants > has {
            let more = u32::from(wanted.partitions) - u32::try_from(has).unwrap_or(u32::MAX);
            store.add_partitions(&stream.name, more, wall_clock_ms()).map_err(failed)?;
        }
    }
    Ok(())
}

fn core_count(config: &Config) -> usize {
    match config.threads.cores {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        count => usize::from(count),
    }
}

fn start_cores(shared: &Arc<Shared>, config: &Config) -> Result<Vec<JoinHandle<()>>, StartError> {
    let mut cores = Vec::new();
    for index in 0..shared.inboxes.len() {
        let mut positions = Positions::default();
        for (partition, end) in shared.store.follow(Arc::clone(&shared.inboxes[index]) as Arc<_>) {
            positions.advance(partition, end);
        }
        let placement = placement(&shared.store, config);
        let core = core::start(index, Arc::clone(shared), placement, positions)
            .map_err(|error| StartError::System("a thread", error))?;
        cores.push(core);
    }
    Ok(cores)
}

/// The same for who asks from a thread of its own, as the streams are when it does.
fn placing(shared: &Arc<Shared>, config: &Config) -> bridges::Placing {
    let (store, config) = (shared.store.clone(), config.clone());
    Box::new(move || placement(&store, &config))
}

/// Streams in the order in which they are asked; the default takes the rest.
fn placement(store: &Store, config: &Config) -> Placement {
    let streams = store.streams();
    let shelf = |configured: &StreamConfig| {
        let stream = streams.iter().find(|stream| stream.name == configured.name);
        Shelf {
            filters: configured
                .filters
                .iter()
                .filter_map(|filter| TopicFilter::parse(filter).ok())
                .collect(),
            partitions: stream.map(|stream| stream.partitions.clone()).unwrap_or_default(),
            log_qos0: configured.log_qos0,
            key: configured.key.clone(),
        }
    };
    let shelves = config.streams.iter().map(shelf).collect();
    Placement::new(shelves, config.mqtt.topic_levels_max)
        .expect("the store opened every stream of the configuration, none of them empty")
}
