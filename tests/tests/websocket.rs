//! Does MQTT come through WebSocket, however frames cut it, and nothing else?

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use tidewire_tests::authority::{Authority, Pair, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::clients::{mqtt_js, paho};
use tidewire_tests::configured::Configured;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::secure::{Secure, Trust};
use tidewire_tests::wire::{Publish, Version, Wire, connect, publish, subscribe};

const REQUEST: &str = "GET /any/path HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nOrigin: https://good.example\r\n";
const MQTT: &str = "Sec-WebSocket-Protocol: mqtt\r\n\r\n";

fn start(more: &str) -> Broker {
    let named =
        if more.contains("origins") { "" } else { "origins = [\"https://good.example\"]\n" };
    let section = "[listener.websocket]\nbind = \"127.0.0.1:0\"\n";
    Configured::new(&format!("{section}{named}{more}")).start()
}

/// A socket on which the request was sent, and the head of the answer.
fn asked(broker: &Broker, protocol: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(broker.web_address()).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
    stream.write_all(format!("{REQUEST}{protocol}").as_bytes()).expect("it reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).expect("text"))
}

fn open(broker: &Broker) -> TcpStream {
    let (stream, head) = asked(broker, MQTT);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("Sec-WebSocket-Protocol: mqtt\r\n"), "{head}");
    stream
}

/// A frame of a client.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("short");
    let mut frame = vec![first, 0x80 | 126];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&[7, 7, 7, 7]);
    frame.extend(payload.iter().map(|byte| byte ^ 7));
    frame
}

/// The first byte and the payload of the next frame of the broker.
fn next_frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame");
    assert!(head[1] < 126, "a short one without a mask");
    let mut payload = vec![0; usize::from(head[1])];
    stream.read_exact(&mut payload).expect("all of it");
    (head[0], payload)
}

/// The payload of frames until there are so many bytes.
fn bytes_of(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let (first, payload) = next_frame(stream);
        assert_eq!(first, 0x82, "MQTT comes in binary frames");
        bytes.extend(payload);
    }
    bytes
}

#[test]
fn frames_may_cut_packets_anywhere_and_hold_many() {
    let broker = start("");
    let mut packets = connect(Version::V4, "web", true, 60, None);
    packets.extend(subscribe(Version::V4, 1, &[("web/#", 1)]));
    packets.extend(publish(Version::V4, &Publish::new("web/a", "hello", 1, 2)));
    let mut expected = vec![0x20, 2, 0, 0, 0x90, 3, 0, 1, 1];
    expected.extend([0x40, 2, 0, 2]);
    for size in [1, 2, 3, 7, packets.len()] {
        let mut stream = open(&broker);
        // One message of WebSocket in many fragments, each with a ping behind it.
        let last = packets.chunks(size).count() - 1;
        for (at, part) in packets.chunks(size).enumerate() {
            let first = if at == 0 { 2 } else { 0 } | if at == last { 0x80 } else { 0 };
            stream.write_all(&frame(first, part)).expect("it reads");
        }
        let mut got = bytes_of(&mut stream, expected.len() + 14);
        let message = got.windows(5).position(|five| five == b"hello").expect("the message");
        let start = message - 11;
        got.drain(start..message + 5);
        assert_eq!(got, expected, "cut into {size}");
    }
}

#[test]
fn pings_are_answered_and_close_is_returned() {
    let broker = start("");
    let mut stream = open(&broker);
    stream.write_all(&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i']).expect("it reads");
    assert_eq!(next_frame(&mut stream), (0x8a, b"hi".to_vec()));
    stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).expect("it reads");
    assert_eq!(next_frame(&mut stream), (0x88, vec![0x03, 0xe8]));
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
}

#[test]
fn a_frame_that_is_not_binary_ends_the_connection() {
    let broker = start("");
    for (bytes, code) in [
        (frame(0x81, b"text"), 1003_u16),
        (frame(0xa2, b"reserved"), 1002),
        (vec![0x82, 1, 0x10], 1002),
        // A ping of 126 bytes, and half of one.
        (frame(0x89, &[b'p'; 126]), 1002),
        (vec![0x09, 0x80, 0, 0, 0, 0], 1002),
        (vec![0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], 1002),
    ] {
        let mut stream = open(&broker);
        stream.write_all(&bytes).expect("it reads");
        assert_eq!(next_frame(&mut stream), (0x88, code.to_be_bytes().to_vec()));
        assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
    }
    // Nobody else was harmed.
    Wire::clean(broker.address(), Version::V5, "beside").disconnect();
}

/// The answers of one who never reads them may not pile up.
#[test]
fn pings_without_an_end_end_the_connection() {
    let broker = start("");
    let mut stream = open(&broker);
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout above zero");
    let mut packet = connect(Version::V4, "flood", true, 60, None);
    packet.extend([0x30, 0xff, 0xff, 0x7f, 0, 1, b'a']);
    stream.write_all(&frame(0x82, &packet)).expect("it reads");
    // A little of a long message, and many pings: 64 MiB of answers in all.
    let mut burst = frame(0x82, b"x");
    for _ in 0..1_000 {
        burst.extend([0x89, 0x80 | 125, 0, 0, 0, 0]);
        burst.extend([b'p'; 125]);
    }
    let is_ended = (0..512).any(|_| stream.write_all(&burst).is_err());
    assert!(is_ended, "the connection must end");
    Wire::clean(broker.address(), Version::V5, "beside").disconnect();
}

#[test]
fn other_protocols_and_other_origins_are_refused() {
    let broker = start("origins = [\"https://good.example\"]\n");
    let (_, granted) = asked(&broker, MQTT);
    assert!(granted.starts_with("HTTP/1.1 101 "), "{granted}");
    for other in ["chat", "mqtt\u{e9}", "\u{fc}mqtt, m\u{f6}qtt", "mqtt\u{feff}"] {
        let (_, told) = asked(&broker, &format!("Sec-WebSocket-Protocol: {other}\r\n\r\n"));
        assert!(told.starts_with("HTTP/1.1 400 "), "{other}: {told}");
    }
    let (_, beside) = asked(&broker, "Sec-WebSocket-Protocol: \u{1f600}, mqtt\r\n\r\n");
    assert!(beside.contains("Sec-WebSocket-Protocol: mqtt\r\n"), "{beside}");
    let strict = start("origins = [\"https://other.example\"]\n");
    let (_, foreign) = asked(&strict, MQTT);
    assert!(foreign.starts_with("HTTP/1.1 403 "), "{foreign}");
    strict.await_output("connection refused: pages of this origin may not connect");
    broker.await_output("connection refused: Sec-WebSocket-Protocol must name mqtt");
}

/// A broker that speaks WebSocket within TLS, and its authority.
fn secret() -> (Broker, Authority) {
    let authority = Authority::new("Test CA");
    let Pair { cert, key, .. } = authority.sign("server", Use::Server, &["localhost"]);
    let section = "[listener.wss]\nbind = \"127.0.0.1:0\"\n\
        origins = [\"https://good.example\"]\n[listener.wss.tls]\n";
    let config = Configured::new(&format!("{section}cert_file = {cert:?}\nkey_file = {key:?}\n"));
    (config.start(), authority)
}

/// What comes with the end of the handshake is answered before anybody has asked whether the
/// socket takes bytes.
#[test]
fn who_is_refused_within_tls_hears_why_and_then_the_end() {
    let (broker, authority) = secret();
    let (address, trust) = (broker.address_of("wss"), Trust::new(&authority.path(), None));
    let good = format!("{REQUEST}{MQTT}");
    for (request, status, why) in [
        (good.replace("good", "evil"), "403 Forbidden", "pages of this origin may not connect"),
        (good.replace(": mqtt\r\n", ": chat\r\n"), "400 Bad Request", "must name mqtt"),
        (good.replace("GET", "POST"), "400 Bad Request", "this port speaks MQTT over WebSocket"),
        (format!("GET /{}", "long".repeat(8_000)), "431 Request", "the request is too long"),
    ] {
        for is_early in [true, false] {
            let (early, late) = if is_early { (&*request, "") } else { ("", &*request) };
            let client = Secure::open_with(address, &trust, early.as_bytes());
            let mut client = client.expect("a good certificate");
            client.say(late.as_bytes()).expect("it reads");
            let answer = client.rest().expect("an answer, and then the end");
            let answer = String::from_utf8(answer).expect("text");
            let told = format!("{why}, early: {is_early}: {answer:?}");
            let (head, body) = answer.split_once("\r\n\r\n").expect(&told);
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{told}");
            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{told}");
            assert!(body.contains(why), "{told}");
        }
        broker.await_output(why);
    }
}

#[test]
fn who_asks_by_another_program_hears_why_too() {
    let (broker, authority) = secret();
    let url = format!("https://localhost:{}/", broker.address_of("wss").port());
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-i", "--max-time", "120", "--cacert"]).arg(authority.path());
    // An address alone: the name may mean another one, too.
    let resolve = url["https://".len()..].trim_end_matches('/').to_owned() + ":127.0.0.1";
    let output = curl.args(["--resolve", &resolve, &url]).output().expect("curl is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{said}");
    assert!(said.ends_with("this port speaks MQTT over WebSocket"), "{said}");
}

#[test]
fn a_request_that_only_drips_in_is_given_up_in_time() {
    let broker = start("[mqtt]\nconnect_timeout_ms = 1000\n");
    let mut stream = TcpStream::connect(broker.web_address()).expect("it listens");
    stream.set_nodelay(true).expect("a live socket");
    let since = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(250))).expect("a timeout above zero");
    let is_over = REQUEST.bytes().any(|byte| {
        let is_refused = stream.write_all(&[byte]).is_err();
        // Waits for the end, or for the time of the next drop.
        is_refused || matches!(stream.read(&mut [0]), Ok(0))
    });
    assert!(is_over, "still heard after {:?}", since.elapsed());
    drop(open(&broker));
}

#[test]
fn clients_of_mqtt_3_1_name_their_protocol_by_its_version() {
    let broker = start("");
    let (mut stream, head) = asked(&broker, "Sec-WebSocket-Protocol: mqttv3.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("Sec-WebSocket-Protocol: mqttv3.1\r\n"), "{head}");
    let connect = b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01c";
    stream.write_all(&frame(0x82, connect)).expect("it reads");
    assert_eq!(bytes_of(&mut stream, 4), [0x20, 2, 0, 0]);
}

#[test]
fn a_page_from_elsewhere_is_let_in_by_default_only_where_clients_show_who_they_are() {
    let by_default = start("origins = []\n");
    let (_, foreign) = asked(&by_default, MQTT);
    assert!(foreign.starts_with("HTTP/1.1 403 "), "{foreign}");
    for anonymous in ["refuse", "allow"] {
        let broker = start(&format!("origins = []\nanonymous = \"{anonymous}\"\n"));
        let (_, granted) = asked(&broker, MQTT);
        assert!(granted.starts_with("HTTP/1.1 101 "), "{anonymous}: {granted}");
    }
}

#[test]
fn a_session_moves_from_websocket_to_tcp() {
    let broker = start("");
    let mut stream = open(&broker);
    let mut packets = connect(Version::V4, "mover", false, 60, None);
    packets.extend(subscribe(Version::V4, 1, &[("moved", 1)]));
    stream.write_all(&frame(0x82, &packets)).expect("it reads");
    assert_eq!(bytes_of(&mut stream, 9), [0x20, 2, 0, 0, 0x90, 3, 0, 1, 1]);
    let (mut tcp, present) = Wire::resume(broker.address(), Version::V4, "mover");
    assert!(present);
    tcp.nothing_else_on("moved");
}

#[test]
fn clients_of_other_makers_come_through() {
    // Paho names an origin, though it is no page: that of the broker.
    let broker = start("origins = []\n");
    for version in ["4", "5"] {
        mqtt_js("round_trip.js", broker.web_address(), &[version, "ws"]);
        paho("paho_round_trip.py", broker.web_address(), &[version, "websockets"]);
    }
}
