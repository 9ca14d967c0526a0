//! The Rust client that is not ours in the programs that call it, built under `target`. Never
//! changes its lock file.

use std::process::Command;

use super::pins;
use crate::output::{note, run};
use crate::places::Places;

/// What is built, relative to the folder: a member of a group, and the example.
const FILES: [&str; 4] =
    ["Cargo.toml", "Cargo.lock", "src/main.rs", "../../../examples/analytics/rust/src/main.rs"];

pub(super) fn pins(places: &Places) -> Result<String, String> {
    pins::read(&places.rust_sources(), &FILES)
}

pub(super) fn install(places: &Places) -> Result<(), String> {
    let folder = places.rust_folder();
    note(&format!("building in {}", folder.display()));
    let mut build = Command::new(places.cargo());
    build.args(["build", "--locked", "--quiet", "--target-dir"]).arg(folder);
    // What the checks ask of our own build is not asked of a client's.
    build.env_remove("RUSTFLAGS");
    run(build.current_dir(places.rust_sources()))
}
