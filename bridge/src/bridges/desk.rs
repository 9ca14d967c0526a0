//! What a running bridge has at hand: the store, its place in it, its board, the word to leave.
//! Decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidewire_proto::id::PartitionId;
use tidewire_proto::routing::placement::Placement;
use tidewire_store::rows::bridge::{self, BridgeRow, Mode};
use tidewire_store::{Commit, CommitError, Offsets, ReadError, Store, Table, TableChange};
use tokio::sync::{Notify, oneshot, watch};

use crate::bridges::board::{Behind, Board};
use crate::bridges::counts::Event;
use crate::bridges::holds;
use crate::bridges::inlet::{Claims, Inlet};
use crate::bridges::scope::Scope;
use crate::bridges::source::Source;
use crate::bridges::start::{Start, positions};
use crate::bridges::status::State;
use crate::commits::Commits;
use crate::retained::RetainedLimit;
use crate::tail::Tail;

/// What all bridges share.
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) tail: Arc<Tail>,
    pub(crate) commits: Arc<Commits>,
    pub(crate) retained: Arc<dyn RetainedLimit>,
    /// Where messages that come from elsewhere are put.
    pub(crate) placement: Box<dyn Fn() -> Placement + Send + Sync>,
}

/// What becomes of a commit.
pub(crate) type Answer = Result<Offsets, CommitError>;

/// What one run of a bridge has at hand.
#[derive(Clone)]
pub(crate) struct Desk {
    house: Arc<House>,
    board: Arc<Board>,
    pending: Arc<Pending>,
    leave: watch::Receiver<bool>,
}

/// Commits that are not answered.
#[derive(Default)]
pub(crate) struct Pending {
    count: AtomicUsize,
    none: Notify,
}

impl Pending {
    /// Until all are answered: what is read of the store then is how it stays.
    pub(crate) async fn none(&self) {
        loop {
            let mut none = std::pin::pin!(self.none.notified());
            // From here on nothing is missed.
            none.as_mut().enable();
            if self.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            none.await;
        }
    }

    fn one_more(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    fn one_less(&self) {
        if self.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.none.notify_waiters();
        }
    }
}

impl Desk {
    pub(crate) fn new(
        house: Arc<House>,
        board: Arc<Board>,
        pending: Arc<Pending>,
        leave: watch::Receiver<bool>,
    ) -> Self {
        Self { house, board, pending, leave }
    }

    pub(crate) fn name(&self) -> &str {
        &self.board.name
    }

    pub(crate) fn store(&self) -> &Store {
        &self.house.store
    }

    /// Until it is to leave.
    pub(crate) async fn leaves(&mut self) {
        // Without a sender nobody wants it to stay.
        let _ = self.leave.wait_for(|leave| *leave).await;
    }

    /// Whether it is to leave.
    pub(crate) fn is_to_leave(&self) -> bool {
        *self.leave.borrow()
    }

    /// It looks for the other side.
    pub(crate) fn connecting(&self, peer: impl Into<String>) {
        self.board.set_state(State::Connecting, Some(peer.into()));
    }

    /// Messages move.
    pub(crate) fn running(&self, peer: impl Into<String>) {
        self.board.set_state(State::Running, Some(peer.into()));
    }

    /// The other side takes nothing now; it is tried again then, in milliseconds since 1970.
    pub(crate) fn waiting(&self, until_ms: i64) {
        self.board.set_state(State::Waiting { until_ms }, None);
    }

    /// Something went wrong, in words, and it goes on all the same.
    pub(crate) fn trouble(&self, words: impl Into<String>) {
        self.board.trouble(&words.into());
    }

    /// How far it is behind, of who reads elsewhere.
    pub(crate) fn behind(&self, behind: Behind) {
        self.board.set_behind(behind);
    }

    pub(crate) fn count(&self, event: Event, count: u64) {
        self.board.count(event, count);
    }

    /// Its cursor, where its row says, and what its kind keeps in the row. A bridge that begins
    /// has a row from here on: what comes now is held for it.
    #[allow(dead_code, reason = "exports read by it")]
    pub(crate) async fn source(
        &self,
        scope: &Scope,
        start: Start,
        bytes_max: usize,
    ) -> Result<(Source, Box<[u8]>), String> {
        let (found, extra) = self.begin(scope, start).await?;
        Ok((self.source_at(scope, &found, bytes_max), extra))
    }

    /// A cursor that begins at these positions.
    pub(crate) fn source_at(
        &self,
        scope: &Scope,
        positions: &[(PartitionId, u64)],
        bytes_max: usize,
    ) -> Source {
        let (store, tail) = (self.house.store.clone(), Arc::clone(&self.house.tail));
        Source::new((store, tail), scope.clone(), positions, bytes_max)
    }

    /// Where it goes on by its row, and what its kind keeps there; as [`source`](Self::source).
    pub(crate) async fn begin(
        &self,
        scope: &Scope,
        start: Start,
    ) -> Result<(Vec<(PartitionId, u64)>, Box<[u8]>), String> {
        let row = self.row().map_err(|error| error.to_string())?.unwrap_or_default();
        let found = positions(self.store(), scope, &row.positions, start);
        let found = found.map_err(|error| error.to_string())?;
        if found != row.positions {
            let change = self.positioned(found.clone(), row.extra.clone());
            let commit = Commit { appends: Vec::new(), changes: vec![change] };
            let stored = self.commit(commit).await;
            stored.map_err(|error| format!("its position cannot be stored: {error}"))?;
        }
        self.board.set_positions(found.clone());
        Ok((found, row.extra))
    }

    /// Its row.
    pub(crate) fn row(&self) -> Result<Option<BridgeRow>, ReadError> {
        holds::row(self.store(), self.name())
    }

    /// The change that says how far it is, and what its kind keeps. To be committed in the order of
    /// these calls; may use what a full disk keeps back.
    pub(crate) fn positioned(
        &self,
        positions: Vec<(PartitionId, u64)>,
        extra: Box<[u8]>,
    ) -> TableChange {
        self.board.set_positions(positions.clone());
        let row = BridgeRow { mode: Mode::Running, positions, extra }.encode();
        TableChange::new(Table::Bridges, bridge::key(self.name()), Some(row)).that_stays()
    }

    /// For messages that come from elsewhere.
    pub(crate) fn inlet(&self) -> Inlet {
        let retained = Arc::clone(&self.house.retained);
        Inlet::new(self.name(), (self.house.placement)(), retained)
    }

    /// Hands a commit to the store, now, in the order of these calls; what it is answered can be
    /// waited for.
    pub(crate) fn submit(&self, commit: Commit) -> oneshot::Receiver<Answer> {
        self.submit_with(commit, Claims::default())
    }

    /// The same, of a commit with retained messages.
    pub(crate) fn submit_with(
        &self,
        commit: Commit,
        mut claims: Claims,
    ) -> oneshot::Receiver<Answer> {
        let (tell, told) = oneshot::channel();
        self.pending.one_more();
        let pending = Arc::clone(&self.pending);
        let then = move |answer: Answer| {
            claims.settle(answer.is_ok());
            // Whoever does not wait any more does not want to know.
            let _ = tell.send(answer);
            pending.one_less();
        };
        self.house.commits.submit(self.store(), commit, Box::new(then));
        told
    }

    /// The same, and waits.
    pub(crate) async fn commit(&self, commit: Commit) -> Answer {
        self.submit(commit).await.unwrap_or(Err(CommitError::Closed))
    }
}
