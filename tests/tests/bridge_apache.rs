//! Export to an Apache Kafka, and import from it: both sides killed again and again, what is in the
//! one log is in the other once, in its order.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;
use tidewire_tests::apache::Apache;
use tidewire_tests::broker::Broker;
use tidewire_tests::chaos::{Place, Publisher, Sent};
use tidewire_tests::kafka_log::{ByKey, all, await_records, count, offsets, when_there_are};
use tidewire_tests::wire::Version;

/// Kills of each side in a run that is part of the tests; `TIDEWIRE_KILLS` says otherwise.
const KILLS: u32 = 2;

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port")
}

/// It exports what is published under `load` to Kafka, and imports it from there.
fn broker(folder: &Path, here: SocketAddr, kafka: SocketAddr) -> Broker {
    let file = folder.join("config.toml");
    let settings = format!(
        "[bridge]\nretry_ms_min = 20\nretry_ms_max = 200\n\
         [[bridge.export]]\nname = \"out\"\nstart = \"earliest\"\ntopic = \"copy\"\n\
         filters = [\"load/#\"]\ncompression = \"lz4\"\ntransaction_bytes_max = \"16 KiB\"\n\
         cluster = {{ addresses = [\"{kafka}\"] }}\n\
         [[bridge.import]]\nname = \"in\"\ntopics = [\"copy\"]\ntopic = \"back/${{key}}\"\n\
         cluster = {{ addresses = [\"{kafka}\"] }}\nfetch_bytes_max = \"16 KiB\"\n"
    );
    std::fs::write(&file, settings).expect("written");
    Broker::start_with(&["--config", &file.display().to_string(), "--kafka", &here.to_string()])
}

fn publish(place: &Place, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<Sent>> {
    let writers = [(Version::V5, "load/one", 1), (Version::V4, "load/two", 2)];
    let start = |(version, topic, qos)| {
        let writer = Publisher::new(place.clone(), version, topic, qos, false);
        let stop = Arc::clone(stop);
        thread::spawn(move || writer.run(&stop))
    };
    writers.map(start).into_iter().collect()
}

#[test]
fn what_is_exported_and_imported_is_there_once_whoever_is_killed() {
    let (folder, here) = (TempDir::new().expect("a folder"), free());
    let mut apache = Apache::start();
    apache.make_topic("copy", 4, &[]);
    let mut broker = broker(folder.path(), here, apache.address());
    let place = Place::new(broker.address());
    let stop = Arc::<AtomicBool>::default();
    let writers = publish(&place, &stop);
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
    let sent = under(&all(here, "mqtt"), "load/");
    let copy = when_there_are(apache.address(), "copy", count(&sent));
    assert!(copy == sent, "{} records here, {} in Kafka", count(&sent), count(&copy));
    // What was imported lies in the same log, behind what was sent.
    let log = when_there_are(here, "mqtt", 2 * count(&sent));
    let back = under(&log, "back/load/");
    let is_same = sent.iter().all(|(key, values)| back.get(&format!("back/{key}")) == Some(values));
    assert!(is_same, "{} records sent, {} back", count(&sent), count(&back));
    println!("{} kills of each side, {} records, once there and back", kills(), count(&sent));
}

fn under(log: &ByKey, prefix: &str) -> ByKey {
    let is_under = |(key, _): &(&String, &Vec<String>)| key.starts_with(prefix);
    log.iter().filter(is_under).map(|(key, values)| (key.clone(), values.clone())).collect()
}

fn kills() -> u32 {
    let wanted = std::env::var("TIDEWIRE_KILLS").ok().and_then(|kills| kills.parse().ok());
    wanted.unwrap_or(KILLS)
}
