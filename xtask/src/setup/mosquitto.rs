//! Debian's Mosquitto, unpacked into a folder of ours and never installed: nothing is started by
//! it.

use std::fs;
use std::process::Command;

use crate::output::run;
use crate::places::Places;

/// Mosquitto and what it links to.
const PACKAGES: [&str; 7] =
    ["mosquitto", "libdlt2", "libcjson1", "libwebsockets17", "libev4", "libuv1", "libwrap0"];

/// What it is unpacked from.
pub(crate) fn pins() -> String {
    PACKAGES.join(" ")
}

/// Unpacks it.
pub(crate) fn install(places: &Places) -> Result<(), String> {
    let folder = places.mosquitto_folder();
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    run(Command::new("apt-get").arg("download").args(PACKAGES).current_dir(&folder))?;
    let files = fs::read_dir(&folder).map_err(|error| error.to_string())?;
    let packages = files.flatten().map(|file| file.path());
    for package in packages.filter(|path| path.extension().is_some_and(|kind| kind == "deb")) {
        run(Command::new("dpkg").arg("-x").arg(package).arg(&folder))?;
    }
    Ok(())
}
