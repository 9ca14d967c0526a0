//! The brokers that this one is compared with, and where they come from. Starts none.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::output::{note, run};
use crate::places::Places;

/// A broker that can be started.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// This one.
    Tidewire,
    /// Debian's, unpacked into a folder of ours and never installed: nothing is started by it.
    Mosquitto { folder: PathBuf },
    /// From the registry of crates.
    Rumqttd { program: PathBuf },
}

/// Mosquitto and what it links to.
const PACKAGES: [&str; 7] =
    ["mosquitto", "libdlt2", "libcjson1", "libwebsockets17", "libev4", "libuv1", "libwrap0"];
const RUMQTTD: &str = "rumqttd@0.20.0";

impl Peer {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Tidewire => "tidewire",
            Self::Mosquitto { .. } => "mosquitto",
            Self::Rumqttd { .. } => "rumqttd",
        }
    }
}

/// All of them, this broker first.
pub(super) fn install(places: &Places) -> Result<Vec<Peer>, String> {
    Ok(vec![Peer::Tidewire, mosquitto(places)?, rumqttd(places)?])
}

fn mosquitto(places: &Places) -> Result<Peer, String> {
    let folder = places.tools().join("mosquitto");
    if !folder.join("usr/sbin/mosquitto").is_file() {
        note("unpacking Debian's mosquitto");
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        run(Command::new("apt-get").arg("download").args(PACKAGES).current_dir(&folder))?;
        let files = fs::read_dir(&folder).map_err(|error| error.to_string())?;
        let packages = files.flatten().map(|file| file.path());
        for package in packages.filter(|path| path.extension().is_some_and(|kind| kind == "deb")) {
            run(Command::new("dpkg").arg("-x").arg(package).arg(&folder))?;
        }
    }
    Ok(Peer::Mosquitto { folder })
}

fn rumqttd(places: &Places) -> Result<Peer, String> {
    let folder = places.tools().join("rumqttd");
    let program = folder.join("bin/rumqttd");
    if !program.is_file() {
        note("building rumqttd");
        let mut install = Command::new(places.cargo());
        // Its lock file names versions that no longer compile.
        run(install.args(["install", RUMQTTD, "--root"]).arg(&folder))?;
    }
    Ok(Peer::Rumqttd { program })
}
