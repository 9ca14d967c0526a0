//! `cargo xtask gate`: how many instructions each hot path takes, beside the bounds that are
//! recorded. The paths are `tests/gate`'s; why it is done so is in decision 0022.

mod bounds;
mod count;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::output::{announce, note, run};
use crate::places::Places;

use bounds::{Bounds, Verdict};
use count::{Counted, count_all};

/// Does what nobody should, and is held to the bound of another path: the gate must see it.
const WASTEFUL: (&str, &str) = ("decode-wasteful", "decode");
/// What writes the bounds anew.
const RECORD: &str = "cargo xtask gate --record";

/// Reads `[NAME]` or `--record`, and fails where a path takes more than its bound.
pub(crate) fn all(places: &Places, words: &[&str]) -> Result<(), String> {
    match words {
        [] => judged(places, ""),
        ["--record"] => record(places),
        [name] if !name.starts_with('-') => judged(places, name),
        _ => Err("gate takes a part of a name, or --record".to_owned()),
    }
}

fn judged(places: &Places, part: &str) -> Result<(), String> {
    let bounds = Bounds::read(&text(places)?)?;
    let compiler = compiler()?;
    let counted = counted(places, part)?;
    if !is_of_the_kind() {
        note("bounds are recorded for x86-64 with AVX2 alone: nothing is judged here");
        counted.iter().for_each(|one| note(&format!("{:<20} {:>12.1}", one.name, one.each)));
        return Ok(());
    }
    let is_other = bounds.compiler != compiler;
    if is_other {
        note(&format!(
            "recorded with {}, built with {compiler}: more is let pass",
            bounds.compiler
        ));
    }
    let mut faults = bounds.unknown(part, &counted);
    for one in counted.iter().filter(|one| one.name != WASTEFUL.0) {
        let verdict = bounds.judge(&one.name, one.each, is_other);
        note(&shown(one, &bounds, verdict));
        if verdict.is_failure() {
            faults.push(one.name.clone());
        }
    }
    if let Some(one) = counted.iter().find(|one| one.name == WASTEFUL.0)
        && !bounds.judge(WASTEFUL.1, one.each, is_other).is_failure()
    {
        faults.push(format!("{}: waste is not seen, the gate is blind", WASTEFUL.0));
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(told(&faults)),
    }
}

fn told(faults: &[String]) -> String {
    format!(
        "instructions of hot paths: {}. `valgrind --tool=callgrind target/gate/tidewire-gate NAME \
         1000` shows where they go. If the cost is meant, `{RECORD}` takes it down.",
        faults.join(", ")
    )
}

fn shown(one: &Counted, bounds: &Bounds, verdict: Verdict) -> String {
    let bound = bounds.of(&one.name).map_or("none".to_owned(), |bound| format!("{bound:.1}"));
    format!("{:<20} {:>12.1} of {bound:>10}  {verdict}", one.name, one.each)
}

/// Valgrind shows a program the same processor on all machines that have these instructions.
#[cfg(target_arch = "x86_64")]
fn is_of_the_kind() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn is_of_the_kind() -> bool {
    false
}

fn record(places: &Places) -> Result<(), String> {
    let old = text(places).and_then(|text| Bounds::read(&text)).unwrap_or_default();
    let mut counted = counted(places, "")?;
    counted.retain(|one| one.name != WASTEFUL.0);
    let file = file(places);
    fs::write(&file, old.renewed(&compiler()?, &counted))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    note(&format!("written: {}", file.display()));
    Ok(())
}

fn file(places: &Places) -> PathBuf {
    places.root().join("tests/gate/bounds.toml")
}

fn text(places: &Places) -> Result<String, String> {
    let file = file(places);
    fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))
}

fn counted(places: &Places, part: &str) -> Result<Vec<Counted>, String> {
    announce("build the hot paths");
    let mut build = Command::new(places.cargo());
    build.args(["build", "--profile", "gate", "--package", "tidewire-gate"]);
    run(build.current_dir(places.root()))?;
    announce("instructions for each message");
    count_all(&places.hot_paths(), part)
}

fn compiler() -> Result<String, String> {
    let output = Command::new("rustc").arg("--version").output();
    let output = output.map_err(|error| format!("rustc: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
