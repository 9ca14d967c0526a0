//! The thread that a broker lives on: starts its parts, accepts connections, moves the ends of
//! those within the process, takes the parts down. Never waits for the program around it.

use std::sync::Arc;

use tempfile::TempDir;
use tidewire_bridge::ConsumerGroups;
use tidewire_bridge::bridges::Bridges;
use tidewire_store::Disk;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::banner::BoundListener;
use crate::config::{Config, Sources};
use crate::core::shared::Shared;
use crate::error::{StartError, StopError};
use crate::metrics::Counted;
use crate::open_files;
use crate::ports::ShownPorts;
use crate::recovering::Shown;
use crate::reload::Reloader;
use crate::reserved::Reserved;
use crate::server::Server;

/// What to start.
pub(super) struct Plan {
    pub(super) config: Config,
    /// What lies in the data folder.
    pub(super) disk: Arc<dyn Disk>,
    pub(super) counted: Counted,
    /// Ports that are taken already.
    pub(super) reserved: Reserved,
    /// Where the settings came from, if not from a program.
    pub(super) sources: Option<Sources>,
    /// Is shown how far the data folder is opened.
    pub(super) shown: Option<Shown>,
    /// Deleted when the broker has ended.
    pub(super) temporary: Option<TempDir>,
}

type Ended = oneshot::Sender<Result<(), StopError>>;

/// A running broker, seen from outside its thread.
pub(super) struct Door {
    pub(super) shared: Arc<Shared>,
    pub(super) runtime: Handle,
    pub(super) ports: ShownPorts,
    pub(super) of_others: Vec<BoundListener>,
    pub(super) is_new: bool,
    pub(super) reloader: Arc<Reloader>,
    pub(super) bridges: Bridges,
    pub(super) consumer_groups: Option<ConsumerGroups>,
    /// Dropped, the broker stops all the same.
    stop: oneshot::Sender<Ended>,
}

impl Door {
    /// Starts the thread and everything on it.
    pub(super) async fn open(plan: Plan) -> Result<Self, StartError> {
        let (started, outcome) = oneshot::channel();
        std::thread::Builder::new()
            .name("broker".into())
            .spawn(move || live(plan, started))
            .map_err(|error| StartError::System("a thread", error))?;
        outcome.await.unwrap_or_else(|_| Err(no_answer()))
    }

    /// Stops the broker and waits until it has ended.
    pub(super) async fn shut(self) -> Result<(), StopError> {
        let Self { shared, stop, reloader, .. } = self;
        // The data folder is free again when nobody holds the store.
        drop((shared, reloader));
        let (ended, end) = oneshot::channel();
        match stop.send(ended) {
            Ok(()) => end.await.unwrap_or(Err(StopError::Panicked)),
            Err(_) => Err(StopError::Panicked),
        }
    }
}

fn no_answer() -> StartError {
    StartError::System("a start", std::io::Error::other("the thread of the broker panicked"))
}

/// The whole life of a broker.
fn live(plan: Plan, started: oneshot::Sender<Result<Door, StartError>>) {
    let Plan { mut config, disk, counted, reserved, sources, shown, temporary } = plan;
    open_files::fit(&mut config);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(StartError::System("a runtime", error)))),
    };
    let asked = runtime.block_on(async {
        let server = match Server::start(&config, (disk, shown), counted, reserved) {
            Ok(server) => server,
            Err(error) => {
                // Nobody waits any more, or the error is on its way.
                let _ = started.send(Err(error));
                return None;
            }
        };
        let reloader = Arc::new(server.reloader(sources));
        server.open_inside(&reloader);
        let (stop, stopped) = oneshot::channel();
        let door = Door {
            shared: Arc::clone(server.shared()),
            runtime: Handle::current(),
            ports: server.ports().lock().shown(),
            of_others: server.of_others().to_vec(),
            is_new: server.is_new(),
            reloader,
            bridges: server.bridges(),
            consumer_groups: server.consumer_groups(),
            stop,
        };
        // Who does not wait any more has dropped `stop` with it.
        let _ = started.send(Ok(door));
        let asked = wait(&server, stopped).await;
        let result = server.stop().await;
        asked.map(|ended| (ended, result))
    });
    drop(runtime);
    drop(temporary);
    if let Some((ended, result)) = asked {
        let _ = ended.send(result);
    }
}

/// Until it is told to stop, or nobody is there to tell it. A failed broker stops serving at once.
async fn wait(server: &Server, mut stopped: oneshot::Receiver<Ended>) -> Option<Ended> {
    let mut failed = server.shared().failed.subscribe();
    tokio::select! {
        asked = &mut stopped => return asked.ok(),
        _ = failed.wait_for(|failed| *failed) => drop(server.close().await),
    }
    stopped.await.ok()
}
