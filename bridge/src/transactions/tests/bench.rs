//! Transactions with a store that does what a test says, and a log that can be looked at.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use kafka_protocol::ResponseError;
use tidewire_proto::id::PartitionId;
use tidewire_store::TableChange;
use tidewire_store::rows::transaction::TransactionRow;

use crate::groups::{Moment, Spot, Wanted};
use crate::transactions::{
    Answer, Effect, End, Limits, Part, Producer, Start, Ticket, Transactions, Unnumbered,
};

pub(super) const HERE: PartitionId = PartitionId(1);
/// Where nothing was to be written.
pub(super) const THERE: PartitionId = PartitionId(2);
pub(super) const WHY: ResponseError = ResponseError::PolicyViolation;
pub(super) const TIMEOUT_MS: i32 = 10_000;

/// A commit on its way.
pub(super) struct Write {
    number: u64,
    change: TableChange,
    batches: Vec<u64>,
    offset: Option<u64>,
}

pub(super) struct Bench {
    pub(super) transactions: Transactions<u64>,
    pub(super) now: Moment,
    pub(super) writes: VecDeque<Write>,
    pub(super) answers: HashMap<Ticket, Answer>,
    pub(super) ends: Vec<End>,
    /// Whose numbers may be forgotten after a restart, in the order of the ends.
    pub(super) unnumbered: Vec<Unnumbered>,
    /// The values of each batch in the log.
    pub(super) log: Vec<u64>,
    /// What the group committed.
    pub(super) offset: Option<u64>,
    rows: BTreeMap<Box<[u8]>, Box<[u8]>>,
    tickets: u64,
    numbers: i64,
    limits: Limits,
}

pub(super) fn id() -> Arc<str> {
    "line-1".into()
}

pub(super) fn group() -> Arc<str> {
    "readers".into()
}

pub(super) fn spot() -> Spot {
    Spot { topic: "mqtt".into(), partition: 1 }
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(super) fn with(limits: Limits) -> Self {
        Self {
            transactions: Transactions::new(limits),
            now: Moment { steady_ms: 1, wall_ms: 1 },
            writes: VecDeque::new(),
            answers: HashMap::new(),
            ends: Vec::new(),
            unnumbered: Vec::new(),
            log: Vec::new(),
            offset: None,
            rows: BTreeMap::new(),
            tickets: 0,
            numbers: 1000,
            limits,
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(super) fn start(&mut self, known: Option<Producer>) -> Ticket {
        let ticket = self.ticket();
        self.numbers += 1;
        let needs_number = self.transactions.needs_number(&id());
        let fresh = needs_number.then_some(self.numbers);
        let start = Start { timeout_ms: TIMEOUT_MS, known, fresh };
        self.transactions.start(&id(), ticket, start, self.now);
        self.perform();
        ticket
    }

    pub(super) fn add(&mut self, producer: Producer) -> Ticket {
        self.add_part(producer, Part::Partitions(vec![HERE]))
    }

    pub(super) fn add_part(&mut self, producer: Producer, part: Part) -> Ticket {
        let ticket = self.ticket();
        self.transactions.add(&id(), (ticket, producer), part, self.now);
        self.perform();
        ticket
    }

    pub(super) fn end(&mut self, producer: Producer, is_commit: bool) -> Ticket {
        let ticket = self.ticket();
        self.transactions.end(&id(), (ticket, producer), is_commit, self.now);
        self.perform();
        ticket
    }

    pub(super) fn produce(
        &mut self,
        producer: Producer,
        value: u64,
    ) -> Result<(), crate::transactions::Refusal> {
        self.transactions.expects(&id(), producer, HERE)?;
        self.transactions.admits(&id(), producer, 100)?;
        self.transactions.hold(&id(), producer, value, 100);
        Ok(())
    }

    /// A batch is refused that does not come again. Whether its numbers are used.
    pub(super) fn refuse(&mut self, producer: Producer) -> bool {
        let is_doomed = self.transactions.doom(&id(), producer, THERE, WHY);
        self.perform();
        is_doomed
    }

    pub(super) fn read_up_to(
        &mut self,
        producer: Producer,
        offset: u64,
    ) -> Result<(), crate::transactions::Refusal> {
        let metadata: Arc<str> = "".into();
        let wanted = Wanted { spot: spot(), offset, leader_epoch: 0, metadata };
        self.transactions.hold_offsets(&id(), producer, &group(), vec![wanted])
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.now.steady_ms += ms;
        self.now.wall_ms += i64::try_from(ms).unwrap();
        self.transactions.tick(self.now);
        self.perform();
    }

    /// The store does the oldest write, or refuses it.
    pub(super) fn store(&mut self, is_stored: bool) {
        let Some(write) = self.writes.pop_front() else { return };
        let number = write.number;
        if is_stored {
            self.apply(write);
        }
        self.transactions.stored(number, is_stored, self.now);
        self.perform();
    }

    /// The store fails for good with the oldest write: the next start finds it, or does not.
    pub(super) fn fail(&mut self, is_found: bool) {
        let Some(write) = self.writes.pop_front() else { return };
        self.transactions.lose_sight(write.number, self.now);
        if is_found {
            self.apply(write);
        }
        self.perform();
    }

    fn apply(&mut self, write: Write) {
        let Write { change, batches, offset, .. } = write;
        match change.value {
            Some(value) => drop(self.rows.insert(change.key, value)),
            None => drop(self.rows.remove(&change.key)),
        }
        self.log.extend(batches);
        self.offset = offset.or(self.offset);
    }

    /// The broker is gone, and starts again; so many of the writes under way are found.
    pub(super) fn crash(&mut self, found: usize) {
        for _ in 0..found.min(self.writes.len()) {
            let write = self.writes.pop_front().unwrap();
            self.apply(write);
        }
        self.writes.clear();
        self.answers.clear();
        self.transactions = Transactions::new(self.limits);
        for (key, value) in &self.rows {
            let row = TransactionRow::decode(value).unwrap();
            self.transactions.restore(std::str::from_utf8(key).unwrap(), row);
        }
        self.now.steady_ms = 1;
    }

    /// All writes are done.
    pub(super) fn settle(&mut self) {
        while !self.writes.is_empty() {
            self.store(true);
        }
    }

    /// The answer to a request whose writes are done.
    pub(super) fn hear(&mut self, ticket: Ticket) -> Answer {
        self.settle();
        self.answers.remove(&ticket).expect("it is answered")
    }

    /// A producer that began.
    pub(super) fn started(&mut self, known: Option<Producer>) -> Producer {
        let ticket = self.start(known);
        match self.hear(ticket) {
            Answer::Producer(producer) => producer,
            other => panic!("it is told {other:?}"),
        }
    }

    /// A transaction that holds this, and an offset.
    pub(super) fn begun(&mut self, producer: Producer, values: &[u64]) {
        let ticket = self.add(producer);
        assert_eq!(self.hear(ticket), Answer::Done);
        for value in values {
            assert_eq!(self.produce(producer, *value), Ok(()));
        }
    }

    fn perform(&mut self) {
        for effect in self.transactions.take_effects() {
            match effect {
                Effect::Answer(ticket, answer) => drop(self.answers.insert(ticket, answer)),
                Effect::Store { write, change, unnumbered } => {
                    self.unnumbered.extend(unnumbered);
                    let write = Write { number: write, change, batches: vec![], offset: None };
                    self.writes.push_back(write);
                }
                Effect::Commit { write, id, change } => {
                    let held = self.transactions.held(&id).expect("there is one");
                    let offset = held.offsets.get(&group()).and_then(|it| it.get(&spot()));
                    let offset = offset.map(|it| it.offset);
                    let batches = held.batches.clone();
                    self.writes.push_back(Write { number: write, change, batches, offset });
                }
                Effect::Ended(end, _) => self.ends.push(end),
            }
        }
    }
}
