//! The commands of this workspace: reads the command line and calls one of them.
//! Never does the work itself.

mod bridge_speed;
mod check;
mod compare;
mod conformance;
mod deny;
mod flame;
mod fuzz;
mod gate;
mod kafka_speed;
mod output;
mod places;
mod processor;
mod release;
mod servers;
mod setup;
mod simulate;
mod tally;
mod trials;

use std::env;
use std::process::ExitCode;

use places::Places;

const HELP: &str = "\
The commands of this workspace:

  cargo xtask test         install what tests need, then format check, clippy, docs, all tests
  cargo xtask test NAME    install what tests need, then only the tests with NAME in their names
  cargo xtask simulate [--histories N] [--seed S] [--mutation NAME]
                           histories of the store on a lying disk, 10,000 from seed 1 on; with
                           a mutation, of a store that is wrong on purpose
  cargo xtask simulate --every-byte
                           one short history, the power cut after every byte of it
  cargo xtask fuzz [codec|session|kafka] [--minutes N] [--seed S]
                           random bytes against the codec, a whole broker and its Kafka port, one
                           minute each;
                           what was found goes into tests/fuzz/corpus
  cargo xtask kill [N]     kills the broker 200 times (or N) under load, then counts
  cargo xtask kill --kafka [N]
                           the same 50 times (or N) under consumer groups of Kafka clients
  cargo xtask kill --bridge [N]
                           either side of an export and an import 20 times (or N) each, the other
                           being Apache Kafka, and a broker of ours
  cargo xtask link-cuts [N] [MESSAGES]
                           cuts links to other MQTT brokers 30 times (or N), then counts
  cargo xtask scale        many idle connections, filters, offline sessions and retained messages
  cargo xtask siege        attacks of every kind in full number, 100,000 wrong passwords among them,
                           and how long others wait meanwhile
  cargo xtask gate [NAME]  instructions of the hot paths, or of those with NAME in their names,
                           beside their bounds; a part of `cargo xtask test`
  cargo xtask gate --record
                           writes what they take now into tests/gate/bounds.toml
  cargo xtask release      the broker as it is released, made for what it does most: built, counted
                           under loads of all kinds, and built again (target/released/tidewire)
  cargo xtask compare [WORKLOAD...] [--rounds N]
                           the same load on this broker, Mosquitto and rumqttd by turns
  cargo xtask flame [WORKLOAD]
                           where the broker's time goes under one of these, drawn by the samples
                           of perf into docs/flame-WORKLOAD.svg
  cargo xtask kafka-speed [throughput|server-cpu|latency] [--rounds N] [--messages N]
              [--sealed] [--compression CODEC]
                           how fast Kafka clients read, beside a bare loop from file to socket;
                           what that costs, beside Apache Kafka; how late they are
  cargo xtask bridge-speed [--rounds N] [--messages N] [--apache]
                           how fast a backlog leaves by a link and by an export, beside a
                           subscriber of the same; what an export costs beside a bare producer
  cargo xtask conformance  writes docs/conformance.md from the tables of statements
  cargo xtask help         this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => test(None),
        ["test", name] if !name.starts_with('-') => test(Some(name)),
        ["conformance"] => ended(conformance::write(&Places::find())),
        ["kill", words @ ..] => ended(trials::kill(&Places::find(), words)),
        ["link-cuts", words @ ..] => ended(trials::link_cuts(&Places::find(), words)),
        ["scale"] => ended(trials::scale(&Places::find())),
        ["siege"] => ended(trials::siege(&Places::find())),
        ["release", words @ ..] => ended(release::all(&Places::find(), words)),
        ["flame", words @ ..] => ended(flame::all(&Places::find(), words)),
        ["gate", words @ ..] => ended(gate::all(&Places::find(), words)),
        ["compare", words @ ..] => ended(compare::all(&Places::find(), words)),
        ["bridge-speed", words @ ..] => ended(bridge_speed::all(&Places::find(), words)),
        ["kafka-speed", words @ ..] => ended(kafka_speed::all(&Places::find(), words)),
        ["fuzz", words @ ..] => ended(fuzz::all(&Places::find(), words)),
        ["simulate", words @ ..] => ended(simulate::all(&Places::find(), words)),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        unknown => {
            eprintln!("xtask: no such command: {}\n\n{HELP}", unknown.join(" "));
            ExitCode::from(2)
        }
    }
}

fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("\nxtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Setup stops at its first failure: no check means anything without its tools.
fn test(filter: Option<&str>) -> ExitCode {
    let places = Places::find();
    if let Err(problem) = setup::install(&places) {
        eprintln!("\nxtask: the setup failed, so nothing was tested.\n{problem}");
        return ExitCode::FAILURE;
    }
    if check::all(&places, filter) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
