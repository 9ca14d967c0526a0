//! Does a broker that runs take over other settings whole or not at all, without dropping anybody,
//! and does it say what it did?

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use tidewire_tests::authority::{Authority, Pair, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::clients::Mosquitto;
use tidewire_tests::configured::Configured;
use tidewire_tests::http::Http;
use tidewire_tests::over::Over;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::secure::{Secure, Trust};
use tidewire_tests::typed::typed;
use tidewire_tests::users;
use tidewire_tests::wire::{Hello, Publish, Version, Wire, connect, kind, publish};

const CLIENTS: usize = 8;
const NOT_AUTHORIZED: u8 = 0x87;
const BAD_CLIENT_ID: u8 = 0x85;
const STAYS: &str = "reload: all settings stay as they were";

/// A broker whose settings the test rewrites.
struct Setup {
    authority: Authority,
    config: Configured,
    broker: Broker,
}

/// Parts of the configuration, as text.
struct Parts<'p> {
    mqtts: Option<&'p Pair>,
    websocket: &'p str,
    rules: &'p Path,
    more: &'p str,
}

impl Parts<'_> {
    fn text(&self, passwords: &Path) -> String {
        let Self { mqtts, websocket, rules, more } = self;
        let mqtts = mqtts.map_or_else(String::new, |Pair { cert, key, .. }| {
            format!(
                "[listener.mqtts]\nbind = \"127.0.0.1:0\"\nanonymous = \"allow\"\n\
                 [listener.mqtts.tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n"
            )
        });
        format!(
            "[listener.mqtt]\nanonymous = \"allow\"\n{mqtts}\
             [listener.websocket]\nbind = {websocket:?}\nanonymous = \"allow\"\n\
             [auth]\npassword_file = {passwords:?}\n[access]\nrules_file = {rules:?}\n{more}"
        )
    }
}

impl Setup {
    /// Has these settings read, and waits until it has said this once more.
    fn reload(&self, text: &str, told: &str) {
        let times = self.broker.output().matches(told).count();
        self.config.write(text);
        self.broker.hang_up();
        self.broker.await_times(told, times + 1);
    }
}

/// Where it said last that this listener listens.
fn listens(broker: &Broker, listener: &str) -> SocketAddr {
    let mark = format!("\"message\":\"listens\",\"listener\":\"{listener}\",\"address\":\"");
    let output = broker.output();
    let from = output.rfind(&mark).expect("it was said") + mark.len();
    let rest = &output[from..];
    rest[..rest.find('"').expect("closed")].parse().expect("an address")
}

fn is_open(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// What MQTT 5 clients hear as the answer to CONNECT.
fn answer(broker: &Broker, hello: &Hello<'_>) -> u8 {
    let mut wire = Wire::open(broker.address(), Version::V5);
    wire.send(&hello.bytes());
    wire.packet_of(kind::CONNACK).body()[1]
}

/// The code of PUBACK.
fn published(broker: &Broker, client_id: &str, topic: &str) -> u8 {
    let mut wire = Wire::clean(broker.address(), Version::V5, client_id);
    wire.publish(&Publish::new(topic, "x", 1, 7));
    wire.packet_of(kind::PUBACK).body().get(2).copied().unwrap_or(0)
}

/// Publishes and is acknowledged until it is over.
fn publish_on(mut client: Wire, over: &Over, count: &AtomicU64) {
    while !over.within(Duration::from_millis(5)) {
        client.publish_acknowledged(&Publish::new("load/plain", "21.5", 1, 7));
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The same over TLS.
fn publish_secretly(mut client: Secure, over: &Over, count: &AtomicU64) {
    while !over.within(Duration::from_millis(5)) {
        let message = publish(Version::V4, &Publish::new("load/secret", "21.5", 1, 7));
        client.say(&message).expect("it is connected");
        assert_eq!(client.hear(4).expect("it is connected"), [0x40, 2, 0, 7]);
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn secret(address: SocketAddr, trust: &Trust, client_id: &str) -> Secure {
    let mut client = Secure::open(address, trust).expect("a handshake");
    client.say(&connect(Version::V4, client_id, true, 0, None)).expect("it reads");
    assert_eq!(client.hear(4).expect("an answer"), [0x20, 2, 0, 0], "{client_id}");
    client
}

#[test]
fn under_load_other_settings_come_into_force_and_nobody_is_dropped() {
    let authority = Authority::new("Test CA");
    let first = authority.sign("first", Use::Server, &["localhost"]);
    let trust = Trust::new(&authority.path(), None);
    let (passwords, rules) = (authority.file("passwords"), authority.file("rules"));
    users::write(&passwords, &["ann"]);
    fs::write(&rules, "allow everyone any #\n").expect("written");
    let parts = Parts { mqtts: Some(&first), websocket: "off", rules: &rules, more: "" };
    let config = Configured::new(&parts.text(&passwords));
    let broker = config.start();
    let setup = Setup { authority, config, broker };
    let mqtts = setup.broker.address_of("mqtts");

    let (over, count) = (Over::default(), AtomicU64::new(0));
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (over, count, broker, trust) = (&over, &count, &setup.broker, &trust);
            let client_id = format!("load {number}");
            if number % 2 == 0 {
                let client = Wire::clean(broker.address(), Version::V5, &client_id);
                scope.spawn(move || publish_on(client, over, count));
            } else {
                let client = secret(mqtts, trust, &client_id);
                scope.spawn(move || publish_secretly(client, over, count));
            }
        }
        let at_last = over.at_last();
        change_all(&setup, &parts, (&passwords, &trust));
        let so_far = count.load(Ordering::Relaxed);
        let goes_on = Wire::clean(setup.broker.address(), Version::V5, "looking");
        while count.load(Ordering::Relaxed) < so_far + 10 * CLIENTS as u64 {
            assert!(!over.within(Duration::from_millis(5)), "one of them was dropped");
        }
        goes_on.disconnect();
        drop(at_last);
    });
}

/// Each change, and what follows from it.
fn change_all(setup: &Setup, first: &Parts<'_>, (passwords, trust): (&Path, &Trust)) {
    let Setup { authority, broker, .. } = setup;
    let mqtts = broker.address_of("mqtts");
    // A bad file: every mistake with its place, and nothing of the rest.
    let bad =
        Parts { websocket: "127.0.0.1:0", more: "[mqtt]\nreceive_max = 0\n\nkeep = 1\n", ..*first };
    setup.reload(&bad.text(passwords), STAYS);
    let output = broker.output();
    assert!(output.contains("tidewire.toml:17:15: `mqtt.receive_max` is to be"), "{output}");
    assert!(output.contains("tidewire.toml:19:1: there is no setting `mqtt.keep`"), "{output}");
    assert!(!output.contains("\"listener\":\"websocket\""), "{output}");
    // A file that is named in a good one is wrong: nothing of the rest either.
    let wrong = authority.file("wrong rules");
    fs::write(&wrong, "allow everyone any #\npermit nobody\n").expect("written");
    let bad = Parts { websocket: "127.0.0.1:0", rules: &wrong, ..*first };
    setup.reload(&bad.text(passwords), STAYS);
    assert!(broker.output().contains("wrong rules:2: "), "{}", broker.output());
    assert!(!broker.output().contains("\"listener\":\"websocket\""));

    // A listener more, a limit, something that has to wait.
    let more = "[mqtt]\nclient_id_bytes_max = 30\n[threads]\ncores = 5\n";
    let added = Parts { websocket: "127.0.0.1:0", more, ..*first };
    setup.reload(&added.text(passwords), "reload: needs a restart: threads.cores: 0 -> 5");
    broker.await_output("reload: applied: mqtt.client_id_bytes_max: 1024 -> 30");
    broker.await_output(
        "reload: applied: listener.websocket.bind: \\\"off\\\" -> \\\"127.0.0.1:0\\\"",
    );
    let web = listens(broker, "websocket");
    assert!(is_open(web));
    assert_eq!(answer(broker, &Hello::new(&"x".repeat(31))), BAD_CLIENT_ID);
    assert_eq!(answer(broker, &Hello::new(&"x".repeat(30))), 0);

    // Its address is said otherwise; other rules; another user; another certificate.
    let strict = authority.file("strict rules");
    fs::write(&strict, "allow everyone any load/#\n").expect("written");
    assert_eq!(published(broker, "free", "plant/1"), 0);
    users::write(passwords, &["ann", "bob"]);
    let second = authority.sign("second", Use::Server, &["localhost"]);
    let everywhere = format!("0.0.0.0:{}", web.port());
    let other = Parts { mqtts: Some(&second), websocket: &everywhere, rules: &strict, more };
    setup.reload(&other.text(passwords), "reload: applied: access.rules_file");
    assert_eq!(listens(broker, "websocket").to_string(), everywhere);
    assert!(is_open(web));
    broker.await_output("access rules hold for all sessions");
    assert_eq!(published(broker, "free", "plant/1"), NOT_AUTHORIZED);
    broker.await_output("the password file is read anew\",\"users\":2,");
    assert_eq!(answer(broker, &Hello { login: Some(("bob", "bob")), ..Hello::new("bob") }), 0);
    let shown = Secure::open(mqtts, trust).expect("let in").shown();
    let expected = CertificateDer::from_pem_file(&second.cert).expect("a certificate");
    assert_eq!(shown, expected.to_vec(), "who comes is shown the new one, at the same address");

    // Listeners are closed, who is connected stays. The last that is said of anything.
    let quiet = "[log]\nfilter = \"error\"\n";
    let fewer = Parts { mqtts: None, websocket: "off", rules: &strict, more: quiet };
    setup.reload(&fewer.text(passwords), "reload: applied: log.filter");
    broker.await_times("closed: who is connected stays", 2);
    while is_open(mqtts) || is_open(web) {
        thread::yield_now();
    }
    setup.reload("nonsense", STAYS);
}

#[test]
fn bridges_begin_and_end_while_the_broker_runs_and_go_on_where_they_were() {
    let there = Broker::start();
    let link = format!(
        "[[bridge.link]]\nname = \"up\"\naddresses = [\"{}\"]\n\
         rules = [{{ direction = \"out\", filter = \"up/#\", qos = 2 }}]\n",
        there.address()
    );
    let setup = Configured::new("");
    let broker = setup.start();
    let reload = |text: &str, told: &str, times: usize| {
        setup.write(text);
        broker.hang_up();
        broker.await_times(told, times);
    };
    let live = Mosquitto::new(there.address(), "mqttv5").subscribe("#", &["-q", "2", "-C", "3"]);
    let here = Mosquitto::new(broker.address(), "mqttv5");
    here.publish("up/0", "before it was there", &["-q", "1"]);
    reload(&link, "reload: applied: bridge.link[up]: new", 1);
    // It begins with what comes from now on.
    broker.await_output("\"message\":\"linked\"");
    here.publish("up/1", "one", &["-q", "2"]);
    assert_eq!(live.message(), "2 0 up/1 one");
    reload("", "reload: applied: bridge.link[up]: removed", 1);
    here.publish("up/2", "two", &["-q", "2"]);
    reload(&link, "reload: applied: bridge.link[up]: new", 2);
    let wider = link.replace("up/#", "#");
    reload(&wider, "reload: applied: bridge.link[up].rules[0].filter", 1);
    here.publish("down/3", "three", &["-q", "2"]);
    assert_eq!(live.message(), "2 0 up/2 two");
    assert_eq!(live.message(), "2 0 down/3 three");
}

#[test]
fn the_http_port_has_the_configuration_read_anew_and_says_what_became_of_it() {
    let port = "[listener.http]\nbind = \"127.0.0.1:0\"\n";
    let setup = Configured::new(port);
    let broker = setup.start();
    let http = Http::new(broker.http_address());
    let reload = || http.ask("POST", "/api/v1/reload", None);
    let nothing = json!({ "applied": [], "needs_restart": [] });
    assert_eq!(reload().json(), nothing);

    setup.write(&format!("{port}[mqtt]\nreceive_max = 7\n[threads]\ncores = 3\n"));
    let change = |setting, old, new| json!([{ "setting": setting, "old": old, "new": new }]);
    let expected = json!({
        "applied": change("mqtt.receive_max", "1000", "7"),
        "needs_restart": change("threads.cores", "0", "3"),
    });
    assert_eq!(reload().json(), expected);

    setup.write(&format!("{port}[mqtt]\nreceive_max = 0\nkeep = 1\n"));
    let refused = reload();
    let problem = refused.json();
    assert_eq!((refused.status, &problem["code"]), (422, &"invalid_configuration".into()));
    let mistakes: Vec<_> = problem["detail"].as_str().expect("a text").lines().collect();
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    assert!(mistakes[0].contains("tidewire.toml:4:15: `mqtt.receive_max`"), "{mistakes:?}");
    assert!(http.get("/metrics").body.contains("tidewire_config_last_reload_success 0\n"));
    setup.write(port);
    let expected = json!({
        "applied": change("mqtt.receive_max", "7", "1000"),
        "needs_restart": [],
    });
    assert_eq!(reload().json(), expected);
}

#[test]
fn another_file_of_tokens_opens_the_http_port_after_a_reload() {
    let folder = tempfile::tempdir().expect("a folder");
    let [file, missing] = ["tokens", "none"].map(|name| folder.path().join(name));
    let made = ["token", "create", "--role", "admin", "--file", file.to_str().expect("UTF-8")];
    let token = typed(&made).well();
    let port = "[listener.http]\nbind = \"127.0.0.1:0\"\n";
    let setup = Configured::new(port);
    let broker = setup.start();
    let anybody = Http::new(broker.http_address());
    let reload = |http: &Http| http.ask("POST", "/api/v1/reload", None).status;
    setup.write(&format!("{port}token_file = {missing:?}\n"));
    assert_eq!(reload(&anybody), 422, "there is no such file");
    assert_eq!(anybody.get("/api/v1/status").status, 200, "nothing was changed");
    setup.write(&format!("{port}token_file = {file:?}\n"));
    assert_eq!(reload(&anybody), 200);
    assert_eq!(anybody.get("/api/v1/status").status, 401, "a token is asked for now");
    let admin = anybody.with(&token);
    assert_eq!(admin.get("/api/v1/status").status, 200);
    setup.write(port);
    assert_eq!(reload(&admin), 200);
    assert_eq!(anybody.get("/api/v1/status").status, 200, "as it was");
}

#[test]
fn tidewire_reload_says_what_became_of_each_setting_or_what_is_wrong() {
    let port = "[listener.http]\nbind = \"127.0.0.1:0\"\n";
    let setup = Configured::new(port);
    let broker = setup.start();
    let url = format!("http://{}", broker.http_address());
    let reload = || typed(&["reload", "--url", &url]);
    assert_eq!(reload().well(), "no setting is another than before\n");
    setup.write(&format!("{port}[mqtt]\nreceive_max = 7\n[threads]\ncores = 3\n"));
    let expected = "in force now: mqtt.receive_max: 1000 -> 7\n\
                    after a restart: threads.cores: 0 -> 3\n";
    assert_eq!(reload().well(), expected);
    setup.write(&format!("{port}[mqtt]\nreceive_max = 0\n"));
    let refused = reload();
    let told = "tidewire.toml:4:15: `mqtt.receive_max`";
    assert!(refused.code == Some(1) && refused.err.contains(told), "{refused:?}");
    assert!(refused.err.contains("try: `tidewire check"), "{refused:?}");
}

#[test]
fn a_reload_that_is_tried_says_what_it_would_do_and_changes_nothing() {
    let port = "[listener.http]\nbind = \"127.0.0.1:0\"\n";
    let setup = Configured::new(port);
    let broker = setup.start();
    let http = Http::new(broker.http_address());
    let url = format!("http://{}", broker.http_address());
    let tried = || typed(&["reload", "--dry-run", "--url", &url]);
    assert_eq!(tried().well(), "no setting is another than before\n");
    setup.write(&format!("{port}[mqtt]\nreceive_max = 7\n[threads]\ncores = 3\n"));
    let expected = "would be in force: mqtt.receive_max: 1000 -> 7\n\
                    after a restart: threads.cores: 0 -> 3\n";
    for _ in 0..2 {
        assert_eq!(tried().well(), expected, "nothing was changed");
    }
    let answer = http.ask("POST", "/api/v1/reload?dry_run=true", None).json();
    assert_eq!(answer["applied"][0]["new"], "7");
    assert!(!broker.output().contains("reload: applied"), "{}", broker.output());

    // Files that would be read are looked at, and what is wrong counts as no reload.
    let more = "[access]\nrules_file = \"/nowhere/rules\"\n[listener.mqtts]\n\
                bind = \"127.0.0.1:0\"\nanonymous = \"allow\"\n[listener.mqtts.tls]\n\
                cert_file = \"/nowhere/cert\"\nkey_file = \"/nowhere/key\"\n";
    setup.write(&format!("{port}{more}"));
    let refused = tried();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for file in ["/nowhere/rules", "/nowhere/cert"] {
        assert!(refused.err.contains(file), "{refused:?}");
    }
    let metrics = http.get("/metrics").body;
    assert!(metrics.contains("tidewire_config_last_reload_success 1\n"), "{metrics}");
    assert!(!broker.output().contains(STAYS), "{}", broker.output());
}

#[test]
fn a_reload_is_done_whole_when_its_caller_hangs_up() {
    let authority = Authority::new("Test CA");
    let Pair { cert, key, .. } = authority.sign("server", Use::Server, &["localhost"]);
    let text = format!(
        "[listener.http]\nbind = \"127.0.0.1:0\"\n\
         [listener.mqtts]\nbind = \"127.0.0.1:0\"\nanonymous = \"allow\"\n\
         [listener.mqtts.tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n"
    );
    let setup = Configured::new(&text);
    let broker = setup.start();
    let http = Http::new(broker.http_address());
    // Asks, is gone and noticed to be gone before the settings are read.
    let reload = |text: &str| {
        let mut caller = TcpStream::connect(broker.http_address()).expect("it listens");
        let mut held = setup.held(|| {
            let asked = "POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n\
                         Content-Length: 0\r\n\r\n";
            caller.write_all(asked.as_bytes()).expect("it reads");
        });
        drop(caller);
        let deadline = Instant::now() + PATIENCE;
        while !http.get("/metrics").body.contains("tidewire_http_connections 1\n") {
            assert!(Instant::now() < deadline, "it was noticed");
        }
        held.write_all(text.as_bytes()).expect("it is read");
    };
    reload(&format!("{text}[mqtt]\nreceive_max = 7\n"));
    broker.await_output("reload: applied: mqtt.receive_max: 1000 -> 7");
    broker.await_output("certificates read anew: new handshakes use them");
    reload("nonsense");
    broker.await_output(STAYS);
    // One that comes while another is under way has its turn behind it.
    let mut held = setup.held(|| broker.hang_up());
    thread::scope(|scope| {
        let second = scope.spawn(|| http.ask("POST", "/api/v1/reload", None));
        setup.write(&format!("{text}[mqtt]\nreceive_max = 9\n"));
        let first = format!("{text}[mqtt]\nreceive_max = 8\n");
        held.write_all(first.as_bytes()).expect("it is read");
        drop(held);
        let _ = second.join().expect("an answer");
    });
    broker.await_output("reload: applied: mqtt.receive_max: 7 -> 8");
    broker.await_output("reload: applied: mqtt.receive_max: 8 -> 9");
}

/// A broker, and somebody else who has its WebSocket's port at another address of this machine.
/// Connections from such addresses that ended a moment ago may have that port still: then the
/// broker is started once more, with another.
fn beside_a_foreigner(setup: &Configured) -> (Broker, TcpListener) {
    for _ in 0..10 {
        let broker = setup.start();
        let port = broker.web_address().port();
        let at = |last| TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), port));
        if let Ok(mut all) = (2..=20).map(at).collect::<Result<Vec<_>, _>>() {
            return (broker, all.swap_remove(0));
        }
    }
    panic!("some address of this machine has lost each of ten ports");
}

#[test]
fn a_listener_is_opened_again_when_another_cannot_have_its_address() {
    let authority = Authority::new("Test CA");
    let Pair { cert, key, .. } = authority.sign("server", Use::Server, &["localhost"]);
    let text = |web: &str, secret: &str, more: &str| {
        format!(
            "[listener.websocket]\nbind = {web:?}\nanonymous = \"allow\"\n\
             [listener.mqtts]\nbind = {secret:?}\nanonymous = \"allow\"\n\
             [listener.mqtts.tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n{more}"
        )
    };
    let any = "127.0.0.1:0";
    let setup = Configured::new(&text(any, any, ""));
    let (broker, foreign) = beside_a_foreigner(&setup);
    let (web, secret) = (broker.web_address(), broker.address_of("mqtts"));
    let everywhere = format!("0.0.0.0:{}", web.port());
    let more = "[mqtt]\nreceive_max = 7\n[[stream]]\nname = \"mqtt\"\nretention_age_s = 5\n";
    setup.write(&text("off", &everywhere, more));
    broker.hang_up();
    broker.await_output(STAYS);
    assert!(is_open(secret) && is_open(web), "both are where they were");
    let mut who_comes = TcpStream::connect(web).expect("it listens");
    let asked = "GET /mqtt HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Protocol: mqtt\r\n\r\n";
    who_comes.write_all(asked.as_bytes()).expect("it reads");
    let mut answer = [0; 12];
    who_comes.read_exact(&mut answer).expect("it is served");
    assert_eq!(&answer, b"HTTP/1.1 101");
    assert!(!broker.output().contains("reload: applied"), "{}", broker.output());
    drop(foreign);
    broker.hang_up();
    broker.await_output("reload: applied: mqtt.receive_max: 1000 -> 7");
    let trust = Trust::new(&authority.path(), None);
    let _ = self::secret(web, &trust, "who comes to the other");
    while is_open(secret) {
        thread::yield_now();
    }
}

#[test]
fn a_stop_is_heard_while_a_reload_is_under_way() {
    let setup = Configured::new("");
    let broker = setup.start();
    let held = setup.held(|| broker.hang_up());
    broker.ask_to_end();
    broker.await_output("\"message\":\"Stopping.\"");
    drop(held);
    broker.await_output("\"message\":\"Stopped.\"");
}

#[test]
fn the_http_port_shows_what_holds_now() {
    let port = "[listener.http]\nbind = \"127.0.0.1:0\"\n";
    let setup = Configured::new(port);
    let broker = setup.start();
    let http = Http::new(broker.http_address());
    let shown = || {
        let config = http.granted("GET", "/api/v1/config", None);
        let settings = config["settings"].as_array().expect("a list");
        let it = settings.iter().find(|it| it["name"] == "mqtt.receive_max").expect("there");
        let status = http.granted("GET", "/api/v1/status", None);
        (it["value"].clone(), status["listeners"].as_array().expect("a list").len())
    };
    let (before, listeners) = shown();
    assert_eq!(before, 1000);
    let more = "[listener.websocket]\nbind = \"127.0.0.1:0\"\n[mqtt]\nreceive_max = 7\n";
    setup.write(&format!("{port}{more}"));
    broker.hang_up();
    broker.await_output("reload: applied: mqtt.receive_max: 1000 -> 7");
    assert_eq!(shown(), (7.into(), listeners + 1));
}
