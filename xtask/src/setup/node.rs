//! The npm clients, in a folder of their own under `target`. Never writes into the source tree.

use std::fs;
use std::process::Command;

use super::pins;
use crate::output::{note, run};
use crate::places::Places;

const FILES: [&str; 2] = ["package.json", "package-lock.json"];

pub(super) fn pins(places: &Places) -> Result<String, String> {
    pins::read(&places.node_pins(), &FILES)
}

pub(super) fn install(places: &Places) -> Result<(), String> {
    let folder = places.node_folder();
    note(&format!("installing into {}", folder.display()));
    for name in FILES {
        fs::copy(places.node_pins().join(name), folder.join(name))
            .map_err(|error| format!("cannot copy {name}: {error}"))?;
    }
    run(Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"])
        .current_dir(folder))
}
