//! Members of consumer groups, by the Kafka clients that we did not write. Each is a program that
//! says what it read; none is linked in.

use std::net::SocketAddr;
use std::process::Command;

use crate::places;

/// All libraries, and their ways to share out; the newer way is named by its proposal, 848.
pub const LIBRARIES: [&str; 10] = [
    "kcat",
    "confluent",
    "confluent-848",
    "kafka-python",
    "aiokafka",
    "kafkajs",
    "java",
    "java-848",
    "franz-go",
    "krafka",
];

/// A member of this group that reads the stream `mqtt` with this library.
///
/// It says `GOT partition offset value` of what it read (kcat does not), then `AT …` when that is
/// committed (kcat: soon will be), or `TRIED …` when it does not know; and leaves the group on
/// SIGTERM.
///
/// # Panics
/// When the library is not installed.
#[must_use]
pub fn member(library: &str, kafka: SocketAddr, group: &str) -> Command {
    let (host, port) = (kafka.ip().to_string(), kafka.port().to_string());
    match library {
        "kcat" => {
            let mut command = Command::new("kcat");
            command.args(["-b", &kafka.to_string(), "-u", "-f", "AT %p %o %s\\n"]);
            command.args(["-X", "session.timeout.ms=6000,heartbeat.interval.ms=500"]);
            command.args(["-X", "auto.offset.reset=earliest", "-G", group, "mqtt"]);
            command
        }
        "kafkajs" => {
            let mut command = Command::new("node");
            command.arg(places::client_script("node").join("kafka_group_member.js"));
            command.env("NODE_PATH", places::node_modules()).args([&host, &port, group]);
            command
        }
        "java" | "java-848" => {
            let mut command = java();
            command.args(["KafkaGroupMember", &host, &port, library, group]);
            command
        }
        "franz-go" => {
            let mut command = Command::new(places::go_client());
            command.args([&host, &port, group]);
            command
        }
        "krafka" | "krafka-848" => {
            let mut command = Command::new(places::rust_client());
            command.args([&host, &port, library, group]);
            command
        }
        library => {
            let mut command = Command::new(places::python());
            command.arg(places::client_script("kafka_group_member.py"));
            command.args([&host, &port, library, group]);
            command
        }
    }
}

/// What a member says of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// `GOT`, `AT` or `TRIED`.
    pub word: &'a str,
    /// Partition and offset.
    pub place: (u32, u64),
    /// What it holds.
    pub value: &'a str,
}

impl<'a> Said<'a> {
    /// `None` if the line says something else.
    #[must_use]
    pub fn read(line: &'a str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let &[word @ ("GOT" | "AT" | "TRIED"), partition, offset, value] = words.as_slice() else {
            return None;
        };
        let place = (partition.parse().ok()?, offset.parse().ok()?);
        Some(Self { word, place, value })
    }
}

/// The Java client: as quick to start and as small as it gets. What is missing is the class.
#[must_use]
pub fn java() -> Command {
    let folder = places::java_client();
    let mut command = Command::new("java");
    command.args(["-Xmx128m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command.args(["-Xshare:auto", "-cp"]);
    command.arg(format!("{0}/classes:{0}/lib/*", folder.display()));
    command
}
