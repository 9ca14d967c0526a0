//! Do the lines that the README and docs/kafka.md tell people to type do what is said of them?

use std::process::Command;

use tidewire_tests::broker::Broker;
use tidewire_tests::lesson::{Lesson, USUAL};
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
fn the_readme_does_what_it_says_and_its_group_reads_all_of_it() {
    let mut lesson = Lesson::new();
    lesson.follow("README.md", &[USUAL]);
    // What the group reads is what was published before, by whomever.
    let member = lesson.staying().last().expect("the page ends with it");
    let mut read = [(); 3].map(|()| member.line_that(|line| line.starts_with("plant/")));
    read.sort();
    let expected = ["target: 20", "temperature: 21.5", "temperature: 21.6"];
    assert_eq!(read, expected.map(|end| format!("plant/line-1/{end}")));
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
