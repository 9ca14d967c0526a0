//! Exports to a Kafka that wants to know who they are, and exports that cannot work: each says in
//! words what is wrong, and the others go on.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tidewire_tests::authority::{Authority, Use};
use tidewire_tests::bridge_status::{RUNNING, TRIED_AGAIN, await_bridge, await_words};
use tidewire_tests::broker::Broker;
use tidewire_tests::clients::Mosquitto;
use tidewire_tests::configured::Configured;
use tidewire_tests::kafka_log::when_there_are;
use tidewire_tests::places;
use tidewire_tests::users;

/// An HTTP port, and every try soon: the tests wait for it.
const SOON: &str = "[listener.http]\nbind = \"127.0.0.1:0\"\n\
                    [bridge]\nretry_ms_min = 20\nretry_ms_max = 500\n";

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
fn a_certificate_that_ran_out_is_said_and_the_rest_flows_on() {
    let authority = Authority::new("Test CA");
    let past = authority.sign("past", Use::Past, &["localhost", "127.0.0.1"]);
    let tls = format!("cert_file = {:?}\nkey_file = {:?}\n", past.cert, past.key);
    let target = Configured::new(&format!(
        "[listener.mqtts]\nbind = \"127.0.0.1:0\"\n[listener.mqtts.tls]\n{tls}\
         [listener.kafkas]\nbind = \"127.0.0.1:0\"\n[listener.kafkas.tls]\n{tls}"
    ))
    .start();
    let ca = authority.path();
    let cluster = format!("{}, tls = true, ca_file = {ca:?}", at(target.address_of("kafkas")));
    let link = |name: &str, address: SocketAddr, more: &str| {
        format!(
            "[[bridge.link]]\nname = {name:?}\naddresses = [\"{address}\"]\n{more}\n\
             rules = [{{ direction = \"out\", filter = \"{name}/#\", qos = 1 }}]\n"
        )
    };
    let bridges = [
        export("kafka-past", &cluster, "topic = \"mqtt\""),
        export("kafka", &at(target.kafka_address()), "topic = \"mqtt\""),
        link(
            "mqtt-past",
            target.address_of("mqtts"),
            &format!("tls = {{ enabled = true, ca_file = {ca:?} }}"),
        ),
        link("mqtt", target.address(), ""),
    ];
    let source = Configured::new(&format!("{SOON}{}", bridges.concat())).start();
    let there = Mosquitto::new(target.address(), "mqttv5");
    let mut live = there.subscribe("#", &["-q", "1", "-C", "2"]);
    let here = Mosquitto::new(source.address(), "mqttv5");
    source.await_output("\"linked\"");
    for name in ["kafka-past", "mqtt-past", "kafka", "mqtt"] {
        here.publish(&format!("{name}/1"), name, &["-q", "1"]);
    }
    let mut found = live.messages();
    found.sort();
    assert_eq!(found, ["1 0 kafka/1 kafka", "1 0 mqtt/1 mqtt"]);
    for name in ["kafka-past", "mqtt-past"] {
        await_words(&source, name, TRIED_AGAIN, "invalid peer certificate: certificate expired");
    }
}

#[test]
fn what_will_never_be_taken_gets_a_dead_letter_and_the_rest_goes_on() {
    let target = Configured::new("[listener.kafka]\nrequest_bytes_max = \"16 KiB\"\n").start();
    let (there, nowhere) = (target.kafka_address(), SocketAddr::from(([127, 0, 0, 1], 1)));
    let none = "topic_wait_ms = 0";
    let exports = [
        export("good", &at(there), "topic = \"mqtt\""),
        export("none", &at(there), &format!("topic = \"none\"\n{none}")),
        export("wait", &at(there), &format!("topic = \"no\"\n{none}\nat_refused_topic = \"wait\"")),
        export("away", &at(nowhere), "topic = \"mqtt\""),
    ];
    let imports = [import("from-away", nowhere, "mqtt"), import("from-none", there, "none")];
    let bridges = [exports.concat(), imports.concat()].concat();
    let source = Configured::new(&format!("{SOON}{bridges}")).start();
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
    let no_topic = "there is no such topic or partition";
    for (name, states, words) in [
        ("good", RUNNING, "too large for the remote"),
        ("none", RUNNING, no_topic),
        ("wait", TRIED_AGAIN, no_topic),
        ("away", TRIED_AGAIN, "cannot be reached"),
        ("from-away", TRIED_AGAIN, "cannot be reached"),
        ("from-none", TRIED_AGAIN, no_topic),
    ] {
        source.await_output(words);
        await_words(&source, name, states, words);
    }
}

/// An import of one topic.
fn import(name: &str, from: SocketAddr, topic: &str) -> String {
    format!(
        "[[bridge.import]]\nname = {name:?}\ntopics = [{topic:?}]\ntopic = \"{name}/${{key}}\"\n\
         cluster = {{ {} }}\n",
        at(from)
    )
}

#[test]
fn a_topic_that_an_export_may_not_write_to_gets_a_dead_letter_or_is_waited_for() {
    let folder = TempDir::new().expect("a folder");
    let [passwords, rules, password] =
        ["passwords", "rules", "password"].map(|name| folder.path().join(name));
    users::write(&passwords, &["ann"]);
    std::fs::write(&password, "ann\n").expect("written");
    let may = "allow user=ann kafka-write open/#\nallow user=ann kafka-read open/#\n\
               allow user=ann kafka-group #\nallow user=ann kafka-transaction #\n";
    std::fs::write(&rules, may).expect("written");
    let target = Configured::new(&format!(
        "[listener.mqtt]\nanonymous = \"refuse\"\n[auth]\npassword_file = {passwords:?}\n\
         [access]\nrules_file = {rules:?}\n\
         [[stream]]\nname = \"open\"\nfilters = [\"open/#\"]\n\
         [[stream]]\nname = \"shut\"\nfilters = [\"shut/#\"]\n"
    ))
    .start();
    let who = format!("sasl = \"PLAIN\", user = \"ann\", password_file = {password:?}");
    let cluster = format!("{}, {who}", at(target.kafka_address()));
    let wait = "topic = \"shut\"\nat_refused_topic = \"wait\"";
    let exports = [
        export("open", &cluster, "topic = \"open\""),
        export("letter", &cluster, "topic = \"shut\""),
        export("wait", &cluster, wait),
    ];
    let source = Configured::new(&format!("{SOON}{}", exports.concat())).start();
    let here = Mosquitto::new(source.address(), "mqttv5");
    let dead = here.subscribe("$dead/#", &["-q", "1"]);
    for name in ["wait", "letter", "open"] {
        here.publish(&format!("{name}/1"), name, &["-q", "1"]);
    }
    assert_eq!(dead.message(), "1 0 $dead/letter letter");
    let words = "topic \"shut\": not authorised for the topic";
    await_words(&source, "letter", RUNNING, words);
    await_words(&source, "wait", TRIED_AGAIN, words);
    let sent = |status: &serde_json::Value| status["counts"]["sent"] == 1;
    let status = await_bridge(&source, "open", sent);
    assert_eq!((&status["state"], &status["lag_records"]), (&"running".into(), &0.into()));
}
