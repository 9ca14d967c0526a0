//! Links to other MQTT brokers: each a bridge, with a connection that comes and goes.

mod dial;
mod hello;
mod incoming;
mod marks;
mod options;
mod outgoing;
mod rules;
mod session;
mod wire;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;
use tidewire_proto::mqtt::{Disconnect, Packet, Properties, ReasonCode, Version};
use tidewire_proto::record::SharedRecord;
use tidewire_proto::session::cursor::Positions;
use tidewire_proto::session::outbox::Outbox;
use tidewire_proto::session::window::{Exchange, Place, Window};
use tidewire_proto::topic::TopicFilter;
use tidewire_store::rows::bridge::BridgeRow;
use tidewire_store::rows::link::{self, LinkRow};
use tidewire_store::{Slice, Store};
use tokio::sync::mpsc;

pub use marks::was_here;
pub use options::{LinkOptions, LinkTls};
pub use rules::{LinkProblem, LinkRule, check_rules};

use crate::bridges::Plan;
use crate::bridges::desk::Desk;
use crate::bridges::scope::Scope;
use crate::bridges::source::{Chunk, Source};
use crate::bridges::work::{Ended, Running, Testing, Work};
use crate::identity;
use dial::dial;
use hello::{Greeting, Guest, Unwelcome, greet};
use incoming::{Incoming, forget, receipts, state, state_topic};
use outgoing::{Outgoing, Resumed, Strikes};
use session::{Parted, Parts, Session, told};
use wire::Wire;

/// Bytes of the log that are read at a time.
const CHUNK_BYTES: usize = 256 * 1024;
/// Parts of the log that wait.
const CHUNKS_MAX: usize = 2;

/// A link, as one of the bridges.
#[must_use]
pub fn plan(options: LinkOptions) -> Plan {
    let filters: Vec<TopicFilter> = options
        .rules
        .iter()
        .filter(|rule| rule.is_out)
        .filter_map(|rule| TopicFilter::parse(&rule.local_filter()).ok())
        .collect();
    let scope = (!filters.is_empty()).then(|| Scope { streams: Vec::new(), filters });
    let name = options.name.clone();
    let (address, strikes, said) = (AtomicUsize::new(0), Strikes::default(), Mutex::new(None));
    let work = Arc::new(Link { options: Arc::new(options), scope, address, strikes, said });
    Plan { name, kind: "link", work }
}

/// The name by which messages say that they were here; made when there is none.
#[must_use]
pub fn mark(store: &Store) -> Option<String> {
    let mark = identity::cluster_id(store);
    mark.inspect_err(|error| tracing::error!(?error, "messages cannot say that they were here"))
        .ok()
}

/// A link.
struct Link {
    options: Arc<LinkOptions>,
    /// What goes out; `None`: nothing does.
    scope: Option<Scope>,
    /// Which address is tried next.
    address: AtomicUsize,
    strikes: Strikes,
    /// Whether subscribers here were told that it is connected.
    said: Mutex<Option<bool>>,
}

impl Work for Link {
    fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    fn run(self: Arc<Self>, desk: Desk) -> Running {
        Box::pin(async move {
            let ended = self.connection(&desk).await;
            self.tell(&desk, false).await;
            if let Ended::Failed(words) = ended {
                self.address.fetch_add(1, Ordering::Relaxed);
                return Ended::Failed(words);
            }
            ended
        })
    }

    fn test(self: Arc<Self>) -> Testing {
        Box::pin(async move {
            let address = self.next_address().to_owned();
            let client_id = format!("{}-test", self.options.client_id);
            let (mut wire, greeting) =
                self.connect(&address, &client_id, true).await.map_err(|end| match end {
                    Ended::Failed(words) | Ended::Hopeless(words) => words,
                    Ended::Left => String::new(),
                })?;
            let (reason, properties) = (ReasonCode::SUCCESS, Properties::EMPTY);
            let bye = wire.writer.put(&Packet::Disconnect(Disconnect { reason, properties }));
            if bye.is_ok() {
                // It answered: that was the question.
                let _ = wire.writer.write().await;
            }
            let Greeting { receive_max, qos_max, .. } = greeting;
            let qos = qos_max.bits();
            Ok(format!("{address} answers: {receive_max} messages at a time, QoS up to {qos}"))
        })
    }

    fn moved(&self, row: BridgeRow, positions: Vec<(PartitionId, u64)>) -> BridgeRow {
        let Ok(LinkRow { subscribed, cursor }) = link::decode(&row.extra) else {
            return BridgeRow { positions, ..row };
        };
        // What is on its way must end under its packet id: only what is read next moves.
        let mut window = Window::new(u16::MAX);
        let mut lowest: BTreeMap<PartitionId, u64> = positions.iter().copied().collect();
        for (number, exchange) in cursor.exchanges {
            window.restore(number, exchange);
            let Place { partition, offset } = exchange.place;
            let known = lowest.entry(partition).or_insert(offset);
            *known = offset.min(*known);
        }
        window.skip_to(cursor.next_number);
        let mut read = Positions::default();
        positions.iter().for_each(|(partition, next)| read.advance(*partition, *next));
        let extra = link::encode(&subscribed, &window, &read);
        BridgeRow { positions: lowest.into_iter().collect(), extra, ..row }
    }
}

impl Link {
    fn next_address(&self) -> &str {
        let addresses = &self.options.addresses;
        let at = self.address.load(Ordering::Relaxed) % addresses.len().max(1);
        addresses.get(at).map_or("", String::as_str)
    }

    /// One connection, from the first byte to the last.
    async fn connection(&self, desk: &Desk) -> Ended {
        let (resumed, reading) = match self.resume(desk).await {
            Ok(resumed) => resumed,
            Err(words) => return Ended::Failed(words),
        };
        let broker = resumed.broker.clone();
        let address = self.next_address().to_owned();
        desk.connecting(&*address);
        let mut leaving = desk.clone();
        let connected = tokio::select! {
            connected = self.connect(&address, &self.options.client_id, false) => connected,
            () = leaving.leaves() => return Ended::Left,
        };
        let (mut wire, greeting) = match connected {
            Ok(connected) => connected,
            Err(ended) => return ended,
        };
        let taken = match self.taken(desk, greeting).await {
            Ok(taken) => taken,
            Err(words) => return Ended::Failed(words),
        };
        desk.running(&*address);
        tracing::info!(bridge = desk.name(), address, present = greeting.session_present, "linked");
        if let Some(topic) = &self.options.remote_state_topic {
            // At QoS 0: an other side that refuses it loses nothing.
            let _ = wire.writer.put(&Packet::Publish(told(topic, true)));
        }
        let options = Arc::clone(&self.options);
        let mut incoming = Incoming::new(desk.clone(), Arc::clone(&options), broker, &taken);
        incoming.tell_state(true);
        *self.said.lock() = Some(true);
        let outgoing = Outgoing::new(desk.clone(), Arc::clone(&options), resumed, greeting);
        let chunks = reading.start();
        let desk = desk.clone();
        let parts = Parts { desk, options, greeting, outgoing, incoming, chunks };
        match Session::new(parts, wire).run().await {
            Parted::Left => Ended::Left,
            Parted::Lost(words) => Ended::Failed(format!("{address}: {words}")),
        }
    }

    /// Tells subscribers here, unless they know.
    async fn tell(&self, desk: &Desk, is_connected: bool) {
        if *self.said.lock() == Some(is_connected) {
            return;
        }
        let (mut inlet, topic) = (desk.inlet(), state_topic(desk.name()));
        if inlet.push_own(&state(&topic, is_connected), crate::time::now_ms()).is_ok() {
            let (commit, claims) = inlet.commit(Vec::new());
            if matches!(desk.submit_with(commit, claims).await, Ok(Ok(_))) {
                *self.said.lock() = Some(is_connected);
            }
        }
    }

    async fn connect(
        &self,
        address: &str,
        client_id: &str,
        is_test: bool,
    ) -> Result<(Wire, Greeting), Ended> {
        let options = &*self.options;
        let mut is_private = options.try_private && options.version != Version::V5;
        loop {
            let stream = dial(address, options.tls.as_ref()).await.map_err(Ended::Failed)?;
            let mut wire = Wire::new(stream, options.version, options.packet_bytes_max);
            let guest = Guest { client_id, is_private, is_test };
            match greet(&mut wire, options, guest).await {
                Ok(greeting) => return Ok((wire, greeting)),
                Err(Unwelcome::Refused(words)) => {
                    return Err(Ended::Failed(format!("{address}: {words}")));
                }
                Err(Unwelcome::Private) => {
                    let safe = check_rules(&options.rules, false);
                    safe.map_err(|problem| Ended::Hopeless(problem.message))?;
                    is_private = false;
                }
            }
        }
    }

    /// What was taken from the other side and is not released, if it knows of it.
    async fn taken(
        &self,
        desk: &Desk,
        greeting: Greeting,
    ) -> Result<Vec<tidewire_proto::id::PacketId>, String> {
        let taken = receipts(desk.store(), desk.name()).map_err(|error| error.to_string())?;
        if greeting.session_present {
            return Ok(taken);
        }
        forget(desk, &taken).await.map_err(|error| error.to_string())?;
        Ok(Vec::new())
    }

    /// What is to go on where it was.
    async fn resume(&self, desk: &Desk) -> Result<(Resumed, Reading), String> {
        let broker = identity::cluster_id(desk.store()).map_err(|error| format!("{error:?}"))?;
        let (found, extra) = match &self.scope {
            Some(scope) => desk.begin(scope, self.options.start).await?,
            None => {
                let row = desk.row().map_err(|error| error.to_string())?;
                (Vec::new(), row.map(|row| row.extra).unwrap_or_default())
            }
        };
        let known = match extra.is_empty() {
            true => LinkRow::default(),
            false => link::decode(&extra).map_err(|error| error.to_string())?,
        };
        let LinkRow { subscribed, cursor } = known;
        let mut outbox = Outbox::new(self.options.in_flight_max);
        cursor.exchanges.iter().for_each(|(number, it)| outbox.restore(*number, *it));
        outbox.skip_to(cursor.next_number);
        // The row's own positions count what is on its way as not read.
        let ahead = |(id, lowest): (PartitionId, u64)| (id, lowest.max(cursor.positions.get(id)));
        let positions: BTreeMap<PartitionId, u64> = found.into_iter().map(ahead).collect();
        let (store, exchanges) = (desk.store().clone(), cursor.exchanges);
        let staged = tokio::task::spawn_blocking(move || staged(&store, &exchanges)).await;
        let staged = staged.map_err(|error| error.to_string())?;
        let from: Vec<_> = positions.iter().map(|(id, next)| (*id, *next)).collect();
        let scope = self.scope.as_ref();
        let source = scope.map(|scope| desk.source_at(scope, &from, CHUNK_BYTES));
        let strikes = Arc::clone(&self.strikes);
        Ok((Resumed { outbox, positions, subscribed, staged, broker, strikes }, Reading(source)))
    }
}

/// The messages that are to be sent again.
fn staged(store: &Store, exchanges: &[(u64, Exchange)]) -> HashMap<u64, SharedRecord> {
    let mut staged = HashMap::new();
    let mut last: Option<(PartitionId, Slice)> = None;
    for (number, exchange) in exchanges {
        // Also what was released: if the other side has forgotten our session, it begins anew.
        let Place { partition, offset } = &exchange.place;
        let known = last.as_ref().filter(|(known, _)| known == partition);
        let found = known.and_then(|(_, slice)| find(slice, *offset));
        let found = found.or_else(|| {
            let slice = store.read(*partition, *offset, CHUNK_BYTES).ok()?;
            let (_, slice) = last.insert((*partition, slice));
            find(slice, *offset)
        });
        staged.extend(found.map(|record| (*number, record)));
    }
    staged
}

fn find(slice: &Slice, offset: u64) -> Option<SharedRecord> {
    let stored = slice
        .batches
        .iter()
        .find(|stored| (stored.base_offset..stored.next_offset()).contains(&offset))?;
    let at = |delta: u32| stored.base_offset + u64::from(delta);
    let record = stored.batch.records().find(|record| at(record.offset_delta) == offset)?;
    Some(stored.batch.share(&record))
}

/// The log, ready to be read; nothing, for a link that sends nothing.
struct Reading(Option<Source>);

impl Reading {
    /// Reads ahead, for as long as somebody listens.
    fn start(self) -> mpsc::Receiver<Result<Chunk, String>> {
        let (tell, chunks) = mpsc::channel(CHUNKS_MAX);
        tokio::task::spawn_local(async move {
            let Some(mut source) = self.0 else { return tell.closed().await };
            loop {
                let chunk = tokio::select! {
                    chunk = source.next() => chunk.map_err(|error| error.to_string()),
                    () = tell.closed() => return,
                };
                let is_over = chunk.is_err();
                if tell.send(chunk).await.is_err() || is_over {
                    return;
                }
            }
        });
        chunks
    }
}
