//! Bridges to a broker whose disk is full: they say so in words and wait, others go on, and what
//! waited is there when there is room again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::small_disk::{builder, fill, start};
use crate::broker::{Broker, Message};
use crate::config::{Config, Sources};
use crate::{Qos, Subscription};

/// Only a test that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(10);
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Links and exports of what is published under their names: one of each to either side.
fn bridges(tight: &Broker, other: &Broker) -> String {
    let link = |name: &str, to: &Broker| {
        format!(
            "[[bridge.link]]\nname = {name:?}\naddresses = [\"{}\"]\nstart = \"earliest\"\n\
             rules = [{{ direction = \"out\", filter = \"{name}/#\", qos = 2 }}]\n",
            to.mqtt_address().expect("it listens")
        )
    };
    let export = |name: &str, to: &Broker| {
        format!(
            "[[bridge.export]]\nname = {name:?}\nfilters = [\"{name}/#\"]\nstart = \"earliest\"\n\
             topic = \"mqtt\"\ncluster = {{ addresses = [\"{}\"] }}\n",
            to.kafka_address().expect("it listens")
        )
    };
    ["[bridge]\nretry_ms_min = 20\nretry_ms_max = 200\n".into()]
        .into_iter()
        .chain([link("link", tight), link("flows", other)])
        .chain([export("export", tight), export("goes", other)])
        .collect()
}

async fn publish(broker: &Broker, topic: &str, payload: &str) {
    let message = Message::new(topic, payload.to_owned()).qos(Qos::ExactlyOnce);
    broker.publish(message).await.expect("there is room");
}

/// The next messages, as topic and payload, in any order.
async fn heard(subscription: &mut Subscription, count: usize) -> BTreeSet<String> {
    let mut heard = BTreeSet::new();
    while heard.len() < count {
        let next = tokio::time::timeout(PATIENCE, subscription.next()).await;
        let message = next.expect("it comes").expect("the broker runs").message;
        let payload = String::from_utf8_lossy(&message.payload).into_owned();
        heard.insert(format!("{} {payload}", message.topic));
    }
    heard
}

/// Until a bridge that is not running says this.
async fn until_said(broker: &Broker, name: &str, words: &str) {
    let look = async {
        loop {
            let statuses = broker.bridges();
            let status = statuses.iter().find(|it| it.name == name).expect("it is there");
            let said = status.last_error.as_ref().map_or("", |error| &error.words);
            if status.state.word() == "waiting" && said.contains(words) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, look).await;
    waited.unwrap_or_else(|_| panic!("{name} does not say {words}: {:?}", broker.bridges()));
}

#[tokio::test]
async fn a_bridge_says_that_the_disk_of_the_other_side_is_full_and_others_flow_on() {
    let folders = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
    let is_full = Arc::new(AtomicBool::new(false));
    let tight = builder(&folders[0]).listen_mqtt(ANY).listen_kafka(ANY);
    let tight = start(tight, &is_full).await;
    let other = builder(&folders[1]).listen_mqtt(ANY).listen_kafka(ANY);
    let other = other.start().await.expect("it starts");
    let file = folders[2].path().join("tidewire.toml");
    std::fs::write(&file, bridges(&tight, &other)).expect("written");
    let sources = Sources { file: Some(file), variables: Vec::new(), flags: Vec::new() };
    let config = Config::load(&sources).expect("a configuration");
    let source = builder(&folders[2]).settings(|it| it.bridge = config.bridge);
    let source = source.start().await.expect("it starts");
    let there = ["link/#", "export/#"].map(|filter| tight.subscribe(filter).qos(Qos::ExactlyOnce));
    let [link, export] = there;
    let (mut link, mut export) = (link.await.expect("heard"), export.await.expect("heard"));
    let mut flows = other.subscribe("#").qos(Qos::ExactlyOnce).await.expect("heard");

    for (topic, subscription) in [("link/a", &mut link), ("export/a", &mut export)] {
        publish(&source, topic, "before").await;
        assert_eq!(heard(subscription, 1).await, [format!("{topic} before")].into());
    }
    is_full.store(true, Ordering::Relaxed);
    fill(&tight).await;
    for topic in ["link/a", "export/a"] {
        publish(&source, topic, "waits").await;
    }
    until_said(&source, "link", "quota exceeded").await;
    until_said(&source, "export", "disk may be full").await;
    for topic in ["flows/a", "goes/a"] {
        publish(&source, topic, "on").await;
    }
    let on = ["flows/a on", "goes/a on"].map(str::to_owned);
    assert_eq!(heard(&mut flows, 2).await, on.into());
    is_full.store(false, Ordering::Relaxed);
    assert_eq!(heard(&mut link, 1).await, ["link/a waits".to_owned()].into());
    assert_eq!(heard(&mut export, 1).await, ["export/a waits".to_owned()].into());
}
