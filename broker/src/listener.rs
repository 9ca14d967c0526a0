//! Binds the ports and hands each new connection on: to a core, or to where its proxy says whose it
//! is, or its TLS handshake is done. Reads nothing itself.

use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tidewire_proto::websocket::Origins;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::arrivals::Arrivals;
use crate::config::MqttListener;
use crate::core::shared::{Clock, Shared};
use crate::handshakes::{Arrival, Entrance, Handshakes};
use crate::link::{Accepted, Door, Peer, Unbound};
use crate::metrics::{RefuseReason, Throttled, TlsResult};
use crate::newcomers::{Newcomer, Newcomers};
use crate::pace::{self, Allowance, Bucket};
use crate::proxied::Proxies;
use crate::seat::{Addresses, Seat};
use crate::tls::Shaken;
use crate::wall_clock::wall_clock_ms;
use crate::wire::UnboundWire;

/// Connections that the kernel keeps for us while we are busy.
pub(crate) const BACKLOG: i32 = 4_096;
/// How long no connection is accepted after the system refused one (no file handles left).
const BACK_OFF: Duration = Duration::from_millis(100);

/// Takes an address; nobody can connect yet.
pub(crate) fn reserve(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A broker that was just restarted finds its port still marked as used.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// From now on the kernel takes connections there.
pub(crate) fn listen(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Where clients come in.
pub(crate) enum Incoming {
    Net(TcpListener),
    /// By the socket file.
    Local(UnixListener),
}

/// A client that came.
enum Arrived {
    Net(TcpStream, SocketAddr),
    Local(UnixStream),
}

impl Arrived {
    /// Where it is, if it came over the network.
    const fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Net(_, peer) => Some(*peer),
            Self::Local(_) => None,
        }
    }
}

impl Incoming {
    async fn accept(&self) -> io::Result<Arrived> {
        match self {
            Self::Net(socket) => {
                socket.accept().await.map(|(stream, peer)| Arrived::Net(stream, peer))
            }
            Self::Local(socket) => socket.accept().await.map(|(stream, _)| Arrived::Local(stream)),
        }
    }
}

/// Who is at a listener. Clones count together.
#[derive(Clone, Default)]
pub(crate) struct Crowd {
    open: Arc<AtomicUsize>,
    addresses: Addresses,
}

/// A bound port and what holds for those who come there.
pub(crate) struct Listener {
    incoming: Arc<Incoming>,
    rate: Option<Bucket>,
    entry: Entry,
}

/// What holds for those who come.
struct Entry {
    door: Door,
    crowd: Crowd,
    /// How many may be open here; 0: any number.
    connections_max: usize,
    per_address_max: u32,
    /// How often they may come from one address.
    arrivals: Option<Arrivals>,
    allowance: Option<pace::Shared>,
    /// The proxies that stand before it.
    proxies: Option<Proxies>,
    /// Of WebSocket: whose pages may connect.
    origins: Option<Arc<Origins>>,
    /// Of TLS: what holds for its handshakes, and who does them.
    tls: Option<(Arc<Entrance>, Arc<Handshakes>)>,
}

impl Listener {
    pub(crate) fn new(
        incoming: Arc<Incoming>,
        door: Door,
        config: &MqttListener,
        clock: &Clock,
    ) -> Self {
        let now_ms = clock.elapsed_ms();
        let (per_s, burst) = (config.connections_per_s_max, config.connections_burst_max);
        let allowance = Allowance::of(&config.rate, now_ms);
        let entry = Entry {
            door,
            crowd: Crowd::default(),
            connections_max: config.connections_max as usize,
            per_address_max: config.connections_per_address_max,
            arrivals: Arrivals::of(config.connections_per_address_per_minute_max),
            allowance: allowance.map(|allowance| Arc::new(Mutex::new(allowance))),
            proxies: Proxies::of(config, door.listener),
            origins: None,
            tls: None,
        };
        Self { incoming, rate: Bucket::new(per_s.into(), burst.into(), now_ms), entry }
    }

    /// Takes in more of these.
    pub(crate) fn beside(mut self, crowd: Crowd) -> Self {
        self.entry.crowd = crowd;
        self
    }

    /// Speaks TLS.
    pub(crate) fn secret(mut self, entrance: Entrance, handshakes: Arc<Handshakes>) -> Self {
        self.entry.tls = Some((Arc::new(entrance), handshakes));
        self
    }

    /// Speaks WebSocket, to pages of these origins.
    pub(crate) fn web(mut self, origins: Origins) -> Self {
        self.entry.origins = Some(Arc::new(origins));
        self
    }

    /// Accepts for ever.
    pub(crate) async fn accept(self, shared: Arc<Shared>) {
        let Self { incoming, mut rate, entry } = self;
        let entry = Arc::new(entry);
        loop {
            let arrived = match incoming.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections for a moment");
                    tokio::time::sleep(BACK_OFF).await;
                    continue;
                }
            };
            if !entry.welcomes(&shared, &arrived) {
                continue;
            }
            // Who comes too often from one address makes nobody else wait.
            wait_for_rate(&mut rate, &shared).await;
            let seat = match entry.seat(&shared) {
                Ok(seat) => seat,
                Err(reason) => {
                    shared.refuse(arrived.peer(), entry.door.listener, reason);
                    continue;
                }
            };
            match (arrived, &entry.proxies) {
                (Arrived::Local(stream), _) => entry.take_in_local(&shared, stream, seat),
                (Arrived::Net(stream, peer), None) => entry.take_in(&shared, stream, peer, seat),
                // Its proxy may take its time to say whose it is: others are accepted meanwhile.
                (Arrived::Net(stream, peer), Some(proxies)) if proxies.trust(&shared, peer) => {
                    let (entry, shared) = (Arc::clone(&entry), Arc::clone(&shared));
                    tokio::spawn(async move { entry.introduce(&shared, stream, peer, seat).await });
                }
                (Arrived::Net(..), Some(_)) => (),
            }
        }
    }
}

impl Entry {
    /// Whether somebody may come, as far as his address says that. Behind a proxy it is not known
    /// yet.
    fn welcomes(&self, shared: &Shared, arrived: &Arrived) -> bool {
        match arrived {
            Arrived::Net(_, peer) if self.proxies.is_none() => self.admits(shared, *peer),
            Arrived::Net(..) | Arrived::Local(_) => true,
        }
    }

    /// False, and counted, when nobody may come from there, or too many did.
    fn admits(&self, shared: &Shared, peer: SocketAddr) -> bool {
        let (address, now_ms) = (peer.ip(), shared.clock.elapsed_ms());
        let reason = if shared.bans.forbid_from(address, wall_clock_ms()) {
            RefuseReason::Banned
        } else if self.arrivals.as_ref().is_none_or(|all| all.admit(address, now_ms)) {
            return true;
        } else {
            RefuseReason::AddressRate
        };
        shared.refuse(Some(peer), self.door.listener, reason);
        false
    }

    fn seat(&self, shared: &Shared) -> Result<Seat, RefuseReason> {
        let max = shared.limits.connections_max as usize;
        let mut seat = Seat::take(&shared.connections, max).ok_or(RefuseReason::Limit)?;
        let max = self.connections_max;
        if max > 0 && !seat.count_here(&self.crowd.open, max) {
            return Err(RefuseReason::Listener);
        }
        shared.connections_most.note(shared.connections.load(Ordering::Relaxed) as u64);
        Ok(seat)
    }

    /// Takes in whom the proxy names.
    async fn introduce(&self, shared: &Shared, stream: TcpStream, proxy: SocketAddr, seat: Seat) {
        let Some(proxies) = &self.proxies else { return };
        let peer = proxies.introduce(shared, &stream, proxy).await;
        if let Some(peer) = peer.filter(|peer| self.admits(shared, *peer)) {
            self.take_in(shared, stream, peer, seat);
        }
    }

    fn take_in_local(&self, shared: &Shared, stream: UnixStream, seat: Seat) {
        let peer = Peer::Local(stream.peer_cred().ok().map(|whose| whose.uid()));
        let Some(newcomer) = enter(shared, None, self.door) else { return };
        // Without a stream the client is gone already.
        let Ok(stream) = stream.into_std() else { return };
        let (allowance, door) = (self.allowance.clone(), self.door);
        let (link, newcomer) = (Unbound::Unix(stream), Some(newcomer));
        shared.seat(Accepted { link, peer, door, seat, newcomer, allowance, identity: None });
    }

    fn take_in(&self, shared: &Shared, stream: TcpStream, peer: SocketAddr, mut seat: Seat) {
        let max = self.per_address_max;
        if max > 0 && !seat.count_address(&self.crowd.addresses, peer.ip(), max) {
            return shared.refuse(Some(peer), self.door.listener, RefuseReason::Address);
        }
        let Some(newcomer) = enter(shared, Some(peer), self.door) else { return };
        // Without a stream the client is gone already.
        if let Ok(stream) = stream.set_nodelay(true).and_then(|()| stream.into_std()) {
            self.hand_on(shared, (stream, peer), seat, newcomer);
        }
    }

    fn hand_on(
        &self,
        shared: &Shared,
        (stream, peer): (StdTcpStream, SocketAddr),
        seat: Seat,
        newcomer: Box<Newcomer>,
    ) {
        let (allowance, origins, door) = (self.allowance.clone(), self.origins.clone(), self.door);
        let (newcomer, peer_of_client) = (Some(newcomer), Peer::Net(peer));
        if let Some((tls, handshakes)) = &self.tls {
            let tls = Arc::clone(tls);
            let next = Box::new(move |shared: &Shared, shaken: Shaken| {
                let (link, identity) =
                    (link(UnboundWire::Tls(shaken.stream), origins), shaken.identity);
                let peer = peer_of_client;
                shared.seat(Accepted { link, peer, door, seat, newcomer, allowance, identity });
            });
            if !handshakes.take(Arrival { stream, peer, tls, next }) {
                shared.metrics.tls_handshakes.add(TlsResult::Limit, 1);
            }
            return;
        }
        let (link, peer) = (link(UnboundWire::Tcp(stream), origins), peer_of_client);
        shared.seat(Accepted { link, peer, door, seat, newcomer, allowance, identity: None });
    }
}

/// `None`, and counted, when too many are not in yet.
fn enter(shared: &Shared, peer: Option<SocketAddr>, door: Door) -> Option<Box<Newcomer>> {
    let newcomer = Newcomers::enter(&shared.newcomers, peer.map(|peer| peer.ip()));
    if newcomer.is_none() {
        shared.refuse(peer, door.listener, RefuseReason::Unauthenticated);
    }
    newcomer
}

/// Too many in too short a time wait: one here, the others where the kernel keeps them.
async fn wait_for_rate(rate: &mut Option<Bucket>, shared: &Shared) {
    let Some(rate) = rate else { return };
    let mut wait_ms = rate.wait_ms(shared.clock.elapsed_ms());
    if wait_ms > 0 {
        shared.metrics.throttled.add(Throttled::Connections, 1);
    }
    while wait_ms > 0 {
        tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())).await;
        wait_ms = rate.wait_ms(shared.clock.elapsed_ms());
    }
    rate.take(1);
}

fn link(wire: UnboundWire, origins: Option<Arc<Origins>>) -> Unbound {
    match origins {
        None => Unbound::Wire(wire),
        Some(origins) => Unbound::Web(wire, origins),
    }
}
