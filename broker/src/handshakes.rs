//! The threads that do TLS handshakes, so that no core has to: a client that is known to be one
//! goes on to a core. Reads nothing of what clients say.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream as StdTcpStream};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::LocalSet;

use crate::core::shared::Shared;
use crate::metrics::TlsResult;
use crate::newcomers::Kept;
use crate::seat::{Addresses, Seat};
use crate::teller::Teller;
use crate::tls::{Failure, Shaken, Slot, shake};

/// Sockets that may wait for one thread to look at them; who comes beyond is closed.
const WAITING_MAX: usize = 16_384;

/// A socket whose handshake is to be done.
pub(crate) struct Arrival {
    pub(crate) stream: StdTcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) tls: Arc<Entrance>,
    /// Where the client goes when it is done; dropped when it fails.
    pub(crate) next: Next,
}

/// Takes in a client whose handshake is done.
pub(crate) type Next = Box<dyn FnOnce(&Shared, Shaken) + Send>;

/// What holds for handshakes of one listener.
pub(crate) struct Entrance {
    pub(crate) slot: Arc<Slot>,
    /// How many are under way.
    waiting: Arc<AtomicUsize>,
    /// How many of one address.
    addresses: Addresses,
}

impl Entrance {
    pub(crate) fn new(slot: Arc<Slot>) -> Self {
        Self { slot, waiting: Arc::default(), addresses: Addresses::default() }
    }

    /// A place among the handshakes that are under way, as long as it is held; `None` when all are
    /// taken, or as many as one address may have: half of them.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Seat> {
        let max = self.slot.handshakes_max();
        let mut place = Seat::take(&self.waiting, max)?;
        let half = u32::try_from(max.div_ceil(2)).unwrap_or(u32::MAX);
        place.count_address(&self.addresses, address, half).then_some(place)
    }
}

/// Tells every thread to end.
#[derive(Default)]
struct Stop {
    is_told: AtomicBool,
    told: Notify,
}

/// The threads.
pub(crate) struct Handshakes {
    arrivals: Vec<Sender<Box<Arrival>>>,
    stop: Arc<Stop>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    turns: AtomicUsize,
}

impl Handshakes {
    /// So many threads; 0 is one for every two cores of the machine.
    pub(crate) fn start(shared: &Arc<Shared>, threads: u16) -> io::Result<Self> {
        let count = match threads {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get).div_ceil(2),
            count => usize::from(count),
        };
        let (mut arrivals, mut handles) = (Vec::new(), Vec::new());
        let stop = Arc::new(Stop::default());
        for number in 0..count {
            let (to, from) = channel(WAITING_MAX);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (shared, stop) = (Arc::clone(shared), Arc::clone(&stop));
            let thread =
                std::thread::Builder::new().name(format!("tls-{number}")).spawn(move || {
                    LocalSet::new().block_on(&runtime, until(stop, run(shared, from)))
                })?;
            arrivals.push(to);
            handles.push(thread);
        }
        let (threads, turns) = (Mutex::new(handles), AtomicUsize::new(0));
        Ok(Self { arrivals, stop, threads, turns })
    }

    /// Has it done; threads take turns. False when too many wait.
    pub(crate) fn take(&self, arrival: Arrival) -> bool {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed) % self.arrivals.len();
        self.arrivals[turn].try_send(Box::new(arrival)).is_ok()
    }

    /// Breaks off what is under way.
    pub(crate) fn stop(&self) {
        self.stop.is_told.store(true, Ordering::Relaxed);
        self.stop.told.notify_waiters();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread for TLS handshakes ended in a panic");
            }
        }
    }
}

async fn until(stop: Arc<Stop>, running: impl Future<Output = ()>) {
    let told = stop.told.notified();
    let mut told = std::pin::pin!(told);
    // From here on it hears; what was said before is looked up.
    told.as_mut().enable();
    if !stop.is_told.load(Ordering::Relaxed) {
        tokio::select! {
            () = told => (),
            () = running => (),
        }
    }
}

async fn run(shared: Arc<Shared>, mut arrivals: Receiver<Box<Arrival>>) {
    let teller = Rc::new(RefCell::new(Teller::default()));
    while let Some(arrival) = arrivals.recv().await {
        let Some(place) = arrival.tls.enter(arrival.peer.ip()) else {
            shared.metrics.tls_handshakes.add(TlsResult::Limit, 1);
            continue;
        };
        let (shared, teller) = (Arc::clone(&shared), Rc::clone(&teller));
        tokio::task::spawn_local(async move {
            greet(&shared, &teller, *arrival).await;
            drop(place);
        });
    }
}

async fn greet(shared: &Shared, teller: &RefCell<Teller>, arrival: Arrival) {
    let Arrival { stream, peer, tls, next } = arrival;
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    match shake(stream, peer, &tls.slot, Kept::of(&shared.newcomers, Some(peer.ip()))).await {
        Ok(shaken) => {
            shared.metrics.tls_handshakes.add(TlsResult::Done, 1);
            next(shared, shaken);
        }
        Err(failure) => {
            shared.metrics.tls_handshakes.add(failure.result, 1);
            let now_s = shared.clock.elapsed_ms() / 1_000;
            tell(teller, peer, tls.slot.listener().word(), &failure, now_s);
        }
    }
}

/// Tells why a handshake failed.
pub(crate) fn tell(
    teller: &RefCell<Teller>,
    peer: SocketAddr,
    listener: &str,
    failure: &Failure,
    now_s: i64,
) {
    let Some(words) = &failure.words else {
        return tracing::debug!(%peer, listener, "a client went away in the TLS handshake");
    };
    if teller.borrow_mut().may_tell(now_s, "TLS handshakes") {
        tracing::warn!(%peer, listener, "TLS handshake refused: {words}");
    }
}
