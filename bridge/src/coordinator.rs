//! Drives the consumer groups: the lock around them, who waits for an answer, what is due, what
//! the store says. Decides nothing itself.

mod lag;
mod restore;

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tidewire_store::{Commit, Outcome, ReadError, Reply, Store, TableChange};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Interval, MissedTickBehavior};

use crate::groups::{
    Answer, Caller, Effect, Groups, Join, Limits, Moment, Refusal, Spot, Sync, Ticket, Wanted,
};

use lag::Lag;

/// How often offsets and groups are looked at whose time may be over.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(30);
/// How often it is shown how far groups are behind.
const LAG_INTERVAL: Duration = Duration::from_secs(10);

/// All consumer groups of the port.
pub(crate) struct Coordinator {
    store: Store,
    state: Mutex<State>,
    inbox: Arc<Inbox>,
    began: Instant,
}

struct State {
    groups: Groups,
    waiting: HashMap<Ticket, oneshot::Sender<Answer>>,
    tickets: u64,
    /// When the task that does what is due wakes up.
    planned: Option<u64>,
}

/// What the store said, on one of its threads.
#[derive(Default)]
struct Inbox {
    outcomes: Mutex<Vec<(u64, bool)>>,
    arrived: Notify,
}

impl Reply for Inbox {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        let told = outcomes.drain(..).map(|outcome| {
            if let Err(error) = &outcome.result {
                tracing::warn!(%error, "what a consumer group is to remember cannot be stored");
            }
            (outcome.ticket, outcome.result.is_ok())
        });
        self.outcomes.lock().extend(told);
        self.arrived.notify_one();
    }
}

impl Coordinator {
    /// Groups as they are in the store.
    pub(crate) fn open(store: &Store, limits: Limits) -> Result<Self, ReadError> {
        let groups = restore::read(store, limits, Moment { steady_ms: 0, wall_ms: wall_ms() })?;
        let (waiting, tickets, planned) = (HashMap::new(), 0, None);
        let state = Mutex::new(State { groups, waiting, tickets, planned });
        let (store, inbox, began) = (store.clone(), Arc::default(), Instant::now());
        Ok(Self { store, state, inbox, began })
    }

    /// Does what is due, for as long as it is run.
    pub(crate) async fn run(&self) {
        let (mut expiry, mut lag) = (interval(EXPIRY_INTERVAL), interval(LAG_INTERVAL));
        let mut numbers = Lag::new();
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
                _ = expiry.tick() => self.change(|groups, now| groups.expire(now)),
                _ = lag.tick() => self.look(|groups| numbers.show(groups, &self.store)),
            }
        }
    }

    /// When something is due next.
    fn plan(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        state.planned = state.groups.next_due();
        state.planned.map(|due| self.began + Duration::from_millis(due))
    }

    fn turn(&self) {
        let outcomes = mem::take(&mut *self.inbox.outcomes.lock());
        self.change(|groups, now| {
            for (write, is_stored) in outcomes {
                groups.stored(write, is_stored, now);
            }
            groups.tick(now);
        });
    }

    /// Somebody joins; waits for the others.
    pub(crate) async fn join(&self, name: &Arc<str>, join: &Join) -> Answer {
        self.ask(name, |groups, ticket, now| groups.join(name, ticket, join, now)).await
    }

    /// A member asks what it reads; waits for the leader.
    pub(crate) async fn sync(&self, name: &Arc<str>, sync: &Sync) -> Answer {
        self.ask(name, |groups, ticket, now| groups.sync(name, ticket, sync, now)).await
    }

    /// Offsets to commit; waits until they are durable.
    pub(crate) async fn commit(
        &self,
        name: &Arc<str>,
        caller: &Caller,
        wanted: Vec<Wanted>,
    ) -> Answer {
        let commit = |groups: &mut Groups, ticket, now| {
            groups.commit(name, (ticket, caller), wanted, now);
        };
        self.ask(name, commit).await
    }

    /// Offsets to forget; waits until that is durable.
    pub(crate) async fn forget(&self, name: &Arc<str>, spots: Vec<Spot>) -> Answer {
        self.ask(name, |groups, ticket, now| groups.forget(name, ticket, spots, now)).await
    }

    /// A group to forget; waits until that is durable.
    pub(crate) async fn end(&self, name: &Arc<str>) -> Answer {
        self.ask(name, |groups, ticket, now| groups.end(name, ticket, now)).await
    }

    /// Lets something happen to the groups at once.
    pub(crate) fn change<T>(&self, happen: impl FnOnce(&mut Groups, Moment) -> T) -> T {
        let mut state = self.state.lock();
        let happened = happen(&mut state.groups, self.now());
        self.perform(&mut state);
        happened
    }

    /// Looks at the groups.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Groups) -> T) -> T {
        look(&self.state.lock().groups)
    }

    async fn ask(&self, group: &Arc<str>, ask: impl FnOnce(&mut Groups, Ticket, Moment)) -> Answer {
        let (tell, told) = oneshot::channel();
        let ticket = {
            let mut state = self.state.lock();
            state.tickets += 1;
            let ticket = Ticket(state.tickets);
            state.waiting.insert(ticket, tell);
            ask(&mut state.groups, ticket, self.now());
            self.perform(&mut state);
            ticket
        };
        let _line = Line { coordinator: self, group, ticket };
        told.await.unwrap_or(Answer::Refused(Refusal::NotStored))
    }

    /// Effects go where they belong.
    fn perform(&self, state: &mut State) {
        for effect in state.groups.take_effects() {
            match effect {
                Effect::Answer(ticket, answer) => {
                    if let Some(tell) = state.waiting.remove(&ticket) {
                        // Whoever hung up is told to the group by his line.
                        let _ = tell.send(answer);
                    }
                }
                Effect::Store { write, changes } => {
                    // Who commits offsets lets retention free space, also on a full disk.
                    let changes = changes.into_iter().map(TableChange::that_stays).collect();
                    let commit = Commit { appends: Vec::new(), changes };
                    let reply: Arc<dyn Reply> = Arc::clone(&self.inbox) as Arc<dyn Reply>;
                    self.store.submit(commit, Some((write, reply)));
                }
            }
        }
        let due = state.groups.next_due();
        if due.is_some_and(|due| state.planned.is_none_or(|planned| due < planned)) {
            state.planned = due;
            self.inbox.arrived.notify_one();
        }
    }

    fn now(&self) -> Moment {
        let steady_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Moment { steady_ms, wall_ms: wall_ms() }
    }
}

/// Somebody waits. Whoever stops waiting before he is answered hangs up.
struct Line<'a> {
    coordinator: &'a Coordinator,
    group: &'a Arc<str>,
    ticket: Ticket,
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let Self { coordinator, group, ticket } = self;
        let mut state = coordinator.state.lock();
        if state.waiting.remove(ticket).is_some() {
            state.groups.hang_up(group, *ticket, coordinator.now());
            coordinator.perform(&mut state);
        }
    }
}

/// Ticks, and does not make up for those that were missed.
fn interval(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
