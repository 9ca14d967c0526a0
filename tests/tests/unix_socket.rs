//! Do clients on this machine come in by the socket file, those that may, and is it left behind by
//! nobody?

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use tempfile::TempDir;
use tidewire_tests::broker::Broker;
use tidewire_tests::places::built_program;
use tidewire_tests::program::Program;

/// A broker with a socket file in this folder.
fn start(folder: &TempDir, more: &str) -> (Broker, PathBuf) {
    let path = folder.path().join("mqtt.sock");
    let text = format!("[listener.unix]\npath = {path:?}\n{more}");
    (Broker::start_configured(&text), path)
}

/// A client of mosquitto, by the socket file.
fn mosquitto(program: &str, socket: &Path, flags: &[&str]) -> Program {
    let mut command = Command::new("stdbuf");
    command.args(["-oL", program, "--unix"]).arg(socket).args(["-V", "mqttv5", "-d"]).args(flags);
    Program::start(&mut command)
}

fn published(socket: &Path, flags: &[&str]) -> (ExitStatus, String) {
    let flags = [&["-t", "a", "-q", "1", "-m", "by a file"], flags].concat();
    let mut client = mosquitto("mosquitto_pub", socket, &flags);
    (client.rest().0, client.output())
}

#[test]
fn mosquitto_speaks_by_the_socket_file_which_goes_with_the_broker() {
    let folder = TempDir::new().expect("a folder");
    let (mut broker, path) = start(&folder, "mode = \"600\"\n");
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut reader = mosquitto("mosquitto_sub", &path, &["-t", "a", "-C", "1", "-F", "MSG %p"]);
    reader.line_that(|line| line.contains("received SUBACK"));
    let (status, output) = published(&path, &[]);
    assert!(status.success(), "{output}");
    reader.line_that(|line| line == "MSG by a file");
    assert!(reader.rest().0.success());
    broker.stop();
    assert!(!path.exists(), "it was left behind");
}

#[test]
fn the_file_of_a_killed_broker_is_replaced_and_that_of_a_living_one_is_not() {
    let folder = TempDir::new().expect("a folder");
    let (mut broker, path) = start(&folder, "");
    broker.kill9();
    assert!(path.exists(), "a killed broker removes nothing");
    broker.restart();
    assert!(published(&path, &[]).0.success());
    let mut command = Command::new(built_program("tidewire"));
    command.args(["--data", "data", "--mqtt", "off", "--kafka", "off", "--http", "off"]);
    command.env_clear().current_dir(folder.path());
    let config = folder.path().join("second.toml");
    std::fs::write(&config, format!("[listener.unix]\npath = {path:?}\n")).expect("written");
    let mut second = Program::start(command.arg("--config").arg(&config));
    assert_eq!(second.rest().0.code(), Some(1), "{}", second.output());
    second.await_output("somebody listens there");
    assert!(published(&path, &[]).0.success(), "the first one still listens there");
}

#[test]
fn who_must_sign_in_must_do_so_by_the_socket_file_too_and_rules_know_it() {
    let folder = TempDir::new().expect("a folder");
    let (users, rules) = (folder.path().join("users"), folder.path().join("rules"));
    std::fs::write(&rules, "allow user=ann listener=unix any #\n").expect("written");
    let mut command = Command::new(built_program("tidewire"));
    command.args(["passwd", "add", "--batch"]).arg(&users).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).spawn().expect("built");
    let mut input = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut input, b"ann:pencil\n").expect("it reads");
    drop(input);
    assert!(child.wait().expect("our child").success());
    let more = format!(
        "[auth]\npassword_file = {users:?}\n[access]\nrules_file = {rules:?}\n\
         [log]\nfilter = \"info,tidewire=debug\"\n"
    );
    let (broker, path) = start(&folder, &more);
    let (status, output) = published(&path, &[]);
    assert!(!status.success(), "{output}");
    let whose = format!("unix socket, uid {}", rustix::process::getuid().as_raw());
    broker.await_output(&whose);
    let login = ["-u", "ann", "-P", "pencil"];
    let (status, output) = published(&path, &login);
    assert!(status.success() && output.contains("RC:0)"), "{output}");
    let mut over_tcp = Command::new("mosquitto_pub");
    let port = broker.address().port().to_string();
    over_tcp.args(["-V", "mqttv5", "-p", &port, "-d", "-t", "a", "-q", "1", "-m", "x"]);
    let mut over_tcp = Program::start(over_tcp.args(login));
    let _ = over_tcp.rest();
    assert!(over_tcp.output().contains("RC:135)"), "{}", over_tcp.output());
}
