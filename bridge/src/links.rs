//! Links to other MQTT brokers: each a bridge, with a connection that comes and goes.

mod again;
mod dial;
mod duplex;
mod hello;
mod incoming;
mod marks;
mod moves;
mod options;
mod outgoing;
mod rules;
mod session;
mod strikes;
mod subscriptions;
mod web;
mod wire;
mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;
use tidewire_proto::mqtt::{Disconnect, Packet, Properties, ReasonCode, Version};
use tidewire_proto::session::outbox::Outbox;
use tidewire_proto::topic::TopicFilter;
use tidewire_store::Store;
use tidewire_store::rows::bridge::BridgeRow;
use tidewire_store::rows::link::{self, LinkRow};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub use dial::dial;
pub use duplex::Duplex;
pub use marks::was_here;
pub use options::{LinkOptions, LinkTls};
pub use rules::{LinkProblem, LinkRule, check_rules};
pub use wire::{Reader, Wire, Writer};
pub use words::reason;

use crate::bridges::Plan;
use crate::bridges::desk::{Answer, Desk};
use crate::bridges::scope::Scope;
use crate::bridges::source::Source;
use crate::bridges::work::{Ended, Running, Testing, Work};
use crate::identity;
use again::Again;
use hello::{Greeting, Guest, Unwelcome, greet};
use incoming::{Incoming, forget, receipts, state, state_topic};
use outgoing::{Outgoing, Part, Resumed};
use session::{Parted, Parts, Session, told};
use strikes::Strikes;
use subscriptions::{Subscriptions, has_options};

/// Bytes of the log that are read at a time.
const CHUNK_BYTES: usize = 256 * 1024;
/// Parts of the log that wait.
const CHUNKS_MAX: usize = 2;
/// At QoS 2 no more are on their way, whatever the settings say: all of them are stored before any
/// step of one of them.
const EXACT_IN_FLIGHT_MAX: u16 = 2_000;
/// So much of a broker's own name tells it from others.
const OWN_NAME_BYTES: usize = 8;
/// How often it is noted what of the log was not for us.
const NOTE: Duration = Duration::from_secs(1);

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
    let (address, strikes, said) = (AtomicUsize::new(0), Strikes::default(), Arc::default());
    let (options, knows_session) = (Arc::new(options), Arc::default());
    let work = Arc::new(Link { options, scope, address, strikes, said, knows_session });
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
    said: Arc<Mutex<Option<bool>>>,
    /// What we know of our session there is so: not once a CONNECT has left of which we did not
    /// hear what it found.
    knows_session: Arc<AtomicBool>,
}

impl Work for Link {
    fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    fn run(self: Arc<Self>, desk: Desk) -> Running {
        Box::pin(async move {
            if self.said.lock().is_none() {
                // After a crash they still hear that it is connected.
                self.tell(&desk, false).await;
            }
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
            let client_id = self.client_id("any");
            let client_id = format!("{client_id}-test");
            let (mut wire, greeting, _) =
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
        moves::moved(row, positions)
    }

    fn moved_in(&self, row: BridgeRow, place: (PartitionId, u64)) -> BridgeRow {
        moves::moved_in(row, place)
    }

    fn skipped(
        &self,
        row: BridgeRow,
        place: (PartitionId, (u64, u64)),
        records: u64,
    ) -> Option<BridgeRow> {
        moves::skipped(row, place, records)
    }
}

impl Link {
    fn next_address(&self) -> &str {
        let addresses = &self.options.addresses;
        let at = self.address.load(Ordering::Relaxed) % addresses.len().max(1);
        addresses.get(at).map_or("", String::as_str)
    }

    /// Two brokers that have the same settings must not be one session there.
    fn client_id(&self, broker: &str) -> String {
        let own = || {
            let broker = broker.get(..OWN_NAME_BYTES).unwrap_or(broker);
            format!("tidewire-{broker}-{}", self.options.name)
        };
        self.options.client_id.clone().unwrap_or_else(own)
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
        let client_id = self.client_id(&broker);
        let mut leaving = desk.clone();
        let connected = tokio::select! {
            connected = self.connect(&address, &client_id, false) => connected,
            () = leaving.leaves() => return Ended::Left,
        };
        let (mut wire, greeting, knows_session) = match connected {
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
        let incoming = Incoming::new(desk.clone(), Arc::clone(&options), broker, &taken);
        self.say_connected(desk);
        let outgoing = Outgoing::new(desk.clone(), Arc::clone(&options), resumed, greeting);
        let chunks = reading.start(greeting.session_present);
        let desk = desk.clone();
        // In MQTT 5 to subscribe once more costs nothing: nothing retained comes again.
        let stands = knows_session && greeting.session_present && !has_options(options.version);
        let subscriptions = Subscriptions::new(stands, Arc::clone(&self.knows_session));
        let parts = Parts { desk, options, greeting, outgoing, incoming, chunks, subscriptions };
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
        let Some(answer) = submit_state(desk, is_connected) else { return };
        if matches!(answer.await, Ok(Ok(_))) {
            *self.said.lock() = Some(is_connected);
        }
    }

    /// The connection does not wait for it, nor end if our disk is full: what goes out is what
    /// makes room there.
    fn say_connected(&self, desk: &Desk) {
        let Some(answer) = submit_state(desk, true) else { return };
        *self.said.lock() = Some(true);
        let said = Arc::clone(&self.said);
        tokio::task::spawn_local(async move {
            if !matches!(answer.await, Ok(Ok(_))) {
                *said.lock() = None;
            }
        });
    }

    async fn connect(
        &self,
        address: &str,
        client_id: &str,
        is_test: bool,
    ) -> Result<(Wire, Greeting, bool), Ended> {
        let options = &*self.options;
        let mut knows_session = false;
        let mut is_private = options.try_private && options.version != Version::V5;
        let path = options.websocket_path.as_deref();
        loop {
            let stream = dial(address, options.tls.as_ref(), path).await.map_err(Ended::Failed)?;
            let mut wire = Wire::new(stream, options.version, options.packet_bytes_max);
            let guest = Guest { client_id, is_private, is_test };
            if !is_test {
                knows_session |= self.knows_session.swap(false, Ordering::Relaxed);
            }
            match greet(&mut wire, options, guest).await {
                Ok(greeting) => return Ok((wire, greeting, knows_session)),
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
        let is_exact = self.options.rules.iter().any(|rule| rule.is_out && rule.qos == 2);
        let most = if is_exact { EXACT_IN_FLIGHT_MAX } else { u16::MAX };
        let mut outbox = Outbox::new(self.options.in_flight_max.min(most));
        cursor.exchanges.iter().for_each(|(number, it)| outbox.restore(*number, *it));
        outbox.skip_to(cursor.next_number);
        // The row's own positions count what is on its way as not read.
        let ahead = |(id, lowest): (PartitionId, u64)| (id, lowest.max(cursor.positions.get(id)));
        let positions: BTreeMap<PartitionId, u64> = found.into_iter().map(ahead).collect();
        let again = Again::new(desk.store().clone(), cursor.exchanges);
        let from: Vec<_> = positions.iter().map(|(id, next)| (*id, *next)).collect();
        let scope = self.scope.as_ref();
        let source = scope.map(|scope| desk.source_at(scope, &from, CHUNK_BYTES));
        let strikes = self.strikes.clone();
        let resumed = Resumed { outbox, positions, subscribed, broker, strikes };
        Ok((resumed, Reading { again, source }))
    }
}

fn submit_state(desk: &Desk, is_connected: bool) -> Option<oneshot::Receiver<Answer>> {
    let (mut inlet, topic) = (desk.inlet(), state_topic(desk.name()));
    match inlet.push_own(&state(&topic, is_connected), crate::time::now_ms()) {
        Ok(()) => {
            let (commit, claims) = inlet.commit(Vec::new());
            Some(desk.submit_with(commit, claims))
        }
        Err(why) => {
            desk.trouble(format!("{topic} cannot be told: {why}"));
            None
        }
    }
}

/// The log, ready to be read: first what is to be sent again, then the rest; no rest, for a link
/// that sends nothing.
struct Reading {
    again: Again,
    source: Option<Source>,
}

impl Reading {
    /// Reads ahead, for as long as somebody listens.
    fn start(self, session_present: bool) -> mpsc::Receiver<Result<Part, String>> {
        let (tell, parts) = mpsc::channel(CHUNKS_MAX);
        tokio::task::spawn_local(async move {
            let Self { again, source } = self;
            let all = async {
                if send_again(again.of(session_present), &tell).await {
                    read(source, &tell).await;
                }
            };
            tokio::select! {
                () = all => (),
                () = tell.closed() => (),
            }
        });
        parts
    }
}

type Tell = mpsc::Sender<Result<Part, String>>;

/// Whether all of it could be read.
async fn send_again(mut again: Again, tell: &Tell) -> bool {
    loop {
        let (read, rest) = again.next().await;
        again = rest;
        let read = read.map_err(|error| format!("what goes again cannot be read: {error}"));
        let (is_over, is_read) = (again.is_over(), read.is_ok());
        let next = again.first().unwrap_or(u64::MAX);
        let part = read.map(|records| Part::Again { records, next });
        if tell.send(part).await.is_err() || !is_read {
            return false;
        }
        if is_over {
            return true;
        }
    }
}

async fn read(source: Option<Source>, tell: &Tell) {
    let Some(mut source) = source else { return tell.closed().await };
    let mut noted = Instant::now();
    loop {
        let read = source.next_by(noted + NOTE).await.map_err(|error| error.to_string());
        let is_over = read.is_err();
        let part = read.map(|chunk| chunk.map(Part::Records)).transpose();
        if let Some(part) = part
            && (tell.send(part).await.is_err() || is_over)
        {
            return;
        }
        if noted.elapsed() >= NOTE {
            // What was read and is not among the records was not for us: nobody has to hold it.
            noted = Instant::now();
            if tell.send(Ok(Part::Passed(source.positions()))).await.is_err() {
                return;
            }
        }
    }
}
