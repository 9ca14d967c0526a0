//! Is a client that took one port for another told so soon, in words in the log, and nobody else
//! harmed?

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use tidewire_tests::authority::{Authority, Pair, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::secure::Trust;
use tidewire_tests::wire::{Version, Wire, connect};

const HTTP: &[u8] = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";
/// ApiVersions.
const KAFKA: &[u8] = b"\0\0\0\x0c\0\x12\0\0\0\0\0\x09\0\x02me";

/// Nobody's time runs out: whoever is closed is closed for what he says.
const PATIENT: &str = "[mqtt]\nconnect_timeout_ms = 600000\n[listener.websocket]\n\
    bind = \"127.0.0.1:0\"\n[listener.kafka]\nidle_timeout_s = 3600\n[listener.http]\n\
    bind = \"127.0.0.1:0\"\nheader_timeout_ms = 600000\n";

/// Says it and waits for the end.
fn says(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
    // It may be closed in the middle of it.
    let _ = stream.write_all(bytes);
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        let is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!is_late, "it is still open");
    }
}

/// Says it until the log tells of it: of many at once not each has a line.
#[track_caller]
fn is_told(broker: &Broker, address: SocketAddr, bytes: &[u8], told: &str) {
    let began = Instant::now();
    loop {
        says(address, bytes);
        let output = broker.output();
        if let Some(line) = output.lines().find(|line| line.contains(told)) {
            assert!(line.contains("\"peer\":\"127.0.0.1:"), "it says from where: {line}");
            return;
        }
        assert!(began.elapsed() < PATIENCE, "no {told:?} in {output}");
    }
}

#[test]
fn who_speaks_tls_or_another_protocol_where_there_is_none_is_closed_and_told_of() {
    let broker = Broker::start_configured(PATIENT);
    let hello = Trust::new(&Authority::new("Test CA").path(), None).hello();
    let mqtt = connect(Version::V5, "lost", true, 60, None);
    let (web, kafka) = (broker.web_address(), broker.kafka_address());
    for (address, bytes, told) in [
        (broker.address(), &hello[..], "it speaks TLS, and this port MQTT without it"),
        (broker.address(), HTTP, "it speaks HTTP, and this port MQTT without WebSocket"),
        (broker.address(), KAFKA, "it speaks no MQTT: Kafka, perhaps"),
        (web, &hello, "it speaks TLS, and this port WebSocket without it"),
        (web, &mqtt, "it speaks MQTT without WebSocket"),
        (web, KAFKA, "this port speaks MQTT over WebSocket"),
        (kafka, &hello, "it speaks TLS, and this port Kafka"),
        (kafka, &mqtt, "it speaks MQTT, and this port Kafka"),
        (kafka, HTTP, "it speaks HTTP, and this port Kafka"),
        (broker.http_address(), &hello, "what came is no HTTP/1.1"),
        (broker.http_address(), &mqtt, "what came is no HTTP/1.1"),
    ] {
        is_told(&broker, address, bytes, told);
    }
    Wire::clean(broker.address(), Version::V5, "beside").disconnect();
}

#[test]
fn who_speaks_anything_but_tls_where_there_is_nothing_else_is_closed_and_told_of() {
    let authority = Authority::new("Test CA");
    let Pair { cert, key, .. } = authority.sign("server", Use::Server, &["localhost"]);
    let tls = |name| {
        format!(
            "[listener.{name}]\nbind = \"127.0.0.1:0\"\n[listener.{name}.tls]\n\
             cert_file = {cert:?}\nkey_file = {key:?}\nhandshake_timeout_ms = 600000\n"
        )
    };
    let broker = Broker::start_configured(&["mqtts", "wss", "kafkas", "http"].map(tls).concat());
    let mqtt = connect(Version::V5, "lost", true, 60, None);
    for (listener, scheme) in
        [("mqtts", "mqtts"), ("wss", "wss"), ("kafkas", "kafkas"), ("http", "https")]
    {
        for (bytes, told) in [
            (&mqtt[..], "it speaks MQTT without TLS; this port is for TLS"),
            (HTTP, "it speaks HTTP without TLS; this port is for TLS"),
            (KAFKA, "it does not speak TLS (Kafka without it, perhaps); this port is for TLS"),
        ] {
            says(broker.address_of(scheme), bytes);
            let listener = format!("\"listener\":\"{listener}\"");
            let is_it = |line: &str| line.contains(told) && line.contains(&listener);
            let began = Instant::now();
            while !broker.output().lines().any(is_it) {
                assert!(began.elapsed() < PATIENCE, "{listener}: no {told:?}");
            }
        }
    }
    Wire::clean(broker.address(), Version::V5, "beside").disconnect();
}
