//! Do cores that are to stay awake stay so while messages come, and sleep when none do?

use std::fs;
use std::time::{Duration, Instant};

use tidewire_tests::broker::Broker;
use tidewire_tests::clients::Mosquitto;
use tidewire_tests::wire::{Publish, Version, Wire};

const PATIENCE: Duration = Duration::from_secs(60);
/// Who only serves a message is not found running so often in a row.
const LOOKS: usize = 50;

/// With one core, that stays awake for so long.
fn broker(awake_us: u16) -> Broker {
    Broker::start_configured(&format!("[threads]\ncores = 1\nawake_us = {awake_us}\n"))
}

/// Whether the thread of the core runs or could: what it waits for has come.
fn is_awake(broker: &Broker) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", broker.id())).expect("it runs");
    let stat = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("stat")).ok();
    let core = threads.filter_map(|thread| stat(thread.ok()?));
    let core = core.into_iter().find(|stat| stat.contains("(core-0)")).expect("its core");
    core.rsplit(") ").next().expect("a state").starts_with('R')
}

/// Whether it is found awake again and again behind one message, of many.
fn stays_awake(broker: &Broker) -> bool {
    let mut wire = Wire::clean(broker.address(), Version::V5, "device");
    (1..=200).any(|number| {
        wire.publish_acknowledged(&Publish::new("a", "x", 1, number));
        (0..LOOKS).all(|_| is_awake(broker))
    })
}

#[test]
fn a_core_stays_awake_behind_a_message_and_sleeps_when_no_more_come() {
    let broker = broker(10_000);
    assert!(stays_awake(&broker));
    let since = Instant::now();
    while is_awake(&broker) {
        assert!(since.elapsed() < PATIENCE, "it never sleeps");
        std::thread::yield_now();
    }
}

#[test]
fn clients_are_served_by_a_core_that_stays_awake() {
    let broker = broker(300);
    let client = Mosquitto::new(broker.address(), "mqttv5");
    let subscriber = client.subscribe("plant/#", &["-q", "2"]);
    for qos in ["0", "1", "2"] {
        client.publish("plant/1", qos, &["-q", qos]);
        assert_eq!(subscriber.message(), format!("{qos} 0 plant/1 {qos}"));
    }
}
