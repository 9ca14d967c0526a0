//! Do tools find under `$SYS` what they look for, and is none of it anywhere else?

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tidewire_tests::broker::Broker;
use tidewire_tests::clients::{Mosquitto, Subscriber};
use tidewire_tests::kafka_log;
use tidewire_tests::wire::{Hello, Version, Wire};

/// A session that outlives its connection for an hour.
const LASTING: &[u8] = &[17, 0, 0, 14, 16];
const OFTEN: &str = "[system]\nsys_interval_s = 1\n";

/// What MQTT Explorer shows of a broker, and what programs that make series of it read.
const LOOKED_FOR: [&str; 22] = [
    "$SYS/broker/version",
    "$SYS/broker/uptime",
    "$SYS/broker/clients/connected",
    "$SYS/broker/clients/disconnected",
    "$SYS/broker/clients/total",
    "$SYS/broker/clients/maximum",
    "$SYS/broker/subscriptions/count",
    "$SYS/broker/retained messages/count",
    "$SYS/broker/messages/received",
    "$SYS/broker/messages/sent",
    "$SYS/broker/messages/stored",
    "$SYS/broker/publish/messages/dropped",
    "$SYS/broker/publish/bytes/received",
    "$SYS/broker/bytes/received",
    "$SYS/broker/load/messages/received/5min",
    "$SYS/broker/load/messages/sent/5min",
    "$SYS/broker/load/connections/15min",
    "$SYS/broker/heap/current",
    "$SYS/broker/heap/maximum",
    "$SYS/brokers",
    "$SYS/brokers/tidewire/stats/connections/count",
    "$SYS/brokers/tidewire/metrics/messages/received",
];

/// Those that say something to people.
const TEXTS: [&str; 5] = ["version", "uptime", "datetime", "sysdescr", "$SYS/brokers"];

/// Hears until everything that is looked for was there, as retained messages.
fn hears_all(tool: &Subscriber) {
    let mut missing = BTreeSet::from(LOOKED_FOR);
    while !missing.is_empty() {
        let message = tool.message();
        let Some(said) = message.strip_prefix("0 1 ") else { continue };
        let known = missing.iter().find(|topic| said.starts_with(&format!("{topic} ")));
        let Some(topic) = known.copied() else { continue };
        missing.remove(topic);
        let what = said[topic.len()..].trim_start();
        let is_text = TEXTS.iter().any(|text| topic.ends_with(text));
        assert!(is_text || what.parse::<f64>().is_ok(), "{said}");
    }
}

#[test]
fn tools_are_told_at_once_then_of_what_is_new_and_nothing_of_it_is_anywhere_else() {
    let broker = Broker::start_configured(OFTEN);
    for version in Mosquitto::VERSIONS {
        let mosquitto = Mosquitto::new(broker.address(), version);
        let everything = mosquitto.subscribe("#", &["-q", "1"]);
        let tool = mosquitto.subscribe("$SYS/#", &["-q", "1"]);
        hears_all(&tool);
        // New are at least the seconds.
        while !tool.message().starts_with("0 0 $SYS/broker/uptime ") {}
        mosquitto.publish("plain", version, &["-q", "1"]);
        assert_eq!(everything.message(), format!("1 0 plain {version}"));
        // Who comes later finds what is there.
        hears_all(&mosquitto.subscribe("$SYS/#", &[]));
    }
    let logged = kafka_log::offsets(broker.kafka_address(), "mqtt", 4);
    assert_eq!(logged, Mosquitto::VERSIONS.len(), "only what was published");
}

#[test]
fn one_topic_alone_can_be_asked_for_and_counts_what_happens() {
    let broker = Broker::start_configured(OFTEN);
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let topic = "$SYS/broker/publish/messages/received";
    let reader = mosquitto.subscribe(topic, &[]);
    assert_eq!(reader.message(), format!("0 1 {topic} 0"));
    mosquitto.publish("a", "x", &["-q", "1"]);
    assert_eq!(reader.message(), format!("0 0 {topic} 1"));
}

/// The name of a series as mosquitto-exporter makes it of a topic.
fn series_of(topic: &str) -> String {
    let bare = topic.trim_start_matches("$SYS/");
    bare.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[test]
fn programs_that_make_series_of_topics_make_another_of_each_and_mqttx_finds_its_bytes() {
    let broker = Broker::start_configured(OFTEN);
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let tool = mosquitto.subscribe("$SYS/#", &[]);
    let mut series: BTreeMap<String, String> = BTreeMap::new();
    // What there is comes as retained messages; then comes what is new.
    while let Some(said) = tool.message().strip_prefix("0 1 ") {
        let topic = match said.strip_prefix("$SYS/broker/retained messages/count") {
            Some(_) => "$SYS/broker/retained messages/count",
            None => said.split(' ').next().unwrap_or_default(),
        };
        let name = series_of(topic);
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic());
        assert!(is_name, "{topic} makes {name}");
        if let Some(other) = series.insert(name, topic.into()) {
            panic!("{topic} and {other} make one series");
        }
    }
    assert!(series.len() > LOOKED_FOR.len(), "{series:?}");
    let mqttx = mosquitto.subscribe("$SYS/brokers/+/metrics/bytes/+", &[]);
    let said = [mqttx.message(), mqttx.message()].concat();
    for topic in ["received", "sent"] {
        assert!(said.contains(&format!("/metrics/bytes/{topic} ")), "{said}");
    }
}

#[test]
fn the_most_that_were_there_at_once_are_known_also_when_nobody_listened_then() {
    const CLIENTS: u64 = 5;
    // Nothing is looked at by itself meanwhile.
    let mut broker = Broker::start_configured("[system]\nsys_interval_s = 3600\n");
    // One is away since before this run, and has one plain filter and one that is shared.
    let hello = Hello { clean: false, properties: LASTING, ..Hello::new("away") };
    let mut away = Wire::greet(broker.address(), &hello).0;
    away.subscribe(1, &[("c", 1), ("$share/workers/c", 1)]);
    away.disconnect();
    broker.stop();
    broker.restart();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let come = |number: u64| {
        let mut wire = Wire::clean(broker.address(), Version::V5, &format!("client {number}"));
        wire.subscribe(1, &[("d", 1), ("e/#", 0), ("$share/workers/f", 1)]);
        wire
    };
    let many: Vec<Wire> = (0..CLIENTS).map(come).collect();
    many.into_iter().for_each(Wire::disconnect);
    for topic in ["a", "b"] {
        mosquitto.publish(topic, "x", &["-q", "1", "-r"]);
    }
    mosquitto.publish_empty("a", &["-q", "1", "-r"]);
    for (topic, least) in [
        ("$SYS/broker/clients/maximum", CLIENTS),
        ("$SYS/brokers/tidewire/stats/live_connections/max", CLIENTS),
        ("$SYS/brokers/tidewire/stats/connections/max", CLIENTS),
        ("$SYS/brokers/tidewire/stats/retained/max", 2),
        ("$SYS/brokers/tidewire/stats/subscriptions/max", 3 * CLIENTS + 2),
        ("$SYS/brokers/tidewire/stats/subscriptions/shared/max", CLIENTS + 1),
    ] {
        let said = mosquitto.subscribe(topic, &[]).message();
        let most = said.rsplit(' ').next().and_then(|number| number.parse::<u64>().ok());
        assert!(most >= Some(least), "{said}");
    }
}

/// What is said of a client: what, and how.
fn event(watcher: &Subscriber) -> (String, Value) {
    let message = watcher.message();
    let said = message.strip_prefix("0 0 $SYS/brokers/n1/clients/").expect("an event");
    let (topic, payload) = said.split_once(' ').expect("a payload");
    (topic.into(), serde_json::from_str(payload).expect("JSON"))
}

#[test]
fn clients_that_come_and_go_are_told_of_where_that_is_asked_for() {
    let broker = Broker::start_configured(
        "[system]\nsys_interval_s = 0\npresence_events = true\nnode_name = \"n1\"\n",
    );
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let watcher = mosquitto.subscribe("$SYS/brokers/+/clients/esp-12/#", &[]);
    Wire::clean(broker.address(), Version::V5, "other").disconnect();
    let device = Wire::clean(broker.address(), Version::V4, "esp-12");
    let (topic, came) = event(&watcher);
    assert_eq!(topic, "esp-12/connected");
    assert_eq!((&came["clientid"], &came["proto_ver"]), (&"esp-12".into(), &4.into()));
    assert_eq!((&came["clean_start"], &came["ipaddress"]), (&true.into(), &"127.0.0.1".into()));
    device.vanish();
    let (topic, went) = event(&watcher);
    assert_eq!((&*topic, &went["reason"]), ("esp-12/disconnected", &"lost".into()));
}
