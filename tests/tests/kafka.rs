//! Kafka clients that we did not write, at the Kafka port.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use tidewire_tests::broker::Broker;
use tidewire_tests::clients::{Mosquitto, paho};
use tidewire_tests::program::Program;

fn kcat(broker: &Broker, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("kcat");
    command.args(["-b", &broker.kafka_address().to_string()]).args(arguments);
    Program::start(&mut command).succeeds()
}

/// Writes one record, `key:value`, and waits until it is acknowledged.
fn produce(broker: &Broker, record: &str, arguments: &[&str]) {
    let mut command = Command::new("sh");
    let script = "printf '%s\\n' \"$0\" | exec kcat -P -t mqtt -K : \"$@\"";
    command.args(["-c", script, record, "-b", &broker.kafka_address().to_string()]);
    let _ = Program::start(command.args(arguments)).succeeds();
}

#[test]
fn kcat_lists_the_streams_as_topics() {
    let broker = Broker::start();
    let listed = kcat(&broker, &["-L"]).join("\n");
    assert!(listed.contains("topic \"mqtt\" with 4 partitions"), "{listed}");
    let address = format!("broker 1 at {}", broker.kafka_address());
    assert!(listed.contains(&address), "{listed}");
}

#[test]
fn kcat_reads_all_that_mosquitto_published_with_its_properties() {
    let broker = Broker::start();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let properties = ["-q", "1", "-D", "publish", "user-property", "unit", "celsius"];
    for n in 0..8 {
        mosquitto.publish(&format!("seen/{n}"), &format!("value {n}"), &properties);
    }
    let reads = ["-C", "-t", "mqtt", "-o", "beginning", "-e", "-q", "-f", "%k=%s [%h]\n"];
    let mut lines = kcat(&broker, &reads);
    lines.sort();
    let expected = |n| format!("seen/{n}=value {n} [q=1,u=NULL,unit=celsius]");
    assert_eq!(lines, (0..8).map(expected).collect::<Vec<_>>());
}

#[test]
fn a_reader_at_the_end_is_woken_by_the_next_message() {
    let broker = Broker::start();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv311");
    let address = broker.kafka_address().to_string();
    let mut reads = Command::new("kcat");
    reads.args(["-b", &address, "-C", "-t", "mqtt", "-o", "beginning", "-c", "2", "-u", "-f"]);
    let mut reader = Program::start(reads.arg("%k %s\n"));
    for n in ["1", "2"] {
        mosquitto.publish("live", n, &["-q", "1"]);
        assert_eq!(reader.line_that(|line| line.starts_with("live")), format!("live {n}"));
    }
    let _ = reader.succeeds();
}

#[test]
fn what_a_kafka_producer_writes_reaches_mqtt_subscribers_live_later_and_retained() {
    let broker = Broker::start();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let durable = ["-i", "later", "-c", "-x", "100", "-q", "1", "-C", "1"];
    let mut later = mosquitto.subscribe("from/#", &durable);
    mosquitto.publish("from/here", "first", &["-q", "1"]);
    assert_eq!(later.messages(), ["1 0 from/here first"]);

    let mut live = mosquitto.subscribe("from/kafka", &["-q", "1", "-C", "1"]);
    produce(&broker, "from/kafka:21.5", &["-H", "mqtt.retain=1"]);
    assert_eq!(live.messages(), ["1 0 from/kafka 21.5"]);

    let mut later = mosquitto.resume("from/#", &durable);
    assert_eq!(later.messages(), ["1 0 from/kafka 21.5"]);
    let mut retained = mosquitto.subscribe("from/+", &["-q", "1", "-C", "1"]);
    assert_eq!(retained.messages(), ["1 1 from/kafka 21.5"]);
}

#[test]
fn an_acknowledged_record_survives_kill_9() {
    let mut broker = Broker::start();
    produce(&broker, "kept:1", &["-X", "enable.idempotence=true"]);
    broker.kill9();
    broker.restart();
    let reads = ["-C", "-t", "mqtt", "-o", "beginning", "-e", "-q", "-f", "%k %s\n"];
    assert_eq!(kcat(&broker, &reads), ["kept 1"]);
}

#[test]
fn python_clients_read_everything_and_write_in_every_codec() {
    let broker = Broker::start();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    for n in 0..20 {
        mosquitto.publish(&format!("seen/{n}"), &format!("value {n}"), &["-q", "1"]);
    }
    paho("kafka_round_trip.py", broker.kafka_address(), &["20"]);
    let reads = ["-C", "-t", "mqtt", "-o", "beginning", "-e", "-q", "-f", "%k\n"];
    let keys = kcat(&broker, &reads);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let written = format!("written/{codec}");
        assert_eq!(keys.iter().filter(|key| **key == written).count(), 100, "{codec}");
    }
}

#[test]
fn what_tools_ask_is_answered_and_what_only_the_configuration_may_do_refused() {
    let broker = Broker::start();
    paho("kafka_admin.py", broker.kafka_address(), &[]);
}

#[test]
fn absurd_frames_close_their_connection_and_no_other() {
    let broker = Broker::start();
    let frames: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff],
        // Metadata 0 with so many topics that its decoder would abort.
        &[0, 0, 0, 15, 0, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0x03, 0x3c, 0x0c, 0, 0xb6],
        // An API that nobody knows.
        &[0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0, 0],
        // A header that ends too early.
        &[0, 0, 0, 8, 0, 3, 0, 0, 0, 0, 0, 1],
    ];
    for frame in frames {
        let mut socket = TcpStream::connect(broker.kafka_address()).expect("it listens");
        socket.set_read_timeout(Some(Duration::from_secs(100))).expect("a socket");
        socket.write_all(frame).expect("sent");
        let mut answer = Vec::new();
        // Closed with bytes unread, a connection may also be reset.
        let _ = socket.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{frame:?} was answered {answer:?}");
    }
    assert!(!kcat(&broker, &["-L"]).is_empty());
}

#[test]
fn an_unknown_version_of_apiversions_is_answered_in_the_oldest_form() {
    let broker = Broker::start();
    let mut socket = TcpStream::connect(broker.kafka_address()).expect("it listens");
    socket.write_all(&[0, 0, 0, 10, 0, 18, 0, 99, 0, 0, 0, 7, 0, 0]).expect("sent");
    let mut answer = [0; 20];
    socket.read_exact(&mut answer).expect("an answer");
    // Length, correlation, error 35, one range: ApiVersions 0 to 4.
    let expected = [0, 0, 0, 16, 0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4];
    assert_eq!(answer, expected);
}
