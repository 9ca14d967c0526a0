//! What Kafka's tools ask and change at the Kafka port, with clients that we did not write.

use std::process::Command;

use tidewire_tests::broker::Broker;
use tidewire_tests::clients::{Mosquitto, paho};
use tidewire_tests::program::Program;

/// One stream as it comes, and one where newer records replace older ones.
const STREAMS: &str = r#"
[[stream]]
name = "states"
filters = ["state/#"]
partitions = 1
compact = true

[[stream]]
name = "mqtt"
filters = []
partitions = 4
"#;

/// The partition with records of this topic.
fn partition_of(broker: &Broker, topic: &str) -> String {
    let mut command = Command::new("kcat");
    command.args(["-b", &broker.kafka_address().to_string(), "-C", "-t", "mqtt", "-e", "-q"]);
    let lines = Program::start(command.args(["-o", "beginning", "-f", "%k %p\n"])).succeeds();
    let found = lines.iter().find_map(|line| line.strip_prefix(topic)?.strip_prefix(' '));
    found.expect("it has records").to_owned()
}

#[test]
fn what_a_kafka_client_deletes_is_gone_for_all_readers_and_after_kill_9() {
    let mut broker = Broker::start_configured(STREAMS);
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let durable = ["-i", "later", "-c", "-x", "1000", "-q", "1", "-R"];
    let mut first = mosquitto.subscribe("plant/#", &[&durable[..], &["-E"]].concat());
    assert!(first.messages().is_empty(), "it leaves once it has subscribed");
    mosquitto.publish("plant/1", "0", &["-q", "1", "-r"]);
    for n in 1..10 {
        mosquitto.publish("plant/1", &n.to_string(), &["-q", "1"]);
    }
    let partition = partition_of(&broker, "plant/1");
    paho("kafka_deletes.py", broker.kafka_address(), &["delete", &partition, "7"]);
    broker.kill9();
    broker.restart();
    paho("kafka_deletes.py", broker.kafka_address(), &["look", &partition, "7"]);

    // A session that had not read them goes on behind them, as with retention; what is retained
    // is not a matter of the log.
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let mut later = mosquitto.resume("plant/#", &[&durable[..], &["-C", "3"]].concat());
    assert_eq!(later.messages(), ["1 0 plant/1 7", "1 0 plant/1 8", "1 0 plant/1 9"]);
    let mut retained = mosquitto.subscribe("plant/1", &["-q", "1", "-C", "1"]);
    assert_eq!(retained.messages(), ["1 1 plant/1 0"]);
}

#[test]
fn all_that_uis_ask_is_answered_and_loses_no_connection() {
    let broker = Broker::start();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    mosquitto.publish("plant/1", "0", &["-q", "1"]);
    paho("kafka_tools.py", broker.kafka_address(), &[]);
}
