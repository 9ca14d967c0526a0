//! Runs the tests that are too long for every day, at their full size and with the program as it
//! is released. Knows nothing of what they do.

use std::process::Command;

use crate::output::{announce, run};
use crate::places::Places;
use crate::release;
use crate::setup;

/// `kill -9` this often in the middle of a load; with `--kafka` one of consumer groups, with
/// `--bridge` one of export and import, with Apache Kafka and with a second broker of ours.
pub(crate) fn kill(places: &Places, words: &[&str]) -> Result<(), String> {
    let (test, kills) = match words {
        [] => ("killed", "200"),
        ["--kafka"] => ("kafka_killed", "50"),
        ["--kafka", kills] => ("kafka_killed", *kills),
        ["--bridge"] => return bridge(places, "20"),
        ["--bridge", kills] => return bridge(places, kills),
        [kills] => ("killed", *kills),
        _ => return Err("kill takes `--kafka` or `--bridge`, and a number".to_owned()),
    };
    let count: u32 = kills.parse().map_err(|_| format!("{kills:?} is not a number of kills"))?;
    trial(places, test, &[("TIDEWIRE_KILLS", &count.to_string())])
}

/// Links that are cut so often while so many messages cross them, and nothing is lost.
pub(crate) fn link_cuts(places: &Places, words: &[&str]) -> Result<(), String> {
    let (cuts, messages) = match words {
        [] => ("30", "100000"),
        [cuts] => (*cuts, "100000"),
        [cuts, messages] => (*cuts, *messages),
        _ => return Err("link-cuts takes a number of cuts and one of messages".to_owned()),
    };
    for number in [cuts, messages] {
        number.parse::<u32>().map_err(|_| format!("{number:?} is not a number"))?;
    }
    setup::mosquitto_broker(places)?;
    let sizes = [
        ("TIDEWIRE_CUTS", cuts),
        ("TIDEWIRE_LINK_MESSAGES", messages),
        ("TIDEWIRE_BACKLOG", "3600000"),
    ];
    trial(places, "links", &sizes)
}

fn bridge(places: &Places, kills: &str) -> Result<(), String> {
    trial(places, "bridge_kafka", &[("TIDEWIRE_KILLS", kills)])?;
    trial(places, "bridge_apache", &[("TIDEWIRE_KILLS", kills)])
}

/// Idle connections with and without TLS, filters, offline sessions, retained messages, and clients
/// that publish while certificates are swapped, in the numbers that are promised.
pub(crate) fn scale(places: &Places) -> Result<(), String> {
    trial(places, "scale", &[("TIDEWIRE_SCALE", "full")])?;
    trial(places, "tls_reload", &[("TIDEWIRE_SCALE", "full")])
}

/// Attacks of every kind, with somebody beside them who has nothing to do with it.
pub(crate) fn siege(places: &Places) -> Result<(), String> {
    trial(places, "siege", &[("TIDEWIRE_SIEGE", "full")])
}

fn trial(places: &Places, test: &str, asked: &[(&str, &str)]) -> Result<(), String> {
    release::build(places)?;
    announce(test);
    let mut trial = Command::new(places.cargo());
    trial.args(["test", "--package", "tidewire-tests", "--test", test, "--"]);
    trial.args(["--nocapture", "--test-threads", "1"]).current_dir(places.root());
    run(trial.envs(asked.iter().copied()).env("TIDEWIRE_BIN", places.released_broker()))
}
