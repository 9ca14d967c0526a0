//! The brokers that this one is compared with, and where they come from. Starts none.

use std::path::PathBuf;
use std::process::Command;

use crate::output::{note, run};
use crate::places::Places;
use crate::setup;

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
    setup::mosquitto_broker(places)?;
    Ok(Peer::Mosquitto { folder: places.mosquitto_folder() })
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
