//! Do the lines that the README and docs/kafka.md tell people to type do what is said of them?

use std::process::Command;

use tidewire_tests::broker::Broker;
use tidewire_tests::clients::Mosquitto;
use tidewire_tests::places::source_root;
use tidewire_tests::program::Program;

/// The lines to type in a page behind a line that begins so, up to one that begins so.
fn lines(page: &str, from: &str, to: &str) -> Vec<String> {
    let text = std::fs::read_to_string(source_root().join(page)).expect("the page");
    let behind = text.lines().skip_while(|line| !line.starts_with(from));
    let within = behind.take_while(|line| !line.starts_with(to));
    let lines: Vec<String> =
        within.filter_map(|line| line.strip_prefix("    ")).map(str::to_owned).collect();
    assert!(!lines.is_empty(), "{page} has no lines to type behind {from:?}");
    lines
}

/// The one of these lines that has this in it.
fn line<'a>(lines: &'a [String], part: &str) -> &'a str {
    lines.iter().find(|line| line.contains(part)).expect(part)
}

/// Types a line, but for the ports, which are not the usual ones here.
fn typed(broker: &Broker, line: &str) -> Program {
    let (mqtt, kafka) = (broker.address(), broker.kafka_address().to_string());
    let mqtt = format!("-h {} -p {}", mqtt.ip(), mqtt.port());
    let line = line.trim_end_matches('&').replace("127.0.0.1:9092", &kafka);
    let line = line.replace("mosquitto_pub", &format!("mosquitto_pub {mqtt}"));
    let line = line.replace("mosquitto_sub", &format!("mosquitto_sub {mqtt}"));
    // A line at a time, as in a terminal.
    Program::start(Command::new("stdbuf").args(["-oL", "sh", "-c", &line]))
}

#[test]
fn the_readme_publishes_with_mosquitto_and_reads_with_kcat_as_a_group() {
    let broker = Broker::start();
    let mqtt = lines("README.md", "and in another:", "Now let");
    let kafka = lines("README.md", "And with any Kafka client", "ClickHouse");
    let _ = typed(&broker, line(&mqtt, "mosquitto_pub")).succeeds();
    let read = typed(&broker, line(&kafka, " -C ")).succeeds();
    assert!(read.contains(&"plant/line-1/temperature: 21.5".to_owned()), "{read:?}");

    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let mut subscriber = mosquitto.subscribe("plant/#", &["-q", "1", "-C", "1"]);
    let _ = typed(&broker, line(&kafka, " -P ")).succeeds();
    assert_eq!(subscriber.messages(), ["1 0 plant/line-1/target 20"]);

    let member = format!("exec {}", line(&kafka, " -G "));
    let mut member = typed(&broker, &member);
    let mut read = [(); 2].map(|()| member.line_that(|line| line.starts_with("plant/")));
    read.sort();
    assert_eq!(read, ["plant/line-1/target: 20", "plant/line-1/temperature: 21.5"]);
    member.kill9();
}

#[test]
fn the_page_of_the_kafka_port_works_in_both_directions() {
    let broker = Broker::start();
    let lines = lines("docs/kafka.md", "## In a minute", "## Settings");
    let _ = typed(&broker, line(&lines, "mosquitto_pub")).succeeds();
    let read = typed(&broker, line(&lines, " -C ")).succeeds();
    assert!(read.contains(&"plant/line-1/temperature: 21.5".to_owned()), "{read:?}");

    let _ = typed(&broker, line(&lines, "mqtt.retain=1")).succeeds();
    let subscriber = format!("exec {}", line(&lines, "mosquitto_sub"));
    let mut subscriber = typed(&broker, &subscriber);
    // What is retained says that it has subscribed.
    let line_of = |topic: &'static str| move |line: &str| line.starts_with(topic);
    let retained = subscriber.line_that(line_of("plant/line-1/state"));
    assert_eq!(retained, "plant/line-1/state on");
    let _ = typed(&broker, line(&lines, "target:20")).succeeds();
    let live = subscriber.line_that(line_of("plant/line-1/target"));
    assert_eq!(live, "plant/line-1/target 20");
    subscriber.kill9();
}
