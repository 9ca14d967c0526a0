//! Where the programs under test and the client packages lie. Never builds or installs.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the source tree.
#[must_use]
pub fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_path_buf()
}

/// A program of this workspace as the build left it; `TIDEWIRE_BIN` names another broker.
///
/// # Panics
/// When it was not built, with what to type.
#[must_use]
pub fn built_program(name: &str) -> PathBuf {
    if name == "tidewire"
        && let Some(chosen) = env::var_os("TIDEWIRE_BIN")
    {
        return chosen.into();
    }
    let program = profile_folder().join(name);
    assert!(
        program.is_file(),
        "{} is not there; build it first: cargo build --workspace --bins --profile test",
        program.display()
    );
    program
}

/// The interpreter that has the Python clients.
#[must_use]
pub fn python() -> PathBuf {
    installed("TIDEWIRE_PYTHON", "tools/py/bin/python")
}

/// The folder that has the npm clients.
#[must_use]
pub fn node_modules() -> PathBuf {
    installed("TIDEWIRE_NODE_MODULES", "tools/node/node_modules")
}

/// The folder that has the Java client and the program that calls it.
#[must_use]
pub fn java_client() -> PathBuf {
    installed("TIDEWIRE_JAVA_CLIENT", "tools/java")
}

/// The folder that has the jars of Apache Kafka.
#[must_use]
pub fn apache_kafka() -> PathBuf {
    installed("TIDEWIRE_APACHE_KAFKA", "tools/kafka-4.3.1/lib")
}

/// The program that calls the Go client.
#[must_use]
pub fn go_client() -> PathBuf {
    installed("TIDEWIRE_GO_CLIENT", "tools/go/kafka_group_member")
}

/// The program that calls a Rust client.
#[must_use]
pub fn rust_client() -> PathBuf {
    installed("TIDEWIRE_RUST_CLIENT", "tools/rust/debug/kafka-group-member")
}

/// The example that reads as a consumer group, in Rust.
#[must_use]
pub fn rust_example() -> PathBuf {
    installed("TIDEWIRE_RUST_EXAMPLE", "tools/rust/debug/analytics-consumer")
}

/// The folder that has Mosquitto's broker.
#[must_use]
pub fn mosquitto() -> PathBuf {
    installed("TIDEWIRE_MOSQUITTO", "tools/mosquitto")
}

/// A script of ours that drives a foreign client.
#[must_use]
pub fn client_script(name: &str) -> PathBuf {
    source_root().join("tests/clients").join(name)
}

fn installed(variable: &str, below_target: &str) -> PathBuf {
    let fallback = || profile_folder().parent().expect("target").join(below_target);
    let place = env::var_os(variable).map_or_else(fallback, PathBuf::from);
    assert!(
        place.exists(),
        "{} is not there; `cargo xtask test` installs it (or set {variable})",
        place.display()
    );
    place
}

/// Test binaries lie in `target/<profile>/deps`, the programs one folder above.
fn profile_folder() -> PathBuf {
    let this = env::current_exe().expect("a running test has a path");
    let profile = this.ancestors().nth(2).expect("it lies in target/<profile>/deps");
    profile.to_path_buf()
}
