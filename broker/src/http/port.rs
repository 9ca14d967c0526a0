//! The port: bound before the data folder is opened, so that it can say how far that is; its
//! thread, its connections and their bounds. Answers nothing itself.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use tidewire_store::Recovering;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::gate::Gate;
use super::handle::router;
use super::numbers::{HttpNumbers, Refused};
use super::places::Places;
use super::site::{Inside, READERS_MAX, Site};
use super::table;
use super::wire::{SCRATCH_BYTES, Wire};
use crate::banner::{BoundListener, Protocol, Who};
use crate::config::{Config, HttpListener};
use crate::error::StartError;
use crate::handshakes::{Entrance, tell};
use crate::metrics::exposition::Exposition;
use crate::metrics::{CounterFamily, TlsListener, TlsResult};
use crate::newcomers::{Kept, Newcomers};
use crate::reload::OtherTokens;
use crate::reserved::Reserved;
use crate::teller::Teller;
use crate::tls::{Slot, shake};
use crate::{listener, ports};

/// How long no connection is accepted after the system refused one (no file handles left).
const BACK_OFF: Duration = Duration::from_millis(100);
/// How long answers that are on their way may take when the broker has stopped.
const FAREWELL: Duration = Duration::from_millis(500);
/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// For who comes when all places are taken.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// An open port. Dropped, it closes all the same, a little later.
pub(crate) struct HttpPort {
    site: Arc<Site>,
    listener: BoundListener,
    slot: Option<Arc<Slot>>,
    newcomers: Arc<Newcomers>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl HttpPort {
    /// Takes the port and serves there, if there is to be one; of the broker's parts nothing can
    /// be asked yet.
    pub(crate) fn open(
        config: &Config,
        reserved: &mut Reserved,
        (numbers, served): (HttpNumbers, Option<Exposition>),
        handshakes: &Arc<CounterFamily<TlsResult>>,
    ) -> Result<Option<Self>, StartError> {
        let http = &config.listener.http;
        let Some(address) = http.bind else { return Ok(None) };
        let slot = http.is_secret().then(|| ports::slot(TlsListener::Http, &http.tls));
        let slot = slot.transpose().map_err(|error| StartError::Tls("http", error))?.map(Arc::new);
        let gate = Gate::open(http, &config.auth).map_err(StartError::HttpTokens)?;
        let protocol = Protocol::of_http(slot.is_some());
        let failed = |error| StartError::Bind(address, protocol.title(), protocol.setting(), error);
        let socket = reserved.claim(protocol, address)?;
        socket.listen(listener::BACKLOG).map_err(failed)?;
        let socket = std::net::TcpListener::from(socket);
        let address = socket.local_addr().map_err(failed)?;
        let asks_certificate = slot.as_ref().is_some_and(|slot| slot.asks_everybody());
        let who = Who::of(asks_certificate, gate.takes_anonymous);
        let listener = BoundListener { protocol, address, who, behind_proxy: false };
        let site = Arc::new(Site::new(gate, config, (numbers, served)));
        let (stop, stopped) = watch::channel(false);
        let newcomers = Newcomers::of(&config.mqtt);
        let entry = Entry {
            site: Arc::clone(&site),
            router: router(&site, table::routes()),
            entrance: slot.clone().map(Entrance::new),
            newcomers: Arc::clone(&newcomers),
            http: http.clone(),
            handshakes: Arc::clone(handshakes),
            teller: RefCell::default(),
            began: Instant::now(),
        };
        let thread = start(socket, entry, stopped);
        let thread = thread.map_err(|error| StartError::System("a thread", error))?;
        Ok(Some(Self { site, listener, slot, newcomers, stop, thread }))
    }

    /// What is bound, as the system gave it.
    pub(crate) fn listener(&self) -> BoundListener {
        self.listener.clone()
    }

    /// Reads other tokens, and when that is called, they open it.
    pub(crate) fn other_tokens(&self) -> OtherTokens {
        let gate = Arc::clone(&self.site.gate);
        Box::new(move |config| {
            let other = Gate::open(&config.listener.http, &config.auth);
            let (gate, other) = (Arc::clone(&gate), other.map_err(StartError::HttpTokens)?);
            Ok(Box::new(move || gate.set(other)))
        })
    }

    /// The certificates that are shown there.
    pub(crate) fn slot(&self) -> Option<Arc<Slot>> {
        self.slot.clone()
    }

    /// Who has not shown a token yet.
    pub(crate) fn newcomers(&self) -> Arc<Newcomers> {
        Arc::clone(&self.newcomers)
    }

    /// Who opens the data folder says here how far it is.
    pub(crate) fn recovering(&self) -> Arc<Recovering> {
        Arc::clone(&self.site.recovering)
    }

    /// The broker serves now, and can be asked.
    pub(crate) fn serve(&self, inside: Inside) {
        self.site.serve(inside);
    }

    /// The broker was told to stop: it is not to be given work.
    pub(crate) fn announce_stop(&self) {
        self.site.stop();
    }

    /// Closes the port; answers that are on their way have a moment.
    pub(crate) fn close(self) {
        let Self { stop, thread, .. } = self;
        stop.send_replace(true);
        if thread.join().is_err() {
            tracing::error!("the thread of the HTTP port ended in a panic");
        }
    }
}

/// What its thread needs.
struct Entry {
    site: Arc<Site>,
    router: Router,
    entrance: Option<Entrance>,
    newcomers: Arc<Newcomers>,
    http: HttpListener,
    /// What came of handshakes, at all ports.
    handshakes: Arc<CounterFamily<TlsResult>>,
    /// How often is told of those that failed.
    teller: RefCell<Teller>,
    began: Instant,
}

fn start(
    socket: std::net::TcpListener,
    entry: Entry,
    stopped: watch::Receiver<bool>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("http-read")
        .max_blocking_threads(READERS_MAX)
        .build()?;
    std::thread::Builder::new().name("http".into()).spawn(move || {
        LocalSet::new().block_on(&runtime, run(socket, Rc::new(entry), stopped));
    })
}

/// Until it is told to stop.
async fn run(socket: std::net::TcpListener, entry: Rc<Entry>, mut stopped: watch::Receiver<bool>) {
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "the HTTP port cannot be listened on"),
    };
    let places = Places::of(entry.http.connections_max);
    let scratch = Rc::new(RefCell::new(vec![0; SCRATCH_BYTES]));
    let accepting = accept(socket, Rc::clone(&entry), &places, scratch, stopped.clone());
    tokio::select! {
        () = accepting => (),
        _ = stopped.wait_for(|stopped| *stopped) => (),
    }
    // Whoever still has a place is answering, or does not go by itself.
    let _ = tokio::time::timeout(FAREWELL, places.all_free()).await;
}

async fn accept(
    socket: TcpListener,
    entry: Rc<Entry>,
    places: &Places,
    scratch: Rc<RefCell<Vec<u8>>>,
    stopped: watch::Receiver<bool>,
) {
    loop {
        let (stream, peer) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the HTTP port cannot accept connections for a moment");
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
        };
        let Some(place) = places.take(peer.ip()) else {
            entry.site.numbers.refuse(Refused::Connections);
            if entry.entrance.is_none() {
                // What fits into its buffer it gets; nobody waits for it.
                let _ = stream.try_write(FULL);
            }
            continue;
        };
        let (entry, scratch, stopped) = (Rc::clone(&entry), Rc::clone(&scratch), stopped.clone());
        tokio::task::spawn_local(async move {
            entry.site.numbers.connections.increment(1);
            if let Some(wire) = entry.wire(stream, peer, scratch).await {
                entry.serve(wire, peer, stopped).await;
            }
            entry.site.numbers.connections.decrement(1);
            drop(place);
        });
    }
}

impl Entry {
    /// A socket to read and write, its handshake done.
    async fn wire(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        scratch: Rc<RefCell<Vec<u8>>>,
    ) -> Option<Wire> {
        // Without it answers are late, and right.
        let _ = stream.set_nodelay(true);
        let patience = self.http.send_timeout;
        let Some(entrance) = &self.entrance else { return Some(Wire::plain(stream, patience)) };
        let Some(place) = entrance.enter(peer.ip()) else {
            self.handshakes.add(TlsResult::Limit, 1);
            return None;
        };
        let slot = &entrance.slot;
        let shaken = shake(stream, peer, slot, Kept::of(&self.newcomers, Some(peer.ip()))).await;
        drop(place);
        match shaken {
            Ok(shaken) => {
                self.handshakes.add(TlsResult::Done, 1);
                let stream = shaken.stream.bind().ok()?;
                Some(Wire::secret(stream, scratch, patience))
            }
            Err(failure) => {
                self.site.numbers.refuse(Refused::Tls);
                self.handshakes.add(failure.result, 1);
                tell(&self.teller, peer, slot.listener().word(), &failure, self.now_s());
                None
            }
        }
    }

    /// Until the client goes, is too slow, or the broker stops.
    async fn serve(&self, wire: Wire, peer: SocketAddr, mut stopped: watch::Receiver<bool>) {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.http.header_timeout)
            .max_buf_size(self.http.header_bytes_max as usize)
            .max_headers(HEADERS_MAX);
        let service = TowerToHyperService::new(self.router.clone());
        let mut connection = pin!(builder.serve_connection(wire, service));
        let over = tokio::select! {
            served = connection.as_mut() => Some(served),
            _ = stopped.wait_for(|stopped| *stopped) => None,
        };
        let served = match over {
            Some(served) => served,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        let Err(error) = served else { return };
        tracing::debug!(%error, "a connection of the HTTP port broke");
        let is_told = error.is_parse() && self.entrance.is_none() && !error.is_parse_too_large();
        if is_told && self.teller.borrow_mut().may_tell(self.now_s(), "connections") {
            tracing::info!(
                %peer,
                listener = TlsListener::Http.word(),
                "connection refused: what came is no HTTP/1.1; a client that speaks TLS or MQTT, \
                 perhaps, and this port is for HTTP without TLS"
            );
        }
    }

    /// Seconds since the port was opened.
    fn now_s(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_secs()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};

    use super::{Config, HttpNumbers, HttpPort, Reserved};
    use crate::metrics::Metrics;

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let asked = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(asked.as_bytes()).expect("it is open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    #[test]
    fn before_the_data_folder_is_open_the_port_says_so_and_nothing_else_of_the_broker() {
        let mut config = Config::default();
        config.listener.http.bind = Some(([127, 0, 0, 1], 0).into());
        let mut reserved = Reserved::default();
        let handshakes = Metrics::register().tls_handshakes;
        let numbers = HttpNumbers::register();
        let port = HttpPort::open(&config, &mut reserved, (numbers, None), &handshakes);
        let port = port.expect("a free port").expect("it is on");
        let address = port.listener().address;
        assert!(get(address, "/healthz").starts_with("HTTP/1.1 200"));
        let ready = get(address, "/readyz");
        assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("recovering"), "{ready}");
        assert!(get(address, "/api/v1/clients").starts_with("HTTP/1.1 503"));
        let metrics = get(address, "/metrics");
        assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
        assert!(metrics.contains("\ntidewire_ready 0\n"), "{metrics}");
        port.announce_stop();
        assert!(get(address, "/readyz").contains("\"stopping\""));
        port.close();
        assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    }
}
