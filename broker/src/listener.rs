//! Binds the ports and hands each new connection on: to a core, or to where its proxy says whose it
//! is, or its TLS handshake is done. Reads nothing itself.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream as StdTcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tidewire_proto::websocket::Origins;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

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
use crate::wire::UnboundWire;

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 4_096;
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

/// A bound port and what holds for those who come there.
pub(crate) struct Listener {
    incoming: Incoming,
    rate: Option<Bucket>,
    entry: Entry,
}

/// What holds for those who come.
struct Entry {
    door: Door,
    /// How many are open here, and may be; 0: any number.
    open: Arc<AtomicUsize>,
    connections_max: usize,
    addresses: Addresses,
    per_address_max: u32,
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
        incoming: Incoming,
        door: Door,
        config: &MqttListener,
        clock: &Clock,
    ) -> Self {
        let now_ms = clock.elapsed_ms();
        let (per_s, burst) = (config.connections_per_s_max, config.connections_burst_max);
        let allowance = Allowance::of(&config.rate, now_ms);
        let entry = Entry {
            door,
            open: Arc::default(),
            connections_max: config.connections_max as usize,
            addresses: Addresses::default(),
            per_address_max: config.connections_per_address_max,
            allowance: allowance.map(|allowance| Arc::new(Mutex::new(allowance))),
            proxies: Proxies::of(config, door.listener),
            origins: None,
            tls: None,
        };
        Self { incoming, rate: Bucket::new(per_s.into(), burst.into(), now_ms), entry }
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
            wait_for_rate(&mut rate, &shared).await;
            let arrived = match incoming.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections for a moment");
                    tokio::time::sleep(BACK_OFF).await;
                    continue;
                }
            };
            let seat = match entry.seat(&shared) {
                Ok(seat) => seat,
                Err(reason) => {
                    shared.metrics.connections_refused.add(reason, 1);
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
    fn seat(&self, shared: &Shared) -> Result<Seat, RefuseReason> {
        let max = shared.limits.connections_max as usize;
        let mut seat = Seat::take(&shared.connections, max).ok_or(RefuseReason::Limit)?;
        let max = self.connections_max;
        if max > 0 && !seat.count_here(&self.open, max) {
            return Err(RefuseReason::Listener);
        }
        Ok(seat)
    }

    /// Takes in whom the proxy names.
    async fn introduce(&self, shared: &Shared, stream: TcpStream, proxy: SocketAddr, seat: Seat) {
        let Some(proxies) = &self.proxies else { return };
        if let Some(peer) = proxies.introduce(shared, &stream, proxy).await {
            self.take_in(shared, stream, peer, seat);
        }
    }

    fn take_in_local(&self, shared: &Shared, stream: UnixStream, seat: Seat) {
        let peer = Peer::Local(stream.peer_cred().ok().map(|whose| whose.uid()));
        let Some(newcomer) = enter(shared, None) else { return };
        // Without a stream the client is gone already.
        let Ok(stream) = stream.into_std() else { return };
        let (allowance, door) = (self.allowance.clone(), self.door);
        let (link, newcomer) = (Unbound::Unix(stream), Some(newcomer));
        shared.seat(Accepted { link, peer, door, seat, newcomer, allowance, identity: None });
    }

    fn take_in(&self, shared: &Shared, stream: TcpStream, peer: SocketAddr, mut seat: Seat) {
        let max = self.per_address_max;
        if max > 0 && !seat.count_address(&self.addresses, peer.ip(), max) {
            return shared.metrics.connections_refused.add(RefuseReason::Address, 1);
        }
        let Some(newcomer) = enter(shared, Some(peer.ip())) else { return };
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
fn enter(shared: &Shared, address: Option<IpAddr>) -> Option<Box<Newcomer>> {
    let newcomer = Newcomers::enter(&shared.newcomers, address);
    if newcomer.is_none() {
        shared.metrics.connections_refused.add(RefuseReason::Unauthenticated, 1);
    }
    newcomer
}

/// Too many in too short a time wait where the kernel keeps them.
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
