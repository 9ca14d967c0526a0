//! The life of one bridge: run, caught when it fails, tried again, ordered about. Knows no kind of
//! bridge.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidewire_store::rows::bridge::{self, BridgeRow, Mode};
use tidewire_store::{Commit, Table, TableChange};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::bridges::asked::{Asked, Done};
use crate::bridges::backoff::{Backoff, Retry};
use crate::bridges::board::Board;
use crate::bridges::counts::Event;
use crate::bridges::desk::{Desk, House, Pending};
use crate::bridges::order::{Order, OrderError, To};
use crate::bridges::random::random;
use crate::bridges::status::State;
use crate::bridges::work::{Ended, Work};
use crate::bridges::{holds, start};
use crate::time::now_ms;

/// A bridge that is told to leave may take so long.
const LEAVE: Duration = Duration::from_secs(5);
/// So long a test may take.
const TEST: Duration = Duration::from_secs(30);

/// One bridge.
pub(crate) struct Life {
    house: Arc<House>,
    board: Arc<Board>,
    work: Arc<dyn Work>,
    orders: mpsc::Receiver<Asked>,
    backoff: Backoff,
    pending: Arc<Pending>,
    mode: Mode,
}

/// How a rest ends.
enum Next {
    Run,
    Close,
}

/// Where it stands.
enum Rest {
    /// Until it is told something else.
    Ordered,
    /// It failed; until the time is over.
    Until(Instant),
    /// It failed for good; until it is told something else.
    Hopeless,
}

impl Life {
    pub(crate) fn new(
        house: Arc<House>,
        (board, work): (Arc<Board>, Arc<dyn Work>),
        orders: mpsc::Receiver<Asked>,
        retry: Retry,
    ) -> Self {
        let (backoff, pending, mode) = (Backoff::new(retry), Arc::default(), Mode::Running);
        Self { house, board, work, orders, backoff, pending, mode }
    }

    /// Until nobody gives orders any more.
    pub(crate) async fn live(mut self) {
        match holds::row(&self.house.store, &self.board.name) {
            Ok(row) => self.mode = row.map(|row| row.mode).unwrap_or_default(),
            Err(error) => self.fail(&format!("its position cannot be read: {error}")),
        }
        let mut rest = Rest::Ordered;
        loop {
            let is_to_run = self.mode == Mode::Running && matches!(rest, Rest::Ordered);
            if !is_to_run && matches!(self.rest(&rest).await, Next::Close) {
                return;
            }
            rest = Rest::Ordered;
            if self.mode != Mode::Running {
                continue;
            }
            let began = Instant::now();
            match self.run().await {
                None => return,
                Some(Ended::Left) => (),
                Some(Ended::Failed(words)) => {
                    self.fail(&words);
                    let wait = self.backoff.failed(began.elapsed(), random());
                    rest = Rest::Until(Instant::now() + wait);
                }
                Some(Ended::Hopeless(words)) => {
                    self.fail(&words);
                    rest = Rest::Hopeless;
                }
            }
        }
    }

    fn fail(&self, words: &str) {
        self.board.count(Event::Failure, 1);
        self.board.trouble(words);
    }

    /// Until the time is over or an order has it run.
    async fn rest(&mut self, rest: &Rest) -> Next {
        loop {
            let state = match (self.mode, rest) {
                (Mode::Paused, _) => State::Paused,
                (Mode::Stopped, _) => State::Stopped,
                (Mode::Running, Rest::Hopeless) => State::Failed,
                (Mode::Running, Rest::Until(until)) => {
                    let left = until.saturating_duration_since(Instant::now());
                    let left = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
                    State::Waiting { until_ms: now_ms().saturating_add(left) }
                }
                (Mode::Running, Rest::Ordered) => return Next::Run,
            };
            self.board.set_state(state, None);
            let is_over = async {
                match rest {
                    Rest::Until(until) if self.mode == Mode::Running => {
                        tokio::time::sleep_until((*until).into()).await;
                    }
                    _ => std::future::pending().await,
                }
            };
            let asked = tokio::select! {
                asked = self.orders.recv() => asked,
                () = is_over => return Next::Run,
            };
            let Some(asked) = asked else { return Next::Close };
            let is_start = matches!(asked.order, Order::Start);
            self.take(asked).await;
            if is_start && self.mode == Mode::Running {
                return Next::Run;
            }
        }
    }

    /// One run; `None` when the broker stops.
    async fn run(&mut self) -> Option<Ended> {
        self.board.set_state(State::Starting, None);
        let (leave, leaves) = watch::channel(false);
        let (house, board) = (Arc::clone(&self.house), Arc::clone(&self.board));
        let desk = Desk::new(house, board, Arc::clone(&self.pending), leaves);
        let mut task = tokio::task::spawn_local(Arc::clone(&self.work).run(desk));
        let asked = loop {
            tokio::select! {
                biased;
                ended = &mut task => {
                    self.pending.none().await;
                    let panicked = |_| Ended::Failed("it ended in a panic".into());
                    return Some(ended.unwrap_or_else(panicked));
                }
                asked = self.orders.recv() => match asked {
                    Some(Asked { order: Order::Start, answer }) => {
                        let _ = answer.send(Ok("it runs".into()));
                    }
                    Some(asked) if asked.order == Order::Test => self.test(asked),
                    asked => break asked,
                }
            }
        };
        let _ = leave.send(true);
        leave_in_time(&mut task).await;
        self.pending.none().await;
        self.take(asked?).await;
        Some(Ended::Left)
    }

    /// Carries an order out, while the bridge does not run.
    async fn take(&mut self, asked: Asked) {
        let done = match &asked.order {
            Order::Test => return self.test(asked),
            Order::Pause => self.set_mode(Mode::Paused).await,
            Order::Stop => self.set_mode(Mode::Stopped).await,
            Order::Start => self.set_mode(Mode::Running).await,
            order @ (Order::Rewind(_) | Order::Skip { .. }) if self.work.scope().is_none() => {
                self.tell(order).await
            }
            Order::Rewind(to) => self.rewind(to.clone()).await,
            Order::Skip { stream, partition, records } => {
                self.skip((stream, *partition), *records).await
            }
        };
        asked.tell(done);
    }

    async fn set_mode(&mut self, mode: Mode) -> Done {
        let row = BridgeRow { mode, ..self.row()? };
        self.store(row).await?;
        self.mode = mode;
        let (state, done) = match mode {
            Mode::Running => (State::Starting, "it runs"),
            Mode::Paused => (State::Paused, "it rests; what it has not read is held"),
            Mode::Stopped => (State::Stopped, "it is stopped; nothing is held for it"),
        };
        // Before it is answered: whoever asks then sees it.
        self.board.set_state(state, None);
        Ok(done.into())
    }

    /// An order to who reads elsewhere.
    async fn tell(&self, order: &Order) -> Done {
        let place = match order {
            Order::Rewind(To::Offset { stream, partition, .. })
            | Order::Skip { stream, partition, .. } => Some((stream.clone(), *partition)),
            _ => None,
        };
        let no_place = || match place {
            Some((stream, partition)) if self.work.reads_elsewhere() => {
                OrderError::NoPartition { stream, partition }
            }
            _ => OrderError::NoCursor(self.board.name.clone()),
        };
        let row = self.work.told(self.row()?, order).ok_or_else(no_place)?;
        self.put(row).await
    }

    async fn rewind(&self, to: To) -> Done {
        let name = || self.board.name.clone();
        let scope = self.work.scope().ok_or_else(|| OrderError::NoCursor(name()))?.clone();
        let row = self.row()?;
        let named = match &to {
            To::Offset { stream, partition, .. } => {
                start::find(&scope, &self.house.store.streams(), stream, *partition)
            }
            _ => None,
        };
        let (store, known) = (self.house.store.clone(), row.positions.clone());
        let wanted = to.clone();
        let moved = move || start::moved(&store, &scope, &known, &wanted);
        let moved = tokio::task::spawn_blocking(moved).await;
        let moved = moved.map_err(|error| OrderError::Store(error.to_string()))?;
        let moved = moved.map_err(|error| OrderError::Store(error.to_string()))?;
        let Some(positions) = moved else {
            let To::Offset { stream, partition, .. } = to else { return Err(OrderError::Closed) };
            return Err(OrderError::NoPartition { stream, partition });
        };
        let place = positions.iter().copied().find(|(id, _)| Some(*id) == named);
        let row = match place {
            Some(place) => self.work.moved_in(row, place),
            None => self.work.moved(row, positions),
        };
        self.put(row).await
    }

    async fn skip(&self, (stream, partition): (&str, u32), records: u64) -> Done {
        let name = || self.board.name.clone();
        let scope = self.work.scope().ok_or_else(|| OrderError::NoCursor(name()))?;
        let store = &self.house.store;
        let place = start::find(scope, &store.streams(), stream, partition)
            .map(|id| (id, store.bounds(id).unwrap_or_default()));
        let row = self.row()?;
        let row = place.and_then(|place| self.work.skipped(row, place, records));
        let stream = stream.to_owned();
        self.put(row.ok_or(OrderError::NoPartition { stream, partition })?).await
    }

    async fn put(&self, row: BridgeRow) -> Done {
        self.board.set_positions(row.positions.clone());
        self.store(row).await?;
        Ok("it reads on from there".into())
    }

    fn row(&self) -> Result<BridgeRow, OrderError> {
        let row = holds::row(&self.house.store, &self.board.name);
        row.map(Option::unwrap_or_default).map_err(|error| OrderError::Store(error.to_string()))
    }

    async fn store(&self, row: BridgeRow) -> Result<(), OrderError> {
        let key = bridge::key(&self.board.name);
        let change = TableChange::new(Table::Bridges, key, Some(row.encode())).that_stays();
        let commit = Commit { appends: Vec::new(), changes: vec![change] };
        let stored = self.house.commits.commit(&self.house.store, commit).await;
        stored.map(|_| ()).map_err(|error| OrderError::Store(error.to_string()))
    }

    /// Beside what it does.
    fn test(&self, asked: Asked) {
        let work = Arc::clone(&self.work);
        tokio::task::spawn_local(async move {
            let done = match tokio::time::timeout(TEST, work.test()).await {
                Ok(done) => done.map_err(OrderError::Test),
                Err(_) => Err(OrderError::Test("no answer in time".into())),
            };
            asked.tell(done);
        });
    }
}

async fn leave_in_time(task: &mut JoinHandle<Ended>) {
    if tokio::time::timeout(LEAVE, &mut *task).await.is_err() {
        task.abort();
        // It is gone when this returns, whatever it says.
        let _ = task.await;
    }
}
