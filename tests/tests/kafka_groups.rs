//! Consumer groups of Kafka clients that we did not write: members join, leave, are killed, and
//! so is the broker. Whatever happens, everything is read, and nobody reads what another has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use tidewire_tests::broker::Broker;
use tidewire_tests::clients::{Mosquitto, paho as python};
use tidewire_tests::members::{LIBRARIES, member};
use tidewire_tests::places;
use tidewire_tests::program::Program;

/// How many numbers are published at one time.
const WAVE: u64 = 64;
/// How long reading a wave may take: a member that was killed is missed after 6 s.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn administrators_see_move_and_delete_groups_and_offsets_survive_a_kill() {
    let mut broker = Broker::start();
    let admin =
        |broker: &Broker, what| python("kafka_group_admin.py", broker.kafka_address(), &[what]);
    admin(&broker, "move");
    admin(&broker, "stand");
    broker.kill9();
    broker.restart();
    admin(&broker, "stand");
    admin(&broker, "forget");
    admin(&broker, "forgotten");
    broker.kill9();
    broker.restart();
    admin(&broker, "forgotten");
    admin(&broker, "live");
    admin(&broker, "delete");
    broker.kill9();
    broker.restart();
    admin(&broker, "move");
    admin(&broker, "stand");
}

#[test]
fn members_of_kcat_share_out_what_there_is() {
    members_share_out("kcat");
}

#[test]
fn members_of_confluent_kafka_share_out_what_there_is() {
    members_share_out("confluent");
}

#[test]
fn members_that_are_told_what_to_read_share_out_what_there_is() {
    members_share_out("confluent-848");
}

#[test]
fn members_of_kafka_python_share_out_what_there_is() {
    members_share_out("kafka-python");
}

#[test]
fn members_of_aiokafka_share_out_what_there_is() {
    members_share_out("aiokafka");
}

#[test]
fn members_of_kafkajs_share_out_what_there_is() {
    members_share_out("kafkajs");
}

#[test]
fn members_of_the_java_client_share_out_what_there_is() {
    members_share_out("java");
}

#[test]
fn members_of_the_java_client_that_are_told_what_to_read_share_out_what_there_is() {
    members_share_out("java-848");
}

#[test]
fn members_of_franz_go_share_out_what_there_is() {
    members_share_out("franz-go");
}

#[test]
fn members_of_krafka_share_out_what_there_is() {
    members_share_out("krafka");
}

/// One member, then two, then the first is killed: every number is read, and once.
fn members_share_out(library: &str) {
    let broker = Broker::start();
    let mut group = Group::new(library, broker.kafka_address());
    group.join();
    group.wave(&broker);
    group.join();
    let began = Instant::now();
    while group.wave(&broker).values().any(BTreeSet::is_empty) {
        assert!(began.elapsed() < PATIENCE, "the second member never read anything");
    }
    group.check_each_read_once();
    group.members[0].program.kill9();
    group.members.remove(0);
    group.wave(&broker);
    // kcat commits now and then, and not at a kill.
    if library != "kcat" {
        group.check_each_read_once();
    }
    group.members[0].program.terminate();
}

#[test]
fn who_stops_polling_loses_what_it_reads_to_others_and_comes_back_when_it_polls_again() {
    let broker = Broker::start();
    let kafka = broker.kafka_address();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    for number in 0..8 {
        mosquitto.publish(&format!("t/{number}"), &number.to_string(), &["-q", "1"]);
    }
    let mut command = Command::new(places::python());
    command.arg(places::client_script("kafka_stops_polling.py"));
    command.args([kafka.ip().to_string(), kafka.port().to_string(), "slow".into()]);
    let mut slow = Program::start(&mut command);
    slow.await_output("ASSIGNED 4");
    slow.await_output("GOT ");
    // Its heartbeats go on, and it committed nothing: another is given all of it.
    let mut command = member("confluent", kafka, "slow");
    let mut other = Program::start(command.env("MEMBER_SESSION_MS", "60000"));
    let mut read = BTreeSet::new();
    while read.len() < 8 {
        let line = other.line_that(|line| line.starts_with("AT "));
        read.insert(line.rsplit(' ').next().map(str::to_owned));
    }
    slow.poke();
    slow.await_output("EXCEEDED");
    slow.await_output("ASSIGNED 2");
    assert!(slow.terminate().success() && other.terminate().success());
}

#[test]
fn a_broker_that_is_killed_under_a_group_loses_no_offset_and_repeats_no_record() {
    kills_repeat_nothing("confluent");
}

#[test]
fn so_it_is_with_members_that_are_told_what_to_read() {
    kills_repeat_nothing("confluent-848");
}

/// What a member says that it read, it had committed: nobody reads that again. A commit that the
/// kill left without an answer may be durable or not; then the member says that it tried.
fn kills_repeat_nothing(library: &str) {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let mut broker = Broker::start_with(&["--kafka", &free.to_string()]);
    let mut group = Group::new(library, free);
    group.join();
    group.join();
    for _ in 0..5 {
        group.wave(&broker);
        group.publish(&broker);
        broker.kill9();
        broker.restart();
        group.read_all();
        group.check_each_read_once();
    }
}

/// Members of one library, and what they have read.
struct Group {
    library: &'static str,
    kafka: SocketAddr,
    members: Vec<Member>,
    published: u64,
    /// How often each number was read.
    read: BTreeMap<u64, u32>,
    /// What a member was given, and does not know whether its commit was stored.
    tried: BTreeSet<u64>,
}

/// One of them.
struct Member {
    program: Program,
    /// Behind what it committed, of each partition.
    committed: BTreeMap<u32, u64>,
}

impl Group {
    fn new(library: &str, kafka: SocketAddr) -> Self {
        let library = LIBRARIES.into_iter().find(|known| *known == library).expect("a library");
        let (members, read, tried) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        Self { library, kafka, members, published: 0, read, tried }
    }

    fn join(&mut self) {
        let mut command = member(self.library, self.kafka, "readers");
        let program = Program::start(&mut command);
        self.members.push(Member { program, committed: BTreeMap::new() });
    }

    /// Publishes, and reads all of it; says which partitions each member read.
    fn wave(&mut self, broker: &Broker) -> BTreeMap<usize, BTreeSet<u32>> {
        self.publish(broker);
        self.read_all()
    }

    fn publish(&mut self, broker: &Broker) {
        let (first, behind) = (self.published, self.published + WAVE);
        let range = [first.to_string(), behind.to_string()];
        python("publish_numbers.py", broker.address(), &[&range[0], &range[1]]);
        self.published = behind;
    }

    fn read_all(&mut self) -> BTreeMap<usize, BTreeSet<u32>> {
        let deadline = Instant::now() + PATIENCE;
        let mut readers: BTreeMap<usize, BTreeSet<u32>> =
            (0..self.members.len()).map(|at| (at, BTreeSet::new())).collect();
        while let Some(missing) = self.missing() {
            if Instant::now() > deadline {
                let said: Vec<String> = self.members.iter().map(|it| it.program.output()).collect();
                panic!("{missing} is not read\n{}", said.join("\n---\n"));
            }
            for at in 0..self.members.len() {
                let line = self.members[at].program.line_within(Duration::from_millis(20));
                let partition = line.and_then(|line| self.hear(at, &line));
                readers.entry(at).or_default().extend(partition);
            }
        }
        readers
    }

    /// The first number that nobody was given.
    fn missing(&self) -> Option<u64> {
        let is_given = |it: &u64| self.read.contains_key(it) || self.tried.contains(it);
        (0..self.published).find(|number| !is_given(number))
    }

    /// What a member says of one number; the partition that it was read from.
    fn hear(&mut self, at: usize, line: &str) -> Option<u32> {
        let words: Vec<&str> = line.split(' ').collect();
        let &[word @ ("AT" | "TRIED"), partition, offset, number] = words.as_slice() else {
            return None;
        };
        let number: u64 = number.parse().expect("a number was published");
        let partition: u32 = partition.parse().expect("a partition has a number");
        let offset: u64 = offset.parse().expect("an offset is a number");
        let committed = self.members[at].committed.entry(partition).or_default();
        // kcat says what it read before it commits that.
        let is_new = offset >= *committed || self.library == "kcat";
        assert!(is_new, "given again what it had committed: {line}");
        if word == "TRIED" {
            self.tried.insert(number);
            return None;
        }
        *committed = offset + 1;
        *self.read.entry(number).or_default() += 1;
        Some(partition)
    }

    fn check_each_read_once(&self) {
        let twice: Vec<_> = self.read.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "read more than once: {twice:?}");
    }
}
