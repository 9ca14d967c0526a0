//! A bench: groups, a clock that is moved by hand, and a store that answers when it is told to.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tidewire_store::rows::group::GroupRow;
use tidewire_store::rows::offset::{OffsetKey, OffsetRow};
use tidewire_store::{Table, TableChange};

use crate::groups::{
    Answer, Caller, Effect, Groups, Join, Joined, Limits, Moment, Protocol, Refusal, Spot, Sync,
    Ticket, Wanted,
};

pub(super) const GROUP: &str = "team";

type Key = (Table, Box<[u8]>);

pub(super) struct Bench {
    pub(super) groups: Groups,
    pub(super) now: Moment,
    /// What the disk has.
    pub(super) rows: BTreeMap<Key, Box<[u8]>>,
    /// Writes that the store has not done yet.
    pub(super) writes: VecDeque<(u64, Vec<TableChange>)>,
    pub(super) answers: HashMap<Ticket, Answer>,
    tickets: u64,
    fresh: u64,
    /// Writes are done at once.
    pub(super) is_quick: bool,
}

/// How a client joins.
#[derive(Clone)]
pub(super) struct Who {
    pub(super) member: Arc<str>,
    pub(super) instance: Option<&'static str>,
    pub(super) session_ms: i32,
    pub(super) rebalance_ms: Option<i32>,
    pub(super) protocols: &'static [&'static str],
    pub(super) metadata: &'static [u8],
    pub(super) comes_back: bool,
    pub(super) may_skip: bool,
}

pub(super) fn anew() -> Who {
    Who {
        member: "".into(),
        instance: None,
        session_ms: 10_000,
        rebalance_ms: Some(60_000),
        protocols: &["range", "roundrobin"],
        metadata: b"mqtt",
        comes_back: false,
        may_skip: false,
    }
}

pub(super) fn again(member: &Arc<str>) -> Who {
    Who { member: Arc::clone(member), ..anew() }
}

pub(super) fn caller(member: &Arc<str>, generation: i32) -> Caller {
    Caller { member: Arc::clone(member), instance: None, generation }
}

pub(super) fn spot(partition: u32) -> Spot {
    Spot { topic: "mqtt".into(), partition }
}

pub(super) fn wanted(partition: u32, offset: u64) -> Wanted {
    Wanted { spot: spot(partition), offset, leader_epoch: -1, metadata: "".into() }
}

pub(super) fn limits() -> Limits {
    Limits { initial_delay_ms: 0, ..Limits::default() }
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(limits())
    }

    pub(super) fn with(limits: Limits) -> Self {
        Self {
            groups: Groups::new(limits),
            now: Moment { steady_ms: 1_000, wall_ms: 1_000_000 },
            rows: BTreeMap::new(),
            writes: VecDeque::new(),
            answers: HashMap::new(),
            tickets: 0,
            fresh: 0,
            is_quick: true,
        }
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(super) fn join(&mut self, who: &Who) -> Ticket {
        let ticket = self.ticket();
        self.fresh += 1;
        let protocols = who.protocols.iter();
        let join = Join {
            member: Arc::clone(&who.member),
            instance: who.instance.map(Arc::from),
            client_id: "client".into(),
            host: "127.0.0.1".into(),
            session_ms: who.session_ms,
            rebalance_ms: who.rebalance_ms,
            protocol_type: "consumer".into(),
            protocols: protocols
                .map(|name| Protocol { name: (*name).into(), metadata: who.metadata.into() })
                .collect(),
            comes_back: who.comes_back,
            may_skip: who.may_skip,
            fresh: format!("member-{}", self.fresh).into(),
        };
        self.groups.join(&GROUP.into(), ticket, &join, self.now);
        self.work();
        ticket
    }

    pub(super) fn sync(&mut self, who: Caller, assignments: &[(&Arc<str>, &str)]) -> Ticket {
        let ticket = self.ticket();
        let assigned = |(member, what): &(&Arc<str>, &str)| {
            (Arc::clone(member), Bytes::copy_from_slice(what.as_bytes()))
        };
        let assignments = assignments.iter().map(assigned).collect();
        let sync = Sync { caller: who, protocol_type: None, protocol: None, assignments };
        self.groups.sync(&GROUP.into(), ticket, &sync, self.now);
        self.work();
        ticket
    }

    pub(super) fn heartbeat(&mut self, who: &Caller) -> Result<(), Refusal> {
        self.groups.heartbeat(&GROUP.into(), who, self.now)
    }

    pub(super) fn leave(&mut self, member: &Arc<str>) -> Result<(), Refusal> {
        let left = self.groups.leave(&GROUP.into(), member, None, self.now);
        self.work();
        left
    }

    pub(super) fn commit(&mut self, who: &Caller, wanted: Vec<Wanted>) -> Ticket {
        let ticket = self.ticket();
        self.groups.commit(&GROUP.into(), (ticket, who), wanted, self.now);
        self.work();
        ticket
    }

    pub(super) fn end(&mut self) -> Ticket {
        let ticket = self.ticket();
        self.groups.end(&GROUP.into(), ticket, self.now);
        self.work();
        ticket
    }

    /// Time passes, step by step, as a clock would tell it.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now.steady_ms + ms;
        while let Some(due) = self.groups.next_due().filter(|due| *due <= end) {
            self.move_to(due.max(self.now.steady_ms));
            self.groups.tick(self.now);
            self.work();
        }
        self.move_to(end);
    }

    fn move_to(&mut self, steady_ms: u64) {
        let step = steady_ms - self.now.steady_ms;
        self.now.steady_ms = steady_ms;
        self.now.wall_ms += i64::try_from(step).expect("tests are short");
    }

    /// Effects go where they belong.
    pub(super) fn work(&mut self) {
        for effect in self.groups.take_effects() {
            match effect {
                Effect::Answer(ticket, answer) => {
                    let before = self.answers.insert(ticket, answer);
                    assert_eq!(before, None, "{ticket:?} is answered once");
                }
                Effect::Store { write, changes } => self.writes.push_back((write, changes)),
            }
        }
        while self.is_quick && !self.writes.is_empty() {
            self.store(true);
        }
    }

    /// The store does, or refuses, the oldest write.
    pub(super) fn store(&mut self, is_stored: bool) {
        let (write, changes) = self.writes.pop_front().expect("a write waits");
        for change in changes.into_iter().filter(|_| is_stored) {
            let key = (change.table, change.key);
            match change.value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
        self.groups.stored(write, is_stored, self.now);
        self.work();
    }

    /// The broker is gone, with all that was not on disk, and starts again.
    pub(super) fn crash(&mut self) {
        self.writes.clear();
        let mut groups = Groups::new(*self.groups.limits());
        for ((table, key), value) in &self.rows {
            match table {
                Table::Groups => {
                    let name = std::str::from_utf8(key).expect("a name");
                    let row = GroupRow::decode(value).expect("what was written is read");
                    groups.restore(name, row, self.now);
                }
                _ => {
                    let key = OffsetKey::decode(key).expect("what was written is read");
                    let row = OffsetRow::decode(value).expect("what was written is read");
                    let spot = Spot { topic: key.topic.into(), partition: key.partition };
                    groups.restore_offset(key.group, spot, row, self.now);
                }
            }
        }
        self.groups = groups;
    }

    pub(super) fn answer(&mut self, ticket: Ticket) -> Answer {
        self.answers.remove(&ticket).expect("it is answered")
    }

    pub(super) fn joined(&mut self, ticket: Ticket) -> Joined {
        match self.answer(ticket) {
            Answer::Joined(joined) => joined,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn refused(&mut self, ticket: Ticket) -> Refusal {
        match self.answer(ticket) {
            Answer::Refused(why) => why,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn assigned(&mut self, ticket: Ticket) -> String {
        match self.answer(ticket) {
            Answer::Synced { assignment, .. } => {
                String::from_utf8(assignment.to_vec()).expect("tests assign text")
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn is_waiting(&self, ticket: Ticket) -> bool {
        !self.answers.contains_key(&ticket)
    }

    pub(super) fn offset(&self, partition: u32) -> Option<u64> {
        Some(self.groups.offset(GROUP, &"mqtt".into(), partition)?.offset)
    }

    /// One member that reads "all".
    pub(super) fn with_one(&mut self) -> Joined {
        let ticket = self.join(&anew());
        let joined = self.joined(ticket);
        let me = caller(&joined.member, joined.generation);
        let ticket = self.sync(me, &[(&joined.member, "all")]);
        assert_eq!(self.assigned(ticket), "all");
        joined
    }

    /// Two members: the leader reads "left", the other "right".
    pub(super) fn with_two(&mut self) -> (Joined, Joined) {
        let one = self.with_one();
        let second = self.join(&anew());
        let first = self.join(&again(&one.member));
        let (one, two) = (self.joined(first), self.joined(second));
        let waits = self.sync(caller(&two.member, two.generation), &[]);
        let shares = [(&one.member, "left"), (&two.member, "right")];
        let leads = self.sync(caller(&one.member, one.generation), &shares);
        assert_eq!(self.assigned(leads), "left");
        assert_eq!(self.assigned(waits), "right");
        (one, two)
    }
}
