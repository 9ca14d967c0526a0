//! Do the examples that users copy do what they say?

use std::process::Command;

use tidewire_tests::broker::Broker;
use tidewire_tests::places::built_program;
use tidewire_tests::program::Program;
use tidewire_tests::wire::{Publish, Version, Wire};

fn example(name: &str, broker: &Broker, count: &str) -> Program {
    Program::start(Command::new(built_program(name)).args([&broker.address().to_string(), count]))
}

#[test]
fn the_subscriber_prints_what_the_device_reports() {
    let broker = Broker::start();
    let mut subscriber = example("subscriber", &broker, "3");
    subscriber.line_that(|line| line.starts_with("subscribed"));
    let said = example("telemetry_device", &broker, "3").succeeds();
    assert_eq!(said, ["3 readings are on disk"]);
    let expected: Vec<String> = [(0, "20.0"), (1, "20.1"), (2, "20.2")]
        .map(|(n, c)| format!("plant/line-1/temperature {{\"reading\":{n},\"celsius\":{c}}}"))
        .to_vec();
    assert_eq!(subscriber.succeeds(), expected);
}

#[test]
fn the_subscriber_gets_what_was_reported_while_it_was_away() {
    let broker = Broker::start();
    let mut subscriber = example("subscriber", &broker, "1");
    subscriber.line_that(|line| line.starts_with("subscribed"));
    let _ = example("telemetry_device", &broker, "1").succeeds();
    let _ = subscriber.succeeds();
    let _ = example("telemetry_device", &broker, "4").succeeds();
    let said = example("subscriber", &broker, "4").succeeds();
    assert!(said.contains(&"connected, session present: true".to_owned()), "{said:?}");
    let readings = said.iter().filter(|line| line.starts_with("plant/line-1/")).count();
    assert_eq!(readings, 4, "{said:?}");
}

#[test]
fn the_embedded_broker_counts_reports_and_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder for the data");
    let data = folder.path().join("data");
    for round in 0..2 {
        let mut embedded =
            Program::start(Command::new(built_program("embedded")).arg(&data).arg("2"));
        let line = embedded.line_that(|line| line.starts_with("mqtt "));
        let address = line.trim_start_matches("mqtt ").parse().expect("an address");
        let mut device = Wire::clean(address, Version::V5, "device-7");
        device.subscribe(1, &[("answer/device-7", 1)]);
        for (id, answer) in [(2, "1"), (3, "2")] {
            let report = format!("report {round}");
            device.publish_acknowledged(&Publish::new("report/device-7", &report, 1, id));
            device.receive(answer);
        }
        let report = format!("device-7 report {round}");
        assert_eq!(embedded.succeeds(), [report.clone(), report]);
    }
}
