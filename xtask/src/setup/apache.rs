//! Apache Kafka as Maven Central has it, under `target`. Starts nothing.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::output::{note, run};
use crate::places::Places;

const VERSION: &str = "4.3.1";
/// Copies the jars that a pom names; of this version wherever it is installed.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

/// The folder with all jars that the server and its tools need.
pub(crate) fn install(places: &Places) -> Result<PathBuf, String> {
    let folder = places.tools().join(format!("kafka-{VERSION}"));
    let (jars, pom, stamp) = (folder.join("lib"), folder.join("pom.xml"), folder.join("complete"));
    if stamp.is_file() {
        return Ok(jars);
    }
    note(&format!("Maven copies Kafka {VERSION} into {}", folder.display()));
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    fs::write(&pom, text()).map_err(|error| error.to_string())?;
    let mut copy = Command::new("mvn");
    copy.args(["--quiet", "--batch-mode", "-f"]).arg(&pom).args([COPY, "-DincludeScope=runtime"]);
    run(copy.arg(format!("-DoutputDirectory={}", jars.display())))?;
    fs::write(&stamp, "").map_err(|error| error.to_string())?;
    Ok(jars)
}

fn text() -> String {
    let needed = [
        ("org.apache.kafka", "kafka_2.13", VERSION),
        ("org.apache.kafka", "kafka-tools", VERSION),
        ("org.slf4j", "slf4j-nop", "1.7.36"),
    ];
    let needed = needed.map(|(group, name, version)| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    });
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n<modelVersion>4.0.0</modelVersion>\
         \n<groupId>tidewire</groupId><artifactId>kafka</artifactId><version>0</version>\n\
         <dependencies>\n{}</dependencies>\n</project>\n",
        needed.concat(),
    )
}
