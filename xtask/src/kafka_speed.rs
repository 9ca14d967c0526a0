//! `cargo xtask kafka-speed`: how fast Kafka clients read from this broker, what that costs it, and
//! how late they are, each beside something that runs in turns with it. Never a part of the tests.

mod bare;
mod fields;
pub(crate) mod figures;
mod latency;
pub(crate) mod load;
mod reading;
mod segments;
mod server_cpu;
mod stamps;
mod throughput;
pub(crate) mod wire;

use std::fs;
use std::path::{Path, PathBuf};

use crate::output::{announce, note};
use crate::places::Places;
use crate::processor;
use crate::release;
use crate::servers::Server;
use crate::setup::apache;

use segments::Segments;

/// What is measured, and how.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    /// All, if none is named.
    parts: Vec<&'a str>,
    rounds: usize,
    messages: usize,
    segments: Segments<'a>,
}

const PARTS: [&str; 3] = ["throughput", "server-cpu", "latency"];
const ROUNDS: usize = 5;
const MESSAGES: usize = 2_000_000;

/// Reads `[PART…] [--rounds N] [--messages N] [--sealed]
/// [--compression CODEC]`, and prints a table for each part.
pub(crate) fn all(places: &Places, words: &[&str]) -> Result<(), String> {
    let asked = asked(words)?;
    release::build(places)?;
    let folder = empty_folder(places)?;
    let measured = measure(places, &folder, &asked);
    fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    measured
}

fn asked<'a>(words: &[&'a str]) -> Result<Asked<'a>, String> {
    let mut asked = Asked {
        parts: Vec::new(),
        rounds: ROUNDS,
        messages: MESSAGES,
        segments: Segments::default(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let number = words.next().and_then(|word| word.parse().ok());
            number.filter(|number| *number > 0).ok_or(format!("{word} needs a number above 0"))
        };
        match *word {
            "--rounds" => asked.rounds = number()?,
            "--messages" => asked.messages = number()?,
            "--sealed" => asked.segments.are_short = true,
            "--compression" => {
                let codec = words.next().ok_or("--compression needs a codec")?;
                asked.segments = Segments { are_short: true, compression: Some(codec) };
            }
            part if PARTS.contains(&part) => asked.parts.push(part),
            unknown => return Err(format!("{unknown}: there are {}", PARTS.join(", "))),
        }
    }
    if asked.parts.is_empty() {
        asked.parts.extend(PARTS);
    }
    Ok(asked)
}

fn empty_folder(places: &Places) -> Result<PathBuf, String> {
    let folder = places.tools().join("kafka-speed");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    Ok(folder)
}

fn measure(places: &Places, folder: &Path, asked: &Asked<'_>) -> Result<(), String> {
    let settings = asked.segments.settings();
    let start =
        || Server::tidewire(&places.released_broker(), folder, &settings, processor::SERVER);
    let wants = |part| asked.parts.contains(&part);
    if wants("throughput") || wants("server-cpu") {
        announce(&format!("publish {} messages over MQTT", asked.messages));
        let server = start()?;
        load::fill(server.mqtt, asked.messages)?;
        // Started anew it has nothing in its own memory.
        server.stop()?;
    }
    let server = start()?;
    reading::settle(server.kafka)?;
    if wants("throughput") {
        throughput::measure(&server, folder, asked.rounds)?;
    }
    if wants("server-cpu") {
        note("Apache Kafka from Maven Central");
        let jars = apache::install(places)?;
        let kafka = Server::apache(&jars, folder, processor::SERVER)?;
        server_cpu::measure(&server, &kafka, &jars, asked.rounds)?;
    }
    if wants("latency") {
        latency::measure(&server, asked.rounds)?;
    }
    server.stop()
}

#[cfg(test)]
mod tests {
    use super::{Asked, MESSAGES, PARTS, ROUNDS, Segments, asked};

    #[test]
    fn parts_and_numbers_are_read_in_any_order() {
        let parts = PARTS.to_vec();
        let segments = Segments::default();
        let all = Asked { parts, rounds: ROUNDS, messages: MESSAGES, segments };
        assert_eq!(asked(&[]), Ok(all));
        let segments = Segments { are_short: true, compression: Some("lz4") };
        let some = Asked { parts: vec!["latency"], rounds: 3, messages: 10, segments };
        let words = ["--rounds", "3", "latency", "--compression", "lz4", "--messages", "10"];
        assert_eq!(asked(&words), Ok(some));
        assert!(asked(&["--rounds"]).is_err() && asked(&["speed"]).is_err());
    }
}
