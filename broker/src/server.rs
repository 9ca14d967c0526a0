//! Builds all parts of the broker, lets them run, and takes them down in order.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tidewire_bridge::bridges::{Bridges, BridgesThread};
use tidewire_bridge::{ConsumerGroups, Port};
use tidewire_proto::routing::placement::{Placement, Shelf};
use tidewire_proto::session::cursor::Positions;
use tidewire_proto::topic::TopicFilter;
use tidewire_store::{Disk, OpenError, Recovering, Store, StoreOptions};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::access_file::AccessFile;
use crate::backup::BackupDesk;
use crate::banner::BoundListener;
use crate::broker::publisher::Publishing;
use crate::chain::Chain;
use crate::closed_doors::closed_doors;
use crate::config::{Config, Sources, StreamConfig};
use crate::core::inbox::{Event, Inbox};
use crate::core::shared::{Shared, wall_clock_ms};
use crate::error::{StartError, StopError};
use crate::http::{HttpPort, Inside};
use crate::live::Live;
use crate::metrics::Counted;
use crate::mock_secret::mock_secret;
use crate::passwords::Guesses;
use crate::ports::{OpenPorts, Ports};
use crate::recovering::{Shown, telling};
use crate::reload::Reloader;
use crate::reserved::Reserved;
use crate::system_topics::SystemTopics;
use crate::trust_watch::TrustWatch;
use crate::upkeep::Upkeep;
use crate::users::UsersFile;
use crate::{bridges, core, data_rights, kafka, restart, store_options};

/// Clients may take this part of a stop to let the broker go.
const DRAIN_PART: u32 = 3;

/// All parts of a running broker.
pub(crate) struct Server {
    shared: Arc<Shared>,
    /// The settings in force.
    in_force: Arc<Live<Config>>,
    cores: Vec<JoinHandle<()>>,
    ports: Arc<Mutex<OpenPorts>>,
    of_others: Vec<BoundListener>,
    kafka: Option<Port>,
    bridges: (Bridges, BridgesThread),
    http: Option<HttpPort>,
    watches: Watches,
    is_new: bool,
}

impl Server {
    /// Opens the store, binds every port, starts every core: in this order, so that nobody
    /// connects to a broker that cannot keep a message.
    pub(crate) fn start(
        config: &Config,
        (disk, shown): (Arc<dyn Disk>, Option<Shown>),
        counted: Counted,
        mut reserved: Reserved,
    ) -> Result<Self, StartError> {
        closed_doors(config).into_iter().next().map_or(Ok(()), Err)?;
        let Counted { metrics, kafka: numbers, bridges: bridge_numbers, http, served } = counted;
        // The first port: it says what the others wait for.
        let http = HttpPort::open(config, &mut reserved, (http, served), &metrics.tls_handshakes)?;
        let users = config.auth.scram_file.as_ref().map(|file| UsersFile::open(file)).transpose();
        let users = users.map_err(StartError::Users)?;
        let guesses = Guesses::of(&config.auth);
        let chain = Chain::open(config, &guesses, &metrics)?;
        let access = AccessFile::open(&config.access).map_err(StartError::Access)?;
        let dir = &config.data.dir;
        // Who gave up root's rights has made it before, and left it empty.
        let is_new = dir.read_dir().map_or(true, |mut found| found.next().is_none());
        let failed = |error| StartError::Store(dir.clone(), error);
        let recovering = http.as_ref().map(HttpPort::recovering).unwrap_or_default();
        let store = open_store(disk, config, (recovering, shown)).map_err(failed)?;
        fit_streams(&store, config)?;
        keep_secret(&store, users.as_ref())?;
        let ports = Ports::bind(&config.listener, &mut reserved)?;
        let kafka = kafka::bind(config, &mut reserved)?;
        let count = core_count(config);
        let inboxes: Vec<Arc<Inbox>> = (0..count).map(|_| Arc::default()).collect();
        let shares = core::stored_shares(&store).map_err(StartError::Tables)?;
        let mut shared = Shared::new(store, shares, inboxes, config, metrics);
        (shared.users, shared.chain, shared.access) = (users, chain, Live::new(access));
        shared.guesses = guesses;
        shared.http_newcomers = http.as_ref().map(HttpPort::newcomers);
        know_bridges(&mut shared, config);
        let shared = Arc::new(shared);
        shared.retained.load(&shared.store).map_err(StartError::Tables)?;
        shared.exclusives.load(&shared.store, &shared.subscribed).map_err(StartError::Tables)?;
        shared.bans.load(&shared.store).map_err(StartError::Tables)?;
        let waiting = restart::take_up(&shared).map_err(StartError::Tables)?;
        let cores = start_cores(&shared, config)?;
        for (inbox, due) in shared.inboxes.iter().zip(waiting) {
            inbox.push(Event::Due(due));
        }
        let watches = Watches::start(&shared, config)?;
        let slots = kafka.slot().into_iter().chain(http.as_ref().and_then(HttpPort::slot));
        let ports = ports.open(&shared, config, slots.collect())?;
        let mut of_others = kafka.listeners(config);
        of_others.extend(http.as_ref().map(HttpPort::listener));
        let kafka = kafka.open(&shared, config, (numbers, ports.handshakes()))?;
        let bridges = bridges::open(&shared, config, placing(&shared, config), bridge_numbers)?;
        let ports = Arc::new(Mutex::new(ports));
        Ok(Self {
            shared,
            in_force: Arc::new(Live::new(config.clone())),
            cores,
            ports,
            of_others,
            kafka,
            bridges,
            http,
            watches,
            is_new,
        })
    }

    /// From now on the HTTP port can ask the parts of the broker.
    pub(crate) fn open_inside(&self, reloader: &Arc<Reloader>) {
        let Some(http) = &self.http else { return };
        http.serve(Inside {
            shared: Arc::clone(&self.shared),
            in_force: Arc::clone(&self.in_force),
            ports: self.ports.lock().shown(),
            of_others: self.of_others.clone(),
            bridges: self.bridges(),
            groups: self.consumer_groups(),
            reloader: Arc::clone(reloader),
            publishing: Publishing::new(&self.shared, &Handle::current()),
        });
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The ports of MQTT.
    pub(crate) fn ports(&self) -> Arc<Mutex<OpenPorts>> {
        Arc::clone(&self.ports)
    }

    /// Those of others, as the system gave them.
    pub(crate) fn of_others(&self) -> &[BoundListener] {
        &self.of_others
    }

    /// Who applies other settings while it runs.
    pub(crate) fn reloader(&self, sources: Option<Sources>) -> Reloader {
        let (shared, ports) = (Arc::clone(&self.shared), self.ports());
        let (in_force, http) =
            (Arc::clone(&self.in_force), self.http.as_ref().map(HttpPort::other_tokens));
        Reloader::new((shared, ports), self.bridges(), http, in_force, sources)
    }

    /// Orders to the bridges go this way.
    pub(crate) fn bridges(&self) -> Bridges {
        self.bridges.0.clone()
    }

    /// The consumer groups of the Kafka port, if it is open.
    pub(crate) fn consumer_groups(&self) -> Option<ConsumerGroups> {
        self.kafka.as_ref().map(Port::groups)
    }

    /// Whether this start made the data folder.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Takes no more connections and lets go of those that there are.
    pub(crate) async fn close(&self) -> Vec<oneshot::Receiver<()>> {
        let ports = self.ports();
        // A reload may be under way, and wait for what runs on this thread.
        let closed = tokio::task::spawn_blocking(move || ports.lock().close());
        if closed.await.is_err() {
            tracing::error!("the ports could not be closed");
        }
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
        if let Some(http) = &self.http {
            http.announce_stop();
        }
        let ended = self.close().await;
        let has_failed = *self.shared.failed.borrow();
        let drain = self.in_force.system.stop_timeout / DRAIN_PART;
        let drained = async {
            for over in ended {
                // A core that is gone has ended too.
                let _ = over.await;
            }
        };
        if has_failed {
            // A core that panicked lets nobody go any more.
            tracing::error!("a part of the broker had ended in a panic");
        } else if tokio::time::timeout(drain, drained).await.is_ok() {
            for core in self.cores {
                if core.join().is_err() {
                    tracing::error!("a core ended in a panic");
                }
            }
        } else {
            tracing::warn!("some clients did not let go in time");
        }
        self.ports.lock().stop();
        if let Some(chain) = &self.shared.chain {
            chain.stop();
        }
        self.watches.stop();
        if let Some(kafka) = self.kafka {
            kafka.close();
        }
        self.bridges.1.close();
        if let Some(http) = self.http {
            http.close();
        }
        self.shared.store.shutdown().map_err(StopError::Close)?;
        tracing::info!("Stopped.");
        if has_failed { Err(StopError::Panicked) } else { Ok(()) }
    }
}

/// Whom retention holds for, and what is not sent on twice.
fn know_bridges(shared: &mut Shared, config: &Config) {
    let names = bridges::names(config).into_iter().map(|(name, _)| name);
    shared.bridges = Live::new(names.collect());
    shared.mark = Live::new(bridges::mark(&shared.store, config));
}

fn open_store(
    disk: Arc<dyn Disk>,
    config: &Config,
    (recovering, shown): (Arc<Recovering>, Option<Shown>),
) -> Result<Store, OpenError> {
    let told = Arc::clone(&recovering);
    let options = StoreOptions { recovering, ..store_options::from_config(config) };
    let (store, report) = telling(&told, shown, || Store::open(disk, options))?;
    tracing::info!(%report, "The data folder is open.");
    if let Some(doubt) = data_rights::doubt(&config.data.dir) {
        tracing::warn!("{doubt}");
    }
    Ok(store)
}

/// Who asks for a user that there is not is answered with the same salt after a restart.
fn keep_secret(store: &Store, users: Option<&UsersFile>) -> Result<(), StartError> {
    let Some(users) = users else { return Ok(()) };
    match mock_secret(store).map_err(StartError::Tables)? {
        Some(secret) => users.keep_secret(secret),
        None => tracing::error!("the system gives no random bytes"),
    }
    Ok(())
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
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    if config.threads.awake_us > 0 && shared.inboxes.len() >= processors {
        tracing::warn!(
            cores = shared.inboxes.len(),
            processors,
            "threads.awake_us: cores that stay awake leave no processor to the disk and to other \
             programs: make threads.cores smaller"
        );
    }
    for index in 0..shared.inboxes.len() {
        let mut positions = Positions::default();
        for (partition, end) in shared.store.follow(Arc::clone(&shared.inboxes[index]) as Arc<_>) {
            positions.advance(partition, end);
        }
        let placement = placement(&shared.store, config);
        let core = core::start(index, Arc::clone(shared), placement, positions, &config.threads)
            .map_err(|error| StartError::System("a thread", error))?;
        cores.push(core);
    }
    Ok(cores)
}

/// Threads that look after the rest.
struct Watches {
    upkeep: Upkeep,
    trust: TrustWatch,
    system: Option<SystemTopics>,
}

impl Watches {
    fn start(shared: &Arc<Shared>, config: &Config) -> Result<Self, StartError> {
        let no_thread = |error| StartError::System("a thread", error);
        let upkeep = Upkeep::start(Arc::clone(shared)).map_err(no_thread)?;
        let desk = BackupDesk::new(&config.data.dir);
        let trust = TrustWatch::start(Arc::clone(shared), desk).map_err(no_thread)?;
        let system = SystemTopics::start(shared, &config.system.node_name).map_err(no_thread)?;
        Ok(Self { upkeep, trust, system })
    }

    fn stop(self) {
        self.system.into_iter().for_each(SystemTopics::stop);
        self.upkeep.stop();
        self.trust.stop();
    }
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
            names_publisher: configured.client_id_header,
            key: configured.key.clone(),
        }
    };
    let shelves = config.streams.iter().map(shelf).collect();
    Placement::new(shelves, config.mqtt.topic_levels_max)
        .expect("the store opened every stream of the configuration, none of them empty")
}
