//! The Python clients, in an environment of their own under `target`. Never touches the
//! machine's Python packages.

use std::fs;
use std::process::Command;

use crate::output::{note, run};
use crate::places::Places;

pub(super) fn pins(places: &Places) -> Result<String, String> {
    let file = places.python_pins();
    fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

pub(super) fn install(places: &Places) -> Result<(), String> {
    note(&format!("installing into {}", places.python_folder().display()));
    run(Command::new("python3").args(["-m", "venv"]).arg(places.python_folder()))?;
    run(Command::new(places.python())
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(places.python_pins()))
}
