//! Random histories of many clients, a store that is slow or refuses, and a broker that crashes.
//! Whatever happens: no two clients read the same partition in one generation, no offset is lost
//! or goes back, nobody waits longer than the members' patience, and left alone all read all.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::{ProptestConfig, Strategy, any, prop, proptest};

use crate::groups::tests::bench::{Bench, GROUP, Who, anew, caller, limits, wanted};
use crate::groups::{Answer, Caller, Joined, Limits, Refusal, Ticket};

const CLIENTS: usize = 5;
const PARTITIONS: u32 = 4;
const SESSION_MS: i32 = 3_000;
const PATIENCE_MS: u64 = 6_000;

#[derive(Clone, Debug)]
enum Action {
    /// A client does what comes next in its life.
    Step(usize),
    /// A client commits what it read.
    Commit(usize),
    Leave(usize),
    /// A client's program ends without a word and starts again.
    Restart(usize),
    Pass(u64),
    Store(bool),
    Crash,
}

fn action() -> impl Strategy<Value = Action> {
    let dice = (0_u32..100, 0..CLIENTS, 0_u64..3_000, any::<bool>());
    dice.prop_map(|(dice, client, ms, is_stored)| match dice {
        0..50 => Action::Step(client),
        50..62 => Action::Commit(client),
        62..66 => Action::Leave(client),
        66..70 => Action::Restart(client),
        70..82 => Action::Pass(ms),
        82..97 => Action::Store(is_stored || dice < 94),
        _ => Action::Crash,
    })
}

#[derive(Debug)]
enum Life {
    Out,
    Joining { ticket: Ticket, since: u64 },
    Agreed(Joined),
    Asking { ticket: Ticket, since: u64, joined: Joined },
    Reads { generation: i32, partitions: Vec<u32> },
}

struct Client {
    member: Arc<str>,
    instance: Option<&'static str>,
    comes_back: bool,
    life: Life,
    commits: Vec<(Ticket, u32, u64)>,
}

impl Client {
    fn who(&self) -> Who {
        Who {
            member: Arc::clone(&self.member),
            instance: self.instance,
            session_ms: SESSION_MS,
            rebalance_ms: Some(6_000),
            comes_back: self.comes_back,
            may_skip: self.comes_back,
            ..anew()
        }
    }

    fn caller(&self, generation: i32) -> Caller {
        let instance = self.instance.map(Arc::from);
        Caller { instance, ..caller(&self.member, generation) }
    }

    fn refused(&mut self, why: Refusal) {
        if matches!(why, Refusal::UnknownMember | Refusal::Fenced) {
            self.member = "".into();
        }
        self.life = Life::Out;
    }
}

struct World {
    bench: Bench,
    clients: Vec<Client>,
    /// Who reads a partition in a generation.
    claims: HashMap<(i32, u32), usize>,
}

impl World {
    fn new() -> Self {
        let mut bench = Bench::with(Limits { initial_delay_ms: 50, ..limits() });
        bench.is_quick = false;
        let instances = [None, Some("box-1"), None, Some("box-3"), None];
        let client = |(at, instance)| Client {
            member: "".into(),
            instance,
            comes_back: at % 3 != 0,
            life: Life::Out,
            commits: Vec::new(),
        };
        let clients = instances.into_iter().enumerate().map(client).collect();
        Self { bench, clients, claims: HashMap::new() }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Step(at) => self.step(at),
            Action::Commit(at) => self.commit(at),
            Action::Leave(at) => {
                let member = Arc::clone(&self.clients[at].member);
                if !member.is_empty() {
                    let _ = self.bench.leave(&member);
                    self.clients[at].refused(Refusal::UnknownMember);
                }
            }
            Action::Restart(at) => self.restart(at),
            Action::Pass(ms) => {
                // A store that is alive answers; how long it takes is not the group's to bound.
                while !self.bench.writes.is_empty() {
                    self.bench.store(true);
                }
                self.bench.pass(ms);
            }
            Action::Store(is_stored) => {
                if !self.bench.writes.is_empty() {
                    self.bench.store(is_stored);
                }
            }
            Action::Crash => self.crash(),
        }
        self.listen();
        self.check_patience();
    }

    fn step(&mut self, at: usize) {
        let now = self.bench.now.steady_ms;
        let client = &mut self.clients[at];
        match &client.life {
            Life::Out => {
                let ticket = self.bench.join(&client.who());
                client.life = Life::Joining { ticket, since: now };
            }
            Life::Agreed(joined) => {
                let shares = share_out(joined);
                let shares: Vec<(&Arc<str>, &str)> =
                    shares.iter().map(|(member, what)| (member, what.as_str())).collect();
                let ticket = self.bench.sync(client.caller(joined.generation), &shares);
                client.life = Life::Asking { ticket, since: now, joined: joined.clone() };
            }
            Life::Reads { generation, .. } => {
                if let Err(why) = self.bench.heartbeat(&client.caller(*generation)) {
                    client.refused(why);
                }
            }
            Life::Joining { .. } | Life::Asking { .. } => (),
        }
    }

    fn commit(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let Life::Reads { generation, partitions } = &client.life else { return };
        for partition in partitions {
            let offset = self.bench.offset(*partition).unwrap_or(0) + 1;
            let who = client.caller(*generation);
            let ticket = self.bench.commit(&who, vec![wanted(*partition, offset)]);
            client.commits.push((ticket, *partition, offset));
        }
    }

    fn restart(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if let Life::Joining { ticket, .. } | Life::Asking { ticket, .. } = client.life {
            self.bench.groups.hang_up(&GROUP.into(), ticket, self.bench.now);
        }
        client.commits.clear();
        client.refused(Refusal::UnknownMember);
    }

    /// What was durable is there; connections are not.
    fn crash(&mut self) {
        let before: Vec<_> = (0..PARTITIONS).map(|it| self.bench.offset(it)).collect();
        self.bench.crash();
        let after: Vec<_> = (0..PARTITIONS).map(|it| self.bench.offset(it)).collect();
        assert_eq!(before, after, "a crash changes no offset");
        for client in &mut self.clients {
            client.commits.clear();
            client.life = match std::mem::replace(&mut client.life, Life::Out) {
                Life::Joining { .. } => Life::Out,
                Life::Asking { joined, .. } => Life::Agreed(joined),
                other => other,
            };
        }
    }

    /// Clients take note of what they were told.
    fn listen(&mut self) {
        for at in 0..CLIENTS {
            self.hear_commits(at);
            let client = &mut self.clients[at];
            let (Life::Joining { ticket, .. } | Life::Asking { ticket, .. }) = client.life else {
                continue;
            };
            match self.bench.answers.remove(&ticket) {
                None => (),
                Some(Answer::ComeBack(id)) => {
                    client.member = id;
                    client.life = Life::Out;
                }
                Some(Answer::Joined(joined)) => {
                    client.member = Arc::clone(&joined.member);
                    client.life = Life::Agreed(joined);
                }
                Some(Answer::Refused(why)) => client.refused(why),
                Some(Answer::Synced { assignment, .. }) => self.claim(at, &assignment),
                Some(Answer::Done) => panic!("nobody asked for that"),
            }
        }
    }

    fn hear_commits(&mut self, at: usize) {
        let bench = &mut self.bench;
        self.clients[at].commits.retain(|(ticket, partition, offset)| {
            match bench.answers.remove(ticket) {
                None => true,
                Some(Answer::Done) => {
                    let now = bench.offset(*partition).expect("it was committed");
                    assert!(now >= *offset, "what is acknowledged is there");
                    false
                }
                Some(_) => false,
            }
        });
    }

    fn claim(&mut self, at: usize, assignment: &[u8]) {
        let client = &mut self.clients[at];
        let Life::Asking { joined, .. } = &client.life else { return };
        let text = std::str::from_utf8(assignment).expect("tests assign text");
        let partitions: Vec<u32> =
            text.split_whitespace().map(|it| it.parse().expect("a number")).collect();
        let generation = joined.generation;
        for partition in &partitions {
            let owner = *self.claims.entry((generation, *partition)).or_insert(at);
            assert_eq!(owner, at, "one reader of partition {partition} in {generation}");
        }
        client.life = Life::Reads { generation, partitions };
    }

    fn check_patience(&self) {
        for client in &self.clients {
            if let Life::Joining { since, .. } | Life::Asking { since, .. } = client.life {
                let waited = self.bench.now.steady_ms - since;
                assert!(waited <= PATIENCE_MS, "waited {waited} ms");
            }
        }
    }

    /// Everybody does what a well-behaved client does, and nothing fails any more.
    fn settle(&mut self) {
        for _ in 0..60 {
            for at in 0..CLIENTS {
                self.act(&Action::Step(at));
            }
            self.act(&Action::Pass(500));
        }
        let mut read: Vec<u32> = Vec::new();
        let mut generations = Vec::new();
        for client in &self.clients {
            let Life::Reads { generation, partitions } = &client.life else {
                panic!("somebody still does not read: {:?}", client.life);
            };
            read.extend(partitions);
            generations.push(*generation);
        }
        generations.dedup();
        read.sort_unstable();
        assert_eq!((generations.len(), read), (1, (0..PARTITIONS).collect()));
    }
}

/// As a leader does it: each partition to one member.
fn share_out(joined: &Joined) -> Vec<(Arc<str>, String)> {
    if joined.skips {
        return Vec::new();
    }
    let count = joined.members.len();
    let members = joined.members.iter().enumerate();
    let share = |at: usize| {
        let own = (0..PARTITIONS as usize).filter(|partition| partition % count == at);
        own.map(|it| it.to_string()).collect::<Vec<_>>().join(" ")
    };
    members.map(|(at, listed)| (Arc::clone(&listed.member), share(at))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn no_history_makes_two_readers_of_one_partition(
        actions in prop::collection::vec(action(), 0..300)
    ) {
        let mut world = World::new();
        actions.iter().for_each(|action| world.act(action));
        world.settle();
    }
}
