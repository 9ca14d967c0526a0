//! Export to another Kafka, and import from one: what is in the one log is in the other once and in
//! its order, whoever is killed meanwhile. The other is a second broker of ours.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidewire_tests::broker::Broker;
use tidewire_tests::chaos::{Place, Publisher, Sent};
use tidewire_tests::clients::Mosquitto;
use tidewire_tests::http::Http;
use tidewire_tests::kafka_log::{all, await_records, count, offsets, printed, when_there_are};
use tidewire_tests::ports;
use tidewire_tests::wire::Version;

/// Kills of each side in a run that is part of the tests; `TIDEWIRE_KILLS` says otherwise.
const KILLS: u32 = 2;
/// Every try soon: the tests wait for it.
const SOON: &str = "[bridge]\nretry_ms_min = 20\nretry_ms_max = 200\n";

/// A broker with these settings, on a Kafka port that stays.
fn broker(folder: &Path, kafka: SocketAddr, settings: &str) -> Broker {
    let file = folder.join(format!("{}.toml", kafka.port()));
    std::fs::write(&file, settings).expect("written");
    let file = file.display().to_string();
    Broker::start_with(&["--config", &file, "--kafka", &kafka.to_string()])
}

fn export(to: SocketAddr, more: &str) -> String {
    format!(
        "{SOON}[[bridge.export]]\nname = \"out\"\nstart = \"earliest\"\n\
         cluster = {{ addresses = [\"{to}\"] }}\n{more}\n"
    )
}

fn import(from: SocketAddr, more: &str) -> String {
    format!(
        "{SOON}[[bridge.import]]\nname = \"in\"\ntopics = [\"mqtt\"]\ntopic = \"${{key}}\"\n\
         cluster = {{ addresses = [\"{from}\"] }}\n{more}\n"
    )
}

fn publish(place: &Place, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<Sent>> {
    let writers = [
        (Version::V5, "load/one", 1),
        (Version::V4, "load/two", 2),
        (Version::V5, "load/three", 2),
    ];
    let start = |(version, topic, qos)| {
        let writer = Publisher::new(place.clone(), version, topic, qos, false);
        let stop = Arc::clone(stop);
        thread::spawn(move || writer.run(&stop))
    };
    writers.map(start).into_iter().collect()
}

#[test]
fn what_is_published_is_exported_with_key_headers_and_time() {
    let (folder, there) = (TempDir::new().expect("a folder"), ports::kept());
    let target = broker(folder.path(), there, "");
    let more = "topic = \"mqtt\"\ncompression = \"zstd\"\nfilters = [\"seen/#\"]";
    let source = broker(folder.path(), ports::kept(), &export(there, more));
    let mosquitto = Mosquitto::new(source.address(), "mqttv5");
    let properties = ["-q", "1", "-D", "publish", "user-property", "unit", "C"];
    for n in 0..8 {
        mosquitto.publish(&format!("seen/{n}"), &format!("value {n}"), &properties);
        mosquitto.publish(&format!("other/{n}"), "no", &["-q", "1"]);
    }
    let _ = when_there_are(there, "mqtt", 8);
    let mut lines = printed(there, "mqtt", "%k=%s [%h]\\n");
    lines.sort();
    let expected = |n| format!("seen/{n}=value {n} [q=1,u=NULL,unit=C]");
    assert_eq!(lines, (0..8).map(expected).collect::<Vec<_>>());
    // Subscribers there get it as messages.
    let there = Mosquitto::new(target.address(), "mqttv5");
    let more = ["-q", "1", "-C", "1", "-D", "subscribe", "user-property", "from", "earliest"];
    assert_eq!(there.subscribe("seen/3", &more).messages(), ["1 0 seen/3 value 3"]);
}

#[test]
fn an_export_loses_and_repeats_nothing_whoever_is_killed() {
    let (folder, here, there) = (TempDir::new().expect("a folder"), ports::kept(), ports::kept());
    let mut target = broker(folder.path(), there, "");
    let more = "topic = \"mqtt\"\ntransaction_bytes_max = \"16 KiB\"";
    let mut source = broker(folder.path(), here, &export(there, more));
    let place = Place::new(source.address());
    let stop = Arc::<AtomicBool>::default();
    let writers = publish(&place, &stop);
    let mut seen = 0;
    for kill in 0..2 * kills() {
        // Something went through since the last kill.
        await_records(there, "mqtt", seen + 1);
        if kill % 2 == 0 {
            source.kill9();
            source.restart();
            place.moved_to(source.address());
        } else {
            target.kill9();
            target.restart();
        }
        seen = offsets(there, "mqtt", 4);
    }
    stop.store(true, Ordering::Relaxed);
    let sent: Vec<Sent> = writers.into_iter().map(|it| it.join().expect("a publisher")).collect();
    let log = all(here, "mqtt");
    let found = when_there_are(there, "mqtt", count(&log));
    for (key, values) in &log {
        assert!(found.get(key) == Some(values), "{key}: not the same there");
    }
    assert_eq!(count(&found), count(&log));
    let sent: u32 = sent.iter().map(|sent| sent.count).sum();
    println!(
        "{} kills of each side, {sent} messages, {} records in both logs",
        kills(),
        count(&log)
    );
}

#[test]
fn an_import_loses_and_repeats_nothing_whoever_is_killed() {
    let (folder, here, there) = (TempDir::new().expect("a folder"), ports::kept(), ports::kept());
    let mut remote = broker(folder.path(), there, "");
    let mut own = broker(folder.path(), here, &import(there, "fetch_bytes_max = \"8 KiB\""));
    let place = Place::new(remote.address());
    let stop = Arc::<AtomicBool>::default();
    let writers = publish(&place, &stop);
    let mut seen = 0;
    for kill in 0..2 * kills() {
        await_records(here, "mqtt", seen + 1);
        if kill % 2 == 0 {
            own.kill9();
            own.restart();
        } else {
            remote.kill9();
            remote.restart();
            place.moved_to(remote.address());
        }
        seen = offsets(here, "mqtt", 4);
    }
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|it| drop(it.join().expect("a publisher")));
    let log = all(there, "mqtt");
    let found = when_there_are(here, "mqtt", count(&log));
    assert!(found == log, "{} records there, {} here", count(&log), count(&found));
    println!("{} kills of each side, {} records in both logs", kills(), count(&log));
}

#[test]
fn an_import_reads_on_where_it_is_told_to() {
    let remote = Broker::start();
    let settings = import(remote.kafka_address(), "");
    let own =
        Broker::start_configured(&format!("[listener.http]\nbind = \"127.0.0.1:0\"\n{settings}"));
    let (http, there) = (Http::new(own.http_address()), remote.kafka_address());
    let order = |order: &str, body: Option<&Value>| {
        let _ = http.granted("POST", &format!("/api/v1/bridges/in/{order}"), body);
    };
    let publish = |payload: &str| {
        let mosquitto = Mosquitto::new(remote.address(), "mqttv5");
        mosquitto.publish("a/x", payload, &["-q", "1"]);
    };
    let values = |count: usize| {
        let log = when_there_are(own.kafka_address(), "mqtt", count);
        log.into_values().flatten().collect::<Vec<_>>()
    };
    publish("one");
    publish("two");
    assert_eq!(values(2), ["one", "two"]);
    order("rewind", Some(&json!({ "to": "earliest" })));
    assert_eq!(values(4), ["one", "two", "one", "two"]);

    order("pause", None);
    let partition: u32 = printed(there, "mqtt", "%p\\n")[0].parse().expect("a partition");
    publish("passed over");
    publish("three");
    order("skip", Some(&json!({ "stream": "mqtt", "partition": partition, "records": 1 })));
    order("resume", None);
    assert_eq!(values(5)[4..], ["three"]);

    let place = json!({ "stream": "mqtt", "partition": partition, "offset": 1 });
    order("rewind", Some(&place));
    assert_eq!(values(8)[5..], ["two", "passed over", "three"]);
    order("rewind", Some(&json!({ "time_ms": 0 })));
    assert_eq!(values(12)[8..], ["one", "two", "passed over", "three"]);
    let nowhere = json!({ "stream": "mqtt", "partition": 99, "offset": 0 });
    let refused = http.ask("POST", "/api/v1/bridges/in/rewind", Some(&nowhere));
    assert_eq!(refused.status, 400, "{}", refused.body);
}

fn kills() -> u32 {
    let wanted = std::env::var("TIDEWIRE_KILLS").ok().and_then(|kills| kills.parse().ok());
    wanted.unwrap_or(KILLS)
}
