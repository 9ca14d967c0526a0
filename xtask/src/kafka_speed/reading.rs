//! Reads a topic whole, with a client of ours or with one that many use, and says what that took.
//! Decides nothing about turns.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::fields::{batches, fetched};
use super::figures::Reading;
use super::wire::{Client, Position};
use crate::processor;
use crate::servers::Server;

/// The stream, and so the topic.
pub(super) const TOPIC: &str = "mqtt";

/// So often in a row has nothing changed.
const SETTLED: u32 = 3;

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Fetch and nothing else, on so many connections.
    Lean { connections: usize },
    /// librdkafka, by kcat.
    Kcat,
    /// The Java client, by Kafka's own tool for measuring it.
    Java,
}

impl Reader {
    pub(super) fn name(self) -> String {
        match self {
            Self::Lean { connections } => format!("lean, {connections} connections"),
            Self::Kcat => "kcat (librdkafka)".to_owned(),
            Self::Java => "Java client".to_owned(),
        }
    }

    /// Reads everything so many times.
    pub(super) fn read(
        self,
        server: &Server,
        jars: &Path,
        topic: &Topic,
        times: u64,
    ) -> Result<Reading, String> {
        let (before, since) = (server.processor_time()?, Instant::now());
        for _ in 0..times {
            match self {
                Self::Lean { connections } => lean(server.kafka, topic, connections)?,
                Self::Kcat => kcat(server.kafka, topic)?,
                Self::Java => java(server.kafka, jars, topic)?,
            }
        }
        Ok(Reading {
            took: since.elapsed(),
            processor_time: server.processor_time()?.saturating_sub(before),
            messages: topic.messages * times,
            bytes: topic.bytes * times,
        })
    }
}

/// What a topic holds.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) positions: Vec<Position>,
    pub(super) messages: u64,
    /// Of all answers to Fetch, with their lengths in front.
    pub(super) bytes: u64,
    pub(super) batches: u64,
    /// The longest answer.
    pub(super) answer_bytes: usize,
}

/// Reads a topic whole, and shows every answer.
pub(super) fn walk(
    address: SocketAddr,
    see: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> Result<Topic, String> {
    let mut client = Client::connect(address)?;
    let positions = client.positions(TOPIC)?;
    let mut topic =
        Topic { positions: positions.clone(), messages: 0, bytes: 0, batches: 0, answer_bytes: 0 };
    follow(&mut client, positions, &mut |answer| {
        topic.bytes += answer.len() as u64 + 4;
        topic.answer_bytes = topic.answer_bytes.max(answer.len());
        fetched(answer, &mut |_, records| {
            for batch in batches(records) {
                topic.batches += 1;
                topic.messages += u64::from(batch.records);
            }
        })?;
        see(answer)
    })?;
    Ok(topic)
}

/// Waits until a topic lies as it will: what is sealed is written anew in the background.
pub(super) fn settle(address: SocketAddr) -> Result<(), String> {
    let (mut batches, mut same) = (0, 0);
    while same < SETTLED {
        let now = walk(address, &mut |_| Ok(()))?.batches;
        same = if now == batches { same + 1 } else { 0 };
        batches = now;
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// From where these begin to where they end.
fn follow(
    client: &mut Client,
    mut positions: Vec<Position>,
    see: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    positions.retain(|position| position.next < position.end);
    while !positions.is_empty() {
        let answer = client.fetch(TOPIC, &positions, Duration::from_millis(500))?;
        fetched(answer, &mut |partition, records| {
            let here = positions.iter_mut().find(|position| position.partition == partition);
            if let (Some(here), Some(last)) = (here, batches(records).last()) {
                here.next = last.next;
            }
        })?;
        see(answer)?;
        positions.retain(|position| position.next < position.end);
    }
    Ok(())
}

fn lean(address: SocketAddr, topic: &Topic, connections: usize) -> Result<(), String> {
    let read = |from: usize| {
        processor::stay_on(processor::CLIENT)?;
        let mine = topic.positions.iter().skip(from).step_by(connections).copied();
        follow(&mut Client::connect(address)?, mine.collect(), &mut |_| Ok(()))
    };
    let read = &read;
    thread::scope(|scope| {
        let all: Vec<_> = (0..connections).map(|from| scope.spawn(move || read(from))).collect();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| "a reader broke off")?)
    })
}

fn kcat(address: SocketAddr, topic: &Topic) -> Result<(), String> {
    let mut kcat = pinned("kcat");
    kcat.args(["-C", "-q", "-e", "-o", "beginning", "-t", TOPIC, "-b", &address.to_string()]);
    // A connection that is lost is made anew: without this it would end there, with what it has.
    kcat.arg("-E");
    // As many as there are, whatever they say, one byte for each.
    kcat.args(["-f", "."]);
    let output = kcat.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    match output.stdout.len() as u64 == topic.messages {
        true => Ok(()),
        false => {
            let (read, all) = (output.stdout.len(), topic.messages);
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("kcat read {read} of {all} at {address}: {} {said}", output.status))
        }
    }
}

fn java(address: SocketAddr, jars: &Path, topic: &Topic) -> Result<(), String> {
    let mut tool = pinned("java");
    tool.args(["-Xmx512m", "-cp"]).arg(jars.join("*"));
    tool.arg("org.apache.kafka.tools.ConsumerPerformance");
    tool.args(["--bootstrap-server", &address.to_string(), "--topic", TOPIC]);
    tool.args(["--num-records", &topic.messages.to_string(), "--hide-header"]);
    let output = tool.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let read = text.lines().last().and_then(|line| line.split(", ").nth(4));
    match read.and_then(|read| read.parse().ok()) == Some(topic.messages) {
        true => Ok(()),
        false => Err(format!("the Java client: {text}")),
    }
}

/// A program that becomes a client.
pub(super) fn pinned(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &processor::CLIENT.to_string(), program]);
    command
}
