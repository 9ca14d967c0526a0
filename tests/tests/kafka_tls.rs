//! Is the Kafka port over TLS what it is without, for clients that we did not write, and does it
//! let in whom it should and nobody else?

use std::process::Command;

use tidewire_tests::authority::{Authority, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::clients::Mosquitto;
use tidewire_tests::configured::Configured;
use tidewire_tests::kafka_orders::{LIBRARIES, said, secret};
use tidewire_tests::program::Program;
use tidewire_tests::secure::{Secure, Trust};

/// An authority, and a broker whose certificate it signed; with these settings of TLS.
fn setup(tls: impl Fn(&Authority) -> String) -> (Authority, Broker) {
    let authority = Authority::new("Test CA");
    let server = authority.sign("server", Use::Server, &["localhost", "127.0.0.1"]);
    let text = format!(
        "[listener.kafkas]\nbind = \"127.0.0.1:0\"\n[listener.kafkas.tls]\n\
         cert_file = {:?}\nkey_file = {:?}\n{}",
        server.cert,
        server.key,
        tls(&authority)
    );
    (authority, Configured::new(&text).start())
}

fn asking(authority: &Authority) -> String {
    format!("client_auth = \"required\"\nclient_ca_file = {:?}\n", authority.path())
}

#[test]
fn every_library_writes_and_reads_over_tls_what_mqtt_clients_see() {
    let (authority, broker) = setup(|_| String::new());
    let kafka = broker.address_of("kafkas");
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    mosquitto.publish("tls/mqtt", "1", &["-q", "1"]);
    for (number, library) in LIBRARIES.into_iter().enumerate() {
        let mut live = mosquitto.subscribe("tls/+", &["-q", "1", "-C", "1"]);
        let write = format!("write:mqtt:tls/{library}:1");
        let (read, group) =
            (format!("read:mqtt:{}", number + 2), format!("group:{library}:mqtt:1"));
        let settings = secret(library, &authority.path(), None);
        let mut lines = said(library, kafka, &settings, &[&write, &read, &group]);
        assert_eq!(lines.remove(0), "WROTE", "{library}: {lines:?}");
        assert!(lines.contains(&format!("GOT tls/{library} 1")), "{library}: {lines:?}");
        assert!(lines.contains(&"GOT tls/mqtt 1".into()), "{library}: {lines:?}");
        assert_eq!(live.messages(), [format!("1 0 tls/{library} 1")]);
    }
    let address = kafka.to_string();
    let ca = format!("ssl.ca.location={}", authority.path().display());
    let mut kcat = Command::new("kcat");
    kcat.args(["-b", &address, "-X", "security.protocol=ssl", "-X", &ca, "-L"]);
    let listed = Program::start(&mut kcat).succeeds().join("\n");
    assert!(listed.contains(&format!("broker 1 at {address}")), "{listed}");
}

#[test]
fn a_large_answer_comes_whole_in_one_piece_or_in_many() {
    let (authority, broker) = setup(|_| String::new());
    let kafka = broker.address_of("kafkas");
    let settings = secret("confluent", &authority.path(), None);
    let value = "0123456789abcdef".repeat(5_000);
    let write = format!("write:mqtt:large:{value}");
    let lines = said("confluent", kafka, &settings, &[&*write; 20]);
    assert_eq!(lines, ["WROTE"; 20]);
    let small = [("fetch.message.max.bytes", "10000")];
    for more in [&small[..], &[]] {
        let more = more.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let settings: Vec<_> = settings.iter().cloned().chain(more).collect();
        let lines = said("confluent", kafka, &settings, &["read:mqtt:20"]);
        assert!(lines == vec![format!("GOT large {value}"); 20], "{} lines", lines.len());
    }
}

#[test]
fn who_shows_no_certificate_or_a_revoked_one_is_refused_and_others_are_not() {
    let (authority, broker) =
        setup(|authority| format!("{}crl_files = [{:?}]\n", asking(authority), authority.list()));
    let kafka = broker.address_of("kafkas");
    let (good, bad) = (
        authority.sign("good", Use::Client, &["reader"]),
        authority.sign("bad", Use::Client, &["thief"]),
    );
    authority.revoke(&bad);
    // The list is read by now: SIGHUP does it at once, and a handshake shows that it was done.
    let trust = |pair| Trust::new(&authority.path(), Some(pair));
    let is_heard = |pair| {
        let versions = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
        let opened = Secure::open_with(kafka, &trust(pair), &versions);
        opened.and_then(|mut secure| secure.hear(8)).is_ok()
    };
    broker.hang_up();
    while is_heard(&bad) {}
    assert!(is_heard(&good));
    for library in LIBRARIES {
        let settings = secret(library, &authority.path(), Some(&good));
        let lines = said(library, kafka, &settings, &["list"]);
        assert_eq!(lines, ["TOPICS mqtt"], "{library}");
    }
    let settings = secret("confluent", &authority.path(), None);
    let lines = said("confluent", kafka, &settings, &["list"]);
    assert!(lines[0].starts_with("REFUSED"), "{lines:?}");
}

#[test]
fn a_new_certificate_is_shown_without_a_restart_and_open_connections_stay() {
    let (authority, broker) = setup(|_| String::new());
    let kafka = broker.address_of("kafkas");
    let trust = Trust::new(&authority.path(), None);
    let ask = |secure: &mut Secure| {
        secure.say(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]).expect("it is open");
        let length = secure.hear(4).expect("an answer");
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        secure.hear(length as usize).expect("the rest of it")
    };
    let mut before = Secure::open(kafka, &trust).expect("a handshake");
    let first = ask(&mut before);
    let _ = authority.sign("server", Use::Server, &["localhost", "127.0.0.1"]);
    broker.hang_up();
    let mut after = Secure::open(kafka, &trust).expect("a handshake");
    while after.shown() == before.shown() {
        after = Secure::open(kafka, &trust).expect("a handshake");
    }
    assert_eq!(ask(&mut before), first);
    assert_eq!(ask(&mut after), first);
    before.refresh_keys();
    assert_eq!(ask(&mut before), first, "with other keys");
}
