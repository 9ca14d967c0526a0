//! The Java client and the programs that call it, under `target`. Never leaves a class or a jar in
//! the source tree.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::pins;
use crate::output::{note, run};
use crate::places::Places;

/// Copies the jars that a pom names; of this version wherever it is installed.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";
const PROGRAMS: [&str; 3] = ["KafkaGroupMember.java", "KafkaOrders.java", "KafkaTransactions.java"];

pub(super) fn pins(places: &Places) -> Result<String, String> {
    pins::read(&places.java_sources(), &["pom.xml", PROGRAMS[0], PROGRAMS[1], PROGRAMS[2]])
}

pub(super) fn install(places: &Places) -> Result<(), String> {
    let folder = places.java_folder();
    note(&format!("installing into {}", folder.display()));
    let pom = folder.join("pom.xml");
    fs::copy(places.java_sources().join("pom.xml"), &pom)
        .map_err(|error| format!("cannot copy pom.xml: {error}"))?;
    run(Command::new("mvn").args(["--quiet", "--batch-mode", "-f"]).arg(&pom).args([
        COPY,
        "-DincludeScope=runtime",
        &format!("-DoutputDirectory={}", folder.join("lib").display()),
    ]))?;
    let classes: PathBuf = folder.join("classes");
    run(Command::new("javac")
        .arg("-cp")
        .arg(folder.join("lib/*"))
        .arg("-d")
        .arg(classes)
        .args(PROGRAMS.map(|program| places.java_sources().join(program))))
}
