//! The Go client in the program that calls it, built under `target`. Never changes its pins.

use std::process::Command;

use super::pins;
use crate::output::{note, run};
use crate::places::Places;

/// What to do where Debian's own Go is older than the client's language.
const ADVICE: &str = "The Go client wants Go 1.24, which Go 1.21 and newer get by themselves. \
                      Debian 12 has an older one: it is in bookworm-backports (golang-go)";

pub(super) fn pins(places: &Places) -> Result<String, String> {
    pins::read(&places.go_sources(), &["go.mod", "go.sum", "main.go"])
}

pub(super) fn install(places: &Places) -> Result<(), String> {
    let program = places.go_folder().join("kafka_group_member");
    note(&format!("building {}", program.display()));
    let mut build = Command::new("go");
    build.args(["build", "-mod=readonly", "-o"]).arg(&program).arg(".");
    run(build.current_dir(places.go_sources())).map_err(|error| format!("{error}\n{ADVICE}"))
}
