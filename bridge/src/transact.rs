//! Drives the transactions: the lock around them, who waits for an answer, what is due, what the
//! store says. Decides nothing itself.

mod numbers;
mod restore;

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;
use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;
use tidewire_store::{Commit, CommitError, Outcome, ReadError, Reply, Store, TableChange};
use tokio::sync::{Notify, oneshot};

use crate::coordinator::Coordinator;
use crate::foreign::Sender;
use crate::groups::{Moment, Spot, Wanted};
use crate::held::HeldBatch;
use crate::producers::Producers;
use crate::time::{now_ms, ticks};
use crate::transactions::{
    Answer, Described, Effect, End, Limits, Part, Producer, Refusal, Start, Ticket, Transactions,
    Unnumbered,
};

use numbers::Numbers;

/// How often ids are looked at that nobody uses.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);

/// All transactions of the port.
pub(crate) struct Transact {
    store: Store,
    coordinator: Arc<Coordinator>,
    producers: Arc<Producers>,
    state: Mutex<State>,
    inbox: Arc<Inbox>,
    began: Instant,
}

struct State {
    transactions: Transactions<HeldBatch>,
    waiting: HashMap<Ticket, oneshot::Sender<Answer>>,
    tickets: u64,
    /// When the task that does what is due wakes up.
    planned: Option<u64>,
    numbers: Numbers,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Stored,
    /// Perhaps later.
    NotNow,
    /// Not ever.
    Never,
    /// Only the next start will show it.
    Unknown,
}

/// What the store said, on one of its threads.
#[derive(Default)]
struct Inbox {
    verdicts: Mutex<Vec<(u64, Verdict)>>,
    arrived: Notify,
}

impl Inbox {
    fn tell(&self, write: u64, verdict: Verdict) {
        self.verdicts.lock().push((write, verdict));
        self.arrived.notify_one();
    }
}

impl Reply for Inbox {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        for outcome in outcomes.drain(..) {
            self.tell(outcome.ticket, verdict(outcome.result.err().as_ref()));
        }
    }
}

impl Transact {
    /// Transactional ids as they are in the store.
    pub(crate) fn open(
        store: &Store,
        limits: Limits,
        coordinator: Arc<Coordinator>,
        producers: Arc<Producers>,
    ) -> Result<Self, ReadError> {
        let transactions = restore::read(store, limits)?;
        let (waiting, numbers) = (HashMap::new(), Numbers::register());
        let state = State { transactions, waiting, tickets: 0, planned: None, numbers };
        let (state, inbox, began) = (Mutex::new(state), Arc::default(), Instant::now());
        Ok(Self { store: store.clone(), coordinator, producers, state, inbox, began })
    }

    /// Does what is due, for as long as it is run.
    pub(crate) async fn run(&self) {
        let mut expiry = ticks(EXPIRY_INTERVAL);
        loop {
            let due = self.plan();
            let is_time = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.inbox.arrived.notified() => self.turn(),
                () = is_time => self.turn(),
                _ = expiry.tick() => self.change(|transactions, now| transactions.expire(now)),
            }
        }
    }

    /// When something is due next.
    fn plan(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        state.planned = state.transactions.next_due();
        state.planned.map(|due| self.began + Duration::from_millis(due))
    }

    fn turn(&self) {
        let verdicts = mem::take(&mut *self.inbox.verdicts.lock());
        if !verdicts.is_empty() {
            // Whoever hears that it is committed finds the offsets.
            self.coordinator.turn();
        }
        self.change(|transactions, now| {
            for (write, verdict) in verdicts {
                match verdict {
                    Verdict::Stored => transactions.stored(write, true, now),
                    Verdict::NotNow => transactions.stored(write, false, now),
                    Verdict::Never => transactions.give_up(write, now),
                    Verdict::Unknown => transactions.lose_sight(write, now),
                }
            }
            transactions.tick(now);
        });
    }

    /// What an id is doing.
    pub(crate) fn describe(&self, id: &str) -> Option<Described> {
        self.state.lock().transactions.describe(id)
    }

    /// What every id is doing.
    pub(crate) fn list(&self) -> Vec<(Arc<str>, Described)> {
        self.state.lock().transactions.list()
    }

    /// Whether whoever starts with this id needs a number that nobody has.
    pub(crate) fn needs_number(&self, id: &str) -> bool {
        self.state.lock().transactions.needs_number(id)
    }

    /// A producer begins to use an id; waits until nobody else can.
    pub(crate) async fn start(&self, id: &Arc<str>, start: Start) -> Answer {
        self.ask(|transactions, ticket, now| transactions.start(id, ticket, start, now)).await
    }

    /// A transaction is to write there too; waits until it is durable that it began.
    pub(crate) async fn add(&self, id: &Arc<str>, producer: Producer, part: Part) -> Answer {
        let add = |transactions: &mut Transactions<_>, ticket, now| {
            transactions.add(id, (ticket, producer), part, now);
        };
        self.ask(add).await
    }

    /// A transaction ends; waits until that is durable.
    pub(crate) async fn end(&self, id: &Arc<str>, producer: Producer, is_commit: bool) -> Answer {
        let end = |transactions: &mut Transactions<HeldBatch>, ticket, now| {
            transactions.end(id, (ticket, producer), is_commit, now);
        };
        if is_commit && self.has_ending_group(id) {
            return Answer::Refused(Refusal::Busy);
        }
        self.ask(end).await
    }

    /// A group whose end is on its way to the disk takes no offsets.
    fn has_ending_group(&self, id: &str) -> bool {
        let state = self.state.lock();
        let held = state.transactions.held(id).into_iter();
        let mut groups = held.flat_map(|held| held.offsets.keys());
        self.coordinator.look(|known| groups.any(|group| known.is_ending(group)))
    }

    /// Offsets that are the group's when the transaction is committed.
    pub(crate) fn hold_offsets(
        &self,
        id: &Arc<str>,
        producer: Producer,
        group: &Arc<str>,
        wanted: Vec<Wanted>,
    ) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        let held = state.transactions.hold_offsets(id, producer, group, wanted);
        state.numbers.refused(held.err());
        self.perform(&mut state);
        held
    }

    /// Whether a batch of a transaction may come from that producer now.
    pub(crate) fn expects(
        &self,
        id: &str,
        sender: Sender,
        partition: PartitionId,
    ) -> Result<(), Refusal> {
        self.state.lock().transactions.expects(id, producer(sender), partition)
    }

    /// Whether a batch that is of no transaction may come from that producer: whoever has a
    /// transactional id writes within transactions alone.
    pub(crate) fn leaves_alone(&self, sender: Sender) -> Result<(), Refusal> {
        match self.state.lock().transactions.has_number(sender.id) {
            true => Err(Refusal::NotOpen),
            false => Ok(()),
        }
    }

    /// Whether a transaction may hold a batch of so many bytes.
    pub(crate) fn admits(&self, id: &str, sender: Sender, bytes: usize) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        let admitted = state.transactions.admits(id, producer(sender), bytes);
        state.numbers.refused(admitted.err());
        admitted
    }

    /// A batch was refused that does not come again. Whether its transaction ends with that.
    pub(crate) fn doom(
        &self,
        id: &str,
        sender: Sender,
        partition: PartitionId,
        error: ResponseError,
    ) -> bool {
        let mut state = self.state.lock();
        let is_doomed = state.transactions.doom(id, producer(sender), partition, error);
        self.perform(&mut state);
        is_doomed
    }

    /// Holds a batch that was admitted.
    pub(crate) fn hold(&self, id: &str, sender: Sender, batch: HeldBatch, bytes: usize) {
        let mut state = self.state.lock();
        state.transactions.hold(id, producer(sender), batch, bytes);
        state.show();
    }

    /// Whether a transaction has an offset for that place that is not committed yet.
    pub(crate) fn is_waiting(&self, group: &str, spot: &Spot) -> bool {
        self.state.lock().transactions.is_waiting(group, spot)
    }

    fn change(&self, happen: impl FnOnce(&mut Transactions<HeldBatch>, Moment)) {
        let mut state = self.state.lock();
        happen(&mut state.transactions, self.now());
        self.perform(&mut state);
    }

    async fn ask(&self, ask: impl FnOnce(&mut Transactions<HeldBatch>, Ticket, Moment)) -> Answer {
        let (tell, told) = oneshot::channel();
        {
            let mut state = self.state.lock();
            state.tickets += 1;
            let ticket = Ticket(state.tickets);
            state.waiting.insert(ticket, tell);
            ask(&mut state.transactions, ticket, self.now());
            self.perform(&mut state);
        }
        told.await.unwrap_or(Answer::Refused(Refusal::NotStored))
    }

    /// Effects go where they belong.
    fn perform(&self, state: &mut State) {
        for effect in state.transactions.take_effects() {
            match effect {
                Effect::Answer(ticket, answer) => {
                    if let Answer::Refused(why) = answer {
                        state.numbers.refused(Some(why));
                    }
                    if let Some(tell) = state.waiting.remove(&ticket) {
                        // Who hung up asks again.
                        let _ = tell.send(answer);
                    }
                }
                Effect::Store { write, change, unnumbered } => {
                    let forgotten = unnumbered.map(|it| self.forget(&it));
                    let changes = [change].into_iter().chain(forgotten.into_iter().flatten());
                    let commit = Commit { appends: Vec::new(), changes: changes.collect() };
                    let reply = Arc::clone(&self.inbox) as Arc<dyn Reply>;
                    self.store.submit(commit, Some((write, reply)));
                }
                Effect::Commit { write, id, change } => self.commit(state, (write, &id), change),
                Effect::Ended(end, batches) => {
                    state.numbers.ended(end);
                    let is_durable = end == End::Committed;
                    for batch in batches {
                        if !is_durable {
                            let HeldBatch { producer, partition, placed, .. } = &batch;
                            self.producers.give_up(*producer, *partition, placed);
                        }
                        batch.settle(is_durable);
                    }
                }
            }
        }
        state.show();
        let due = state.transactions.next_due();
        if due.is_some_and(|due| state.planned.is_none_or(|planned| due < planned)) {
            state.planned = due;
            self.inbox.arrived.notify_one();
        }
    }

    fn forget(&self, unnumbered: &Unnumbered) -> Vec<TableChange> {
        let Unnumbered { producer, partitions } = unnumbered;
        self.producers.forget_numbers(*producer, partitions.as_ref())
    }

    /// All that the transaction holds, in one commit.
    fn commit(&self, state: &State, (write, id): (u64, &str), change: TableChange) {
        let Some(held) = state.transactions.held(id) else { return };
        let mut commit = Commit { appends: Vec::new(), changes: vec![change] };
        let at_ms = now_ms();
        held.batches.iter().for_each(|batch| batch.put_into(&mut commit, at_ms));
        let inbox = Arc::clone(&self.inbox);
        let then = move |error: Option<&CommitError>| inbox.tell(write, verdict(error));
        self.coordinator.submit(&held.offsets, commit, Box::new(then));
    }

    fn now(&self) -> Moment {
        let steady_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Moment { steady_ms, wall_ms: now_ms() }
    }
}

impl State {
    fn show(&self) {
        self.numbers.show(self.transactions.open_count(), self.transactions.held_bytes());
    }
}

fn producer(sender: Sender) -> Producer {
    Producer { id: sender.id, epoch: sender.epoch }
}

fn verdict(error: Option<&CommitError>) -> Verdict {
    let Some(error) = error else { return Verdict::Stored };
    tracing::warn!(%error, "what a transaction is to remember cannot be stored");
    match error {
        CommitError::TooLarge { .. } | CommitError::UnknownPartition(_) => Verdict::Never,
        // It may have been under way when the disk failed.
        CommitError::Failed(_) | CommitError::Closed => Verdict::Unknown,
        _ => Verdict::NotNow,
    }
}
