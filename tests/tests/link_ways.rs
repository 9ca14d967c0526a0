//! Does a link keep to what it was told of its way: TLS, certificates and passwords, addresses by
//! turns, properties and the RETAIN flag, and no echo from a broker that is none of ours?

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tidewire_tests::authority::{Authority, Pair, Use};
use tidewire_tests::bridge_status::{TRIED_AGAIN, await_bridge, await_words};
use tidewire_tests::broker::Broker;
use tidewire_tests::cable::Cable;
use tidewire_tests::clients::Mosquitto as Clients;
use tidewire_tests::configured::Configured;
use tidewire_tests::mosquitto::{Mosquitto, write_password};
use tidewire_tests::users;
use tidewire_tests::wire::{Publish, Version, Wire, kind};

/// An HTTP port, and every try soon: the tests wait for it.
const SOON: &str = "[listener.http]\nbind = \"127.0.0.1:0\"\n\
                    [bridge]\nretry_ms_min = 20\nretry_ms_max = 200\n";
const BOTH_WAYS: &str = "{ direction = \"out\", filter = \"out/#\", qos = 2 }, \
                         { direction = \"in\", filter = \"in/#\", qos = 2 }";
/// How long nothing may come once all has come: an echo would.
const QUIET: Duration = Duration::from_millis(1_500);

fn link(name: &str, addresses: &[SocketAddr], more: &str, rules: &str) -> String {
    let addresses: Vec<String> = addresses.iter().map(|it| format!("\"{it}\"")).collect();
    let addresses = addresses.join(", ");
    format!(
        "[[bridge.link]]\nname = {name:?}\naddresses = [{addresses}]\n{more}\nrules = [{rules}]\n"
    )
}

/// A broker with these links.
fn linked(links: &str) -> Broker {
    Broker::start_configured(&format!("{SOON}{links}"))
}

/// An authority, a server and a client that it knows, and files with passwords.
struct Files {
    authority: Authority,
    server: Pair,
    client: Pair,
    folder: TempDir,
}

impl Files {
    /// The server is known under a name that is not its address.
    fn new() -> Self {
        let authority = Authority::new("Test CA");
        let names = ["far.example", "127.0.0.1"];
        let server = authority.sign("server", Use::Server, &names);
        let client = authority.sign("client", Use::Client, &["a link"]);
        Self { authority, server, client, folder: TempDir::new().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A user's lines of a link, with a file of this name for the password.
    fn user(&self, file: &str, password: &str) -> String {
        fs::write(self.path(file), format!("{password}\n")).expect("written");
        format!("user = \"ann\"\npassword_file = {:?}", self.path(file))
    }

    /// The line of a link about TLS, with what `more` says.
    fn tls(&self, more: &str) -> String {
        let ca = self.authority.path();
        format!("tls = {{ enabled = true, ca_file = {ca:?}{more} }}")
    }

    fn shown(&self) -> String {
        format!(", cert_file = {:?}, key_file = {:?}", self.client.cert, self.client.key)
    }

    /// What clients there show.
    fn flags(&self) -> Vec<String> {
        let text = |path: &PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
        let (ca, cert) = (text(&self.authority.path()), text(&self.client.cert));
        let files = ["--cafile", &ca, "--cert", &cert, "--key", &text(&self.client.key)];
        let all = files.into_iter().chain(["-u", "ann", "-P", "ann", "-q", "2"]);
        all.map(str::to_owned).collect()
    }

    /// A link that shows all that is asked for is one, those that do not say so, and the one with
    /// the wrong password is one as soon as it is right: nothing was lost meanwhile.
    fn check(&self, far: SocketAddr, refusal: &str) {
        let (right, wrong) = (self.user("right", "ann"), self.user("wrong", "rubber"));
        let whole = self.tls(&format!("{}, server_name = \"far.example\"", self.shown()));
        let named = self.tls(&format!("{}, server_name = \"near.example\"", self.shown()));
        let late = "{ direction = \"out\", filter = \"late/#\", qos = 2 }";
        let source = linked(
            &[
                link("whole", &[far], &format!("{right}\n{whole}"), BOTH_WAYS),
                link("wrong", &[far], &format!("{wrong}\n{whole}"), late),
                link("bare", &[far], &format!("{right}\n{}", self.tls("")), late),
                link("named", &[far], &format!("{right}\n{named}"), late),
            ]
            .concat(),
        );
        source.await_output("subscribed there");
        await_words(&source, "wrong", TRIED_AGAIN, refusal);
        await_words(&source, "named", TRIED_AGAIN, "no TLS: invalid peer certificate");
        await_words(&source, "bare", TRIED_AGAIN, &far.to_string());
        let flags = self.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let (there, here) = (Clients::new(far, "mqttv5"), Clients::new(source.address(), "mqttv5"));
        let live = there.subscribe("out/#", &flags);
        here.publish("out/x", "there", &["-q", "2"]);
        assert_eq!(live.message(), "2 0 out/x there");
        let live = here.subscribe("in/#", &["-q", "2"]);
        there.publish("in/x", "here", &flags);
        assert_eq!(live.message(), "2 0 in/x here");
        let live = there.subscribe("late/#", &flags);
        here.publish("late/x", "late", &["-q", "2"]);
        let _ = self.user("wrong", "ann");
        assert_eq!(live.message(), "2 0 late/x late");
    }
}

#[test]
fn a_link_to_mosquitto_shows_its_certificate_and_its_password_over_tls() {
    let files = Files::new();
    let passwords = files.path("passwords");
    write_password(&passwords, "ann", "ann");
    let (ca, Pair { cert, key, .. }) = (files.authority.path(), &files.server);
    let mosquitto = Mosquitto::start(&format!(
        "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\npassword_file {}",
        ca.display(),
        cert.display(),
        key.display(),
        passwords.display(),
    ));
    files.check(mosquitto.address(), "it refuses the connection: not authorized");
}

#[test]
fn a_link_to_one_of_ours_shows_its_certificate_and_its_password_over_tls() {
    let files = Files::new();
    let passwords = files.path("passwords");
    users::write(&passwords, &["ann"]);
    let (ca, Pair { cert, key, .. }) = (files.authority.path(), &files.server);
    let far = Configured::new(&format!(
        "[listener.mqtts]\nbind = \"127.0.0.1:0\"\n[listener.mqtts.tls]\n\
         cert_file = {cert:?}\nkey_file = {key:?}\nclient_auth = \"required\"\n\
         client_ca_file = {ca:?}\n[auth]\npassword_file = {passwords:?}\n\
         wrong_passwords_per_user_max = 0\nwrong_passwords_per_address_max = 0\n"
    ))
    .start();
    files.check(far.address_of("mqtts"), "it refuses the connection: bad user name or password");
}

fn publish(to: SocketAddr, topic: &str, payload: &str) {
    let mut wire = Wire::clean(to, Version::V5, "writer");
    wire.publish_acknowledged(&Publish::new(topic, payload, 2, 1));
    wire.disconnect();
}

fn listener(at: SocketAddr, filter: &str) -> Wire {
    let mut wire = Wire::clean(at, Version::V5, "listener");
    wire.subscribe(1, &[(filter, 2)]);
    wire
}

#[test]
fn a_link_goes_on_at_its_next_address_where_one_leads_nowhere() {
    let mosquitto = Mosquitto::start("");
    let cables = [0, 1].map(|_| Cable::to(mosquitto.address()));
    let addresses = [cables[0].address(), cables[1].address()];
    let broker = linked(&link("peer", &addresses, "", BOTH_WAYS));
    broker.await_output("subscribed there");
    let mut there = listener(mosquitto.address(), "out/#");
    let mut here = listener(broker.address(), "in/#");
    let is_at = |address: SocketAddr| {
        let _ = await_bridge(&broker, "peer", |status| {
            status["state"] == "running" && status["peer"] == address.to_string()
        });
    };
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    is_at(addresses[0]);
    for (turn, to) in [1, 0, 1].into_iter().enumerate() {
        let from = 1 - to;
        cables[to].lead_to(mosquitto.address());
        cables[from].lead_to(nowhere);
        cables[from].cut();
        publish(broker.address(), "out/x", &format!("out {turn}"));
        publish(mosquitto.address(), "in/x", &format!("in {turn}"));
        let _ = there.receive(&format!("out {turn}"));
        let _ = here.receive(&format!("in {turn}"));
        is_at(addresses[to]);
    }
    there.nothing_else_on("out/x");
    here.nothing_else_on("in/x");
}

/// Level, flag, topic and payload, then what MQTT 5 has besides.
const FORMAT: &str = "MSG %q %r %t %p|%C|%D|%R|%F|%E|%P";

/// What `from` publishes is on the other side as it was, but for the flag where it is dropped.
fn check_kept(from: Clients, to: Clients, way: &str) {
    let properties = [
        ["content-type", "text/plain"],
        ["correlation-data", "seven"],
        ["response-topic", "answers/x"],
        ["payload-format-indicator", "1"],
        ["message-expiry-interval", "100000"],
    ];
    let mut flags = vec!["-q", "2", "-r", "-D", "publish", "user-property", "unit", "C"];
    properties.iter().for_each(|[name, value]| flags.extend(["-D", "publish", name, value]));
    let check = |message: &str, expected: &str| {
        let fields: Vec<&str> = message.split('|').collect();
        let [head, content, data, response, format, expiry, user] = fields[..] else {
            panic!("{message}");
        };
        assert_eq!(head, expected);
        let found = [content, data, response, format];
        assert_eq!(found, ["text/plain", "seven", "answers/x", "1"], "{message}");
        assert!((1..=100_000).contains(&expiry.parse().unwrap_or(0)), "{message}");
        assert!(user.starts_with("unit:C"), "{message}");
    };
    for rule in ["kept", "plain"] {
        let topic = format!("{rule}/{way}");
        let live = to.subscribe_formatted(&topic, FORMAT, &["-q", "2"]);
        from.publish(&topic, "first", &flags);
        check(&live.message(), &format!("2 0 {topic} first"));
    }
    let late = to.subscribe_formatted(&format!("kept/{way}"), FORMAT, &["-q", "2"]);
    check(&late.message(), &format!("2 1 kept/{way} first"));
    let late = to.subscribe(&format!("plain/{way}"), &["-q", "2"]);
    from.publish(&format!("plain/{way}"), "second", &["-q", "1"]);
    assert_eq!(late.message(), format!("1 0 plain/{way} second"));
}

#[test]
fn properties_go_along_both_ways_and_the_retain_flag_where_it_is_kept() {
    let mosquitto = Mosquitto::start("");
    let rules = "{ direction = \"both\", filter = \"kept/#\", qos = 2 }, \
                 { direction = \"both\", filter = \"plain/#\", qos = 2, retain = \"drop\" }";
    let broker = linked(&link("peer", &[mosquitto.address()], "", rules));
    broker.await_times("subscribed there", 2);
    let [here, there] =
        [broker.address(), mosquitto.address()].map(|at| Clients::new(at, "mqttv5"));
    check_kept(here, there, "out");
    check_kept(there, here, "in");
}

#[test]
fn the_other_side_is_told_whether_a_link_is_there() {
    let mosquitto = Mosquitto::start("");
    let state = "remote_state_topic = \"links/peer\"";
    let mut listener = listener(mosquitto.address(), "links/#");
    let mut hears = |payload: &str| {
        let message = listener.packet_of(kind::PUBLISH);
        assert_eq!(message.payload_text(), payload, "{message}");
        if message.qos() > 0 {
            listener.acknowledge(kind::PUBACK, message.id());
        }
    };
    let mut broker = linked(&link("peer", &[mosquitto.address()], state, BOTH_WAYS));
    hears("1");
    broker.kill9();
    hears("0");
    broker.restart();
    hears("1");
    let late = Clients::new(mosquitto.address(), "mqttv311").subscribe("links/peer", &[]);
    assert_eq!(late.message(), "0 1 links/peer 1");
    broker.stop();
    hears("0");
}

/// Mosquitto does not send back what came from us: nothing comes here that has to be dropped.
fn check_no_echo(protocol: &str) {
    let mosquitto = Mosquitto::start("");
    let rules = "{ direction = \"both\", filter = \"#\", qos = 1 }";
    let more = format!("protocol = {protocol:?}");
    let broker = linked(&link("peer", &[mosquitto.address()], &more, rules));
    broker.await_output("subscribed there");
    let sides = [mosquitto.address(), broker.address()];
    let mut listeners = sides.map(|at| {
        let mut wire = Wire::clean(at, Version::V5, "listener");
        wire.subscribe(1, &[("#", 0)]);
        wire
    });
    for (number, to) in [sides[0], sides[1], sides[0]].into_iter().enumerate() {
        publish(to, "a", &number.to_string());
    }
    for listener in &mut listeners {
        let mut heard = [0, 1, 2].map(|_| listener.packet_of(kind::PUBLISH).payload_text());
        heard.sort_unstable();
        assert_eq!(heard, ["0", "1", "2"]);
        listener.silent_for(QUIET);
    }
    // What it brought it does not take back: that is counted as well.
    let done = [("sent", 1), ("received", 2), ("loop", 2)];
    let count = |status: &Value, event: &str| status["counts"][event].as_u64().unwrap_or(0);
    let status = await_bridge(&broker, "peer", |status| {
        done.iter().all(|(event, expected)| count(status, event) >= *expected)
    });
    assert_eq!(done.map(|(event, _)| (event, count(&status, event))), done, "{status}");
}

#[test]
fn mosquitto_sends_nothing_back_to_a_link() {
    check_no_echo("5");
}

#[test]
fn mosquitto_sends_nothing_back_to_a_link_in_mqtt_3_1_1() {
    check_no_echo("3.1.1");
}
