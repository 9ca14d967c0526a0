//! The Kafka port: binds, accepts, and keeps the thread on which all of its connections live.
//! Never looks at what they say.

mod connection;
mod error;
mod patience;
mod places;
mod socket;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;
use tidewire_store::Store;
use tokio::net::{TcpListener as Listener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, LocalSet};

use crate::api::Ends;
use crate::caller::Caller;
use crate::consumer_groups::ConsumerGroups;
use crate::context::Context;
use crate::door::Door;
use crate::identity;
use crate::options::PortOptions;
use crate::secret::{Greeted, Greeter};
use crate::wire::Refusal;

pub use error::PortError;

use places::{Place, Places};
use socket::Socket as Link;

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 1024;
/// How long no connection is accepted after the system refused one (no file handles left).
const BACK_OFF: Duration = Duration::from_millis(100);
/// Threads that read files for connections, so that no other connection waits for a disk.
const READERS_MAX: usize = 16;
/// Connections that were accepted and not taken up yet.
const ACCEPTED_MAX: usize = 16;

/// A port that is taken, and serves nobody yet.
#[derive(Debug)]
pub struct BoundPort {
    socket: TcpListener,
    address: SocketAddr,
}

/// A port that is taken, and what holds for who comes there.
pub struct Listening {
    /// The port.
    pub bound: BoundPort,
    /// What holds there.
    pub door: Door,
    /// Who does the handshakes, where TLS is spoken.
    pub greeter: Option<Arc<dyn Greeter>>,
}

/// An open port. Dropped, it closes all the same, a little later.
pub struct Port {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
    groups: ConsumerGroups,
}

impl BoundPort {
    /// A socket that is bound, without waiting, and listens nowhere yet.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn of(socket: TcpListener) -> io::Result<Self> {
        SockRef::from(&socket).listen(BACKLOG)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// What the system gave us.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Port {
    /// Serves Kafka clients from this store, wherever they come in. `alarm` is for the end of the
    /// port that nobody asked for: what is left of the broker answers no Kafka client any more.
    ///
    /// # Errors
    /// When the store does not say who we are, or the system refuses a thread.
    pub fn open(
        listening: Vec<Listening>,
        store: Store,
        options: PortOptions,
        alarm: impl FnOnce() + Send + 'static,
    ) -> Result<Self, PortError> {
        let cluster_id = identity::cluster_id(&store)?;
        let doors = listening.iter().map(|listening| listening.door.clone()).collect();
        let forecasts = Arc::clone(&options.forecasts);
        let context = Context::new(store, options, doors, cluster_id).map_err(PortError::Tables)?;
        let groups = ConsumerGroups::new(&context.coordinator, forecasts);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("kafka-read")
            .max_blocking_threads(READERS_MAX)
            .build()
            .map_err(|error| PortError::System("a runtime", error))?;
        let (stop, stopped) = oneshot::channel();
        let live = move || {
            LocalSet::new().block_on(&runtime, run(listening, Rc::new(context), stopped));
        };
        let thread = start(live, alarm).map_err(|error| PortError::System("a thread", error))?;
        Ok(Self { stop, thread, groups })
    }

    /// Its consumer groups, for operators.
    #[must_use]
    pub fn groups(&self) -> ConsumerGroups {
        self.groups.clone()
    }

    /// Closes the port and every connection, at once: what was answered is durable, and clients
    /// ask again for what was not.
    pub fn close(self) {
        let Self { stop, thread, .. } = self;
        drop(stop);
        if thread.join().is_err() {
            tracing::error!("the thread of the Kafka port ended in a panic");
        }
    }
}

/// Starts the port's thread, and tells if it ends in a panic.
fn start(
    live: impl FnOnce() + Send + 'static,
    alarm: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("kafka".into()).spawn(move || {
        if catch_unwind(AssertUnwindSafe(live)).is_err() {
            tracing::error!("the Kafka port ended in a panic: the broker ends with it");
            alarm();
        }
    })
}

/// A client that was accepted, and where.
struct Arrival {
    stream: TcpStream,
    peer: SocketAddr,
    door: usize,
    greeter: Option<Arc<dyn Greeter>>,
}

/// Until it is told to stop; the connections end with it.
async fn run(listening: Vec<Listening>, context: Rc<Context>, mut stopped: oneshot::Receiver<()>) {
    let (arrives, mut arrivals) = mpsc::channel(ACCEPTED_MAX);
    let mut doors = tokio::task::JoinSet::new();
    for (door, listening) in listening.into_iter().enumerate() {
        let Listening { bound, greeter, .. } = listening;
        doors.spawn_local(accept(bound.socket, door, greeter, arrives.clone()));
    }
    let mut connections = tokio::task::JoinSet::new();
    let coordinated = Rc::clone(&context);
    let mut coordinator = pin!(coordinated.run());
    let limits = context.limits();
    let places = Places::new(limits.connections_max, limits.connections_per_address_max);
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => return,
            () = &mut coordinator => return,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                context.numbers().connections.decrement(1);
                end_with(ended);
            }
            Some(arrival) = arrivals.recv() => {
                match place_for(&context, &places, &arrival) {
                    Ok(place) => {
                        context.numbers().connections.increment(1);
                        connections.spawn_local(take_in(Rc::clone(&context), arrival, place));
                    }
                    Err(refusal) => {
                        let (peer, reason) = (arrival.peer, refusal.label());
                        tracing::debug!(%peer, reason, "a Kafka connection is not taken");
                        context.numbers().closed(refusal);
                    }
                }
            }
        }
    }
}

/// Whether it may come, and its place.
fn place_for(context: &Context, places: &Rc<Places>, arrival: &Arrival) -> Result<Place, Refusal> {
    let address = arrival.peer.ip();
    if !context.options.gate.may_come(address) {
        return Err(Refusal::Banned);
    }
    Places::take(places, address, !context.takes_anonymous(arrival.door))
}

/// A connection ended. What one that panicked left of groups and transactions nobody knows: it
/// takes the port with it.
fn end_with(ended: Result<(), JoinError>) {
    if let Err(Ok(panic)) = ended.map_err(JoinError::try_into_panic) {
        resume_unwind(panic);
    }
}

/// Accepts for ever.
async fn accept(
    socket: TcpListener,
    door: usize,
    greeter: Option<Arc<dyn Greeter>>,
    arrives: mpsc::Sender<Arrival>,
) {
    let socket = match Listener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "the Kafka port cannot be listened on"),
    };
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                let greeter = greeter.clone();
                // Without a receiver the port is closed.
                if arrives.send(Arrival { stream, peer, door, greeter }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no Kafka connection can be accepted");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// Has the handshake done, if there is to be one, and serves.
async fn take_in(context: Rc<Context>, arrival: Arrival, place: Place) {
    let Arrival { stream, peer, door, greeter } = arrival;
    // Answers are whole when they are written: nothing is gained by waiting for more.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let ends = Ends { local, peer, door };
    let (socket, certificate) = match greeter {
        None => (Link::Plain(stream), None),
        Some(greeter) => match greet(&*greeter, stream, peer).await {
            Some(greeted) => greeted,
            None => return,
        },
    };
    let caller = Caller::of_certificate(certificate);
    connection::serve(context, socket, ends, (caller, place)).await;
}

/// `None`: it failed, and whoever did it has said why.
async fn greet(
    greeter: &dyn Greeter,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<(Link, Option<Box<str>>)> {
    let (done, greeted) = oneshot::channel();
    let stream = stream.into_std().ok()?;
    let tell = move |greeted| {
        // Without a receiver the port is closed.
        let _ = done.send(greeted);
    };
    greeter.greet(stream, peer, Box::new(tell));
    let Greeted { bind, certificate } = greeted.await.ok()?;
    Some((Link::Secret(bind().ok()?), certificate))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::{end_with, start};

    #[test]
    fn a_connection_that_panics_takes_the_port_with_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for (panics, told) in [(true, Ok(())), (false, Err(()))] {
            let task = runtime.spawn(async move { assert!(!panics, "as it is meant to") });
            let ended = runtime.block_on(task);
            let (tell, tells) = channel();
            let alarm = move || tell.send(()).expect("somebody hears it");
            let thread = start(move || end_with(ended), alarm).expect("a thread");
            thread.join().expect("it ends well");
            assert_eq!(tells.recv().map_err(|_| ()), told);
        }
    }

    #[test]
    fn a_panic_of_the_ports_thread_is_told_and_its_end_is_not() {
        for (panics, told) in [(true, Ok(())), (false, Err(()))] {
            let (tell, tells) = channel();
            let live = move || assert!(!panics, "as it is meant to");
            let alarm = move || tell.send(()).expect("somebody hears it");
            start(live, alarm).expect("a thread").join().expect("it ends well");
            assert_eq!(tells.recv().map_err(|_| ()), told);
        }
    }
}
