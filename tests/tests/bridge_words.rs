//! Exports to a Kafka that wants to know who they are, and exports that cannot work: each says in
//! words what is wrong, and the others go on.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tidewire_tests::authority::{Authority, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::clients::Mosquitto;
use tidewire_tests::configured::Configured;
use tidewire_tests::kafka_log::when_there_are;
use tidewire_tests::places;

const SOON: &str = "[bridge]\nretry_ms_min = 20\nretry_ms_max = 500\n";

/// An export of what is published under its name.
fn export(name: &str, cluster: &str, more: &str) -> String {
    format!(
        "[[bridge.export]]\nname = {name:?}\nfilters = [\"{name}/#\"]\nstart = \"earliest\"\n\
         cluster = {{ {cluster} }}\n{more}\n"
    )
}

fn at(address: SocketAddr) -> String {
    format!("addresses = [\"{address}\"]")
}

/// What `tidewire passwd` says when it reads this.
fn passwd(arguments: &[&str], said: &str) -> String {
    let mut command = Command::new(places::built_program("tidewire"));
    command.arg("passwd").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program was built");
    let mut input = child.stdin.take().expect("piped");
    writeln!(input, "{said}").expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("our child");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

/// A broker whose Kafka clients are `ann` with the password `pencil`, with TLS or without.
fn strict(folder: &Path, authority: &Authority) -> Broker {
    let (passwords, scram) = (folder.join("passwords"), folder.join("scram"));
    let file = passwords.to_str().expect("a path in UTF-8");
    let _ = passwd(&["add", file, "ann"], "pencil");
    let lines = passwd(&["--scram", "ann", "--iterations", "4096"], "pencil");
    std::fs::write(&scram, lines).expect("the file");
    let server = authority.sign("server", Use::Server, &["localhost", "127.0.0.1"]);
    let text = format!(
        "[listener.mqtt]\nanonymous = \"allow\"\n[listener.kafkas]\nbind = \"127.0.0.1:0\"\n\
         [listener.kafkas.tls]\ncert_file = {:?}\nkey_file = {:?}\n\
         [auth]\npassword_file = {passwords:?}\nscram_file = {scram:?}\n\
         wrong_passwords_per_user_max = 0\nwrong_passwords_per_address_max = 0\n",
        server.cert, server.key,
    );
    Configured::new(&text).start()
}

#[test]
fn an_export_signs_in_by_every_mechanism_over_tls_and_says_what_is_wrong() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("Test CA"));
    let target = strict(folder.path(), &authority);
    let (plain, secret) = (target.kafka_address(), target.address_of("kafkas"));
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("written");
        format!("{file:?}")
    };
    let (right, wrong) = (file("right", "pencil\n"), file("wrong", "rubber\n"));
    let who = |mechanism: &str, file: &str| {
        format!("sasl = {mechanism:?}, user = \"ann\", password_file = {file}")
    };
    let tls = format!("tls = true, ca_file = {:?}", authority.path());
    let others = Authority::new("Another CA");
    let strange = format!("tls = true, ca_file = {:?}", others.path());
    let clusters = [
        ("plain", format!("{}, {}", at(plain), who("PLAIN", &right))),
        ("short", format!("{}, {}", at(plain), who("SCRAM-SHA-256", &right))),
        ("long", format!("{}, {tls}, {}", at(secret), who("SCRAM-SHA-512", &right))),
        ("wrong", format!("{}, {}", at(plain), who("SCRAM-SHA-256", &wrong))),
        ("nobody", at(plain)),
        ("strange", format!("{}, {strange}, {}", at(secret), who("PLAIN", &right))),
    ];
    let exports: String =
        clusters.iter().map(|(name, cluster)| export(name, cluster, "topic = \"mqtt\"")).collect();
    let source = Configured::new(&format!("{SOON}{exports}")).start();
    let there = Mosquitto::new(target.address(), "mqttv5");
    let mut live = there.subscribe("#", &["-q", "1", "-C", "3"]);
    let here = Mosquitto::new(source.address(), "mqttv5");
    for (name, _) in &clusters {
        here.publish(&format!("{name}/1"), name, &["-q", "1"]);
    }
    let mut found = live.messages();
    found.sort();
    assert_eq!(found, ["1 0 long/1 long", "1 0 plain/1 plain", "1 0 short/1 short"]);
    source.await_output("as \\\"ann\\\": wrong user name or password");
    source.await_output("invalid peer certificate: UnknownIssuer");
}

#[test]
fn what_will_never_be_taken_gets_a_dead_letter_and_the_rest_goes_on() {
    let there = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let nowhere = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("target.toml");
    std::fs::write(&file, "[listener.kafka]\nrequest_bytes_max = \"16 KiB\"\n").expect("written");
    let (file, kafka) = (file.display().to_string(), there.to_string());
    let _target = Broker::start_with(&["--config", &file, "--kafka", &kafka]);
    let none = "topic_wait_ms = 0";
    let exports = [
        export("good", &at(there), "topic = \"mqtt\""),
        export("none", &at(there), &format!("topic = \"none\"\n{none}")),
        export("wait", &at(there), &format!("topic = \"no\"\n{none}\nat_refused_topic = \"wait\"")),
        export("away", &at(nowhere), "topic = \"mqtt\""),
    ];
    let source = Configured::new(&format!("{SOON}{}", exports.concat())).start();
    let here = Mosquitto::new(source.address(), "mqttv5");
    let mut dead = here.subscribe("$dead/#", &["-q", "1", "-C", "2"]);
    let large = "x".repeat(60_000);
    for name in ["away", "wait", "none"] {
        here.publish(&format!("{name}/1"), name, &["-q", "1"]);
    }
    for (number, payload) in ["first", &large, "last"].into_iter().enumerate() {
        here.publish(&format!("good/{number}"), payload, &["-q", "1"]);
    }
    let found = when_there_are(there, "mqtt", 2);
    assert_eq!(found.into_keys().collect::<Vec<_>>(), ["good/0", "good/2"]);
    let mut letters = dead.messages();
    letters.sort();
    assert!(letters[0].starts_with("1 0 $dead/good xxx"), "{}", &letters[0][..40]);
    assert_eq!((letters.len(), letters[1].as_str()), (2, "1 0 $dead/none none"));
    for words in
        ["too large for the remote", "there is no such topic or partition", "cannot be reached"]
    {
        source.await_output(words);
    }
}
