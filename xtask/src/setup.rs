//! Installs what the tests need and the machine lacks. Never skips: what cannot be installed
//! is an error that says what to do.

pub(crate) mod apache;
mod debian;
mod go;
mod java;
mod mosquitto;
mod node;
mod pins;
mod python;
mod rust;

use std::fs;
use std::path::Path;

use crate::output::{announce, note};
use crate::places::Places;

/// Debian packages first, since the others are installed with their programs.
pub(crate) fn install(places: &Places) -> Result<(), String> {
    announce("setup: Debian packages");
    debian::install()?;
    announce("setup: Python packages");
    cached(&places.python_folder(), &python::pins(places)?, || python::install(places))?;
    announce("setup: npm packages");
    cached(&places.node_folder(), &node::pins(places)?, || node::install(places))?;
    announce("setup: the Java client");
    cached(&places.java_folder(), &java::pins(places)?, || java::install(places))?;
    announce("setup: Apache Kafka");
    apache::install(places)?;
    announce("setup: the Go client");
    cached(&places.go_folder(), &go::pins(places)?, || go::install(places))?;
    announce("setup: a Rust client");
    cached(&places.rust_folder(), &rust::pins(places)?, || rust::install(places))?;
    mosquitto_broker(places)
}

/// The broker of Mosquitto alone.
pub(crate) fn mosquitto_broker(places: &Places) -> Result<(), String> {
    announce("setup: Mosquitto's broker");
    cached(&places.mosquitto_folder(), &mosquitto::pins(), || mosquitto::install(places))
}

/// Installs unless the folder was completed before with the same pins. The stamp is written
/// last, so an interrupted install is done again.
fn cached(
    folder: &Path,
    pins: &str,
    install: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let stamp = folder.join("installed-pins");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == pins) {
        note("there already");
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| told("remove", folder, &error))?;
    }
    fs::create_dir_all(folder).map_err(|error| told("create", folder, &error))?;
    install()?;
    fs::write(&stamp, pins).map_err(|error| told("write", &stamp, &error))
}

fn told(verb: &str, path: &Path, error: &std::io::Error) -> String {
    format!("cannot {verb} {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::cached;
    use std::{env, fs, process};

    #[test]
    fn an_install_is_repeated_only_when_the_pins_change_or_it_failed() {
        let folder = env::temp_dir().join(format!("xtask-cached-{}", process::id()));
        let mut installs = 0;
        for (pins, works) in [("a", false), ("a", true), ("a", true), ("b", true)] {
            let outcome = cached(&folder, pins, || {
                installs += 1;
                if works { Ok(()) } else { Err("no network".to_owned()) }
            });
            assert_eq!(outcome.is_ok(), works);
        }
        fs::remove_dir_all(&folder).expect("our own folder");
        assert_eq!(installs, 3, "failed once, done once, done again for the new pins");
    }
}
