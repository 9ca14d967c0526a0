//! The Debian packages that tests call programs of. Never touches a package that is there.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::output::{note, run};

/// A program that must be on the path, and the package that brings it.
const PROGRAMS: &[(&str, &str)] = &[
    ("mosquitto_sub", "mosquitto-clients"),
    ("mosquitto_pub", "mosquitto-clients"),
    ("kcat", "kcat"),
    ("haproxy", "haproxy"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
    ("python3", "python3"),
    ("curl", "curl"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("javac", "default-jdk-headless"),
    ("mvn", "maven"),
    ("go", "golang-go"),
    ("stdbuf", "coreutils"),
    ("valgrind", "valgrind"),
    (BROWSER, BROWSER),
];

/// Not needed where `TIDEWIRE_BROWSER` names another of its kind.
const BROWSER: &str = "chromium-headless-shell";

pub(super) fn install() -> Result<(), String> {
    let is_there = |program: &str| {
        on_path(program) || (program == BROWSER && env::var_os("TIDEWIRE_BROWSER").is_some())
    };
    let missing = missing(is_there, python_makes_environments());
    if missing.is_empty() {
        note("there already");
        return Ok(());
    }
    let list = missing.join(" ");
    let advice = format!(
        "Missing Debian packages: {list}\n\
         Install them and run again:  sudo apt-get update && sudo apt-get install {list}"
    );
    let become_root = root().ok_or_else(|| advice.clone())?;
    note(&format!("installing {list}"));
    // A stale index names versions that the mirror no longer has.
    run(&mut apt(become_root, &["update", "-qq"])).map_err(|e| format!("{e}\n{advice}"))?;
    let mut words = vec!["install", "-y", "-qq", "--no-install-recommends"];
    words.extend(&missing);
    run(&mut apt(become_root, &words)).map_err(|e| format!("{e}\n{advice}"))
}

/// Decides; installs nothing.
fn missing(is_there: impl Fn(&str) -> bool, environments: bool) -> Vec<&'static str> {
    let mut packages: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|&(_, package)| package)
        .collect();
    if !environments {
        packages.push("python3-venv");
    }
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    // Servers lie where only root looks.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.into_iter().any(|folder| folder.join(program).is_file())
}

/// Debian's python3 has the module `venv` but not the `ensurepip` that it needs.
fn python_makes_environments() -> bool {
    quiet("python3", &["-c", "import venv, ensurepip"])
}

/// The words before `apt-get` that give us the right to install; `None` if nothing does.
fn root() -> Option<&'static [&'static str]> {
    if !Path::new("/usr/bin/apt-get").exists() {
        return None;
    }
    if quiet("sh", &["-c", "test \"$(id -u)\" = 0"]) {
        return Some(&["env"]);
    }
    // -n: a test run must not wait for a password that nobody types.
    quiet("sudo", &["-n", "true"]).then_some(&["sudo", "-n", "env"])
}

fn apt(become_root: &[&str], words: &[&str]) -> Command {
    let mut line = become_root.iter();
    let mut command = Command::new(line.next().unwrap_or(&"env"));
    command.args(line).args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(words);
    command
}

fn quiet(program: &str, words: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::{apt, missing};
    use crate::output::shown;

    #[test]
    fn only_what_is_missing_is_installed_and_each_package_once() {
        assert!(missing(|_| true, true).is_empty());
        assert_eq!(missing(|p| !p.starts_with("mosquitto"), true), ["mosquitto-clients"]);
        assert_eq!(missing(|p| p != "npm", false), ["npm", "python3-venv"]);
    }

    #[test]
    fn apt_never_asks_a_question() {
        let command = apt(&["sudo", "-n", "env"], &["update"]);
        let expected = "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get update";
        assert_eq!(shown(&command), expected);
    }
}
