//! The npm clients, in a folder of their own under `target`. Never writes into the source tree.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::output::{note, run};
use crate::places::Places;

const FILES: [&str; 2] = ["package.json", "package-lock.json"];

pub(super) fn pins(places: &Places) -> Result<String, String> {
    FILES.iter().map(|name| read(&places.node_pins().join(name))).collect()
}

pub(super) fn install(places: &Places) -> Result<(), String> {
    let folder = places.node_folder();
    note(&format!("installing into {}", folder.display()));
    for name in FILES {
        let text = read(&places.node_pins().join(name))?;
        fs::write(folder.join(name), text)
            .map_err(|error| format!("cannot copy {name}: {error}"))?;
    }
    run(Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"])
        .current_dir(folder))
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}
