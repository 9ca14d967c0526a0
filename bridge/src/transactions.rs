//! Transactions of Kafka producers, pure: requests and moments in, answers, rows and commits out.
//! Never waits, never reads a clock, never looks into a batch.
//! docs/decisions/0013-transactions.md says how and why.

mod described;
mod held;
mod limits;
mod out;
mod owner;
mod refusal;
mod request;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use tidewire_proto::id::PartitionId;
use tidewire_store::rows::transaction::{Stage, TransactionRow};
use tidewire_store::{Table, TableChange};

use crate::groups::{Moment, Spot, Wanted};

pub use described::Described;
pub use held::{Held, Offsets};
pub use limits::Limits;
pub use out::{Effect, End, Unnumbered};
pub use refusal::{Knows, Refusal};
pub use request::{Answer, Part, Producer, Start, Ticket};

use held::{Waiting, bytes_of};
use out::Out;
use owner::{Lost, Owner, State, Writing, stored};

/// All transactional ids.
#[derive(Debug)]
pub struct Transactions<B> {
    limits: Limits,
    all: HashMap<Arc<str>, Owner<B>>,
    /// Who has which number.
    numbers: HashMap<i64, Arc<str>>,
    /// Whose write it is.
    writes: HashMap<u64, Arc<str>>,
    /// When the time of each open transaction is over, soonest first.
    agenda: BTreeSet<(u64, Arc<str>)>,
    waiting: Waiting,
    /// Bytes that all transactions hold.
    held: usize,
    open: usize,
    out: Out<B>,
}

impl<B> Transactions<B> {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            all: HashMap::new(),
            numbers: HashMap::new(),
            writes: HashMap::new(),
            agenda: BTreeSet::new(),
            waiting: Waiting::default(),
            held: 0,
            open: 0,
            out: Out::default(),
        }
    }

    /// What an id is doing.
    #[must_use]
    pub fn describe(&self, id: &str) -> Option<Described> {
        self.all.get(id).map(Described::of)
    }

    /// What every id is doing.
    #[must_use]
    pub fn list(&self) -> Vec<(Arc<str>, Described)> {
        self.all.iter().map(|(id, owner)| (Arc::clone(id), Described::of(owner))).collect()
    }

    /// An id as it was stored. Before anything else happens.
    pub fn restore(&mut self, id: &str, row: TransactionRow) {
        let id: Arc<str> = id.into();
        self.numbers.insert(row.producer, Arc::clone(&id));
        self.all.insert(Arc::clone(&id), Owner::restored(id, row));
    }

    /// Whether whoever starts with this id needs a number that nobody has.
    #[must_use]
    pub fn needs_number(&self, id: &str) -> bool {
        self.all.get(id).is_none_or(Owner::is_used_up)
    }

    /// A producer begins to use an id. Whoever had it before is refused from here on, and what he
    /// left open is gone. The answer comes when that is durable.
    pub fn start(&mut self, id: &Arc<str>, ticket: Ticket, start: Start, now: Moment) {
        if let Err(why) = self.check_start(id, start) {
            return self.refuse(ticket, why);
        }
        if !self.all.contains_key(id) && self.all.len() >= self.limits.ids_max {
            // There is one, or it would have been refused.
            self.idle_longest().into_iter().for_each(|idle| self.begin_to_forget(&idle));
        }
        let owner = self.all.get(id);
        // Who asks again because the answer was lost is told once more.
        let is_repeat = |owner: &Owner<B>, known: Producer| {
            let Producer { id, epoch } = known;
            epoch >= 0 && (id, epoch) == (owner.row.producer, owner.row.asked_with)
        };
        if let (Some(owner), Some(known)) = (owner, start.known)
            && owner.check(known).is_err()
        {
            return match is_repeat(owner, known) {
                true => self.out.answer(ticket, Answer::Producer(owner.producer())),
                false => self.refuse(ticket, Refusal::Fenced),
            };
        }
        let fresh = || start.fresh.map(|id| Producer { id, epoch: 0 });
        let Some(next) = owner.map_or_else(fresh, |owner| owner.next(start.fresh)) else {
            return self.refuse(ticket, Refusal::NotStored);
        };
        let new = || Owner::new(Arc::clone(id));
        self.all.entry(Arc::clone(id)).or_insert_with(new);
        let row = TransactionRow {
            producer: next.id,
            epoch: next.epoch,
            asked_with: start.known.map_or(-1, |known| known.epoch),
            timeout_ms: u32::try_from(start.timeout_ms).unwrap_or(0),
            at_ms: now.wall_ms,
            stage: Stage::None,
        };
        let write = self.out.store(stored(id, row), None);
        self.writing(id, write, Writing::Start { row, ticket });
        self.drop_held(id, End::Fenced);
    }

    fn check_start(&self, id: &str, start: Start) -> Result<(), Refusal> {
        if id.is_empty() || id.len() > self.limits.id_bytes_max {
            return Err(Refusal::InvalidRequest);
        }
        let timeout_ms = u32::try_from(start.timeout_ms).unwrap_or(0);
        if !(1..=self.limits.timeout_ms_max).contains(&timeout_ms) {
            return Err(Refusal::Timeout);
        }
        match self.all.get(id) {
            Some(owner) if owner.writing.is_some() => Err(Refusal::Busy),
            None if self.all.len() >= self.limits.ids_max && self.idle_longest().is_none() => {
                Err(Refusal::Full)
            }
            _ => Ok(()),
        }
    }

    /// The id without a transaction that nobody used for longest; one whose producer is still to
    /// hear that its transaction is gone only if there is no other.
    fn idle_longest(&self) -> Option<Arc<str>> {
        let idle = self.all.values().filter(|owner| owner.is_idle());
        let rank = |owner: &&Owner<B>| (matches!(owner.state, State::Lost(_)), owner.row.at_ms);
        idle.min_by_key(rank).map(|owner| Arc::clone(&owner.id))
    }

    /// A transaction is to write there too; with the first such thing it begins. The answer comes
    /// when it is durable that it did.
    pub fn add(
        &mut self,
        id: &Arc<str>,
        (ticket, producer): (Ticket, Producer),
        part: Part,
        now: Moment,
    ) {
        if let Err(why) = self.check_part(id, producer, &part) {
            return self.refuse(ticket, why);
        }
        let Some(owner) = self.all.get_mut(id) else { return };
        match (&mut owner.state, &mut owner.writing) {
            (State::Open(held), None) => {
                self.held += held.admit(part);
                self.out.answer(ticket, Answer::Done);
            }
            (State::Open(held), Some((_, Writing::Begin { tickets, .. }))) => {
                self.held += held.admit(part);
                tickets.push(ticket);
            }
            (_, Some(_)) => self.refuse(ticket, Refusal::Busy),
            (State::Lost(lost), None) => {
                let why = lost.why;
                self.refuse(ticket, why);
            }
            (State::Idle(before), None) => {
                let before = *before;
                let mut held = Held::new(now.steady_ms, now.wall_ms);
                self.held += held.admit(part);
                owner.state = State::Open(held);
                owner.row.at_ms = now.wall_ms;
                let change = owner.change(Stage::Open, now);
                self.open += 1;
                let write = self.out.store(change, None);
                self.writing(id, write, Writing::Begin { before, tickets: vec![ticket] });
            }
        }
    }

    fn check_part(&mut self, id: &str, producer: Producer, part: &Part) -> Result<(), Refusal> {
        let room = self.limits.all_bytes_max.saturating_sub(self.held);
        let bytes_max = self.limits.bytes_max;
        let owner = self.owner(id, producer)?;
        let (held, more) = match &owner.state {
            State::Open(held) => (held.bytes, held.bytes_with(part)),
            State::Idle(_) => (0, Held::<B>::new(0, 0).bytes_with(part)),
            State::Lost(_) => (0, 0),
        };
        if held.saturating_add(more) > bytes_max {
            return Err(Refusal::TooLarge);
        }
        if more > room { Err(Refusal::NoRoom) } else { Ok(()) }
    }

    /// Whether the producer that has an id has a transaction that writes there.
    ///
    /// # Errors
    /// When it has none.
    pub fn expects(
        &mut self,
        id: &str,
        producer: Producer,
        partition: PartitionId,
    ) -> Result<(), Refusal> {
        match self.owner(id, producer)?.open()?.partitions.contains(&partition) {
            true => Ok(()),
            false => Err(Refusal::NotOpen),
        }
    }

    /// Whether a batch of so many bytes may be held.
    ///
    /// # Errors
    /// When it has no transaction, or there is no room for it.
    pub fn admits(&mut self, id: &str, producer: Producer, bytes: usize) -> Result<(), Refusal> {
        let room = self.limits.all_bytes_max.saturating_sub(self.held);
        let bytes_max = self.limits.bytes_max;
        let held = self.owner(id, producer)?.open()?;
        if held.bytes.saturating_add(bytes) > bytes_max {
            return Err(Refusal::TooLarge);
        }
        if bytes > room { Err(Refusal::NoRoom) } else { Ok(()) }
    }

    /// A batch of the producer's transaction was refused, and clients do not send such a one again:
    /// all of the transaction is gone, and what comes behind it is refused alike. Whether there was
    /// one: the batch's sequence numbers are used then.
    pub fn doom(
        &mut self,
        id: &str,
        producer: Producer,
        partition: PartitionId,
        error: ResponseError,
    ) -> bool {
        let Ok(owner) = self.owner(id, producer) else { return false };
        if owner.writing.is_some() || matches!(owner.state, State::Idle(_)) {
            return false;
        }
        let id = Arc::clone(&owner.id);
        self.lose(&id, Refusal::Doomed(error));
        let state = self.all.get_mut(&id).map(|owner| &mut owner.state);
        if let Some(State::Lost(Lost { touched: Some(touched), .. })) = state {
            touched.insert(partition);
        }
        true
    }

    /// Holds a batch that was admitted.
    pub fn hold(&mut self, id: &str, producer: Producer, batch: B, bytes: usize) {
        if let Ok(held) = self.owner(id, producer).and_then(Owner::open) {
            held.batches.push(batch);
            held.bytes += bytes;
            self.held += bytes;
        }
    }

    /// Holds offsets for a group that was added.
    ///
    /// # Errors
    /// When there is no such transaction, or no room.
    pub fn hold_offsets(
        &mut self,
        id: &Arc<str>,
        producer: Producer,
        group: &Arc<str>,
        wanted: Vec<Wanted>,
    ) -> Result<(), Refusal> {
        let bytes = bytes_of(&wanted);
        let room = self.limits.all_bytes_max.saturating_sub(self.held);
        let bytes_max = self.limits.bytes_max;
        let held = self.owner(id, producer)?.open()?;
        if !held.groups.contains(group) {
            return Err(Refusal::NotOpen);
        }
        if held.bytes.saturating_add(bytes) > bytes_max {
            self.lose(id, Refusal::Doomed(Refusal::TooLarge.to_produce()));
            return Err(Refusal::TooLarge);
        }
        if bytes > room {
            return Err(Refusal::NoRoom);
        }
        held.bytes += bytes;
        let offsets = held.offsets.entry(Arc::clone(group)).or_default();
        let mut new = Vec::new();
        for one in wanted {
            let spot = one.spot.clone();
            if offsets.insert(spot.clone(), one).is_none() {
                new.push(spot);
            }
        }
        new.iter().for_each(|spot| self.waiting.add(group, spot));
        self.held += bytes;
        Ok(())
    }

    /// A transaction ends. The answer comes when that is durable.
    pub fn end(
        &mut self,
        id: &Arc<str>,
        (ticket, producer): (Ticket, Producer),
        is_commit: bool,
        now: Moment,
    ) {
        let owner = match self.owner(id, producer) {
            Ok(owner) if owner.writing.is_some() => return self.refuse(ticket, Refusal::Busy),
            Ok(owner) => owner,
            Err(why) => return self.refuse(ticket, why),
        };
        match (&owner.state, is_commit) {
            (State::Open(_), true) => {
                let change = owner.change(Stage::Committed, now);
                let write = self.out.commit(id, change);
                self.writing(id, write, Writing::Commit(ticket));
            }
            (State::Open(_) | State::Lost(_), false) => {
                let unnumbered = Unnumbered { producer: producer.id, partitions: owner.touched() };
                let change = owner.change(Stage::Aborted, now);
                let write = self.out.store(change, Some(unnumbered));
                self.writing(id, write, Writing::Abort(ticket));
                self.drop_held(id, End::Aborted);
            }
            (State::Lost(lost), true) => {
                let why = lost.why;
                self.refuse(ticket, why);
            }
            // The answer was lost; or the beginning was never answered.
            (State::Idle(Stage::Committed), true) | (State::Idle(_), false) => {
                self.out.answer(ticket, Answer::Done);
            }
            (State::Idle(_), true) => self.refuse(ticket, Refusal::NotOpen),
        }
    }

    /// What became of a write.
    pub fn stored(&mut self, write: u64, is_stored: bool, now: Moment) {
        let Some(id) = self.writes.remove(&write) else { return };
        let Some(owner) = self.all.get_mut(&id) else { return };
        let Some((_, writing)) = owner.writing.take_if(|(number, _)| *number == write) else {
            return;
        };
        match writing {
            Writing::Start { row, ticket } => self.started(&id, row, (ticket, is_stored)),
            Writing::Begin { before, tickets } => self.begun(&id, before, (tickets, is_stored)),
            Writing::Commit(ticket) => self.committed(&id, (ticket, is_stored), now),
            Writing::Abort(ticket) => {
                if is_stored {
                    owner.state = State::Idle(Stage::Aborted);
                    owner.row.at_ms = now.wall_ms;
                }
                self.answer(ticket, is_stored, Answer::Done);
            }
            Writing::Forget if is_stored => self.forget(&id),
            Writing::Forget => (),
        }
        self.reschedule(&id);
    }

    fn started(&mut self, id: &Arc<str>, row: TransactionRow, (ticket, is_stored): (Ticket, bool)) {
        let Some(owner) = self.all.get_mut(id) else { return };
        if is_stored {
            self.numbers.remove(&owner.row.producer);
            self.numbers.insert(row.producer, Arc::clone(id));
            owner.row = row;
            owner.state = State::Idle(Stage::None);
        } else if owner.row.epoch < 0 {
            self.all.remove(id);
        }
        let producer = Producer { id: row.producer, epoch: row.epoch };
        self.answer(ticket, is_stored, Answer::Producer(producer));
    }

    fn begun(&mut self, id: &Arc<str>, before: Stage, (tickets, is_stored): (Vec<Ticket>, bool)) {
        if !is_stored && let Some(owner) = self.all.get_mut(id) {
            if let State::Open(held) = &owner.state {
                self.held -= held.bytes;
            }
            owner.state = State::Idle(before);
            self.open -= 1;
        }
        tickets.into_iter().for_each(|it| self.answer(it, is_stored, Answer::Done));
    }

    fn committed(&mut self, id: &Arc<str>, (ticket, is_stored): (Ticket, bool), now: Moment) {
        if is_stored {
            self.drop_held(id, End::Committed);
            if let Some(owner) = self.all.get_mut(id) {
                owner.state = State::Idle(Stage::Committed);
                owner.row.at_ms = now.wall_ms;
            }
        }
        self.answer(ticket, is_stored, Answer::Done);
    }

    /// What becomes of a write only the next start will show. A commit stays under way until then:
    /// who called it lost, and sent its records anew, would have them twice.
    pub fn lose_sight(&mut self, write: u64, now: Moment) {
        let owner = self.writes.get(&write).and_then(|id| self.all.get(id));
        match owner.and_then(|owner| owner.writing.as_ref()) {
            Some(&(_, Writing::Commit(ticket))) => self.refuse(ticket, Refusal::NotStored),
            _ => self.stored(write, false, now),
        }
    }

    /// A transaction that cannot be committed, ever: it is gone, and its producer hears so.
    pub fn give_up(&mut self, write: u64, now: Moment) {
        let id = self.writes.get(&write).cloned();
        let owner = id.as_ref().and_then(|id| self.all.get_mut(id));
        if let (Some(id), Some(owner)) = (id, owner)
            && let Some((_, Writing::Commit(ticket))) = owner.writing
        {
            self.writes.remove(&write);
            owner.writing = None;
            self.drop_held(&id, End::Aborted);
            self.refuse(ticket, Refusal::Lost);
            return self.reschedule(&id);
        }
        self.stored(write, false, now);
    }

    /// Does what is due: transactions whose time is over are gone.
    pub fn tick(&mut self, now: Moment) {
        while let Some((at, id)) = self.agenda.first().cloned()
            && at <= now.steady_ms
        {
            self.drop_held(&id, End::TimedOut);
            self.agenda.remove(&(at, id));
        }
    }

    /// When something is due next.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// Forgets ids that nobody used for long. Looks at all of them: now and then.
    pub fn expire(&mut self, now: Moment) {
        let retention_ms = i64::try_from(self.limits.retention_ms).unwrap_or(i64::MAX);
        let is_over = |owner: &&Owner<B>| {
            let until = owner.row.at_ms.saturating_add(retention_ms);
            owner.is_idle() && until <= now.wall_ms
        };
        let over: Vec<_> =
            self.all.values().filter(is_over).map(|owner| Arc::clone(&owner.id)).collect();
        over.iter().for_each(|id| self.begin_to_forget(id));
    }

    fn begin_to_forget(&mut self, id: &Arc<str>) {
        let change = TableChange::new(Table::Transactions, id.as_bytes().into(), None);
        let write = self.out.store(change, None);
        self.writing(id, write, Writing::Forget);
    }

    /// What is to be done, in this order.
    #[must_use]
    pub fn take_effects(&mut self) -> Vec<Effect<B>> {
        self.out.take()
    }

    /// What the transaction of an id holds.
    #[must_use]
    pub fn held(&self, id: &str) -> Option<&Held<B>> {
        match &self.all.get(id)?.state {
            State::Open(held) => Some(held),
            _ => None,
        }
    }

    /// Whether that number belongs to a transactional id.
    #[must_use]
    pub fn has_number(&self, producer: i64) -> bool {
        self.numbers.contains_key(&producer)
    }

    /// Whether a transaction has an offset for that place that is not committed yet.
    #[must_use]
    pub fn is_waiting(&self, group: &str, spot: &Spot) -> bool {
        self.waiting.has(group, spot)
    }

    /// Transactions that are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open
    }

    /// Bytes that they hold.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held
    }

    fn owner(&mut self, id: &str, producer: Producer) -> Result<&mut Owner<B>, Refusal> {
        let owner = self.all.get_mut(id).ok_or(Refusal::Unknown)?;
        owner.check(producer)?;
        Ok(owner)
    }

    fn refuse(&mut self, ticket: Ticket, why: Refusal) {
        self.out.answer(ticket, Answer::Refused(why));
    }

    fn answer(&mut self, ticket: Ticket, is_stored: bool, done: Answer) {
        let answer = if is_stored { done } else { Answer::Refused(Refusal::NotStored) };
        self.out.answer(ticket, answer);
    }

    fn writing(&mut self, id: &Arc<str>, write: u64, what: Writing) {
        self.writes.insert(write, Arc::clone(id));
        if let Some(owner) = self.all.get_mut(id) {
            owner.writing = Some((write, what));
        }
        self.reschedule(id);
    }

    /// What the id's transaction holds is taken from it: it is in the log, or gone.
    fn drop_held(&mut self, id: &Arc<str>, end: End) {
        self.take_held(id, end, Refusal::Lost);
    }

    /// It will never be in the log, and this is why.
    fn lose(&mut self, id: &Arc<str>, why: Refusal) {
        self.take_held(id, End::Doomed, why);
    }

    fn take_held(&mut self, id: &Arc<str>, end: End, why: Refusal) {
        let Some(owner) = self.all.get_mut(id) else { return };
        if !matches!(owner.state, State::Open(_)) {
            return;
        }
        let lost = State::Lost(Lost { why, touched: owner.touched() });
        if let State::Open(held) = std::mem::replace(&mut owner.state, lost) {
            self.held -= held.bytes;
            self.open -= 1;
            self.waiting.remove(&held.offsets);
            self.out.ended(end, held.batches);
        }
        self.reschedule(id);
    }

    fn forget(&mut self, id: &Arc<str>) {
        if let Some(owner) = self.all.remove(id) {
            self.numbers.remove(&owner.row.producer);
        }
    }

    fn reschedule(&mut self, id: &Arc<str>) {
        let Some(owner) = self.all.get_mut(id) else { return };
        let due = owner.due();
        if due == owner.scheduled {
            return;
        }
        if let Some(at) = owner.scheduled {
            self.agenda.remove(&(at, Arc::clone(id)));
        }
        owner.scheduled = due;
        if let Some(at) = due {
            self.agenda.insert((at, Arc::clone(id)));
        }
    }
}
