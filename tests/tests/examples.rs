//! Do the examples that users copy do what they say?

use std::process::Command;

use tidewire_tests::broker::Broker;
use tidewire_tests::places::{built_program, node_modules, python, rust_example, source_root};
use tidewire_tests::program::Program;
use tidewire_tests::wire::{Publish, Version, Wire};

fn example(name: &str, broker: &Broker, count: &str) -> Program {
    example_with(name, broker, &[count])
}

fn example_with(name: &str, broker: &Broker, arguments: &[&str]) -> Program {
    let mut command = Command::new(built_program(name));
    Program::start(command.arg(broker.address().to_string()).args(arguments))
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

#[test]
fn a_commander_gets_the_answer_to_each_of_its_commands() {
    let broker = Broker::start();
    let mut device = example("commanded_device", &broker, "pump-7");
    device.line_that(|line| line == "pump-7 takes commands");
    let mut answers = example_with("commander", &broker, &["pump-7", "start", "stop"]).succeeds();
    answers.sort();
    assert_eq!(answers, ["start: done: start", "stop: done: stop"]);
    assert_eq!(device.succeeds(), ["pump-7 is told: start", "pump-7 is told: stop"]);
}

#[test]
fn shared_workers_do_each_job_and_one_does_what_a_killed_one_left() {
    let broker = Broker::start();
    let mut jobs = Wire::clean(broker.address(), Version::V5, "jobs");
    let mut publish = |numbers: std::ops::Range<u16>| {
        for number in numbers {
            let job = format!("job {number}");
            jobs.publish_acknowledged(&Publish::new("jobs/paint", &job, 1, number + 1));
        }
    };
    let names = ["worker-1", "worker-2"];
    let [mut first, second] = names.map(|name| example("shared_worker", &broker, name));
    for (worker, name) in [(&first, names[0]), (&second, names[1])] {
        worker.line_that(|line| line == format!("{name} works"));
    }
    publish(0..20);
    // Each has some of them.
    for (worker, name) in [(&first, names[0]), (&second, names[1])] {
        worker.line_that(|line| line.starts_with(&format!("{name} did job ")));
    }
    first.kill9();
    let _ = first.rest();
    publish(20..30);
    let done = |number: u16| {
        let job = format!("did job {number}");
        let said = |worker: &Program| worker.output().lines().any(|line| line.ends_with(&job));
        said(&first) || said(&second)
    };
    second.line_that(|_| (0..30).all(done));
}

#[test]
fn replay_prints_what_was_published_before_it_came() {
    let mut broker = Broker::start();
    let _ = example("telemetry_device", &broker, "3").succeeds();
    broker.kill9();
    broker.restart();
    let expected: Vec<String> = [(0, "20.0"), (1, "20.1"), (2, "20.2")]
        .map(|(n, c)| format!("plant/line-1/temperature {{\"reading\":{n},\"celsius\":{c}}}"))
        .to_vec();
    assert_eq!(example("replay", &broker, "3").succeeds(), expected);
    // Twice: who reads takes nothing away.
    assert_eq!(example_with("replay", &broker, &["2", "earliest"]).succeeds(), expected[..2]);
}

/// An analytics consumer in one of three languages.
fn consumer(language: &str, broker: &Broker, count: &str) -> Program {
    let folder = source_root().join("examples/analytics");
    let mut command = match language {
        "python" => Command::new(python()),
        "node" => Command::new("node"),
        _ => Command::new(rust_example()),
    };
    match language {
        "python" => _ = command.arg(folder.join("analytics_consumer.py")),
        "node" => {
            command.env("NODE_PATH", node_modules()).arg(folder.join("analytics_consumer.js"));
        }
        _ => (),
    }
    Program::start(command.args([&broker.kafka_address().to_string(), count, language]))
}

#[test]
fn analytics_consumers_in_three_languages_say_the_same_and_go_on_where_they_were() {
    let broker = Broker::start();
    // What is about something else is passed over.
    let mut other = Wire::clean(broker.address(), Version::V5, "other");
    for (id, payload) in [(1, "hello"), (2, "{\"bar\":1}"), (3, "[]")] {
        other.publish_acknowledged(&Publish::new("plant/line-1/other", payload, 1, id));
    }
    let _ = example("telemetry_device", &broker, "5").succeeds();
    let topic = "plant/line-1/temperature";
    let languages = ["python", "node", "rust"];
    for language in languages {
        let said = consumer(language, &broker, "5").succeeds();
        let line = format!("{topic}: 5 readings, 20.20 on average, 20.4 at most");
        assert_eq!(said, [line], "{language}");
    }
    let _ = example("telemetry_device", &broker, "2").succeeds();
    for language in languages {
        let said = consumer(language, &broker, "2").succeeds();
        let line = format!("{topic}: 2 readings, 20.05 on average, 20.1 at most");
        assert_eq!(said, [line], "{language}");
    }
}
