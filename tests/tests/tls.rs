//! Does TLS let in whom it should and nobody else, say why, and go on through new certificates?

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tidewire_tests::authority::{Authority, Pair, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::clients::{Mosquitto, mqtt_js, paho};
use tidewire_tests::configured::Configured;
use tidewire_tests::places::built_program;
use tidewire_tests::program::{PATIENCE, Program};
use tidewire_tests::random::Random;
use tidewire_tests::secure::{Secure, Trust};
use tidewire_tests::wire::{Publish, Version, Wire, connect, subscribe};

/// An authority, and a broker whose certificate it signed.
struct Setup {
    authority: Authority,
    broker: Broker,
}

/// What a TLS section says of clients.
const ASKING: &str = "client_auth = \"required\"\n";

impl Setup {
    /// With these settings on both listeners.
    fn new(tls: &str, more: &str) -> Self {
        let authority = Authority::new("Test CA");
        let server = authority.sign("server", Use::Server, &["localhost", "127.0.0.1"]);
        let broker = start(&server, tls, more);
        Self { authority, broker }
    }

    /// Clients must show certificates of this authority.
    fn mutual(tls: &str, more: &str) -> Self {
        let authority = Authority::new("Test CA");
        let server = authority.sign("server", Use::Server, &["localhost", "127.0.0.1"]);
        let ca = authority.path();
        let asked = format!("{ASKING}client_ca_file = {ca:?}\n{tls}");
        let broker = start(&server, &asked, more);
        Self { authority, broker }
    }

    fn mosquitto(&self, version: &'static str) -> Mosquitto {
        Mosquitto::new(self.broker.address_of("mqtts"), version)
    }

    fn trusting(&self) -> [String; 2] {
        ["--cafile".into(), text(&self.authority.path())]
    }

    /// Openssl, connecting like this until the broker closes.
    fn openssl(&self, arguments: &[&str]) -> Program {
        let mut command = Command::new("openssl");
        let address = self.broker.address_of("mqtts").to_string();
        Program::start(command.args(["s_client", "-ign_eof", "-connect", &address]).args(arguments))
    }

    /// What openssl says when it has said this; the broker closes.
    fn said(&self, said: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("sh");
        let address = self.broker.address_of("mqtts").to_string();
        let line = "printf \"$0\" | openssl s_client -ign_eof \"$@\" 2>&1";
        command.args(["-c", line, said, "-connect", &address]);
        let mut program = Program::start(command.args(arguments));
        let _ = program.rest();
        program.output()
    }
}

fn start(server: &Pair, tls: &str, more: &str) -> Broker {
    let Pair { cert, key, .. } = server;
    let section = |name| {
        format!(
            "[listener.{name}]\nbind = \"127.0.0.1:0\"\n[listener.{name}.tls]\n\
             cert_file = {cert:?}\nkey_file = {key:?}\n{tls}"
        )
    };
    let text = format!("{}{}{more}", section("mqtts"), section("wss"));
    Configured::new(&text).start()
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

fn words(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

fn showing(pair: &Pair) -> [String; 4] {
    ["--cert".into(), text(&pair.cert), "--key".into(), text(&pair.key)]
}

#[test]
fn mosquitto_speaks_over_tls_in_each_version() {
    let setup = Setup::new("", "");
    let trusting = setup.trusting();
    for version in Mosquitto::VERSIONS {
        let mosquitto = setup.mosquitto(version);
        for qos in ["0", "1", "2"] {
            let flags = [&words(&trusting)[..], &["-q", qos]].concat();
            let mut reader = mosquitto.subscribe("tls/#", &[&flags[..], &["-C", "1"]].concat());
            mosquitto.publish("tls/a", "secret", &flags);
            assert_eq!(reader.messages(), [format!("{qos} 0 tls/a secret")], "{version}");
        }
    }
}

#[test]
fn a_message_larger_than_many_records_comes_whole() {
    let setup = Setup::new("", "");
    let trusting = setup.trusting();
    let payload = "0123456789abcdef".repeat(60_000);
    let file = setup.authority.file("payload");
    std::fs::write(&file, &payload).expect("written");
    let mosquitto = setup.mosquitto("mqttv5");
    let flags = [&words(&trusting)[..], &["-q", "1", "-C", "1"]].concat();
    let mut reader = mosquitto.subscribe("large", &flags);
    let file = text(&file);
    let mut command = Command::new("mosquitto_pub");
    let address = setup.broker.address_of("mqtts");
    command.args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-t", "large"]);
    command.args(["-q", "1", "-f", &file]).args(words(&trusting));
    let _ = Program::start(&mut command).succeeds();
    assert!(reader.messages() == [format!("1 0 large {payload}")], "it came otherwise");
}

#[test]
fn paho_and_mqtt_js_speak_over_tls_and_over_websocket() {
    let setup = Setup::new("", "");
    let ca = text(&setup.authority.path());
    for version in ["4", "5"] {
        let mqtts = setup.broker.address_of("mqtts");
        paho("paho_round_trip.py", mqtts, &[version, "tcp", &ca]);
        paho("paho_round_trip.py", setup.broker.address_of("wss"), &[version, "websockets", &ca]);
        for scheme in ["mqtts", "wss"] {
            mqtt_js("round_trip.js", setup.broker.address_of(scheme), &[version, scheme, &ca]);
        }
    }
}

#[test]
fn paho_and_mqtt_js_show_certificates_over_tls_and_over_websocket() {
    let setup = Setup::mutual("", "");
    let Pair { cert, key, .. } = setup.authority.sign("client", Use::Client, &["page"]);
    let [ca, cert, key] = [setup.authority.path(), cert, key].map(|path| text(&path));
    for (scheme, transport) in [("mqtts", "tcp"), ("wss", "websockets")] {
        let address = setup.broker.address_of(scheme);
        paho("paho_round_trip.py", address, &["5", transport, &ca, &cert, &key]);
        mqtt_js("round_trip.js", address, &["5", scheme, &ca, &cert, &key]);
    }
}

#[test]
fn the_certificate_says_who_the_client_is() {
    let rule = "[topics]\nauto_subscribe = [{ filter = \"own/%u\", qos = 1 }]\n";
    let setup = Setup::mutual("identity = \"cn\"\n", rule);
    let pair = setup.authority.sign("client", Use::Client, &["press-7"]);
    let flags = [&setup.trusting()[..], &showing(&pair)[..]].concat();
    let mosquitto = setup.mosquitto("mqttv5");
    // What the client says itself does not count.
    let said = ["-u", "somebody-else", "-C", "1", "-q", "1"];
    let mut reader = mosquitto.subscribe("other", &[&words(&flags)[..], &said].concat());
    mosquitto.publish("own/somebody-else", "not for it", &words(&flags));
    mosquitto.publish("own/press-7", "for it", &[&words(&flags)[..], &["-q", "1"]].concat());
    assert_eq!(reader.messages(), ["1 0 own/press-7 for it"]);
}

#[test]
fn other_names_of_the_certificate_say_who_the_client_is() {
    for (identity, name) in [("san_dns", "press-7.example"), ("san_uri", "spiffe://plant/press-7")]
    {
        let rule = "[topics]\nauto_subscribe = [{ filter = \"own/%u\", qos = 1 }]\n";
        let setup = Setup::mutual(&format!("identity = {identity:?}\n"), rule);
        let pair = setup.authority.sign("client", Use::Client, &["somebody-else", name]);
        let flags = [&setup.trusting()[..], &showing(&pair)[..]].concat();
        let mosquitto = setup.mosquitto("mqttv5");
        let once = [&words(&flags)[..], &["-C", "1", "-q", "1"]].concat();
        let mut reader = mosquitto.subscribe("other", &once);
        mosquitto.publish("own/somebody-else", "not for it", &words(&flags));
        let own = format!("own/{name}");
        mosquitto.publish(&own, "for it", &[&words(&flags)[..], &["-q", "1"]].concat());
        assert_eq!(reader.messages(), [format!("1 0 {own} for it")], "{identity}");
    }
}

#[test]
fn rules_that_name_a_certificate_hold_for_who_shows_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules");
    let lines = "allow cert=press-* publish,subscribe plant/#\n\
                 deny cert=press-9 publish plant/valves/#\n";
    std::fs::write(&rules, lines).expect("written");
    let access = format!("[access]\nrules_file = {rules:?}\n");
    let setup = Setup::mutual("identity = \"cn\"\n", &access);
    let mosquitto = setup.mosquitto("mqttv5");
    let says = |name: &str, topic: &str| {
        let pair = setup.authority.sign(name, Use::Client, &[name]);
        let flags = [&setup.trusting()[..], &showing(&pair)[..]].concat();
        let port = setup.broker.address_of("mqtts").port().to_string();
        let mut command = Command::new("mosquitto_pub");
        command.args(["-V", "mqttv5", "-h", "127.0.0.1", "-p", &port, "-q", "1", "-d"]);
        let mut program = Program::start(command.args(["-t", topic, "-m", name]).args(&flags));
        let _ = program.rest();
        program.output()
    };
    let pair = setup.authority.sign("press-1", Use::Client, &["press-1"]);
    let flags = [&setup.trusting()[..], &showing(&pair)[..], &["-q".into(), "1".into()]].concat();
    let reader = mosquitto.subscribe("plant/#", &words(&flags));
    for (name, topic, is_let) in [
        ("press-9", "plant/valves/a", false),
        ("office-1", "plant/a", false),
        ("press-9", "elsewhere", false),
        ("press-9", "plant/a", true),
        ("press-7", "plant/valves/a", true),
    ] {
        let output = says(name, topic);
        assert_eq!(!output.contains("RC:135"), is_let, "{name} {topic}: {output}");
        if is_let {
            assert_eq!(reader.message(), format!("1 0 {topic} {name}"));
        }
    }
}

/// Openssl connects like this, hears that, and the log says why.
#[track_caller]
fn check_refused(setup: &Setup, arguments: &[&str], heard: &str, told: &str) {
    let openssl = setup.openssl(arguments);
    openssl.await_output(heard);
    setup.broker.await_output(told);
    let log = setup.broker.output();
    let line = log.lines().find(|line| line.contains(told)).expect("just seen");
    assert!(line.contains("\"peer\":\"127.0.0.1:"), "it says from where: {line}");
}

#[test]
fn a_certificate_that_is_not_good_is_refused_with_the_alert_for_it_and_told_of() {
    let authority = Authority::new("Test CA");
    let server = authority.sign("server", Use::Server, &["localhost"]);
    let revoked = authority.sign("revoked", Use::Client, &["gone"]);
    authority.revoke(&revoked);
    let (ca, crl) = (authority.path(), authority.file("crl.pem"));
    let asked = format!("{ASKING}client_ca_file = {ca:?}\ncrl_files = [{crl:?}]\n");
    let broker = start(&server, &asked, "");
    let setup = Setup { authority, broker };
    let namesake = Authority::new("Test CA");
    let other = Authority::new("Other CA");
    let check = |pair: &Pair, heard, told| {
        let (cert, key) = (text(&pair.cert), text(&pair.key));
        check_refused(&setup, &["-cert", &cert, "-key", &key], heard, told);
    };
    let unknown = "was not signed by an authority of `client_ca_file`";
    check(&namesake.sign("a", Use::Client, &["a"]), "alert unknown ca", unknown);
    check(&other.sign("b", Use::Client, &["b"]), "alert unknown ca", unknown);
    let expired = setup.authority.sign("expired", Use::Expired, &["old"]);
    check(&expired, "alert certificate expired", "its certificate has expired");
    let early = setup.authority.sign("early", Use::Early, &["new"]);
    check(&early, "alert certificate expired", "its certificate is not valid yet");
    check(&revoked, "alert certificate revoked", "its certificate was revoked");
    let purpose = setup.authority.sign("purpose", Use::Server, &["server"]);
    check(&purpose, "alert unsupported certificate", "its certificate is not for clients");
    let told = "it showed no certificate, and this listener asks for one";
    check_refused(&setup, &[], "alert certificate required", told);
    let good = setup.authority.sign("good", Use::Client, &["good"]);
    let flags = [&setup.trusting()[..], &showing(&good)[..], &["--insecure".into()]].concat();
    setup.mosquitto("mqttv311").publish("a", "b", &words(&flags));
}

#[test]
fn the_log_says_at_the_start_how_long_certificates_are_good_for() {
    let authority = Authority::new("Test CA");
    for (purpose, told) in [(Use::Server, "is good for 99 days"), (Use::Soon, "runs out in 4 days")]
    {
        let server = authority.sign("server", purpose, &["localhost"]);
        let broker = start(&server, "", "");
        broker.await_output(&format!("certificate {told}"));
    }
}

#[test]
fn websocket_asks_for_the_same_certificates() {
    let setup = Setup::mutual("", "");
    let address = setup.broker.address_of("wss");
    let ca = setup.authority.path();
    let request = b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    let asked = |trust: &Trust| {
        // With the end of the handshake, as some clients do.
        Secure::open_with(address, trust, request)?.hear(12)
    };
    assert!(asked(&Trust::new(&ca, None)).is_err(), "it has no certificate");
    let told = "it showed no certificate, and this listener asks for one\",\"peer\"";
    setup.broker.await_output(told);
    let client = setup.authority.sign("client", Use::Client, &["page"]);
    let head = asked(&Trust::new(&ca, Some(&client))).expect("let in");
    assert_eq!(head, b"HTTP/1.1 101");
}

/// A browser shows the certificate of its user for whatever page asks it to.
#[test]
fn a_page_of_another_host_does_not_speak_by_the_certificate_of_who_looks_at_it() {
    for asking in ["required", "optional"] {
        let authority = Authority::new("Test CA");
        let server = authority.sign("server", Use::Server, &["localhost"]);
        let client = authority.sign("client", Use::Client, &["ann"]);
        let ca = authority.path();
        let tls =
            format!("client_auth = \"{asking}\"\nclient_ca_file = {ca:?}\nidentity = \"cn\"\n");
        let broker = start(&server, &tls, "");
        let trust = Trust::new(&ca, Some(&client));
        let asked = |origin: &str| {
            let request = format!(
                "GET / HTTP/1.1\r\nHost: plant.example:8084\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n{origin}\r\n"
            );
            let address = broker.address_of("wss");
            let mut page = Secure::open(address, &trust).expect("a good certificate");
            page.say(request.as_bytes()).expect("it reads");
            page.hear(12).expect("an answer") == b"HTTP/1.1 101"
        };
        for (origin, is_let) in [
            ("Origin: https://evil.example\r\n", false),
            ("Origin: http://localhost\r\n", false),
            ("Origin: null\r\n", false),
            ("Origin: https://plant.example\r\n", true),
            ("", true),
        ] {
            assert_eq!(asked(origin), is_let, "{asking} {origin}");
        }
        broker.await_output("name it in `origins` of the listener if they are to");
    }
}

#[test]
fn a_certificate_that_names_nobody_is_refused_and_none_at_all_is_where_it_may() {
    let authority = Authority::new("Test CA");
    let server = authority.sign("server", Use::Server, &["localhost"]);
    let ca = authority.path();
    let asked =
        format!("client_auth = \"optional\"\nclient_ca_file = {ca:?}\nidentity = \"san_dns\"\n");
    let setup = Setup { broker: start(&server, &asked, ""), authority };
    let client = setup.authority.sign("client", Use::Client, &["device"]);
    let (cert, key) = (text(&client.cert), text(&client.key));
    let told = "its certificate does not say who it is: it has no DNS name";
    check_refused(&setup, &["-cert", &cert, "-key", &key], "alert certificate unknown", told);
    for pattern in ["a#", "plant+"] {
        let client = setup.authority.sign("pattern", Use::Client, &["device", pattern]);
        let (cert, key) = (text(&client.cert), text(&client.key));
        let told = "its certificate does not say who it is: its DNS name cannot be a user name";
        check_refused(&setup, &["-cert", &cert, "-key", &key], "alert certificate unknown", told);
    }
    let flags = [&setup.trusting()[..], &["--insecure".into()]].concat();
    setup.mosquitto("mqttv311").publish("a", "b", &words(&flags));
}

#[test]
fn a_certificate_without_its_key_stops_the_start_and_the_check() {
    let authority = Authority::new("Test CA");
    let server = authority.sign("server", Use::Server, &["localhost"]);
    let other = authority.sign("other", Use::Server, &["localhost"]);
    let (cert, key) = (&server.cert, &other.key);
    let file = authority.file("tidewire.toml");
    let section = "[listener.mqtts]\nbind = \"127.0.0.1:0\"\n[listener.mqtts.tls]\n";
    let config = format!("{section}cert_file = {cert:?}\nkey_file = {key:?}\n");
    std::fs::write(&file, config).expect("written");
    for (verb, code) in [("check", 2), ("serve", 1)] {
        let mut command = Command::new(built_program("tidewire"));
        command.arg(verb).arg("--config").arg(&file).args(["--data", "data", "--http", "off"]);
        let mut program = Program::start(command.current_dir(authority.file("")));
        let (status, _) = program.rest();
        program.await_output("is not that of the certificate");
        assert_eq!(status.code(), Some(code), "{verb}: {}", program.output());
    }
}

#[test]
fn what_is_not_in_common_is_refused_with_the_alert_for_it_and_told_of() {
    let setup = Setup::new("", "");
    for old in ["-tls1", "-tls1_1"] {
        let old = [old, "-cipher", "DEFAULT@SECLEVEL=0"];
        // Each is told of on a broker of its own.
        let setup = Setup::new("", "");
        check_refused(&setup, &old, "alert protocol version", "older than 1.2");
    }
    let told = "it asks for a protocol (ALPN) that is not spoken here";
    check_refused(&setup, &["-alpn", "h2"], "alert no application protocol", told);
    let ca = text(&setup.authority.path());
    let name = ["-CAfile", &ca, "-verify_return_error", "-verify_hostname", "other.example"];
    let told = "is the name that it connects to in it?";
    check_refused(&setup, &name, "hostname mismatch", told);
    let other = Authority::new("Other CA");
    let distrusting = ["-CAfile", &text(&other.path()), "-verify_return_error"];
    let told = "it does not know the authority of our certificate";
    check_refused(&setup, &distrusting, "unable to get local issuer certificate", told);
}

#[test]
fn both_versions_of_tls_are_spoken_and_the_older_one_only_where_it_may() {
    let setup = Setup::new("", "");
    let ca = text(&setup.authority.path());
    for (version, shown) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let output = setup.said("no MQTT", &["-brief", "-CAfile", &ca, version]);
        assert!(output.contains(&format!("Protocol version: {shown}")), "{output}");
        assert!(output.contains("Verification: OK"), "{output}");
    }
    let output = setup.said("no MQTT", &["-alpn", "other,mqtt"]);
    assert!(output.contains("ALPN protocol: mqtt"), "{output}");
    let strict = Setup::new("version_min = \"1.3\"\n", "");
    strict.openssl(&["-tls1_2"]).await_output("alert protocol version");
    strict.broker.await_output("versions of TLS that are too old");
}

#[test]
fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let authority = Authority::new("Test CA");
    let first = authority.sign("first", Use::Server, &["first.example"]);
    let second = authority.sign("second", Use::Server, &["second.example", "*.wild.example"]);
    let (cert, key) = (&second.cert, &second.key);
    let more = format!("more = [{{ cert_file = {cert:?}, key_file = {key:?} }}]\n");
    let setup = Setup { broker: start(&first, &more, ""), authority };
    for (asked, shown) in [
        ("first.example", "first.example"),
        ("second.example", "second.example"),
        ("SECOND.example", "second.example"),
        ("a.wild.example", "second.example"),
        ("a.b.wild.example", "first.example"),
        ("unknown.example", "first.example"),
    ] {
        let output = setup.said("no MQTT", &["-servername", asked]);
        assert!(output.contains(&format!("subject=CN = {shown}")), "{asked}\n{output}");
    }
}

#[test]
fn a_client_that_comes_back_shortens_the_handshake_where_it_may() {
    let setup = Setup::new("", "");
    let file = text(&setup.authority.file("session"));
    for version in ["-tls1_2", "-tls1_3"] {
        let _ = setup.said("no MQTT", &[version, "-sess_out", &file]);
        let output = setup.said("no MQTT", &[version, "-sess_in", &file]);
        assert!(output.contains("Reused, "), "{version}\n{output}");
    }
    let never = Setup::new("resumption = false\n", "");
    let file = text(&never.authority.file("session"));
    let _ = never.said("no MQTT", &["-tls1_2", "-sess_out", &file]);
    let output = never.said("no MQTT", &["-tls1_2", "-sess_in", &file]);
    assert!(!output.contains("Reused, "), "{output}");
}

#[test]
fn who_does_not_speak_tls_or_does_not_speak_is_closed() {
    let setup = Setup::new("handshake_timeout_ms = 500\n", "");
    let address = setup.broker.address_of("mqtts");
    for (bytes, told) in [
        (&b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"[..], "it speaks MQTT without TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", "it speaks HTTP without TLS"),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07", "it does not speak TLS"),
        (b"", "the handshake took longer than handshake_timeout_ms"),
        (b"\x16\x03\x01\x02\x00\x01", "the handshake took longer than handshake_timeout_ms"),
    ] {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        stream.write_all(bytes).expect("it reads");
        let began = Instant::now();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(began.elapsed() < PATIENCE, "{told}: {:?}", began.elapsed());
        setup.broker.await_output(told);
    }
    // Nobody else was harmed.
    Wire::clean(setup.broker.address(), Version::V5, "beside").disconnect();
}

/// A hello that is broken anywhere, and records that are broken behind a good handshake: each ends
/// its own connection, and no thread.
#[test]
fn broken_bytes_break_nothing_but_their_connection() {
    let setup = Setup::new("handshake_timeout_ms = 5000\n", "");
    let (address, trust) =
        (setup.broker.address_of("mqtts"), Trust::new(&setup.authority.path(), None));
    let hello = trust.hello();
    let mut random = Random::new(6);
    let mut open = Vec::new();
    for n in 0..600 {
        let mut bytes = hello.clone();
        for _ in 0..=n % 4 {
            let at = random.below(bytes.len());
            bytes[at] = random.byte();
        }
        if n % 3 == 0 {
            // More of it in the same breath, of which the library must not read on.
            bytes.extend_from_slice(&hello);
        }
        bytes.truncate(bytes.len() - (n % 5) * 7);
        let mut stream = TcpStream::connect(address).expect("it listens");
        // A refusal may come before the last byte.
        let _ = stream.write_all(&bytes);
        open.push(stream);
    }
    for first in [0x14, 0x15, 0x16, 0x17, 0x18, 0x80] {
        let mut stream = Secure::open(address, &trust).expect("let in").into_socket();
        stream.write_all(&[first, 3, 3, 0, 32]).expect("it reads");
        stream.write_all(&[7; 32]).expect("it reads");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    // One that takes its leave in the middle, and stays.
    let mut leaving = TcpStream::connect(address).expect("it listens");
    leaving.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
    leaving.write_all(&[&hello[..], &[0x15, 3, 3, 0, 2, 1, 0]].concat()).expect("it reads");
    let _ = leaving.read_to_end(&mut Vec::new());
    drop(open);
    let mut good = Secure::open(address, &trust).expect("let in");
    good.say(&connect(Version::V5, "beside", true, 60, None)).expect("it reads");
    assert_eq!(good.hear(1).expect("CONNACK"), [0x20]);
    let output = setup.broker.output();
    assert!(!output.contains("panic"), "{output}");
}

#[test]
fn keys_may_be_renewed_in_the_middle_of_a_session() {
    let setup = Setup::new("", "");
    let trust = Trust::new(&setup.authority.path(), None);
    let mut client = Secure::open(setup.broker.address_of("mqtts"), &trust).expect("let in");
    client.say(&connect(Version::V4, "renewing", true, 60, None)).expect("it reads");
    assert_eq!(client.hear(4).expect("CONNACK"), [0x20, 2, 0, 0]);
    for _ in 0..8 {
        client.refresh_keys();
        client.say(&[0xc0, 0]).expect("it reads");
        assert_eq!(client.hear(2).expect("it answers"), [0xd0, 0]);
    }
}

#[test]
fn a_client_that_reads_late_gets_all() {
    const COUNT: usize = 300;
    let setup = Setup::new("", "");
    let trust = Trust::new(&setup.authority.path(), None);
    let address = setup.broker.address_of("mqtts");
    let mut late = Secure::open(address, &trust).expect("let in");
    late.say(&connect(Version::V4, "late", true, 60, None)).expect("it reads");
    assert_eq!(late.hear(4).expect("CONNACK"), [0x20, 2, 0, 0]);
    late.say(&subscribe(Version::V4, 1, &[("flood", 1)])).expect("it reads");
    assert_eq!(late.hear(5).expect("SUBACK"), [0x90, 3, 0, 1, 1]);
    let payload = "x".repeat(20_000);
    let mut loud = Wire::clean(setup.broker.address(), Version::V4, "loud");
    for id in 1..=u16::try_from(COUNT).expect("few") {
        loud.publish_acknowledged(&Publish::new("flood", &payload, 1, id));
    }
    for n in 0..COUNT {
        // Remaining length 20_009: three bytes.
        let packet = late.hear(4 + 20_009).expect("a PUBLISH");
        assert_eq!((packet[0], &packet[6..11]), (0x32, &b"flood"[..]), "message {n}");
        assert!(packet[13..].iter().all(|byte| *byte == b'x'), "message {n}");
    }
}
