//! Runs the simulation of the store: builds it for speed and hands its words on. Knows nothing of
//! what it does.

use std::process::Command;

use crate::output::{announce, run};
use crate::places::Places;

/// Until all histories are done or one fails.
pub(crate) fn all(places: &Places, words: &[&str]) -> Result<(), String> {
    announce("simulate: build");
    let mut build = command(places, "build");
    run(&mut build)?;
    announce("simulate: histories of the store on a lying disk");
    let mut simulation = command(places, "run --quiet");
    run(simulation.arg("--").args(words))
}

fn command(places: &Places, verb: &str) -> Command {
    let what = "--release --package tidewire-store --features sim --example simulate";
    let mut command = Command::new(places.cargo());
    command.args(verb.split(' ')).args(what.split(' ')).current_dir(places.root());
    command
}
