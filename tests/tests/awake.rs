//! Do cores that are to stay awake stay so while messages come, and sleep when none do?

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tidewire_tests::broker::Broker;
use tidewire_tests::clients::Mosquitto;
use tidewire_tests::wire::{Publish, Version, Wire};

const PATIENCE: Duration = Duration::from_secs(60);
/// What a core that sleeps behind a message does not use of a processor in that time, and one that
/// stays awake for half of it does.
const SHORT: Duration = Duration::from_millis(20);
const MUCH_NS: u64 = 3_000_000;

/// With one core, that stays awake for so long.
fn broker(awake_us: u16) -> Broker {
    Broker::start_configured(&format!("[threads]\ncores = 1\nawake_us = {awake_us}\n"))
}

/// Where the system tells how long the thread of the core ran.
fn times_of_core(broker: &Broker) -> PathBuf {
    let threads = fs::read_dir(format!("/proc/{}/task", broker.id())).expect("it runs");
    let mut threads = threads.filter_map(|thread| Some(thread.ok()?.path()));
    let is_core = |thread: &PathBuf| {
        fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.trim() == "core-0")
    };
    threads.find(is_core).expect("its core").join("schedstat")
}

/// What the core uses of a processor from now on, for a short while.
fn used_ns(times: &Path) -> u64 {
    let read = || {
        let line = fs::read_to_string(times).expect("it runs");
        line.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).expect("a number")
    };
    let (since, before) = (Instant::now(), read());
    while since.elapsed() < SHORT {
        std::thread::yield_now();
    }
    read() - before
}

/// Whether it used much behind one message, of so many.
fn stays_awake(broker: &Broker, messages: u16) -> bool {
    let times = times_of_core(broker);
    let mut wire = Wire::clean(broker.address(), Version::V5, "device");
    (1..=messages).any(|number| {
        wire.publish_acknowledged(&Publish::new("a", "x", 1, number));
        used_ns(&times) > MUCH_NS
    })
}

#[test]
fn a_core_stays_awake_behind_a_message_and_sleeps_when_no_more_come() {
    let broker = broker(10_000);
    assert!(stays_awake(&broker, 500));
    let (times, since) = (times_of_core(&broker), Instant::now());
    while used_ns(&times) > MUCH_NS / 10 {
        assert!(since.elapsed() < PATIENCE, "it never sleeps");
    }
}

#[test]
fn a_core_that_is_not_told_to_stay_awake_sleeps_behind_a_message() {
    assert!(!stays_awake(&broker(0), 20));
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
