//! The checks, in order. All of them run, whatever fails; the report is at the end.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::deny;
use crate::gate;
use crate::output::{announce, note, run, shown};
use crate::places::Places;
use crate::tally::Tally;

/// Says whether everything held. With a filter, only the build and the tests that match it.
pub(crate) fn all(places: &Places, filter: Option<&str>) -> bool {
    let mut failed_steps = Vec::new();
    let mut step = |name: &str, command: &mut Command| {
        announce(name);
        if let Err(problem) = run(command) {
            note(&format!("FAILED: {problem}"));
            failed_steps.push(name.to_owned());
        }
    };
    if filter.is_none() {
        step("check: format", &mut cargo(places, "fmt --all --check"));
        let clippy = "clippy --workspace --all-targets --all-features -- -D warnings";
        step("check: clippy", &mut cargo(places, clippy));
        let docs = &mut cargo(places, "doc --workspace --no-deps --quiet");
        step("check: documentation", docs.env("RUSTDOCFLAGS", "-D warnings"));
        announce("check: cargo deny");
        if let Some(words) = deny::words(places) {
            step("check: dependencies", &mut cargo(places, words));
        }
    }
    // The same profile and the same packages as the tests, so nothing is compiled twice.
    let build = "build --workspace --bins --tests --profile test";
    step("check: build of the real programs", &mut cargo(places, build));

    if filter.is_none() {
        announce("check: instructions of hot paths");
        if let Err(problem) = gate::all(places, &[]) {
            note(&format!("FAILED: {problem}"));
            failed_steps.push("check: instructions of hot paths".to_owned());
        }
    }
    announce("check: tests");
    let mut tally = Tally::default();
    if let Err(problem) = run_tests(places, filter, &mut tally) {
        note(&format!("FAILED: {problem}"));
        failed_steps.push("check: tests".to_owned());
    }
    report(&failed_steps, &tally)
}

/// The closing line stands last and alone, so that a program can read it.
fn report(failed_steps: &[String], tally: &Tally) -> bool {
    announce("result");
    for name in tally.failures() {
        note(&format!("failed test: {name}"));
    }
    for step in failed_steps {
        note(&format!("failed step: {step}"));
    }
    println!("{}", tally.closing_line());
    failed_steps.is_empty() && tally.is_green()
}

/// Cargo with these words, in the root.
pub(crate) fn cargo(places: &Places, words: &str) -> Command {
    let mut command = Command::new(places.cargo());
    command.args(words.split(' ')).current_dir(places.root());
    command
}

/// Passes the output on line by line and counts on the way.
fn run_tests(places: &Places, filter: Option<&str>, tally: &mut Tally) -> Result<(), String> {
    let mut command = cargo(places, "test --workspace --no-fail-fast");
    command.env("TIDEWIRE_PYTHON", places.python());
    command.env("TIDEWIRE_NODE_MODULES", places.node_modules());
    if let Some(name) = filter {
        command.args(["--", name]);
    }
    let shown = shown(&command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("`{shown}` could not start: {error}"))?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let bytes = line.map_err(|error| format!("`{shown}` cannot be heard: {error}"))?;
            let line = String::from_utf8_lossy(&bytes);
            println!("{line}");
            tally.hear(&line);
        }
    }
    tally.close();
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` ended with {status}")),
        Err(error) => Err(format!("`{shown}` was lost: {error}")),
    }
}
