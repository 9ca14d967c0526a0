//! All bridges of a broker: their thread, what is known of them, orders to them. Knows no kind of
//! bridge, and never keeps the broker from starting.

mod asked;
mod backoff;
mod board;
pub(crate) mod counts;
pub(crate) mod desk;
pub(crate) mod holds;
pub(crate) mod inlet;
mod lag;
mod life;
pub(crate) mod order;
pub(crate) mod scope;
pub(crate) mod source;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod work;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tidewire_proto::routing::placement::Placement;
use tidewire_store::Store;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, LocalSet};

pub use backoff::Retry;
pub use counts::{BridgeNumbers, Counts, Event};
pub use holds::{Forecasts, Held, held};
pub use order::{Order, OrderError, To};
pub use start::Start;
pub use status::{Lag, State, Status, Trouble};

use crate::retained::RetainedLimit;
use crate::tail::Tail;
use crate::time::ticks;
use asked::Asked;
use board::Board;
use desk::House;
use life::Life;
use work::Work;

/// Orders to one bridge that may wait.
const ORDERS_MAX: usize = 16;
/// Threads that read files for all bridges.
const READERS: usize = 2;
/// How often it is looked how far they are behind.
const LAG_INTERVAL: Duration = Duration::from_secs(5);

/// A bridge that is to be.
pub struct Plan {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) work: Arc<dyn Work>,
}

impl Plan {
    /// Its name, and what it is.
    #[must_use]
    pub fn name_and_kind(&self) -> (String, &'static str) {
        (self.name.clone(), self.kind)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {:?}", self.kind, self.name)
    }
}

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
    all: Arc<[Known]>,
}

struct Known {
    board: Arc<Board>,
    orders: mpsc::Sender<Asked>,
}

/// Their thread.
pub struct BridgesThread {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Bridges {
    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Self { all: Arc::from([]) }
    }

    /// Starts a thread and all of these on it. None of them can keep it from starting.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn open(plans: Vec<Plan>, needs: Needs) -> io::Result<(Self, BridgesThread)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(READERS)
            .thread_name("bridge-read")
            .build()?;
        let Needs { store, placement, retained, forecasts, numbers, retry } = needs;
        let tail = Arc::new(Tail::default());
        let _ends = store.follow(Arc::clone(&tail) as Arc<_>);
        let house = Arc::new(House { store, tail, commits: Arc::default(), retained, placement });
        let (mut all, mut lives) = (Vec::new(), Vec::new());
        for Plan { name, kind, work } in plans {
            let Some(counting) = numbers.of(&name) else { continue };
            let board = Arc::new(Board::new(name, kind, counting));
            let (orders, coming) = mpsc::channel(ORDERS_MAX);
            let parts = (Arc::clone(&board), work);
            lives.push(Life::new(Arc::clone(&house), parts, coming, retry));
            all.push(Known { board, orders });
        }
        let bridges = Self { all: all.into() };
        let boards: Vec<_> = bridges.all.iter().map(|known| Arc::clone(&known.board)).collect();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("bridges".into()).spawn(move || {
            let local = LocalSet::new();
            local.block_on(&runtime, run(lives, (house, boards, forecasts), stopped));
        })?;
        Ok((bridges, BridgesThread { stop, thread }))
    }

    /// How all of them are, in the order of the configuration.
    #[must_use]
    pub fn statuses(&self) -> Vec<Status> {
        self.all.iter().map(|known| known.board.status()).collect()
    }

    /// How one of them is.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<Status> {
        self.known(name).map(|known| known.board.status())
    }

    /// Gives an order and waits until it is carried out; says what was done.
    ///
    /// # Errors
    /// When it was not.
    pub async fn order(&self, name: &str, order: Order) -> Result<String, OrderError> {
        let known = self.known(name).ok_or_else(|| OrderError::Unknown(name.into()))?;
        let (answer, told) = oneshot::channel();
        let asked = Asked { order, answer };
        known.orders.send(asked).await.map_err(|_| OrderError::Closed)?;
        told.await.unwrap_or(Err(OrderError::Closed))
    }

    fn known(&self, name: &str) -> Option<&Known> {
        self.all.iter().find(|known| known.board.name == name)
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

type Known3 = (Arc<House>, Vec<Arc<Board>>, Arc<Forecasts>);

/// Until it is told to stop.
async fn run(lives: Vec<Life>, known: Known3, mut stopped: oneshot::Receiver<()>) {
    let (house, boards, forecasts) = known;
    let mut running = JoinSet::new();
    for life in lives {
        running.spawn_local(life.live());
    }
    let mut look = ticks(LAG_INTERVAL);
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            _ = look.tick() => lag::look(&house.store, &boards, &forecasts).await,
        }
    }
    running.shutdown().await;
}
