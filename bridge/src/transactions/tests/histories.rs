//! Random histories of two producers with one transactional id, answers that are lost, a store
//! that is slow or refuses, and a broker that crashes. Whatever happens: a transaction is in the
//! log wholly or not at all, once; wholly if its producer was told so, never if it was aborted; the
//! offset is that of the last one in the log; and left alone a producer gets its transaction done.

use proptest::prelude::{ProptestConfig, Strategy, any, prop, proptest};

use crate::transactions::tests::bench::{Bench, group};
use crate::transactions::{Answer, Part, Producer, Refusal, Ticket};

const VALUES: u64 = 3;

#[derive(Clone, Copy, Debug)]
enum Action {
    /// A producer does what comes next in its life.
    Step(usize),
    /// It would rather abort.
    Abort(usize),
    /// Something of its transaction is refused for good, and it does not mind.
    Refuse(usize),
    /// Its program ends without a word and starts again.
    Restart(usize),
    /// The answer that it waits for is lost; it asks again.
    Deaf(usize),
    Pass(u64),
    Store(bool),
    Crash(usize),
}

fn action() -> impl Strategy<Value = Action> {
    let dice = (0_u32..100, 0_usize..2, 0_u64..4_000, any::<bool>());
    dice.prop_map(|(dice, at, ms, is_stored)| match dice {
        0..45 => Action::Step(at),
        45..48 => Action::Abort(at),
        48..50 => Action::Refuse(at),
        50..54 => Action::Restart(at),
        54..60 => Action::Deaf(at),
        60..66 => Action::Pass(ms),
        66..95 => Action::Store(is_stored || dice < 90),
        _ => Action::Crash(usize::try_from(ms % 3).unwrap()),
    })
}

/// What a producer asked for, and asks for again if it hears nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Start(Option<Producer>),
    Add,
    AddGroup,
    End(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// It has to start; who it was, if it goes on.
    Out(Option<Producer>),
    Ready,
    /// The transaction has so many values; the group is added or not.
    In(u64, bool),
    /// Something went wrong: abort.
    Broken,
    /// Another one is the producer now.
    Fenced,
}

/// What its producer knows of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    /// The commit was asked for.
    Asked,
    /// Something of it was refused.
    Doomed,
    Committed,
    Aborted,
}

#[derive(Clone, Copy)]
struct Client {
    who: Producer,
    life: Life,
    waits: Option<(Ask, Option<Ticket>)>,
    /// The number of its transaction.
    at: usize,
    /// It is under way, as far as the producer knows.
    is_open: bool,
}

struct World {
    bench: Bench,
    clients: [Client; 2],
    fates: Vec<Fate>,
}

/// The values of a transaction.
fn values(at: usize) -> std::ops::Range<u64> {
    let from = at as u64 * VALUES;
    from..from + VALUES
}

impl World {
    fn new() -> Self {
        let client = || Client {
            who: Producer { id: -1, epoch: -1 },
            life: Life::Out(None),
            waits: None,
            at: 0,
            is_open: false,
        };
        Self { bench: Bench::new(), clients: [client(), client()], fates: Vec::new() }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Step(at) => self.step(at),
            Action::Abort(at) => {
                let client = &mut self.clients[at];
                if matches!(client.life, Life::In(..)) && client.waits.is_none() {
                    client.life = Life::Broken;
                }
            }
            Action::Refuse(at) => self.refuse(at),
            Action::Restart(at) => {
                self.clients[at].life = Life::Out(None);
                self.clients[at].waits = None;
            }
            Action::Deaf(at) => {
                if let Some((_, ticket)) = &mut self.clients[at].waits {
                    *ticket = None;
                }
            }
            Action::Pass(ms) => self.bench.pass(ms),
            Action::Store(is_stored) => self.bench.store(is_stored),
            Action::Crash(found) => {
                self.bench.crash(found);
                for client in &mut self.clients {
                    if let Some((_, ticket)) = &mut client.waits {
                        *ticket = None;
                    }
                }
            }
        }
        self.listen();
        self.check();
    }

    fn refuse(&mut self, at: usize) {
        let Client { who, life, waits, at, .. } = self.clients[at];
        let is_open = matches!(life, Life::In(..)) && waits.is_none();
        if is_open && self.bench.refuse(who) {
            self.fates[at] = Fate::Doomed;
        }
    }

    fn step(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let who = client.who;
        if let Some((ask, ticket)) = client.waits {
            if ticket.is_none() {
                self.ask(at, ask);
            }
            return;
        }
        match client.life {
            Life::Out(known) => self.ask(at, Ask::Start(known)),
            Life::Ready => self.ask(at, Ask::Add),
            Life::In(count, _) if count < VALUES => {
                let value = values(client.at).start + count;
                client.life = match self.bench.produce(who, value) {
                    Ok(()) => Life::In(count + 1, false),
                    Err(Refusal::Fenced) => Life::Fenced,
                    Err(_) => Life::Broken,
                };
            }
            Life::In(_, false) => self.ask(at, Ask::AddGroup),
            Life::In(_, true) => match self.bench.read_up_to(who, client.at as u64) {
                Ok(()) => {
                    let fate = &self.fates[self.clients[at].at];
                    assert_ne!(*fate, Fate::Doomed, "nothing more is taken");
                    self.fates[self.clients[at].at] = Fate::Asked;
                    self.ask(at, Ask::End(true));
                }
                Err(_) => client.life = Life::Broken,
            },
            Life::Broken => self.ask(at, Ask::End(false)),
            Life::Fenced => client.life = Life::Out(None),
        }
    }

    fn ask(&mut self, at: usize, ask: Ask) {
        let who = self.clients[at].who;
        let ticket = match ask {
            Ask::Start(known) => self.bench.start(known),
            Ask::Add => self.bench.add(who),
            Ask::AddGroup => self.bench.add_part(who, Part::Group(group())),
            Ask::End(is_commit) => self.bench.end(who, is_commit),
        };
        self.clients[at].waits = Some((ask, Some(ticket)));
    }

    fn listen(&mut self) {
        for at in 0..2 {
            let Some((ask, Some(ticket))) = self.clients[at].waits else { continue };
            let Some(answer) = self.bench.answers.remove(&ticket) else { continue };
            self.clients[at].waits = None;
            self.heard(at, ask, answer);
        }
    }

    fn heard(&mut self, at: usize, ask: Ask, answer: Answer) {
        let client = &mut self.clients[at];
        client.life = match (ask, answer) {
            (_, Answer::Refused(Refusal::Busy | Refusal::NotStored)) => {
                client.waits = Some((ask, None));
                return;
            }
            (_, Answer::Refused(Refusal::Fenced)) => Life::Fenced,
            (Ask::Start(_), Answer::Producer(who)) => {
                (client.who, client.is_open) = (who, false);
                Life::Ready
            }
            (Ask::Add, Answer::Done) => {
                (client.at, client.is_open) = (self.fates.len(), true);
                self.fates.push(Fate::Open);
                Life::In(0, false)
            }
            (Ask::AddGroup, Answer::Done) => Life::In(VALUES, true),
            (Ask::End(true), Answer::Done) => {
                self.fates[client.at] = Fate::Committed;
                client.is_open = false;
                Life::Ready
            }
            (Ask::End(true), Answer::Refused(Refusal::Lost | Refusal::Doomed(_))) => {
                self.fates[client.at] = Fate::Aborted;
                Life::Broken
            }
            (Ask::End(false), Answer::Done) => {
                if client.is_open {
                    let fate = &mut self.fates[client.at];
                    let may_be = matches!(fate, Fate::Open | Fate::Aborted | Fate::Doomed);
                    assert!(may_be, "{fate:?}");
                    *fate = Fate::Aborted;
                }
                client.is_open = false;
                // Some begin a new epoch, some do not.
                if client.at.is_multiple_of(2) { Life::Ready } else { Life::Out(Some(client.who)) }
            }
            (Ask::Add | Ask::AddGroup, Answer::Refused(Refusal::Lost | Refusal::Doomed(_))) => {
                Life::Broken
            }
            other => panic!("nobody reckons with {other:?}"),
        };
    }

    fn check(&self) {
        let log = &self.bench.log;
        for (at, fate) in self.fates.iter().enumerate() {
            let own: Vec<u64> = values(at).collect();
            let found: Vec<u64> =
                log.iter().filter(|value| values(at).contains(value)).copied().collect();
            let is_whole = found == own;
            assert!(is_whole || found.is_empty(), "{at} {fate:?} is there by half: {found:?}");
            assert!(is_whole || *fate != Fate::Committed, "{at} was told to be there");
            let may_be = matches!(fate, Fate::Committed | Fate::Asked);
            assert!(may_be || found.is_empty(), "{at} is {fate:?} and there");
        }
        let last = log.last().map(|value| value / VALUES);
        assert_eq!(self.bench.offset, last, "the offset goes with the values");
    }

    /// Left alone, one of them gets a transaction done.
    fn calm(&mut self) {
        for ended in [1, 0] {
            self.clients[ended].life = Life::Out(None);
            self.clients[ended].waits = None;
        }
        let before = self.bench.log.len();
        for _ in 0..100 {
            self.act(Action::Step(0));
            self.act(Action::Store(true));
        }
        assert!(self.bench.log.len() > before, "nothing goes on");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_transaction_is_whole_or_not_there(actions in prop::collection::vec(action(), 1..200)) {
        let mut world = World::new();
        for action in actions {
            world.act(action);
        }
        world.calm();
    }
}
