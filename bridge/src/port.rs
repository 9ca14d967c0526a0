//! The Kafka port: binds, accepts, and keeps the thread on which all of its connections live.
//! Never looks at what they say.

mod connection;
mod error;
mod identity;
mod patience;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tidewire_store::Store;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::context::Context;
use crate::options::PortOptions;
use crate::wire::Refusal;

pub use error::PortError;

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 1024;
/// How long no connection is accepted after the system refused one (no file handles left).
const BACK_OFF: Duration = Duration::from_millis(100);
/// Threads that read files for connections, so that no other connection waits for a disk.
const READERS_MAX: usize = 16;

/// A port that is taken, and serves nobody yet.
#[derive(Debug)]
pub struct BoundPort {
    socket: TcpListener,
    address: SocketAddr,
}

/// An open port. Dropped, it closes all the same, a little later.
#[derive(Debug)]
pub struct Port {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl BoundPort {
    /// Takes a port; port 0 lets the system choose one.
    ///
    /// # Errors
    /// When it is taken already, or may not be used.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A broker that was just restarted finds its port still marked as used.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let socket = TcpListener::from(socket);
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// What the system gave us.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves Kafka clients from this store.
    ///
    /// # Errors
    /// When the store does not say who we are, or the system refuses a thread.
    pub fn open(self, store: Store, options: PortOptions) -> Result<Port, PortError> {
        let cluster_id = identity::cluster_id(&store)?;
        let context = Context::new(store, options, cluster_id).map_err(PortError::Tables)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("kafka-read")
            .max_blocking_threads(READERS_MAX)
            .build()
            .map_err(|error| PortError::System("a runtime", error))?;
        let (stop, stopped) = oneshot::channel();
        let live = move || {
            let accept = accept(self.socket, Rc::new(context), stopped);
            LocalSet::new().block_on(&runtime, accept);
        };
        let thread = std::thread::Builder::new().name("kafka".into()).spawn(live);
        let thread = thread.map_err(|error| PortError::System("a thread", error))?;
        Ok(Port { stop, thread })
    }
}

impl Port {
    /// Closes the port and every connection, at once: what was answered is durable, and clients
    /// ask again for what was not.
    pub fn close(self) {
        let Self { stop, thread } = self;
        drop(stop);
        if thread.join().is_err() {
            tracing::error!("the thread of the Kafka port ended in a panic");
        }
    }
}

/// Until it is told to stop; the connections end with it.
async fn accept(socket: TcpListener, context: Rc<Context>, mut stopped: oneshot::Receiver<()>) {
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "the Kafka port cannot be listened on"),
    };
    let mut connections = tokio::task::JoinSet::new();
    let coordinated = Rc::clone(&context);
    let mut coordinator = pin!(coordinated.run());
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => return,
            () = &mut coordinator => return,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if ended.is_err() {
                    tracing::error!("a connection of the Kafka port ended in a panic");
                }
                context.numbers().connections.decrement(1);
            }
            accepted = socket.accept() => match accepted {
                Ok((socket, peer)) if connections.len() < context.limits().connections_max => {
                    context.numbers().connections.increment(1);
                    let connection = connection::serve(Rc::clone(&context), socket, peer);
                    connections.spawn_local(connection);
                }
                Ok((_, peer)) => {
                    tracing::debug!(%peer, "there are too many Kafka connections");
                    context.numbers().closed(Refusal::TooMany);
                }
                Err(error) => {
                    tracing::warn!(%error, "no Kafka connection can be accepted");
                    tokio::time::sleep(BACK_OFF).await;
                }
            },
        }
    }
}
