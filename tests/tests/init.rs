//! Does `tidewire init` make a broker that works as the lines say that it prints?

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tidewire_tests::places::built_program;
use tidewire_tests::program::Program;

/// Runs it in a folder; the exit code and what it said, on either output.
fn init(folder: &Path, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = Command::new(built_program("tidewire"));
    command.arg("init").args(arguments).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program was built");
    // One that is not asked for may be gone before it is read.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("our child");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("we write UTF-8"))
}

/// The lines that are to be pasted.
fn lines(said: &str) -> Vec<String> {
    said.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned).collect()
}

/// Pastes a line, but for the ports, which are not the usual ones here.
struct Shell {
    mqtts: String,
    kafka: String,
    http: String,
}

impl Shell {
    fn paste(&self, line: &str) -> Program {
        let line = line.replace("127.0.0.1:8883", &format!("127.0.0.1:{}", self.mqtts));
        let line = line.replace("127.0.0.1:9092", &self.kafka);
        // Ahead of the line: what is ours in our own environment is kept from programs.
        let line = format!("export TIDEWIRE_LISTENER__HTTP__BIND={}; {line}", self.http);
        Program::start(Command::new("stdbuf").args(["-oL", "bash", "-c", &line]))
    }
}

/// Starts the broker by the line that says how, on ports of the system's choice.
fn start(line: &str) -> (Program, Shell) {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("exec {line}")]);
    for name in ["MQTT", "MQTTS", "KAFKA", "HTTP"] {
        command.env(format!("TIDEWIRE_LISTENER__{name}__BIND"), "127.0.0.1:0");
    }
    let broker = Program::start(&mut command);
    broker.await_output("kafka://");
    broker.await_output("http://");
    let output = broker.output();
    let address = |scheme: &str| {
        let line = output.lines().find(|line| line.contains(scheme)).expect("in the banner");
        let at = line.split(scheme).nth(1).expect("behind it");
        at.split_whitespace().next().expect("an address").to_owned()
    };
    let mqtts = address(" mqtts://");
    let port = mqtts.rsplit(':').next().expect("a port").to_owned();
    let [kafka, http] = [" kafka://", " http://"].map(address);
    (broker, Shell { mqtts: port, kafka, http })
}

/// Pastes all lines in their order; `before` stands before those that need a password.
fn paste_all(lines: &[String], before: &str) {
    let [serve, listen, say, read, add, bring, ask, collect] = lines else {
        panic!("other lines: {lines:#?}")
    };
    let (mut broker, shell) = start(serve);
    let mut listener = shell.paste(&format!("{before}{listen} -W 120s -C 1"));
    // It says nothing of when it listens: it is told something until it has heard it.
    while listener.is_running() {
        let _ = shell.paste(&format!("{before}{say}")).succeeds();
    }
    assert_eq!(listener.succeeds(), ["plant/line-1/temperature 21.5"]);
    let read = shell.paste(&format!("{before}{read}")).succeeds();
    assert!(read.contains(&"plant/line-1/temperature: 21.5".to_owned()), "{read:?}");
    let _ = shell.paste(&format!("echo pencil | {add}")).succeeds();
    ask_all(&shell, bring, ask, collect);
    // Nobody else comes in, and who comes in may only do what the rules say.
    let [stranger, wrong] = ["", " -u admin --password-file <(echo wrong)"].map(|login| {
        let end = say.find(" -u ").expect("it signs in");
        format!("{}{login}", &say[..end])
    });
    for line in [stranger, wrong] {
        let mut refused = shell.paste(&line);
        assert!(!refused.rest().0.success(), "{line}\n{}", refused.output());
    }
    assert!(broker.terminate().success());
}

/// Each command that asks the HTTP port, with the token that was made, or by one that it makes.
fn ask_all(shell: &Shell, bring: &str, ask: &str, collect: &str) {
    let _ = shell.paste(&format!("{bring}; {ask}")).succeeds();
    for noun in ["sessions", "streams", "groups", "retained", "bridge", "reload"] {
        let line = ask.replace(" clients ", &format!(" {noun} "));
        let _ = shell.paste(&format!("{bring}; {line}")).succeeds();
    }
    let mut without = shell.paste(ask);
    assert!(!without.rest().0.success(), "{}", without.output());
    let token = shell.paste(collect).succeeds().concat();
    let metrics = format!("http://{}/metrics", shell.http);
    let line = format!("curl -fsS -H 'Authorization: Bearer {token}' {metrics}");
    let series = shell.paste(&line).succeeds();
    assert!(series.iter().any(|line| line.starts_with("tidewire_ready")), "{series:?}");
    let line = ask.replace(" clients ", " reload ");
    let mut refused = shell.paste(&format!("export TIDEWIRE_TOKEN={token}; {line}"));
    assert!(!refused.rest().0.success(), "it is for looking: {}", refused.output());
}

#[test]
fn each_line_that_it_prints_does_what_is_said_of_it() {
    let folder = TempDir::new().expect("a folder");
    let (code, said) = init(folder.path(), &["it's mine"], "");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("shown this once:  "), "{said}");
    paste_all(&lines(&said), "");
    let dir = folder.path().join("it's mine");
    for (file, mode) in
        [("passwords", 0o600), ("tokens", 0o600), ("rules", 0o644), ("certs/ca-key.pem", 0o600)]
    {
        let found = std::fs::metadata(dir.join(file)).expect(file).permissions().mode();
        assert_eq!(found & 0o777, mode, "{file}");
    }
    let password = said.split("shown this once:  ").nth(1).and_then(|rest| rest.lines().next());
    let password = password.expect("just seen");
    let token = said.split("TIDEWIRE_TOKEN=").nth(1).and_then(|rest| rest.lines().next());
    let token = token.expect("a line that brings it");
    for file in ["passwords", "tokens", "rules", "tidewire.toml"] {
        let text = std::fs::read_to_string(dir.join(file)).expect("text");
        assert!(!text.contains(password) && !text.contains(token), "{file}");
    }
}

#[test]
fn a_password_that_is_given_is_not_said_and_the_lines_ask_for_it() {
    let folder = TempDir::new().expect("a folder");
    let arguments = ["--password-stdin", "--name", "broker.example", "--user", "ops"];
    let (code, said) = init(folder.path(), &arguments, "green pencil\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("pencil"), "{said}");
    let lines = lines(&said);
    assert_eq!(lines[0], "read -rs PASSWORD");
    paste_all(&lines[1..], "read -rs PASSWORD <<< 'green pencil'; ");
    let shown = built_program("tidewire");
    let mut command = Command::new(shown);
    let certs = folder.path().join("tidewire/certs");
    command.args(["certs", "check", "broker.example.pem", "--ca", "ca.pem"]);
    command.args(["--key", "broker.example-key.pem", "--name", "broker.example"]);
    let _ = Program::start(command.current_dir(certs)).succeeds();
}

#[test]
fn nothing_that_is_there_is_written_over_and_what_fails_leaves_nothing() {
    let folder = TempDir::new().expect("a folder");
    let (code, said) = init(folder.path(), &["dir"], "");
    assert_eq!(code, Some(0), "{said}");
    let file = folder.path().join("dir/passwords");
    let before = std::fs::read(&file).expect("there");
    let (code, said) = init(folder.path(), &["dir"], "");
    assert_eq!(code, Some(2));
    assert!(said.contains("is not empty") && said.contains("choose another folder"), "{said}");
    assert_eq!(std::fs::read(&file).expect("there"), before);
    for (arguments, input, told) in [
        (&["new", "--password-stdin"][..], "\n", "is empty"),
        (&["new", "--user", "a b"], "", "letters, digits"),
        // No certificate can hold it; by then files are there.
        (&["new", "--name", "gr\u{f6}\u{df}e"], "", "tidewire init:"),
    ] {
        let (code, said) = init(folder.path(), arguments, input);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(told), "{said}");
        assert!(!folder.path().join("new").exists(), "something was left behind");
    }
}
