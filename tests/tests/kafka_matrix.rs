//! What 1,000 MQTT clients published is read by groups of one, two and three members, with every
//! library: members join, leave, are killed and are paused for longer than they may be silent. All
//! of it is read, committed once, and in order per topic.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use tidewire_tests::broker::Broker;
use tidewire_tests::members::{LIBRARIES, Said, member};
use tidewire_tests::program::Program;
use tidewire_tests::wire::{Publish, Version, Wire, kind};

/// MQTT clients, each with a topic of its own.
const CLIENTS: usize = 1_000;
/// What each of them publishes.
const EACH: usize = 20;
const ALL: usize = CLIENTS * EACH;
/// Groups that read at one time: most of their time they rest, or wait for a session's end.
const AT_ONCE: usize = 6;
/// Members are missed after this time, where they can say so themselves.
const SESSION_MS: &str = "3000";
/// They rest after each hundred records, so that what happens to them happens mid-way.
const PACE_MS: &str = "40";
/// How long a group may read nothing new; the broker waits 15 s for a paused member that is told
/// what to read. All that there is may take longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn each_library_reads_all_that_a_thousand_clients_published_whatever_happens_to_its_members() {
    let broker = Broker::start();
    publish(&broker);
    let kafka = broker.kafka_address();
    // Those that take longest begin first.
    let todo = LIBRARIES.iter().flat_map(|library| [1, 3, 2].map(|members| (*library, members)));
    let todo: Mutex<Vec<(&str, usize)>> = Mutex::new(todo.collect());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((library, members)) = next(&todo) {
                    let began = Instant::now();
                    let mut group = Group::new(library, members, kafka);
                    group.live(members);
                    let repeated = group.check();
                    let took = began.elapsed().as_secs_f32();
                    println!("{library}, {members} members: {took:.1} s, {repeated} read again");
                }
            });
        }
    });
}

fn next<T>(todo: &Mutex<Vec<T>>) -> Option<T> {
    todo.lock().expect("nobody panics with it").pop()
}

/// By all clients at once: all publish, then all hear that it is on disk, and so on.
fn publish(broker: &Broker) {
    let connect = |client| Wire::clean(broker.address(), Version::V5, &format!("client {client}"));
    let mut clients: Vec<Wire> = (0..CLIENTS).map(connect).collect();
    for number in 0..EACH {
        let id = u16::try_from(number + 1).expect("few");
        for (client, wire) in clients.iter_mut().enumerate() {
            let (topic, payload) = (format!("matrix/{client}"), format!("{client}/{number}"));
            wire.publish(&Publish::new(&topic, &payload, 1, id));
        }
        for wire in &mut clients {
            wire.answered(kind::PUBACK, id);
        }
    }
}

/// One group, and what its members said.
struct Group {
    library: &'static str,
    name: String,
    kafka: SocketAddr,
    members: Vec<Program>,
    /// What lies where, as far as it was read.
    found: BTreeMap<(u32, u64), String>,
    /// How often it was committed.
    committed: HashMap<(u32, u64), u32>,
    /// The last that each member committed of each partition.
    last: HashMap<(usize, u32), u64>,
    /// Lines about what was read, of whatever kind.
    read: usize,
}

impl Group {
    fn new(library: &'static str, members: usize, kafka: SocketAddr) -> Self {
        let name = format!("{library} {members}");
        let (members, found, last) = (Vec::new(), BTreeMap::new(), HashMap::new());
        Self { library, name, kafka, members, found, committed: HashMap::new(), last, read: 0 }
    }

    /// From the first member to the last record.
    fn live(&mut self, members: usize) {
        self.join();
        match members {
            1 => (),
            2 => {
                self.join();
                self.read_to(ALL / 4);
                self.members[0].pause();
                self.read_to(ALL);
                self.members[0].go_on();
            }
            _ => {
                self.read_to(ALL / 8);
                self.join();
                self.join();
                self.read_to(ALL / 2);
                self.members[0].kill9();
                self.read_to(ALL * 3 / 4);
                self.end(1);
            }
        }
        self.read_to(ALL);
        for at in 0..self.members.len() {
            self.end(at);
        }
    }

    fn join(&mut self) {
        let mut command = member(self.library, self.kafka, &self.name);
        command.env("MEMBER_SESSION_MS", SESSION_MS).env("MEMBER_PACE_MS", PACE_MS);
        if self.library == "kcat" {
            // It commits what it takes in hand, and may be ended before it has said what that was.
            command.args(["-X", "enable.auto.offset.store=false"]);
        }
        self.members.push(Program::start(&mut command));
    }

    /// It leaves, if it is there, and what it said last is heard.
    fn end(&mut self, at: usize) {
        if self.members[at].is_running() {
            self.members[at].ask_to_end();
        }
        for line in self.members[at].rest().1 {
            self.hear(at, &line);
        }
    }

    /// Until so many different records are read.
    fn read_to(&mut self, count: usize) {
        let mut deadline = Instant::now() + PATIENCE;
        while self.found.len() < count {
            let before = self.found.len();
            if Instant::now() > deadline {
                let said: Vec<String> = self.members.iter_mut().map(tail).collect();
                let (found, name, gaps) = (self.found.len(), &self.name, self.gaps());
                panic!("{name}: {found} of {count} read, {gaps:?}\n{}", said.join("\n---\n"));
            }
            for at in 0..self.members.len() {
                let mut patience = Duration::from_millis(5);
                while let Some(line) = self.members[at].line_within(patience) {
                    self.hear(at, &line);
                    patience = Duration::ZERO;
                }
            }
            if self.found.len() > before {
                deadline = Instant::now() + PATIENCE;
            }
        }
    }

    /// Of each partition the first record that is not read.
    fn gaps(&self) -> BTreeMap<u32, u64> {
        let mut gaps = BTreeMap::new();
        for &(partition, offset) in self.found.keys() {
            let next = gaps.entry(partition).or_insert(0);
            *next += u64::from(*next == offset);
        }
        gaps
    }

    fn hear(&mut self, at: usize, line: &str) {
        let Some(Said { word, place, value }) = Said::read(line) else { return };
        let (partition, offset) = place;
        let known = self.found.entry(place).or_insert_with(|| value.to_owned());
        assert_eq!(known, value, "{}: another record at {place:?}", self.name);
        self.read += usize::from(word == "GOT" || self.library == "kcat");
        if word == "AT" {
            *self.committed.entry(place).or_default() += 1;
            let last = self.last.insert((at, partition), offset);
            // kcat commits nothing here: what it read may come again.
            let rises = last.is_none_or(|last| last < offset) || self.library == "kcat";
            assert!(rises, "{}: a member read {offset} of {partition} behind {last:?}", self.name);
        }
    }

    /// Says how many records were read that had been read.
    fn check(&self) -> usize {
        let mut topics: BTreeMap<&str, Vec<(u32, usize)>> = BTreeMap::new();
        for (&(partition, _), value) in &self.found {
            let (client, number) = value.split_once('/').expect("so it was published");
            let number = number.parse().expect("a number");
            topics.entry(client).or_default().push((partition, number));
        }
        assert_eq!(topics.len(), CLIENTS, "{}", self.name);
        for (client, read) in &topics {
            let expected: Vec<_> = (0..EACH).map(|number| (read[0].0, number)).collect();
            assert_eq!(*read, expected, "{}: what client {client} published", self.name);
        }
        let twice: Vec<_> = self.committed.iter().filter(|(_, times)| **times > 1).collect();
        // kcat commits nothing; and what the Java client was about to commit when it was
        // paused it commits once more as the new member that it then is.
        let may_repeat = self.library == "kcat" || self.name == "java-848 2";
        assert!(twice.is_empty() || may_repeat, "{}: {twice:?}", self.name);
        self.read.saturating_sub(ALL)
    }
}

/// Whether it runs, and the end of what it said, last line first.
fn tail(member: &mut Program) -> String {
    let running = if member.is_running() { "runs" } else { "has ended" };
    let said = format!("{}\n{running}", member.output());
    let lines: Vec<&str> = said.lines().rev().take(12).collect();
    lines.join("\n")
}
