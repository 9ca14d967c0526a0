//! Drives the consumer groups: the lock around them, who waits for an answer, what is due, what
//! the store says. Decides nothing itself.

mod age;
mod lag;
mod numbers;
mod restore;
pub(crate) mod spots;

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidewire_store::{Commit, CommitError, Outcome, ReadError, Reply, Store, TableChange};
use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;

use crate::forecasts::Forecasts;
use crate::groups::{
    Answer, Beat, Caller, Effect, Groups, Join, Limits, Moment, Pulse, Refusal, Spot, Sync, Ticket,
    Wanted,
};
use crate::time::{now_ms, ticks};
use crate::transactions::Offsets;

use lag::Lag;
use numbers::Numbers;

/// How often offsets and groups are looked at whose time may be over.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(30);
/// How often it is shown how far groups are behind.
const LAG_INTERVAL: Duration = Duration::from_secs(10);

/// Tickets of commits that are not of groups alone.
const JOINT: u64 = 1 << 63;

/// What goes on when such a commit is durable, or is not: on a thread of the store that others
/// wait for.
pub(crate) type Then = Box<dyn FnOnce(Option<&CommitError>) + Send>;

/// All consumer groups of the port.
pub(crate) struct Coordinator {
    store: Store,
    state: Mutex<State>,
    inbox: Arc<Inbox>,
    numbers: Numbers,
    forecasts: Arc<Forecasts>,
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
    joint: Mutex<Vec<Joint>>,
    arrived: Notify,
}

/// A commit with offsets of groups and more.
struct Joint {
    ticket: u64,
    /// The groups' own numbers of it.
    writes: Vec<u64>,
    then: Then,
}

impl Reply for Inbox {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        for Outcome { ticket, result, stayed } in outcomes.drain(..) {
            if ticket & JOINT != 0 {
                self.told_jointly(ticket, result.as_ref().err());
                continue;
            }
            // All of it stays: a commit that was refused at first may have found room after all.
            if let Err(error) = &stayed {
                tracing::warn!(%error, "what a consumer group is to remember cannot be stored");
            }
            self.outcomes.lock().push((ticket, stayed.is_ok()));
        }
        self.arrived.notify_one();
    }
}

impl Inbox {
    fn told_jointly(&self, ticket: u64, error: Option<&CommitError>) {
        let mut joint = self.joint.lock();
        let place = joint.iter().position(|joint| joint.ticket == ticket);
        let Some(Joint { writes, then, .. }) = place.map(|place| joint.remove(place)) else {
            return;
        };
        drop(joint);
        self.outcomes.lock().extend(writes.into_iter().map(|write| (write, error.is_none())));
        then(error);
    }
}

impl Coordinator {
    /// Groups as they are in the store.
    pub(crate) fn open(
        store: &Store,
        limits: Limits,
        forecasts: Arc<Forecasts>,
    ) -> Result<Self, ReadError> {
        let groups = restore::read(store, limits, Moment { steady_ms: 0, wall_ms: now_ms() })?;
        let (waiting, tickets, planned) = (HashMap::new(), 0, None);
        let state = Mutex::new(State { groups, waiting, tickets, planned });
        let (store, inbox, began) = (store.clone(), Arc::default(), Instant::now());
        Ok(Self { store, state, inbox, numbers: Numbers::register(), forecasts, began })
    }

    /// Where its offsets are kept, and what they are offsets in.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Does what is due, for as long as it is run.
    pub(crate) async fn run(&self) {
        let (mut expiry, mut lag) = (ticks(EXPIRY_INTERVAL), ticks(LAG_INTERVAL));
        let (mut numbers, ages) = (Lag::new(), Arc::default());
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
                _ = lag.tick(), if !numbers.is_measuring() => {
                    self.look(|groups| numbers.begin(groups, self.store.streams()));
                }
                // In turns: this thread has connections to serve.
                () = yield_now(), if numbers.is_measuring() => {
                    let bounds = |id| self.store.bounds(id);
                    if let Some(now) = self.look(|groups| numbers.measure(groups, &bounds)) {
                        let now_ms = now_ms();
                        let waiting = numbers.show(now, &self.forecasts, now_ms);
                        age::show(&ages, &self.store, waiting, now_ms);
                    }
                }
            }
        }
    }

    /// When something is due next.
    fn plan(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        state.planned = state.groups.next_due();
        state.planned.map(|due| self.began + Duration::from_millis(due))
    }

    /// Does what is due, with what the store said so far.
    pub(crate) fn turn(&self) {
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

    /// A member of the newer kind says how it is.
    pub(crate) fn beat(&self, name: &Arc<str>, beat: &Beat) -> Result<Pulse, Refusal> {
        let pulse = self.change(|groups, now| groups.beat(name, beat, now));
        pulse.inspect_err(|why| self.numbers.refused(*why))
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

    /// A commit with offsets that were checked before and more, in the order of all commits of
    /// groups.
    pub(crate) fn submit(&self, offsets: &Offsets, mut commit: Commit, then: Then) {
        let mut state = self.state.lock();
        let mut writes = Vec::with_capacity(offsets.len());
        for (group, wanted) in offsets {
            let wanted = wanted.values().cloned().collect();
            let (write, changes) = state.groups.take_offsets(group, wanted, self.now());
            commit.changes.extend(changes);
            writes.push(write);
        }
        state.tickets += 1;
        let ticket = JOINT | state.tickets;
        self.inbox.joint.lock().push(Joint { ticket, writes, then });
        self.store.submit(commit, Some((ticket, Arc::clone(&self.inbox) as Arc<dyn Reply>)));
        self.perform(&mut state);
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
                    if let Answer::Refused(why) = answer {
                        self.numbers.refused(why);
                    }
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
        Moment { steady_ms, wall_ms: now_ms() }
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

#[cfg(test)]
mod tests {
    use tidewire_store::{CommitError, Outcome, Reply};

    use super::{Inbox, JOINT, Joint};

    #[test]
    fn what_stayed_of_a_commit_that_was_refused_is_stored() {
        let inbox = Inbox::default();
        let then = Box::new(|error: Option<&CommitError>| assert!(error.is_some()));
        inbox.joint.lock().push(Joint { ticket: JOINT | 9, writes: vec![5], then });
        let full = CommitError::DiskFull;
        let outcome = |ticket, stayed| Outcome { ticket, result: Err(full.clone()), stayed };
        let mut outcomes =
            vec![outcome(1, Ok(())), outcome(2, Err(full.clone())), outcome(JOINT | 9, Ok(()))];
        inbox.committed(&mut outcomes);
        // Offsets that come with records are not there without them.
        assert_eq!(*inbox.outcomes.lock(), [(1, true), (2, false), (5, false)]);
    }
}
