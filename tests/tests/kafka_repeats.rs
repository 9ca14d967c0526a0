//! An idempotent Kafka producer whose answers are lost, each time with the broker: what it sends
//! again is in the log once, and in order.

use std::process::Command;

use tidewire_tests::cable::Cable;
use tidewire_tests::configured::Configured;
use tidewire_tests::kafka_log;
use tidewire_tests::places;
use tidewire_tests::ports::kept;
use tidewire_tests::program::Program;

const KILLS: usize = 5;
/// Numbers that are written at a time.
const WAVE: usize = 20;

#[test]
fn what_an_idempotent_producer_sends_again_after_kills_is_stored_once_and_in_order() {
    let kafka = kept();
    let cable = Cable::to(kafka);
    // Kafka's clients go to the broker by the cable, whatever they asked first.
    let config =
        Configured::new(&format!("[listener.kafka]\nadvertised = \"{}\"\n", cable.address()));
    let mut broker = config.start_with(&["--kafka", &kafka.to_string()]);
    let producer = start(&cable);
    wave(&producer, 1);
    acknowledged(&producer, 1);
    for kill in 1..=KILLS {
        cable.lose_answers();
        wave(&producer, kill + 1);
        // The first batch of it at least: the client may wait for its answer with the others.
        kafka_log::await_records(cable.address(), "mqtt", kill * WAVE + 1);
        let first = format!("AT {}", kill * WAVE);
        let is_told = producer.output().lines().any(|line| line == first);
        assert!(!is_told, "its answer was lost: {}", producer.output());
        broker.kill9();
        cable.cut();
        broker.restart();
        acknowledged(&producer, kill + 1);
    }
    let log = kafka_log::all(cable.address(), "mqtt");
    let expected: Vec<String> = (0..(KILLS + 1) * WAVE).map(|it| it.to_string()).collect();
    assert_eq!(log.get("counted"), Some(&expected));
    let output = producer.output();
    assert!(!output.lines().any(|line| line.starts_with("FAILED")), "{output}");
}

fn start(cable: &Cable) -> Program {
    let mut command = Command::new(places::python());
    command.arg(places::client_script("kafka_idempotent.py"));
    command.args([cable.address().ip().to_string(), cable.address().port().to_string()]);
    let producer = Program::start(command.args(["mqtt", "counted", &WAVE.to_string()]));
    producer.await_output("READY");
    producer
}

/// The next wave is handed over.
fn wave(producer: &Program, waves: usize) {
    producer.poke();
    producer.await_output(&format!("SENT {}", waves * WAVE - 1));
}

/// All of these waves are acknowledged.
fn acknowledged(producer: &Program, waves: usize) {
    producer.await_times("AT ", waves * WAVE);
}
