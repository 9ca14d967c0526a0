//! All bridges of a broker: their thread, what is known of them, orders to them. Knows no kind of
//! bridge, and never keeps the broker from starting.

mod asked;
pub(crate) mod backoff;
pub(crate) mod board;
pub(crate) mod counts;
mod crew;
pub(crate) mod desk;
pub(crate) mod holds;
pub(crate) mod inlet;
mod lag;
mod life;
pub(crate) mod order;
mod plan;
pub(crate) mod random;
pub(crate) mod scope;
pub(crate) mod source;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod work;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread::JoinHandle;
use std::time::Duration;

use tidewire_proto::routing::placement::Placement;
use tidewire_store::Store;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};

pub use backoff::Retry;
pub use counts::{BridgeNumbers, Counts, Event};
pub use holds::{Held, held, hold_name};
pub use order::{Order, OrderError, To};
pub use plan::{Change, Plan};
pub use start::Start;
pub use status::{State, Status, Trouble};

pub use crate::forecasts::Forecasts;
pub use crate::lag::Lag;

use crate::retained::RetainedLimit;
use crate::tail::Tail;
use crate::time::ticks;
use asked::Asked;
use crew::{Crew, Recruit};
use desk::House;
use plan::{AllKnown, Asking};

/// Changes to all of them that may wait.
const CHANGES_MAX: usize = 1;
/// Threads that read files and look up names for all bridges: a name that is not found keeps one of
/// them for as long as the system asks for it, and must not keep others from reading.
const READERS_MAX: usize = 64;
/// So long what they do may go on after the bridges have ended.
const READERS_END: Duration = Duration::from_secs(2);
/// How often it is looked how far they are behind.
const LAG_INTERVAL: Duration = Duration::from_secs(5);

/// What bridges need of the broker.
pub struct Needs {
    /// The log.
    pub store: Store,
    /// Where messages that come from elsewhere are put.
    pub placement: Box<dyn Fn() -> Placement + Send + Sync>,
    /// How many retained messages there may be.
    pub retained: Arc<dyn RetainedLimit>,
    /// What retention says.
    pub forecasts: Arc<Forecasts>,
    /// Where it is counted.
    pub numbers: BridgeNumbers,
    /// How long to wait before a bridge that failed is tried again.
    pub retry: Retry,
}

/// The bridges of a broker, seen from outside of their thread.
#[derive(Clone)]
pub struct Bridges {
    all: AllKnown,
    changes: mpsc::Sender<Asking>,
}

/// Their thread.
pub struct BridgesThread {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Bridges {
    /// Starts a thread and all of these on it. None of them can keep it from starting.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn open(plans: Vec<Plan>, needs: Needs) -> io::Result<(Self, BridgesThread)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(READERS_MAX)
            .thread_name("bridge-read")
            .build()?;
        let Needs { store, placement, retained, forecasts, numbers, retry } = needs;
        let tail = Arc::new(Tail::default());
        let house = Arc::new(House { store, tail, commits: Arc::default(), retained, placement });
        let all = AllKnown::default();
        let mut crew = Crew::new(house, numbers, Arc::clone(&all));
        let recruits = plans.into_iter().map(|plan| crew.enlist(plan, retry)).collect();
        let (changes, asked) = mpsc::channel(CHANGES_MAX);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("bridges".into()).spawn(move || {
            let local = LocalSet::new();
            local.block_on(&runtime, run(crew, recruits, forecasts, (asked, stopped)));
            drop(local);
            runtime.shutdown_timeout(READERS_END);
        })?;
        Ok((Self { all, changes }, BridgesThread { stop, thread }))
    }

    /// Ends some and begins others; what is not named in it goes on undisturbed. It is known of
    /// when this returns. Waits for the thread of the bridges: not
    /// for a task of a runtime.
    pub fn change(&self, change: Change) {
        let (done, known) = blocking::channel();
        if self.changes.blocking_send((change, done)).is_ok() {
            // A thread that is gone changes nothing: the broker stops.
            let _ = known.recv();
        }
    }

    /// How all of them are, in the order of the configuration.
    #[must_use]
    pub fn statuses(&self) -> Vec<Status> {
        self.all.read().iter().map(|known| known.board.status()).collect()
    }

    /// How one of them is.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<Status> {
        let all = self.all.read();
        all.iter().find(|known| known.board.name == name).map(|known| known.board.status())
    }

    /// Gives an order and waits until it is carried out; says what was done.
    ///
    /// # Errors
    /// When it was not.
    pub async fn order(&self, name: &str, order: Order) -> Result<String, OrderError> {
        let orders = self.orders_of(name).ok_or_else(|| OrderError::Unknown(name.into()))?;
        let (answer, told) = oneshot::channel();
        let asked = Asked { order, answer };
        orders.send(asked).await.map_err(|_| OrderError::Closed)?;
        drop(orders);
        told.await.unwrap_or(Err(OrderError::Closed))
    }

    fn orders_of(&self, name: &str) -> Option<mpsc::Sender<Asked>> {
        let all = self.all.read();
        all.iter().find(|known| known.board.name == name).map(|known| known.orders.clone())
    }
}

impl BridgesThread {
    /// Ends them all. What they have not done with is done after the next start.
    pub fn close(self) {
        let Self { stop, thread } = self;
        drop(stop);
        if thread.join().is_err() {
            tracing::error!("the thread of the bridges ended in a panic");
        }
    }
}

type Told = (mpsc::Receiver<Asking>, oneshot::Receiver<()>);

/// Until it is told to stop.
async fn run(mut crew: Crew, recruits: Vec<Recruit>, forecasts: Arc<Forecasts>, told: Told) {
    let (mut asked, mut stopped) = told;
    for recruit in recruits {
        crew.begin(recruit);
    }
    // By itself: reads that take long must not keep us from hearing that we are to stop.
    let looking = spawn_local(look(Arc::clone(&crew.house), Arc::clone(&crew.known), forecasts));
    loop {
        tokio::select! {
            biased;
            // Without a sender we are to stop, too.
            _ = &mut stopped => break,
            Some((change, done)) = asked.recv() => {
                crew.change(change);
                // Whoever does not wait any more does not want to know.
                let _ = done.send(());
            }
        }
    }
    looking.abort();
    crew.disband().await;
}

async fn look(house: Arc<House>, known: AllKnown, forecasts: Arc<Forecasts>) {
    let mut look = ticks(LAG_INTERVAL);
    loop {
        look.tick().await;
        let boards: Vec<_> = known.read().iter().map(|known| Arc::clone(&known.board)).collect();
        lag::look(&house.store, &boards, &forecasts).await;
    }
}
