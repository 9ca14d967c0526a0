//! The broker is killed again and again while MQTT clients publish and consumer groups read and
//! commit: is a message that was acknowledged not read, is there a gap, did an offset go back?
//!
//! `TIDEWIRE_KILLS` says how often; `cargo xtask kill --kafka` kills 50 times.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidewire_tests::broker::Broker;
use tidewire_tests::chaos::{Place, Publisher, Sent};
use tidewire_tests::members::{Said, member};
use tidewire_tests::program::Program;
use tidewire_tests::wire::Version;

/// Kills of a run that is part of the tests.
const KILLS: u32 = 4;
/// Each with two members.
const LIBRARIES: [&str; 3] = ["confluent", "franz-go", "java"];
/// How long a group may take to read anything more.
const PATIENCE: Duration = Duration::from_secs(180);

/// Where a record lies: partition and offset.
type Spot = (u32, u64);

#[test]
fn kills_lose_no_message_and_no_offset_of_groups() {
    let wanted = std::env::var("TIDEWIRE_KILLS").ok().and_then(|kills| kills.parse().ok());
    let kills: u32 = wanted.unwrap_or(KILLS);
    let kafka = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let mut broker = Broker::start_with(&["--kafka", &kafka.to_string()]);
    let place = Place::new(broker.address());
    let stop = Arc::<AtomicBool>::default();
    let writers = publish(&place, &stop);
    let mut groups = LIBRARIES.map(|library| Group::new(library, kafka));
    for kill in 0..kills {
        for group in &mut groups {
            // Another moment each time.
            let more = 1 + (kill as usize * 379) % 500;
            group.read_to(group.committed.len() + more);
        }
        broker.kill9();
        broker.restart();
        place.moved_to(broker.address());
    }
    stop.store(true, Ordering::Relaxed);
    let sent: Vec<Sent> = writers.into_iter().map(|it| it.join().expect("a publisher")).collect();
    let log = log(kafka);
    check_log(&sent, &log);
    let mut repeated = 0;
    for group in &mut groups {
        group.read_all(&log);
        repeated += group.check(&log);
    }
    let count: u32 = sent.iter().map(|sent| sent.count).sum();
    println!(
        "{kills} kills, {count} messages acknowledged, {} records, {} groups: all read, none \
         committed twice, {repeated} read again",
        log.len(),
        groups.len()
    );
}

fn publish(place: &Place, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<Sent>> {
    let writers = [
        (Version::V4, "load/one", 1),
        (Version::V5, "load/two", 2),
        (Version::V5, "load/one more", 1),
        (Version::V4, "load/two more", 2),
    ];
    let start = |(version, topic, qos)| {
        let writer = Publisher::new(place.clone(), version, topic, qos, false);
        let stop = Arc::clone(stop);
        thread::spawn(move || writer.run(&stop))
    };
    writers.map(start).into_iter().collect()
}

/// All that lies in the log, read without a group: topic and number.
fn log(kafka: SocketAddr) -> BTreeMap<Spot, (String, u32)> {
    let mut command = Command::new("kcat");
    command.args(["-b", &kafka.to_string(), "-C", "-t", "mqtt", "-o", "beginning", "-e", "-q"]);
    let lines = Program::start(command.args(["-f", "%p;%o;%k;%s\\n"])).succeeds();
    let read = |line: &String| {
        let words: Vec<&str> = line.split(';').collect();
        let &[partition, offset, topic, number] = words.as_slice() else { panic!("{line}") };
        let spot = (partition.parse().expect("a number"), offset.parse().expect("a number"));
        (spot, (topic.to_owned(), number.parse().expect("a number")))
    };
    lines.iter().map(read).collect()
}

/// All that was acknowledged is there, in order; once at QoS 2.
fn check_log(sent: &[Sent], log: &BTreeMap<Spot, (String, u32)>) {
    for sent in sent {
        let of_topic = log.values().filter(|(topic, _)| *topic == sent.topic);
        let numbers: Vec<u32> = of_topic.map(|(_, number)| *number).collect();
        let mut seen = BTreeSet::new();
        let firsts: Vec<u32> = numbers.iter().copied().filter(|it| seen.insert(*it)).collect();
        let expected: Vec<u32> = (0..sent.count).collect();
        assert!(firsts == expected, "{}: {} of {}", sent.topic, firsts.len(), sent.count);
        let is_once = numbers.len() == firsts.len();
        assert!(sent.qos == 1 || is_once, "{} has messages twice", sent.topic);
    }
}

/// One group, and what its members said.
struct Group {
    library: &'static str,
    members: Vec<Program>,
    /// How often it was given to a member.
    got: BTreeMap<Spot, u32>,
    /// How often its offset was committed.
    committed: BTreeMap<Spot, u32>,
}

impl Group {
    fn new(library: &'static str, kafka: SocketAddr) -> Self {
        let start = |_| Program::start(&mut member(library, kafka, library));
        let (members, got) = ((0..2).map(start).collect(), BTreeMap::new());
        Self { library, members, got, committed: BTreeMap::new() }
    }

    /// Until so many different records are committed.
    fn read_to(&mut self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.committed.len() < count {
            assert!(Instant::now() < deadline, "{} commits no more", self.library);
            self.hear();
        }
    }

    /// Until all that there is was given to somebody.
    fn read_all(&mut self, log: &BTreeMap<Spot, (String, u32)>) {
        let (mut deadline, mut before) = (Instant::now() + PATIENCE, 0);
        while self.got.len() < log.len() {
            let missing = || log.keys().find(|spot| !self.got.contains_key(spot));
            assert!(Instant::now() < deadline, "{} misses {:?}", self.library, missing());
            self.hear();
            if self.got.len() > before {
                (deadline, before) = (Instant::now() + PATIENCE, self.got.len());
            }
        }
        for at in 0..self.members.len() {
            self.members[at].ask_to_end();
            let rest = self.members[at].rest().1;
            rest.iter().for_each(|line| self.take(line));
        }
    }

    fn hear(&mut self) {
        for at in 0..self.members.len() {
            let mut patience = Duration::from_millis(5);
            while let Some(line) = self.members[at].line_within(patience) {
                self.take(&line);
                patience = Duration::ZERO;
            }
        }
    }

    fn take(&mut self, line: &str) {
        let Some(said) = Said::read(line) else { return };
        match said.word {
            "GOT" => *self.got.entry(said.place).or_default() += 1,
            "AT" => *self.committed.entry(said.place).or_default() += 1,
            _ => (),
        }
    }

    /// What was committed is never given to anybody again: had an offset gone back, it would have
    /// been committed twice. Says how much was given twice.
    fn check(&self, log: &BTreeMap<Spot, (String, u32)>) -> u32 {
        assert!(self.got.keys().eq(log.keys()), "{} read what is not in the log", self.library);
        let twice: Vec<_> = self.committed.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "{} committed twice: {twice:?}", self.library);
        self.got.values().map(|times| times - 1).sum()
    }
}
