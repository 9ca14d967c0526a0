//! One listener: bound, then open. Decides nothing about others.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::wanted::Wanted;
use crate::banner::{BoundListener, Who};
use crate::config::{AuthConfig, Config, ProxyProtocol};
use crate::core::shared::Shared;
use crate::error::StartError;
use crate::handshakes::{Entrance, Handshakes};
use crate::link::Door;
use crate::listener::{self, Crowd, Incoming, Listener};
use crate::reserved::Reserved;
use crate::tls::Slot;
use crate::unix_socket::SocketFile;

/// A listener that has its address; nobody is accepted yet.
pub(super) struct Bound {
    pub(super) wanted: Wanted,
    /// As the system gave it.
    pub(super) address: SocketAddr,
    pub(super) incoming: Arc<Incoming>,
    pub(super) slot: Option<Arc<Slot>>,
    /// Who is there already.
    pub(super) crowd: Crowd,
}

/// A listener that has no address yet.
pub(super) struct Unbound {
    pub(super) wanted: Wanted,
    pub(super) address: SocketAddr,
    pub(super) slot: Option<Arc<Slot>>,
    pub(super) crowd: Crowd,
}

impl Unbound {
    /// Reads its certificates. `None` when it is off.
    pub(super) fn new(wanted: Wanted) -> Result<Option<Self>, StartError> {
        let Some(address) = wanted.common.bind else { return Ok(None) };
        let name = wanted.protocol.section();
        let slot = wanted.slot().map_err(|error| StartError::Tls(name, error))?;
        Ok(Some(Self { wanted, address, slot, crowd: Crowd::default() }))
    }

    /// Takes its address.
    pub(super) fn bind(&self, reserved: &mut Reserved) -> Result<Bound, StartError> {
        let Self { wanted, address, slot, crowd } = self;
        let protocol = wanted.protocol;
        let failed =
            |error| StartError::Bind(*address, protocol.title(), protocol.setting(), error);
        let socket = listener::listen(reserved.claim(protocol, *address)?).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let incoming = Arc::new(Incoming::Net(socket));
        let (wanted, slot, crowd) = (wanted.clone(), slot.clone(), crowd.clone());
        Ok(Bound { wanted, address, incoming, slot, crowd })
    }
}

/// A listener that is open.
pub(super) struct Gate {
    pub(super) bound: Bound,
    pub(super) shown: BoundListener,
    accepting: JoinHandle<()>,
}

impl Gate {
    /// Takes clients from now on.
    pub(super) fn open(
        bound: Bound,
        shared: &Arc<Shared>,
        auth: &AuthConfig,
        handshakes: Option<&Arc<Handshakes>>,
    ) -> Self {
        let common = &bound.wanted.common;
        let protocol = bound.wanted.protocol;
        let asks_certificate = bound.slot.as_ref().is_some_and(|slot| slot.asks_everybody());
        let takes_anonymous =
            common.anonymous.lets_in_certified(common.reach(), auth, asks_certificate);
        let shown = BoundListener {
            protocol,
            address: bound.address,
            who: Who::of(asks_certificate, takes_anonymous),
            behind_proxy: common.proxy_protocol == ProxyProtocol::Required,
        };
        let door = Door { listener: protocol.section(), takes_anonymous };
        if !takes_anonymous && !asks_certificate && !auth.has_users() {
            let listener = door.listener;
            tracing::warn!(
                listener,
                "nobody can connect here without a certificate: name auth.password_file, \
                 or set anonymous = \"allow\" for this listener"
            );
        }
        let incoming = Arc::clone(&bound.incoming);
        let listener = Listener::new(incoming, door, common, &shared.clock);
        let mut listener = listener.beside(bound.crowd.clone());
        if let Some(origins) = &bound.wanted.origins {
            let asks = bound.wanted.client_auth();
            listener = listener.web(common.pages(origins.clone(), auth, asks));
        }
        if let (Some(slot), Some(handshakes)) = (&bound.slot, handshakes) {
            listener = listener.secret(Entrance::new(Arc::clone(slot)), Arc::clone(handshakes));
        }
        let accepting = tokio::spawn(listener.accept(Arc::clone(shared)));
        Self { bound, shown, accepting }
    }

    /// Takes nobody more, soon.
    pub(super) fn close(&self) {
        self.accepting.abort();
    }

    /// Gives its address back: when this returns, another may have it. Not for a task of the
    /// runtime.
    pub(super) fn leave(self) -> Unbound {
        let Self { bound, accepting, .. } = self;
        let Bound { wanted, address, slot, crowd, .. } = bound;
        accepting.abort();
        // It ends by that.
        let _ = Handle::current().block_on(accepting);
        Unbound { wanted, address, slot, crowd }
    }
}

/// A socket file that is bound.
pub(super) struct LocalBound {
    pub(super) incoming: Arc<Incoming>,
    pub(super) crowd: Crowd,
    /// Removed when it is the last to hold it.
    pub(super) file: Arc<SocketFile>,
}

impl LocalBound {
    pub(super) fn new((socket, file): (UnixListener, SocketFile)) -> Self {
        let incoming = Arc::new(Incoming::Local(socket));
        Self { incoming, crowd: Crowd::default(), file: Arc::new(file) }
    }
}

/// A socket file at which clients are accepted.
pub(super) struct LocalGate {
    pub(super) bound: LocalBound,
    accepting: JoinHandle<()>,
}

impl LocalGate {
    /// Takes clients from now on.
    pub(super) fn open(bound: LocalBound, shared: &Arc<Shared>, config: &Config) -> Self {
        let unix = &config.listener.unix;
        let door = Door { listener: "unix", takes_anonymous: unix.takes_anonymous(&config.auth) };
        let incoming = Arc::clone(&bound.incoming);
        let listener = Listener::new(incoming, door, &unix.common(), &shared.clock);
        let listener = listener.beside(bound.crowd.clone());
        let accepting = tokio::spawn(listener.accept(Arc::clone(shared)));
        Self { bound, accepting }
    }

    /// Takes nobody more, soon.
    pub(super) fn close(&self) {
        self.accepting.abort();
    }
}
