//! Log lines of the real binary: JSON into a pipe, human when asked for, nothing when off.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Kills the broker, however the test ends.
struct Broker(Child);

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first line on stderr of a broker that serves on a free port.
fn first_line(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewire"));
    command
        .current_dir(folder.path())
        .args(["serve", "--mqtt", "127.0.0.1:0", "--kafka", "off", "--http", "off"])
        .args(arguments);
    command.envs(variables.iter().copied());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut broker = Broker(command.spawn().expect("it starts"));
    let stderr = broker.0.stderr.take().expect("piped");
    let mut line = String::new();
    BufReader::new(stderr).read_line(&mut line).expect("a line");
    line
}

#[test]
fn a_pipe_gets_json() {
    let line = first_line(&[], &[]);
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["message"], "Starting.");
    assert_eq!(event["data"], "./tidewire-data");
}

#[test]
fn human_is_given_to_who_asks_for_it() {
    let line = first_line(&[], &[("TIDEWIRE_LOG__FORMAT", "human")]);
    assert!(line.contains("INFO") && line.contains("Starting."), "{line}");
    assert!(!line.starts_with('{') && !line.contains('\u{1b}'), "{line}");
}

#[test]
fn the_log_flag_wins_over_the_variable() {
    let line = first_line(&["--log", "info"], &[("TIDEWIRE_LOG__FILTER", "off")]);
    assert!(line.contains("Starting."), "{line:?}");
}
