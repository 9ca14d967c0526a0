//! Consumer groups of Kafka clients that we did not write: members join, leave, are killed, and
//! so is the broker. Whatever happens, everything is read, and nobody reads what another has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use tidewire_tests::broker::Broker;
use tidewire_tests::clients::paho as python;
use tidewire_tests::places;
use tidewire_tests::program::Program;

/// How many numbers are published at one time.
const WAVE: u64 = 64;
/// How long reading a wave may take: a member that was killed is missed after 6 s.
const PATIENCE: Duration = Duration::from_secs(40);
/// So many waves are enough for any two members to share out the partitions.
const WAVES_MAX: usize = 60;

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

/// One member, then two, then the first is killed: every number is read, and once.
fn members_share_out(library: &str) {
    let broker = Broker::start();
    let mut group = Group::new(library, broker.kafka_address());
    group.join();
    group.wave(&broker);
    group.join();
    let shared = (0..WAVES_MAX).any(|_| {
        let readers = group.wave(&broker);
        readers.values().all(|partitions| !partitions.is_empty())
    });
    assert!(shared, "the second member never read anything");
    group.check_each_read_once();
    group.members[0].kill9();
    group.members.remove(0);
    group.wave(&broker);
    // kcat commits now and then, and not at a kill.
    if library != "kcat" {
        group.check_each_read_once();
    }
    group.members[0].terminate();
}

#[test]
fn a_broker_that_is_killed_under_a_group_loses_no_offset_and_repeats_no_record() {
    kills_repeat_nothing("confluent");
}

#[test]
fn so_it_is_with_members_that_are_told_what_to_read() {
    kills_repeat_nothing("confluent-848");
}

/// What a member says that it read, it had committed: nobody reads that again.
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
    members: Vec<Program>,
    published: u64,
    /// How often each number was read.
    read: BTreeMap<u64, u32>,
}

impl Group {
    fn new(library: &str, kafka: SocketAddr) -> Self {
        let known = ["kcat", "confluent", "confluent-848", "kafka-python", "aiokafka", "kafkajs"];
        let library = known.into_iter().find(|known| *known == library).expect("a library");
        Self { library, kafka, members: Vec::new(), published: 0, read: BTreeMap::new() }
    }

    fn join(&mut self) {
        let (host, port) = (self.kafka.ip().to_string(), self.kafka.port().to_string());
        let mut command = match self.library {
            "kcat" => {
                let mut command = Command::new("kcat");
                command.args(["-b", &self.kafka.to_string(), "-u", "-f", "AT %p %o %s\\n"]);
                command.args(["-X", "session.timeout.ms=6000,heartbeat.interval.ms=500"]);
                command.args(["-X", "auto.offset.reset=earliest", "-G", "readers", "mqtt"]);
                command
            }
            "kafkajs" => {
                let mut command = Command::new("node");
                command.arg(places::client_script("node").join("kafka_group_member.js"));
                command.env("NODE_PATH", places::node_modules()).args([&host, &port]);
                command.arg("readers");
                command
            }
            library => {
                let mut command = Command::new(places::python());
                command.arg(places::client_script("kafka_group_member.py"));
                command.args([&host, &port, library, "readers"]);
                command
            }
        };
        self.members.push(Program::start(&mut command));
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
        while (self.read.len() as u64) < self.published {
            if Instant::now() > deadline {
                let missing = (0..self.published).find(|number| !self.read.contains_key(number));
                let said: Vec<String> = self.members.iter().map(Program::output).collect();
                panic!("{missing:?} is not read\n{}", said.join("\n---\n"));
            }
            for (at, member) in self.members.iter().enumerate() {
                let Some(line) = member.line_within(Duration::from_millis(20)) else { continue };
                let words: Vec<&str> = line.split(' ').collect();
                let &["AT", partition, _, number] = words.as_slice() else { continue };
                let number = number.parse().expect("a number was published");
                *self.read.entry(number).or_default() += 1;
                let partition = partition.parse().expect("a partition has a number");
                readers.entry(at).or_default().insert(partition);
            }
        }
        readers
    }

    fn check_each_read_once(&self) {
        let twice: Vec<_> = self.read.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "read more than once: {twice:?}");
    }
}
