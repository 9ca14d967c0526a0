//! Is a Kafka client let in exactly when it shows that it knows a user's password: the same users,
//! limits and files as MQTT has?

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tidewire_tests::authority::{Authority, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::doors::connect_from;
use tidewire_tests::kafka_orders::{LIBRARIES, said, secret, signing_in};
use tidewire_tests::places;
use tidewire_tests::program::PATIENCE;

const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

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

/// A broker that knows the user `ann` with the password `pencil`. The folder holds its files.
fn broker(more: &str) -> (Broker, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let (passwords, scram) = (folder.path().join("passwords"), folder.path().join("scram"));
    let file = passwords.to_str().expect("a path in UTF-8");
    let _ = passwd(&["add", file, "ann"], "pencil");
    let lines = passwd(&["--scram", "ann", "--iterations", "4096"], "pencil");
    std::fs::write(&scram, lines).expect("the file");
    let text = format!(
        "{more}\n[auth]\npassword_file = {passwords:?}\nscram_file = {scram:?}\n\
         wrong_passwords_per_user_max = 0\nwrong_passwords_per_address_max = 0\n"
    );
    (Configured::new(&text).start(), folder)
}

#[test]
fn every_library_signs_in_by_every_mechanism_and_a_wrong_password_is_told() {
    let (broker, _folder) = broker("");
    let kafka = broker.kafka_address();
    for library in LIBRARIES {
        for (number, mechanism) in MECHANISMS.into_iter().enumerate() {
            let good = signing_in(library, mechanism, "ann", "pencil");
            let write = format!("write:mqtt:{library}/{number}:1");
            let group = format!("group:{library}{number}:mqtt:1");
            let lines = said(library, kafka, &good, &[&write, "read:mqtt:1", &group]);
            assert_eq!(lines[0], "WROTE", "{library} {mechanism} {lines:?}");
            let are_read = lines[1..].iter().all(|line| line.starts_with("GOT"));
            assert!(are_read && lines.len() > 2, "{library} {mechanism} {lines:?}");
            // kafka-python says nothing of it and tries again for a minute.
            let wrong = [("ann", "rubber"), ("eve", "pencil")];
            for (user, password) in wrong.into_iter().filter(|_| library != "kafka-python") {
                let bad = signing_in(library, mechanism, user, password);
                let lines = said(library, kafka, &bad, &["list"]);
                let is_told = lines[0].contains("uthentication") || lines[0].contains("AUTH");
                assert!(is_told, "{library} {mechanism} {lines:?}");
            }
        }
    }
}

#[test]
fn strangers_from_one_address_keep_nobody_out_who_signs_in() {
    let (broker, _folder) = broker("[listener.kafka]\nconnections_max = 12\n");
    let kafka = broker.kafka_address();
    let elsewhere = IpAddr::from([127, 0, 0, 2]);
    let strangers: Vec<_> = (0..40).map(|_| connect_from(elsewhere, kafka)).collect();
    // All but three of them are closed: of 12 places strangers have six, one address three.
    for stranger in &strangers[3..] {
        assert!(!matches!((&*stranger).read(&mut [0]), Ok(1..)), "it hears nothing but the end");
    }
    let good = signing_in("confluent", "PLAIN", "ann", "pencil");
    assert_eq!(said("confluent", kafka, &good, &["list"]), ["TOPICS mqtt"]);
    drop(strangers);
}

#[test]
fn a_client_that_shows_nothing_is_let_in_where_its_listener_says_so() {
    let list = |more: &str| {
        let (broker, _folder) = broker(more);
        said("confluent", broker.kafka_address(), &[], &["list"])
    };
    assert_eq!(list("[listener.kafka]\nanonymous = \"allow\""), ["TOPICS mqtt"]);
    assert!(list("")[0].starts_with("REFUSED"), "there is a file of users");
    let refuse = "[listener.kafka]\nanonymous = \"refuse\"";
    assert!(list(refuse)[0].starts_with("REFUSED"));
}

#[test]
fn passwords_go_over_tls_and_a_certificate_needs_none() {
    let authority = Authority::new("Test CA");
    let server = authority.sign("server", Use::Server, &["localhost", "127.0.0.1"]);
    let client = authority.sign("client", Use::Client, &["ann"]);
    let more = format!(
        "[listener.kafkas]\nbind = \"127.0.0.1:0\"\nanonymous = \"refuse\"\n\
         [listener.kafkas.tls]\ncert_file = {:?}\nkey_file = {:?}\nclient_auth = \"optional\"\n\
         client_ca_file = {:?}\nidentity = \"cn\"\n",
        server.cert,
        server.key,
        authority.path()
    );
    let (broker, _folder) = broker(&more);
    let kafka = broker.address_of("kafkas");
    for library in LIBRARIES {
        let mut both = secret(library, &authority.path(), None);
        both.retain(|(name, _)| !name.starts_with("security"));
        for (name, value) in signing_in(library, "SCRAM-SHA-512", "ann", "pencil") {
            both.push((name, value.replace("SASL_PLAINTEXT", "SASL_SSL")));
        }
        assert_eq!(said(library, kafka, &both, &["list"]), ["TOPICS mqtt"], "{library}");
        let shown = secret(library, &authority.path(), Some(&client));
        assert_eq!(said(library, kafka, &shown, &["list"]), ["TOPICS mqtt"], "{library}");
    }
    let nothing = secret("confluent", &authority.path(), None);
    let lines = said("confluent", kafka, &nothing, &["list"]);
    assert!(lines[0].starts_with("REFUSED"), "{lines:?}");
}

/// Bytes of a request without a client id: api, version, body.
fn request(api: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let head = [&api.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 7], &[0xff, 0xff]];
    let frame = [&head.concat()[..], body].concat();
    let length = i32::try_from(frame.len()).expect("short");
    [&length.to_be_bytes()[..], &frame].concat()
}

/// A connection, spoken to in bytes.
struct Raw(TcpStream);

impl Raw {
    fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(3 * PATIENCE)).expect("set");
        Self(stream)
    }

    /// What is answered behind the header; nothing if the connection is closed.
    fn ask(&mut self, bytes: &[u8]) -> Vec<u8> {
        // A connection that is closed may refuse it.
        let _ = self.0.write_all(bytes);
        let mut length = [0; 4];
        if self.0.read_exact(&mut length).is_err() {
            return Vec::new();
        }
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut answer).expect("the rest of it");
        answer.split_off(4)
    }
}

fn text(text: &str) -> Vec<u8> {
    let length = i16::try_from(text.len()).expect("short");
    [&length.to_be_bytes()[..], text.as_bytes()].concat()
}

fn token(said: &[u8]) -> Vec<u8> {
    let length = i32::try_from(said.len()).expect("short");
    [&length.to_be_bytes()[..], said].concat()
}

const HANDSHAKE: i16 = 17;
const AUTHENTICATE: i16 = 36;
const METADATA: i16 = 3;

#[test]
fn before_it_has_signed_in_a_client_may_ask_what_there_is_and_nothing_else() {
    let (broker, _folder) = broker("");
    let kafka = broker.kafka_address();
    let mut wire = Raw::open(kafka);
    assert_eq!(wire.ask(&request(18, 0, &[]))[..2], [0, 0], "ApiVersions");
    let answer = wire.ask(&request(HANDSHAKE, 1, &text("GSSAPI")));
    assert_eq!(answer[..2], [0, 33], "UNSUPPORTED_SASL_MECHANISM");
    let listed = String::from_utf8_lossy(&answer);
    assert!(MECHANISMS.iter().all(|mechanism| listed.contains(mechanism)), "{listed}");
    assert_eq!(wire.ask(&request(HANDSHAKE, 1, &text("PLAIN")))[..2], [0, 0]);
    let answer = wire.ask(&request(AUTHENTICATE, 1, &token(b"\0ann\0pencil")));
    assert_eq!(answer[..2], [0, 0]);
    assert_eq!(answer[answer.len() - 8..], [0; 8], "the session has no end");
    assert!(!wire.ask(&request(METADATA, 1, &[0xff; 4])).is_empty());
    let again = wire.ask(&request(HANDSHAKE, 1, &text("PLAIN")));
    assert_eq!(again[..2], [0, 34], "ILLEGAL_SASL_STATE");

    let large = request(AUTHENTICATE, 1, &token(&[b'x'; 20_000]));
    for first in [request(METADATA, 1, &[0xff; 4]), request(0, 3, &[0; 12]), large] {
        assert_eq!(Raw::open(kafka).ask(&first), [0_u8; 0], "{:?}", &first[..8]);
    }
    let mut half = Raw::open(kafka);
    assert_eq!(half.ask(&request(HANDSHAKE, 1, &text("PLAIN")))[..2], [0, 0]);
    assert_eq!(half.ask(&request(METADATA, 1, &[0xff; 4])), [0_u8; 0]);
    let mut wrong = Raw::open(kafka);
    assert_eq!(wrong.ask(&request(HANDSHAKE, 1, &text("PLAIN")))[..2], [0, 0]);
    let answer = wrong.ask(&request(AUTHENTICATE, 1, &token(b"\0ann\0rubber")));
    assert_eq!(answer[..2], [0, 58], "SASL_AUTHENTICATION_FAILED");
    assert_eq!(wrong.ask(&request(18, 0, &[])), [0_u8; 0]);
}

#[test]
fn a_client_that_does_not_show_who_it_is_in_time_is_closed() {
    let (broker, _folder) = broker("[listener.kafka]\nsign_in_timeout_s = 1");
    let mut silent = Raw::open(broker.kafka_address());
    assert_eq!(silent.ask(&[]), [0_u8; 0]);
}

#[test]
fn guesses_count_wherever_they_come_in_and_who_is_right_later_is_not_told_wrong() {
    let folder = TempDir::new().expect("a folder");
    let scram = folder.path().join("scram");
    std::fs::write(&scram, passwd(&["--scram", "ann", "--iterations", "4096"], "pencil"))
        .expect("the file");
    let file = folder.path().join("passwords");
    let _ = passwd(&["add", file.to_str().expect("UTF-8"), "ann"], "pencil");
    let text_of = format!(
        "[auth]\npassword_file = {file:?}\nscram_file = {scram:?}\n\
         wrong_passwords_per_user_max = 1\nwrong_passwords_per_address_max = 0\n"
    );
    let broker = Configured::new(&text_of).start();
    let attempt = |password: &str| {
        let mut wire = Raw::open(broker.kafka_address());
        assert_eq!(wire.ask(&request(HANDSHAKE, 1, &text("PLAIN")))[..2], [0, 0]);
        let said = format!("\0ann\0{password}");
        let answer = wire.ask(&request(AUTHENTICATE, 1, &token(said.as_bytes())));
        i16::from_be_bytes([answer[0], answer[1]])
    };
    let mut codes: Vec<i16> = Vec::new();
    // A try comes back every minute: on a slow machine there may be some more.
    while codes.last() != Some(&8) {
        codes.push(attempt("rubber"));
    }
    assert_eq!(codes[0], 58);
    assert_eq!(attempt("pencil"), 8, "BROKER_NOT_AVAILABLE: clients try again");
}
