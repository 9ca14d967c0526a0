//! Do the access rules decide at the Kafka port as they do at that of MQTT, for clients that we did
//! not write, and from one request to the next when they change?

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::kafka_orders::{said, signing_in, start};
use tidewire_tests::places;

const RULES: &str = "
    allow user=all  any               #
    allow user=all  kafka-write       $devices/#
    allow user=ann  kafka-read        plant/#
    allow user=ann  kafka-group       %u-app/#
    allow everyone  kafka-group       unused
    allow user=bob  kafka-read        plant/line-1/#
    allow user=wil  kafka-write       plant/line-1/#
    deny  user=wil  kafka-write       plant/line-1/secret
    allow user=wil  kafka-transaction %u-1
";

/// A stream, and behind it by itself `mqtt`, which takes the rest.
const PLANT: &str = "[[stream]]\nname = \"plant\"\nfilters = [\"plant/#\"]\npartitions = 1\n";

/// A broker with these rules. The folder holds its files.
struct Setup {
    broker: Broker,
    folder: TempDir,
}

impl Setup {
    fn new() -> Self {
        Self::with(PLANT)
    }

    fn with(streams: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let (passwords, rules) = (folder.path().join("passwords"), folder.path().join("rules"));
        std::fs::write(&rules, RULES).expect("the file");
        let users = ["all", "ann", "bob", "wil"].map(|user| format!("{user}:pencil\n")).concat();
        let mut command = Command::new(places::built_program("tidewire"));
        command.args(["passwd", "add"]).arg(&passwords).arg("--batch");
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the program was built");
        let mut input = child.stdin.take().expect("piped");
        input.write_all(users.as_bytes()).expect("it reads");
        drop(input);
        assert!(child.wait().expect("our child").success());
        let text = format!(
            "[listener.mqtt]\nanonymous = \"refuse\"\n[auth]\npassword_file = {passwords:?}\n\
             [access]\nrules_file = {rules:?}\n{streams}"
        );
        Self { broker: Configured::new(&text).start(), folder }
    }

    fn kafka(&self) -> SocketAddr {
        self.broker.kafka_address()
    }

    fn said(&self, library: &str, user: &str, orders: &[&str]) -> Vec<String> {
        said(library, self.kafka(), &signing_in(library, "PLAIN", user, "pencil"), orders)
    }
}

/// Whether these lines begin so, one by one.
#[track_caller]
fn check(lines: &[String], expected: &[&str]) {
    let fits = |(line, start): (&String, &&str)| line.starts_with(start);
    let are_all = lines.len() == expected.len() && lines.iter().zip(expected).all(fits);
    assert!(are_all, "{lines:?} instead of {expected:?}");
}

#[test]
fn a_reader_needs_the_right_to_all_of_a_stream_and_to_its_group() {
    let setup = Setup::new();
    check(&setup.said("confluent", "all", &["write:plant:plant/line-2/a:1"]), &["WROTE"]);
    for (library, stream, group) in [
        ("confluent", "REFUSED TOPIC_AUTHORIZATION_FAILED", "REFUSED GROUP_AUTHORIZATION_FAILED"),
        ("java", "REFUSED TopicAuthorizationException", "REFUSED GroupAuthorizationException"),
    ] {
        // A group of its own each: what one has committed is not given to the other.
        let own = format!("group:ann-app/{library}:plant:1");
        let (foreign, write) = ("group:bob-app:plant:1", "write:plant:plant/line-2/a:2");
        let orders = ["list", "read:plant:1", &own, "read:mqtt:1", foreign, write];
        let lines = setup.said(library, "ann", &orders);
        let got = "GOT plant/line-2/a 1";
        check(&lines, &["TOPICS plant", got, got, stream, group, stream]);
        // Half of it is not enough: nothing is left out of a stream.
        check(&setup.said(library, "bob", &["list", "read:plant:1"]), &["TOPICS", stream]);
        check(&setup.said(library, "all", &["list"]), &["TOPICS mqtt plant"]);
    }
}

#[test]
fn a_stream_that_takes_the_rest_is_not_read_by_who_may_read_its_filters_alone() {
    let narrowed = PLANT.replace("name = \"plant\"", "name = \"mqtt\"");
    let all = "[[stream]]\nname = \"mqtt\"\nfilters = [\"#\"]\n";
    // No filter admits the topic that is written: MQTT places it there as well.
    for (streams, write, read) in [
        (narrowed, "write:mqtt:secret/x:1", "read:mqtt:1"),
        (format!("{all}{PLANT}"), "write:plant:$devices/7/key:1", "read:plant:1"),
    ] {
        let setup = Setup::with(&streams);
        check(&setup.said("confluent", "all", &[write]), &["WROTE"]);
        let lines = setup.said("confluent", "ann", &["list", read]);
        check(&lines, &["TOPICS", "REFUSED TOPIC_AUTHORIZATION_FAILED"]);
        assert_eq!(lines[0].trim_end(), "TOPICS");
    }
}

#[test]
fn a_producer_is_asked_for_the_topic_of_each_record() {
    let setup = Setup::new();
    let orders = [
        "write:plant:plant/line-1/a:1",
        "write:plant:plant/line-1/secret:1",
        "write:plant:plant/line-2/a:1",
        "write:plant:elsewhere:1",
    ];
    for (library, refused) in [
        ("confluent", "REFUSED TOPIC_AUTHORIZATION_FAILED"),
        ("java", "REFUSED TopicAuthorizationException"),
    ] {
        check(&setup.said(library, "wil", &orders), &["WROTE", refused, refused, refused]);
    }
    let all = setup.said("confluent", "all", &["write:plant:elsewhere:1", "read:plant:2"]);
    let got = "GOT plant/line-1/a 1";
    check(&all, &["REFUSED TOPIC_AUTHORIZATION_FAILED", got, got]);
}

#[test]
fn only_who_may_administer_a_stream_hears_what_becomes_of_it() {
    let setup = Setup::new();
    let create = ["create:new"];
    let refused = "REFUSED TOPIC_AUTHORIZATION_FAILED";
    check(&setup.said("confluent", "ann", &create), &[refused]);
    check(&setup.said("confluent", "all", &create), &["REFUSED POLICY_VIOLATION"]);
}

#[test]
fn a_right_that_is_taken_away_is_gone_for_a_consumer_that_is_connected() {
    let setup = Setup::new();
    check(&setup.said("confluent", "all", &["write:plant:plant/a:1"]), &["WROTE"]);
    let readers = ["confluent", "java"].map(|library| {
        let settings = signing_in(library, "PLAIN", "ann", "pencil");
        let reader = start(library, setup.kafka(), &settings, &["read:plant:1000"]);
        assert_eq!(reader.line_that(|line| line.starts_with("GOT")), "GOT plant/a 1");
        reader
    });
    let without = RULES.replace("user=ann  kafka-read", "user=ann  publish");
    std::fs::write(setup.folder.path().join("rules"), without).expect("the file");
    setup.broker.hang_up();
    for mut reader in readers {
        let line = reader.line_that(|line| line.starts_with("REFUSED"));
        assert!(line.contains("TOPIC_AUTH") || line.contains("TopicAuth"), "{line}");
        let _ = reader.succeeds();
    }
}

#[test]
fn acl_check_tells_what_the_kafka_port_asks() {
    let setup = Setup::new();
    let rules = setup.folder.path().join("rules");
    let config = setup.folder.path().join("tidewire.toml");
    std::fs::write(&config, format!("[access]\nrules_file = {rules:?}\n")).expect("the file");
    for (user, action, name, is_allowed) in [
        ("ann", "kafka-group", "ann-app", true),
        ("ann", "kafka-group", "bob-app", false),
        ("wil", "kafka-transaction", "wil-1", true),
        ("ann", "kafka-read", "plant/#", true),
        ("bob", "kafka-read", "plant/#", false),
        ("all", "kafka-admin", "plant", true),
        ("ann", "kafka-admin", "plant", false),
    ] {
        let mut command = Command::new(places::built_program("tidewire"));
        command.args(["acl", "check", user, action, name, "--listener", "kafkas", "--config"]);
        let status = command.arg(&config).stdout(Stdio::null()).status().expect("it was built");
        assert_eq!(status.success(), is_allowed, "{user} {action} {name}");
    }
}
