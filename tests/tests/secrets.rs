//! Does the log, at its most talkative, keep what clients and configuration files have told in
//! confidence?

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tempfile::TempDir;
use tidewire_tests::broker::Broker;
use tidewire_tests::clients::paho;
use tidewire_tests::configured::Configured;
use tidewire_tests::http::Http;
use tidewire_tests::kafka_orders::{said, signing_in};
use tidewire_tests::places::built_program;
use tidewire_tests::tokens::Tokens;
use tidewire_tests::web::{Reply, Web};
use tidewire_tests::wire::{Hello, Version, Wire, kind};

/// In every secret, and nowhere else.
const MARK: &str = "Tiger-hen";

/// A secret of its own.
fn secret(number: u32) -> String {
    format!("{MARK}-{number}")
}

/// What `tidewire` says when it reads this.
fn tidewire(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(built_program("tidewire"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program was built");
    // One that is not asked for may be gone before it is read.
    let _ = writeln!(child.stdin.take().expect("piped"), "{input}");
    let output = child.wait_with_output().expect("our child");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Files with users, tokens and secrets.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(TempDir::new().expect("a folder"));
        tidewire(&["passwd", "add", &files.name("passwords"), "ann"], &secret(1));
        let lines = ["device", "ann"]
            .map(|user| tidewire(&["passwd", "--scram", user, "--iterations", "4096"], &secret(2)));
        files.write("scram", &lines.concat());
        files.write("hook", &format!("Bearer {}", secret(3)));
        files.write("link", &secret(1));
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }
}

/// A broker that says all that it can, with everybody who may be asked who a client is.
fn start(files: &Files, tokens: &Tokens, web: &Web, more: &str) -> Broker {
    let file = |path: &Path| path.display().to_string();
    Configured::new(&format!(
        "[log]\nfilter = \"trace\"\n[listener.http]\nbind = \"127.0.0.1:0\"\n\
         token_file = {:?}\n[auth]\npassword_file = {:?}\nscram_file = {:?}\n\
         wrong_passwords_per_user_max = 0\nwrong_passwords_per_address_max = 0\n\
         [auth.jwt]\nsecret_file = {:?}\n[auth.http]\nurl = {:?}\n\
         secret_header = \"Authorization\"\nsecret_file = {:?}\n{more}",
        files.name("tokens"),
        files.name("passwords"),
        files.name("scram"),
        file(&tokens.file("secret")),
        web.url("/who"),
        files.name("hook"),
    ))
    .start()
}

fn comes(broker: &Broker, user: &str, password: &str) -> bool {
    let mut wire = Wire::open(broker.address(), Version::V5);
    wire.send(&Hello { login: Some((user, password)), ..Hello::new("c") }.bytes());
    wire.packet_of(kind::CONNACK).body()[1] == 0
}

/// What a text looks like in base64 wherever it stands in it, and as a list of numbers.
fn disguises(text: &str) -> Vec<String> {
    let in_base64 = (0..3).map(|shift| {
        let shifted = [&[b'.'; 3][..shift], text.as_bytes()].concat();
        let coded = STANDARD_NO_PAD.encode(shifted);
        // What its neighbours have a part in is left out.
        let from = [0, 2, 3][shift];
        coded[from..coded.len() - 2].to_owned()
    });
    let numbers: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
    in_base64.chain([numbers.join(", "), text.to_owned()]).collect()
}

/// A token of the HTTP port, as it is shown once.
fn made_token(files: &Files) -> String {
    let words = ["token", "create", "--role", "admin", "--file", &files.name("tokens")];
    let said = tidewire(&words, "");
    let token = said.lines().find(|line| line.trim().starts_with("tw_"));
    token.expect("it is shown").trim().to_owned()
}

#[test]
fn no_secret_is_in_the_log_at_any_level() {
    let (files, mut tokens) = (Files::new(), Tokens::new());
    let web = Web::start(|request| {
        let is_known = request.body.contains(&format!("\"password\":\"{}\"", secret(4)));
        Reply::Ok(format!("{{\"result\":\"{}\"}}", if is_known { "allow" } else { "deny" }))
    });
    let token = made_token(&files);
    let far = start(&files, &tokens, &web, "");
    let link = format!(
        "[bridge]\nretry_ms_min = 20\n[[bridge.link]]\nname = \"edge\"\n\
         addresses = [{:?}]\nuser = \"ann\"\npassword_file = {:?}\n\
         rules = [{{ direction = \"out\", filter = \"#\" }}]\n",
        far.address().to_string(),
        files.name("link"),
    );
    let near = start(&files, &tokens, &web, &link);

    let good = tokens.sign(("HS256", "secret"), "-", 100_000, "{}");
    let wrong = format!("{good}x");
    for (user, password, is_in) in [
        ("ann", &*secret(1), true),
        ("ann", &secret(5), false),
        ("bob", &secret(4), true),
        ("eve", &secret(6), false),
        ("ann", &good, true),
        ("ann", &wrong, false),
    ] {
        assert_eq!(comes(&near, user, password), is_in, "{user} {password}");
    }
    paho("scram_login.py", near.address(), &["device", &secret(2)]);
    let kafka = near.kafka_address();
    for (mechanism, password, is_in) in [
        ("PLAIN", secret(1), true),
        ("PLAIN", secret(7), false),
        ("SCRAM-SHA-256", secret(2), true),
        ("SCRAM-SHA-256", secret(8), false),
    ] {
        let lines = said(
            "confluent",
            kafka,
            &signing_in("confluent", mechanism, "ann", &password),
            &["list"],
        );
        assert_eq!(lines[0].starts_with("TOPICS"), is_in, "{mechanism} {lines:?}");
    }
    let http = Http::new(near.http_address());
    for (token, status) in [(&token, 200), (&format!("tw_{}", secret(9)), 401)] {
        assert_eq!(http.with(token).get("/api/v1/config").status, status);
    }
    let config = http.with(&token).get("/api/v1/config").body;
    far.await_output("client connected");

    for said in [near.output(), far.output(), config] {
        for hidden in disguises(MARK).iter().chain([&good, &wrong, &token]) {
            let line = said.lines().find(|line| line.contains(hidden));
            assert!(line.is_none(), "{hidden} is in {line:?}");
        }
    }
    assert!(near.output().contains("\"level\":\"DEBUG\""), "it says all that it can");
}
