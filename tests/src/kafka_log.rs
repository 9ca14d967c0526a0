//! What lies in a topic of a Kafka, read from outside by kcat, without a group.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use crate::program::{PATIENCE, Program};

/// Values of each key, in their order.
pub type ByKey = BTreeMap<String, Vec<String>>;

/// Everything that is there now, of what is committed.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn all(kafka: SocketAddr, topic: &str) -> ByKey {
    by_key(&lines(kafka, topic, &["-e"], "%p;%k;%s\\n"))
}

/// Waits until there are so many, and then reads everything. Nobody may be writing by then: who
/// reads to the end would never see it.
///
/// # Panics
/// When they do not come.
#[must_use]
pub fn when_there_are(kafka: SocketAddr, topic: &str, count: usize) -> ByKey {
    await_records(kafka, topic, count);
    all(kafka, topic)
}

/// Waits until there are so many.
///
/// # Panics
/// When they do not come.
pub fn await_records(kafka: SocketAddr, topic: &str, count: usize) {
    if count > 0 {
        let _ = lines(kafka, topic, &["-c", &count.to_string()], "\\n");
    }
}

/// How many offsets there are: of records, and of marks where the other side has such.
///
/// # Panics
/// When they cannot be asked for.
#[must_use]
pub fn offsets(kafka: SocketAddr, topic: &str, partitions: u32) -> usize {
    let mut command = Command::new("kcat");
    command.args(["-b", &kafka.to_string(), "-Q"]);
    for partition in 0..partitions {
        command.args(["-t", &format!("{topic}:{partition}:-1")]);
    }
    let end = |line: &String| line.rsplit(' ').next().and_then(|end| end.parse::<usize>().ok());
    let ends: Vec<usize> = insist(&mut command).iter().filter_map(end).collect();
    assert_eq!(ends.len(), partitions as usize, "kcat tells of every partition");
    ends.iter().sum()
}

/// What kcat prints of everything that is there now.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn printed(kafka: SocketAddr, topic: &str, format: &str) -> Vec<String> {
    lines(kafka, topic, &["-e"], format)
}

/// How many there are.
#[must_use]
pub fn count(log: &ByKey) -> usize {
    log.values().map(Vec::len).sum()
}

fn lines(kafka: SocketAddr, topic: &str, until: &[&str], format: &str) -> Vec<String> {
    let mut command = Command::new("kcat");
    command.args(["-b", &kafka.to_string(), "-C", "-t", topic, "-o", "beginning", "-q"]);
    command.args(["-X", "isolation.level=read_committed"]);
    insist(command.args(until).args(["-f", format]))
}

/// What it says when it ends well. Who has just been started again may not know its topics yet.
fn insist(command: &mut Command) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut program = Program::start(command);
        let (status, lines) = program.rest();
        if status.success() {
            return lines;
        }
        assert!(Instant::now() < deadline, "{status}\n{}", program.output());
    }
}

/// A key is in one partition, or its order would mean nothing.
fn by_key(lines: &[String]) -> ByKey {
    let (mut values, mut homes) = (ByKey::new(), BTreeMap::new());
    for line in lines {
        let words: Vec<&str> = line.splitn(3, ';').collect();
        let &[partition, key, value] = words.as_slice() else { panic!("{line}") };
        let home = homes.entry(key.to_owned()).or_insert_with(|| partition.to_owned());
        assert_eq!(home, partition, "{key} is in two partitions");
        values.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    values
}
