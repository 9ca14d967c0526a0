//! Transactions of a Kafka client that we did not write: what it reads, changes and writes in them
//! is there once, whoever is killed meanwhile, and MQTT subscribers see what is committed only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use tidewire_tests::broker::Broker;
use tidewire_tests::clients::{Mosquitto, paho as python};
use tidewire_tests::members;
use tidewire_tests::places;
use tidewire_tests::program::Program;

/// Numbers that are published before each kill.
const WAVE: u64 = 16;
const KILLS: u64 = 20;

#[test]
fn a_transaction_is_there_wholly_or_not_at_all() {
    let broker = Broker::start_configured("transactions.bytes_max = \"512 KiB\"\n");
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let mut live = mosquitto.subscribe("claims/a", &["-q", "1", "-C", "2"]);
    for claim in [
        "what_is_aborted_is_never_read",
        "nothing_is_read_before_the_commit",
        "offsets_come_with_the_commit",
        "a_second_one_ends_the_first",
        "what_is_too_large_is_refused",
        "whose_time_is_over_may_go_on",
    ] {
        python("kafka_transactions.py", broker.kafka_address(), &[claim]);
    }
    assert_eq!(live.messages(), ["1 0 claims/a first", "1 0 claims/a second"]);
}

#[test]
fn what_is_read_changed_and_written_is_there_once_whoever_is_killed() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let mut broker = Broker::start_with(&["--kafka", &free.to_string()]);
    let later = ["-i", "later", "-c", "-x", "1000", "-q", "1", "-C", "1"];
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let mut first = mosquitto.subscribe("out/#", &later);
    mosquitto.publish("out/first", "first", &["-q", "1"]);
    assert_eq!(first.messages().len(), 1);

    let mut mover = start(free, "move");
    for kill in 0..KILLS {
        publish(&broker, kill);
        // Before the first batch, behind it, before the commit and right behind it.
        let moments = ["BEGUN", "SENT", "COMMITTING", "COMMITTED"];
        let moment = moments[usize::try_from(kill / 2 % 4).expect("few")];
        said(&mover, moment);
        if kill % 2 == 0 {
            mover.kill9();
            mover = start(free, "move");
        } else {
            broker.kill9();
            broker.restart();
        }
    }
    let numbers = WAVE * KILLS;
    let found = count_all(free, &mover, numbers);
    let wrong: Vec<_> = found.iter().filter(|(_, times)| **times != 1).collect();
    assert!(wrong.is_empty(), "not once: {wrong:?}\n{}", mover.output());

    // So it is for a session that was away all the time.
    let most = (numbers + 1).to_string();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let again = ["-i", "later", "-c", "-x", "1000", "-q", "1", "-C", &most];
    mosquitto.publish("out/last", "last", &["-q", "1"]);
    let messages = mosquitto.resume("out/#", &again).messages();
    let values: BTreeSet<&str> =
        messages.iter().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(values.len(), messages.len(), "each once");
    assert!((0..numbers).all(|number| values.contains(number.to_string().as_str())));
}

#[test]
fn the_java_client_aborts_what_a_kill_took_and_goes_on() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let mut broker = Broker::start_with(&["--kafka", &free.to_string()]);
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = members::java();
    command.args(["KafkaTransactions", &free.ip().to_string(), &free.port().to_string()]);
    let mut client = Program::start(command.arg(folder.path()));
    let moments = ["commit", "send", "offsets", "abort"];
    for moment in moments {
        client.line_that(|line| line == format!("HELD {moment}"));
        broker.kill9();
        broker.restart();
        std::fs::write(folder.path().join(moment), "").expect("written");
    }
    let said = client.succeeds();
    let found: Vec<&str> = said.iter().filter_map(|line| line.strip_prefix("FOUND ")).collect();
    let mut expected = moments.map(|moment| format!("after {moment}")).to_vec();
    expected.extend(["of the second".into(), "behind what was too large".into()]);
    assert_eq!(found, expected);
}

fn start(kafka: SocketAddr, what: &str) -> Program {
    let mut command = Command::new(places::python());
    command.arg(places::client_script("kafka_transactions.py"));
    command.args([kafka.ip().to_string(), kafka.port().to_string(), what.to_owned()]);
    Program::start(&mut command)
}

fn publish(broker: &Broker, wave: u64) {
    let range = [wave * WAVE, (wave + 1) * WAVE].map(|number| number.to_string());
    python("publish_numbers.py", broker.address(), &[&range[0], &range[1], "in"]);
}

/// Waits until the program says that it is so far.
fn said(mover: &Program, moment: &str) {
    mover.line_that(|line| {
        assert!(!line.starts_with("FATAL"), "{}", mover.output());
        line.starts_with(moment)
    });
}

/// How often each number was written, once all of them were.
fn count_all(kafka: SocketAddr, mover: &Program, numbers: u64) -> BTreeMap<String, u64> {
    loop {
        let lines = start(kafka, "count").succeeds();
        let counts = lines.iter().filter_map(|line| {
            let mut words = line.strip_prefix("COUNT ")?.split(' ');
            Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
        });
        let mut found: BTreeMap<String, u64> = counts.collect();
        found.remove("first");
        if found.len() as u64 >= numbers {
            return found;
        }
        said(mover, "COMMITTED");
    }
}
