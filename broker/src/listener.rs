//! Binds the MQTT port and hands each new connection to a core. Reads nothing itself.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::core::shared::Shared;
use crate::link::{Accepted, Peer, Seat, Unbound};
use crate::metrics::RefuseReason;

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

/// Accepts for ever.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for a moment");
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
        };
        let max = shared.limits.connections_max as usize;
        let Some(seat) = Seat::take(&shared.connections, max) else {
            shared.metrics.connections_refused.add(RefuseReason::Limit, 1);
            continue;
        };
        // Without a stream the client is gone already.
        if let Ok(stream) = stream.set_nodelay(true).and_then(|()| stream.into_std()) {
            let peer = Peer::Net(peer);
            shared.seat(Accepted { link: Unbound::Tcp(stream), peer, seat });
        }
    }
}
