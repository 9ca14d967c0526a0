//! Binds the ports and hands each new connection on: to a core, or to where its TLS handshake is
//! done. Reads nothing itself.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tidewire_proto::websocket::Origins;
use tokio::net::TcpListener;

use crate::config::MqttListener;
use crate::core::shared::{Clock, Shared};
use crate::handshakes::{Arrival, Entrance, Handshakes};
use crate::link::{Accepted, Addresses, Door, Peer, Seat, Unbound};
use crate::metrics::{RefuseReason, Throttled, TlsResult};
use crate::pace::{self, Allowance, Bucket};
use crate::tls::Shaken;
use crate::wire::UnboundWire;

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 4_096;
/// How long no connection is accepted after the system refused one (no file handles left).
const BACK_OFF: Duration = Duration::from_millis(100);

/// Binds an address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A broker that was just restarted finds its port still marked as used.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A bound port and what holds for those who come there.
pub(crate) struct Listener {
    socket: TcpListener,
    door: Door,
    addresses: Addresses,
    per_address_max: u32,
    rate: Option<Bucket>,
    allowance: Option<pace::Shared>,
    /// Of WebSocket: whose pages may connect.
    origins: Option<Arc<Origins>>,
    /// Of TLS: what holds for its handshakes, and who does them.
    tls: Option<(Arc<Entrance>, Arc<Handshakes>)>,
}

impl Listener {
    pub(crate) fn new(
        socket: TcpListener,
        door: Door,
        config: &MqttListener,
        clock: &Clock,
    ) -> Self {
        let now_ms = clock.elapsed_ms();
        let (per_s, burst) = (config.connections_per_s_max, config.connections_burst_max);
        let allowance = Allowance::of(&config.rate, now_ms);
        Self {
            socket,
            door,
            addresses: Addresses::default(),
            per_address_max: config.connections_per_address_max,
            rate: Bucket::new(per_s.into(), burst.into(), now_ms),
            allowance: allowance.map(|allowance| Arc::new(Mutex::new(allowance))),
            origins: None,
            tls: None,
        }
    }

    /// Speaks TLS.
    pub(crate) fn secret(self, entrance: Entrance, handshakes: Arc<Handshakes>) -> Self {
        Self { tls: Some((Arc::new(entrance), handshakes)), ..self }
    }

    /// Speaks WebSocket, to pages of these origins.
    pub(crate) fn web(self, origins: Origins) -> Self {
        Self { origins: Some(Arc::new(origins)), ..self }
    }

    /// Accepts for ever.
    pub(crate) async fn accept(mut self, shared: Arc<Shared>) {
        loop {
            self.wait_for_rate(&shared).await;
            let (stream, peer) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections for a moment");
                    tokio::time::sleep(BACK_OFF).await;
                    continue;
                }
            };
            let seat = match self.seat(&shared, peer) {
                Ok(seat) => seat,
                Err(reason) => {
                    shared.metrics.connections_refused.add(reason, 1);
                    continue;
                }
            };
            // Without a stream the client is gone already.
            if let Ok(stream) = stream.set_nodelay(true).and_then(|()| stream.into_std()) {
                self.hand_on(&shared, stream, peer, seat);
            }
        }
    }

    fn hand_on(&self, shared: &Shared, stream: TcpStream, peer: SocketAddr, seat: Seat) {
        let (allowance, origins, door) = (self.allowance.clone(), self.origins.clone(), self.door);
        let net = Peer::Net(peer);
        if let Some((tls, handshakes)) = &self.tls {
            let tls = Arc::clone(tls);
            let next = Box::new(move |shared: &Shared, shaken: Shaken| {
                let (link, identity) =
                    (link(UnboundWire::Tls(shaken.stream), origins), shaken.identity);
                shared.seat(Accepted { link, peer: net, door, seat, allowance, identity });
            });
            if !handshakes.take(Arrival { stream, peer, tls, next }) {
                shared.metrics.tls_handshakes.add(TlsResult::Limit, 1);
            }
            return;
        }
        let link = link(UnboundWire::Tcp(stream), origins);
        shared.seat(Accepted { link, peer: net, door, seat, allowance, identity: None });
    }

    /// Too many in too short a time wait where the kernel keeps them.
    async fn wait_for_rate(&mut self, shared: &Shared) {
        let Some(rate) = &mut self.rate else { return };
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

    fn seat(&self, shared: &Shared, peer: SocketAddr) -> Result<Seat, RefuseReason> {
        let max = shared.limits.connections_max as usize;
        let mut seat = Seat::take(&shared.connections, max).ok_or(RefuseReason::Limit)?;
        let per_address_max = self.per_address_max;
        if per_address_max > 0 && !seat.count_address(&self.addresses, peer.ip(), per_address_max) {
            return Err(RefuseReason::Address);
        }
        Ok(seat)
    }
}

fn link(wire: UnboundWire, origins: Option<Arc<Origins>>) -> Unbound {
    match origins {
        None => Unbound::Wire(wire),
        Some(origins) => Unbound::Web(wire, origins),
    }
}
