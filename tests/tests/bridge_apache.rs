//! Export to an Apache Kafka, and import from it: both sides killed again and again, what is in the
//! one log is in the other once, in its order.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;
use tidewire_tests::apache::Apache;
use tidewire_tests::bridge_status::{TRIED_AGAIN, await_words};
use tidewire_tests::broker::Broker;
use tidewire_tests::chaos::{Place, Publisher, Sent};
use tidewire_tests::kafka_log::{ByKey, all, await_records, count, offsets, when_there_are};
use tidewire_tests::ports;
use tidewire_tests::wire::Version;

/// Kills of each side in a run that is part of the tests; `TIDEWIRE_KILLS` says otherwise.
const KILLS: u32 = 2;

/// It exports what is published under `load` to Kafka, and imports it from there. Kafka may take
/// so long to answer.
fn broker(folder: &Path, here: SocketAddr, kafka: SocketAddr, answer_s: u32) -> Broker {
    let file = folder.join("config.toml");
    let cluster = format!("addresses = [\"{kafka}\"], answer_timeout_ms = {answer_s}000");
    let settings = format!(
        "[listener.http]\nbind = \"127.0.0.1:0\"\n[bridge]\nretry_ms_min = 20\nretry_ms_max = 200\n\
         [[bridge.export]]\nname = \"out\"\nstart = \"earliest\"\ntopic = \"copy\"\n\
         filters = [\"load/#\"]\ncompression = \"lz4\"\ntransaction_bytes_max = \"16 KiB\"\n\
         cluster = {{ {cluster} }}\n\
         [[bridge.import]]\nname = \"in\"\ntopics = [\"copy\"]\ntopic = \"back/${{key}}\"\n\
         cluster = {{ {cluster} }}\nfetch_bytes_max = \"16 KiB\"\n"
    );
    std::fs::write(&file, settings).expect("written");
    Broker::start_with(&["--config", &file.display().to_string(), "--kafka", &here.to_string()])
}

/// No more than `most` of each topic, which may rise.
fn publish(place: &Place, stop: &Arc<AtomicBool>, most: &Arc<AtomicU32>) -> Vec<JoinHandle<Sent>> {
    let writers = [(Version::V5, "load/one", 1), (Version::V4, "load/two", 2)];
    let start = |(version, topic, qos)| {
        let writer =
            Publisher::new(place.clone(), version, topic, qos, false).held_to(Arc::clone(most));
        let stop = Arc::clone(stop);
        thread::spawn(move || writer.run(&stop))
    };
    writers.map(start).into_iter().collect()
}

#[test]
fn what_is_exported_and_imported_is_there_once_whoever_is_killed() {
    let (folder, here) = (TempDir::new().expect("a folder"), ports::kept());
    let mut apache = Apache::start();
    apache.make_topic("copy", 4, &[]);
    let mut broker = broker(folder.path(), here, apache.address(), 40);
    let place = Place::new(broker.address());
    let stop = Arc::<AtomicBool>::default();
    let writers = publish(&place, &stop, &Arc::new(AtomicU32::new(u32::MAX)));
    let mut seen = 0;
    for kill in 0..2 * kills() {
        // Something went through since the last kill.
        await_records(apache.address(), "copy", seen + 1);
        if kill % 2 == 0 {
            broker.kill9();
            broker.restart();
            place.moved_to(broker.address());
        } else {
            apache.kill9();
            apache.restart();
        }
        seen = offsets(apache.address(), "copy", 4);
    }
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|it| drop(it.join().expect("a publisher")));
    let count = check(here, apache.address());
    println!("{} kills of each side, {count} records, once there and back", kills());
}

/// What was published is in Kafka once, and came back from there once. Says how much it is.
fn check(here: SocketAddr, kafka: SocketAddr) -> usize {
    let sent = under(&all(here, "mqtt"), "load/");
    let copy = when_there_are(kafka, "copy", count(&sent));
    assert!(copy == sent, "{} records here, {} in Kafka", count(&sent), count(&copy));
    // What was imported lies in the same log, behind what was sent.
    let log = when_there_are(here, "mqtt", 2 * count(&sent));
    let back = under(&log, "back/load/");
    let is_same = sent.iter().all(|(key, values)| back.get(&format!("back/{key}")) == Some(values));
    assert!(is_same, "{} records sent, {} back", count(&sent), count(&back));
    count(&sent)
}

#[test]
fn a_kafka_that_hangs_is_waited_for_and_nothing_is_lost_or_repeated() {
    let (folder, here) = (TempDir::new().expect("a folder"), ports::kept());
    let apache = Apache::start();
    apache.make_topic("copy", 4, &[]);
    let broker = broker(folder.path(), here, apache.address(), 5);
    let (stop, most) = (Arc::<AtomicBool>::default(), Arc::new(AtomicU32::new(2_000)));
    let writers = publish(&Place::new(broker.address()), &stop, &most);
    await_records(apache.address(), "copy", 1);
    apache.pause();
    // There is something to send, whatever went through before.
    most.store(4_000, Ordering::Relaxed);
    for name in ["out", "in"] {
        await_words(&broker, name, TRIED_AGAIN, "does not answer within 5 s");
    }
    apache.go_on();
    await_records(apache.address(), "copy", 4_001);
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|it| drop(it.join().expect("a publisher")));
    assert!(check(here, apache.address()) > 4_000);
}

fn under(log: &ByKey, prefix: &str) -> ByKey {
    let is_under = |(key, _): &(&String, &Vec<String>)| key.starts_with(prefix);
    log.iter().filter(is_under).map(|(key, values)| (key.clone(), values.clone())).collect()
}

fn kills() -> u32 {
    let wanted = std::env::var("TIDEWIRE_KILLS").ok().and_then(|kills| kills.parse().ok());
    wanted.unwrap_or(KILLS)
}
