//! Behind a proxy, is a client known by its own address, and does nobody come past the proxy?

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};
use tempfile::TempDir;
use tidewire_tests::authority::{Authority, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::program::Program;
use tidewire_tests::secure::{Secure, Trust};
use tidewire_tests::wire::{Hello, Publish, Version, Wire, kind};

const NOT_AUTHORIZED: u8 = 0x87;
const SUCCESS: u8 = 0;

/// What a listener says that stands behind a proxy on this machine.
const BEHIND: &str = "proxy_protocol = \"required\"\nproxy_from = [\"127.0.0.0/8\"]\n";

/// A header of version 1 for a client at this address.
fn line(address: &str) -> Vec<u8> {
    format!("PROXY TCP4 {address} 127.0.0.1 4711 1883\r\n").into_bytes()
}

/// One of version 2, with something behind the addresses.
fn binary(address: [u8; 4]) -> Vec<u8> {
    let head = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x13".as_slice();
    [head, &address, &[127, 0, 0, 1, 0x12, 0x67, 0x07, 0x5b], &[4, 0, 4, 1, 2, 3, 4]].concat()
}

/// One of a proxy that speaks for itself.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// Publishes, and says what became of it.
fn published(wire: &mut Wire) -> u8 {
    wire.publish(&Publish::new("a", "x", 1, 7));
    wire.packet_of(kind::PUBACK).body().get(2).copied().unwrap_or(SUCCESS)
}

/// A client whose proxy says this first, let in.
fn client(broker: &Broker, header: &[u8], client_id: &str) -> Wire {
    let mut wire = Wire::open(broker.address(), Version::V5);
    wire.send(&[header, &Hello::new(client_id).bytes()].concat());
    assert!(!wire.connected());
    wire
}

/// Who says this is closed without a word.
#[track_caller]
fn is_closed(broker: &Broker, said: &[u8]) {
    let mut wire = Wire::open(broker.address(), Version::V5);
    wire.send_if_open(said);
    assert_eq!(wire.packet_or_end(), None, "{}", said.escape_ascii());
}

#[test]
fn the_address_that_the_proxy_names_is_the_one_that_counts() {
    let folder = TempDir::new().expect("a folder");
    let rules = folder.path().join("rules");
    std::fs::write(&rules, "allow address=203.0.113.0/24 any #\n").expect("written");
    let broker = Broker::start_configured(&format!(
        "[listener.mqtt]\nanonymous = \"allow\"\nconnections_per_address_max = 1\n{BEHIND}\
         [access]\nrules_file = {rules:?}\n"
    ));
    let mut wires = Vec::new();
    for (header, expected) in [
        (line("203.0.113.1"), SUCCESS),
        (binary([203, 0, 113, 2]), SUCCESS),
        (line("198.51.100.1"), NOT_AUTHORIZED),
        (binary([198, 51, 100, 2]), NOT_AUTHORIZED),
        (LOCAL.to_vec(), NOT_AUTHORIZED),
    ] {
        let mut wire = client(&broker, &header, &format!("c{}", wires.len()));
        assert_eq!(published(&mut wire), expected, "{}", header.escape_ascii());
        wires.push(wire);
    }
    // Each of these addresses has its one connection; the proxy's own has one of its own, too.
    for header in [line("203.0.113.1"), binary([198, 51, 100, 2]), LOCAL.to_vec()] {
        is_closed(&broker, &[&header[..], &Hello::new("more").bytes()].concat());
    }
    wires.push(client(&broker, &line("203.0.113.3"), "another"));
}

#[test]
fn who_comes_without_a_header_or_with_a_wrong_one_is_closed_and_told_of() {
    let broker =
        Broker::start_configured(&format!("[listener.mqtt]\nanonymous = \"allow\"\n{BEHIND}"));
    for (said, told) in [
        (Hello::new("c").bytes(), "it begins without a header of the PROXY protocol"),
        (b"PROXY TCP4 here there 1 2\r\n".to_vec(), "its PROXY header is not one of version 1"),
        (b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0".to_vec(), "is not one of version 2"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec(), "is longer than it may be"),
        ([&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat(), "is longer than it may be"),
    ] {
        is_closed(&broker, &said);
        broker.await_output(told);
    }
    // A health check that says nothing is no news, and costs nobody his place.
    drop(Wire::open(broker.address(), Version::V5));
    drop(client(&broker, &line("203.0.113.1"), "good"));
}

#[test]
fn who_comes_past_the_proxy_is_closed_whatever_it_says() {
    let broker = Broker::start_configured(
        "[listener.mqtt]\nanonymous = \"allow\"\nproxy_protocol = \"required\"\n\
         proxy_from = [\"192.0.2.0/24\", \"::1\"]\n",
    );
    let hello = Hello::new("c").bytes();
    is_closed(&broker, &hello);
    is_closed(&broker, &[line("203.0.113.1"), hello].concat());
    broker.await_times("its address is none of `proxy_from`", 2);
}

#[test]
fn a_proxy_that_does_not_come_to_an_end_with_its_header_is_closed() {
    let text = format!("[mqtt]\nconnect_timeout_ms = 200\n[listener.mqtt]\n{BEHIND}");
    let broker = Broker::start_configured(&text);
    let mut wire = Wire::open(broker.address(), Version::V5);
    wire.send(b"PROXY TCP4 203.0");
    assert_eq!(wire.packet_or_end(), None);
    broker.await_output("its PROXY header took longer than mqtt.connect_timeout_ms");
}

#[test]
fn nobody_is_taken_for_local_because_the_proxy_is() {
    let broker = Broker::start_configured(&format!("[listener.mqtt]\n{BEHIND}"));
    for header in [line("203.0.113.1"), line("127.0.0.1"), LOCAL.to_vec()] {
        let mut wire = Wire::open(broker.address(), Version::V5);
        wire.send(&[header, Hello::new("c").bytes()].concat());
        assert_eq!(wire.packet_of(kind::CONNACK).body().get(1), Some(&NOT_AUTHORIZED));
    }
    broker.await_output("behind a proxy, for clients that sign in");
}

#[test]
fn a_header_comes_before_the_handshake_of_tls_and_before_websocket() {
    let authority = Authority::new("Test CA");
    let server = authority.sign("server", Use::Server, &["localhost"]);
    let (cert, key) = (&server.cert, &server.key);
    let tls = format!("cert_file = {cert:?}\nkey_file = {key:?}\n");
    let section = |name| format!("[listener.{name}]\nbind = \"127.0.0.1:0\"\n{BEHIND}");
    let text = format!(
        "{}[listener.wss.tls]\n{tls}{}[listener.mqtts.tls]\n{tls}{}",
        section("wss"),
        section("mqtts"),
        section("websocket")
    );
    let broker = Configured::new(&text).start();
    let request = b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    let mut plain = Wire::open(broker.web_address(), Version::V5);
    plain.send(&[&binary([203, 0, 113, 9]), &request[..]].concat());
    plain.expect(b"HTTP/1.1 101");
    let trust = Trust::new(&authority.path(), None);
    let header = line("203.0.113.9");
    let wss = Secure::open_behind(broker.address_of("wss"), &trust, &header, request);
    assert_eq!(wss.and_then(|mut wss| wss.hear(12)).expect("let in"), b"HTTP/1.1 101");
    let hello = Hello::new("c").bytes();
    let mqtts = Secure::open_behind(broker.address_of("mqtts"), &trust, &header, &hello);
    let connack = mqtts.and_then(|mut mqtts| mqtts.hear(4)).expect("answered");
    assert_eq!(connack[3], NOT_AUTHORIZED, "anonymous clients of elsewhere are not let in");
    // Without its header, it is not even told what is wrong with its handshake.
    assert!(Secure::open_with(broker.address_of("mqtts"), &trust, &hello).is_err());
}

/// A real proxy before these addresses, each with how it says whose a connection is; where it
/// listens for each.
fn haproxy(folder: &TempDir, behind: &[(SocketAddr, &str)]) -> (Program, Vec<SocketAddr>) {
    let mut text = "defaults\nmode tcp\ntimeout connect 600s\ntimeout client 600s\n\
                    timeout server 600s\n"
        .to_owned();
    // It inherits sockets that are bound: no port has to be guessed.
    let mut sockets = Vec::new();
    for (number, (address, how)) in behind.iter().enumerate() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        fcntl_setfd(&socket, FdFlags::empty()).expect("a live socket");
        let fd = socket.as_raw_fd();
        text += &format!("listen l{number}\nbind fd@{fd}\nserver s{number} {address} {how}\n");
        sockets.push(socket);
    }
    let file = folder.path().join("haproxy.cfg");
    let mut written = std::fs::File::create(&file).expect("made");
    written.write_all(text.as_bytes()).expect("written");
    let mut command = Command::new("sh");
    command.args(["-c", "PATH=$PATH:/usr/sbin exec haproxy -db -f \"$0\""]).arg(&file);
    let program = Program::start(&mut command);
    let addresses = sockets.iter().map(|socket| socket.local_addr().expect("bound")).collect();
    (program, addresses)
}

#[test]
fn haproxy_hands_on_clients_of_mosquitto_with_their_addresses_in_both_versions() {
    let folder = TempDir::new().expect("a folder");
    let rules = folder.path().join("rules");
    std::fs::write(&rules, "allow address=127.0.0.9 any #\n").expect("written");
    let authority = Authority::new("Test CA");
    let server = authority.sign("server", Use::Server, &["localhost", "127.0.0.1"]);
    let (cert, key) = (&server.cert, &server.key);
    let open = format!("anonymous = \"allow\"\n{BEHIND}");
    let text = format!(
        "[listener.mqtt]\n{open}[listener.mqtts]\nbind = \"127.0.0.1:0\"\n{open}\
         [listener.mqtts.tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n\
         [access]\nrules_file = {rules:?}\n"
    );
    let broker = Configured::new(&text).start();
    let (plain, secret) = (broker.address(), broker.address_of("mqtts"));
    let ways = [
        (plain, "send-proxy"),
        (plain, "send-proxy-v2"),
        (secret, "send-proxy"),
        (secret, "send-proxy-v2-ssl-cn"),
    ];
    let (_haproxy, places) = haproxy(&folder, &ways);
    let ca = authority.path().display().to_string();
    for ((to, how), place) in ways.into_iter().zip(places) {
        for (from, expected) in [("127.0.0.9", "RC:0)"), ("127.0.0.8", "RC:135)")] {
            let mut command = Command::new("mosquitto_pub");
            let port = place.port().to_string();
            command.args(["-V", "mqttv5", "-h", "127.0.0.1", "-p", &port, "-A", from, "-d"]);
            command.args(["-t", "a", "-q", "1", "-m", "x"]);
            if to == secret {
                command.args(["--cafile", &ca]);
            }
            let mut client = Program::start(&mut command);
            let (status, lines) = client.rest();
            let is_told = lines.iter().any(|line| line.contains(expected));
            assert!(is_told, "{how} {from} {status}\n{}", client.output());
        }
    }
}
