//! Topics written anew, subscriptions that nobody asked for, filters for one session alone.

use std::sync::Arc;
use std::time::Duration;

use tidewire::config::{AutoSubscribeConfig, RewriteConfig, RewriteOn};
use tidewire::{Broker, Builder, Message, Qos, ReasonCode, SubscribeError};
use tidewire_proto::session::subscription::Subscription;
use tidewire_store::rows::subscription;
use tidewire_store::{Commit, RealDisk, Store, StoreOptions, Table, TableChange};

use crate::device::Device;

const HOUR: Duration = Duration::from_secs(3600);

fn builder() -> Builder {
    let listen = "127.0.0.1:0".parse().expect("an address");
    Broker::builder().listen_mqtt(listen)
}

fn rewriting(rules: &[(RewriteOn, &str, &str)]) -> Builder {
    let rule = |(on, from, to): &(_, &str, &str)| RewriteConfig {
        on: *on,
        from: (*from).into(),
        to: (*to).into(),
    };
    let rules = rules.iter().map(rule).collect();
    builder().temporary_data().settings(move |config| config.topics.rewrite = rules)
}

fn at_least_once(topic: &str, payload: &'static str) -> Message {
    Message::new(topic, payload).qos(Qos::AtLeastOnce)
}

#[tokio::test]
async fn messages_and_subscriptions_meet_under_the_new_topic() {
    let broker = rewriting(&[(RewriteOn::Both, "old/+/#", "new/$1/$2")]).start().await.unwrap();
    let mut old = broker.subscribe("old/7/+").and("$share/g/old/8/#").await.unwrap();
    let mut new = broker.subscribe("new/+/x").await.unwrap();
    broker.publish(at_least_once("old/7/x", "one").retained()).await.unwrap();
    for subscription in [&mut old, &mut new] {
        assert_eq!(subscription.next().await.unwrap().message.topic, "new/7/x");
    }
    broker.publish(at_least_once("old/8/x/y", "two")).await.unwrap();
    assert_eq!(old.next().await.unwrap().message.topic, "new/8/x/y");
    let mut later = broker.subscribe("old/7/x").await.unwrap();
    let kept = later.next().await.unwrap().message;
    assert_eq!((&*kept.topic, kept.retain), ("new/7/x", true));
}

#[tokio::test]
async fn a_rule_holds_only_where_it_is_to() {
    let rules = [(RewriteOn::Publish, "in/#", "out/$1"), (RewriteOn::Subscribe, "see/#", "out/$1")];
    let broker = rewriting(&rules).start().await.unwrap();
    let mut seen = broker.subscribe("see/+").await.unwrap();
    let mut raw = broker.subscribe("in/#").and("see/#").await.unwrap();
    broker.publish(at_least_once("in/a", "1")).await.unwrap();
    assert_eq!(seen.next().await.unwrap().message.topic, "out/a");
    assert_eq!(raw.next().await.unwrap().message.topic, "out/a");
    broker.publish(at_least_once("see/a", "2")).await.unwrap();
    broker.publish(at_least_once("in/b", "3")).await.unwrap();
    assert_eq!(&seen.next().await.unwrap().message.payload[..], b"3", "see/a is not out/a");
}

#[tokio::test]
async fn unsubscribing_finds_what_subscribing_made() {
    let broker = rewriting(&[(RewriteOn::Subscribe, "old/+", "new/$1")]).start().await.unwrap();
    let mut device = Device::connect(broker.mqtt_address().unwrap(), "device");
    device.subscribe("old/1", 1);
    assert_eq!(device.packet().unwrap().1, [0, 1, 0, 1]);
    device.unsubscribe("old/1", 2);
    assert_eq!(device.packet().unwrap().1, [0, 2, 0, ReasonCode::SUCCESS.0]);
}

#[tokio::test]
async fn unsubscribing_finds_what_is_older_than_a_rule_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let rules = [(RewriteOn::Subscribe, "old/+", "new/$1")];
    for (is_later, answer) in [(false, 1), (true, ReasonCode::SUCCESS.0)] {
        let builder = if is_later { rewriting(&rules) } else { builder() };
        let broker = builder.data_folder(folder.path()).start().await.unwrap();
        let mut device = Device::resume(broker.mqtt_address().unwrap(), "device");
        match is_later {
            false => device.subscribe("old/1", 1),
            true => device.unsubscribe("old/1", 1),
        }
        assert_eq!(device.packet().unwrap().1, [0, 1, 0, answer]);
        if is_later {
            broker.publish(at_least_once("old/1", "x")).await.unwrap();
            device.unsubscribe("old/1", 2);
            let nothing = [0, 2, 0, ReasonCode::NO_SUBSCRIPTION_EXISTED.0];
            assert_eq!(device.packet().unwrap().1, nothing);
        }
        device.leave();
        broker.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn unsubscribing_under_rules_that_lead_into_each_other_ends_what_that_filter_made() {
    let folder = tempfile::tempdir().unwrap();
    let rules = [(RewriteOn::Subscribe, "a/+", "b/$1"), (RewriteOn::Subscribe, "b/+", "c/$1")];
    let (ok, none) = (ReasonCode::SUCCESS.0, ReasonCode::NO_SUBSCRIPTION_EXISTED.0);
    // Each is what was asked for, and what it is to be answered; in two lives of the broker.
    let subscribed = [("a/1", 1), ("b/1", 1), ("a/2", 1)];
    let lives: [&[(&str, u8)]; 2] = [
        &[("b/2", none), ("b/1", ok)],
        &[("b/1", none), ("b/2", none), ("c/2", none), ("a/1", ok), ("a/1", none), ("a/2", ok)],
    ];
    for (life, unsubscribed) in lives.into_iter().enumerate() {
        let broker = rewriting(&rules).data_folder(folder.path()).start().await.unwrap();
        let mut device = Device::resume(broker.mqtt_address().unwrap(), "device");
        for (id, (filter, answer)) in (1_u8..).zip(subscribed.iter().filter(|_| life == 0)) {
            device.subscribe(filter, id.into());
            assert_eq!(device.packet().unwrap().1, [0, id, 0, *answer], "{filter}");
        }
        for (id, (filter, answer)) in (10_u8..).zip(unsubscribed) {
            device.unsubscribe(filter, id.into());
            assert_eq!(device.packet().unwrap().1, [0, id, 0, *answer], "{life}: {filter}");
        }
        device.leave();
        broker.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_delayed_message_is_rewritten_when_it_is_sent() {
    let broker = rewriting(&[(RewriteOn::Publish, "old/+", "new/$1")]).start().await.unwrap();
    let mut new = broker.subscribe("new/+").await.unwrap();
    broker.publish(at_least_once("$delayed/1/old/x", "late")).await.unwrap();
    assert_eq!(new.next().await.unwrap().message.topic, "new/x");
}

fn automatic(filter: &str) -> Builder {
    let rule = AutoSubscribeConfig { filter: filter.into(), qos: 1, ..Default::default() };
    builder().settings(|config| config.topics.auto_subscribe = vec![rule])
}

#[tokio::test]
async fn every_client_is_subscribed_to_its_own_topics_without_asking() {
    let broker = automatic("devices/%c/#").temporary_data().start().await.unwrap();
    broker.publish(at_least_once("devices/d1/name", "kept").retained()).await.unwrap();
    let address = broker.mqtt_address().unwrap();
    let (mut one, mut two) = (Device::connect(address, "d1"), Device::connect(address, "d2"));
    let (first, body) = one.packet().unwrap();
    assert_eq!(first, 0x33, "retained, QoS 1, and no SUBACK before it");
    assert!(body.ends_with(b"kept"));
    broker.publish(at_least_once("devices/d2/do", "this")).await.unwrap();
    assert!(two.packet().unwrap().1.ends_with(b"this"));
    broker.publish(at_least_once("devices/d1/do", "that")).await.unwrap();
    assert!(one.packet().unwrap().1.ends_with(b"that"));
}

#[tokio::test]
async fn a_session_that_returns_has_its_automatic_subscription_once() {
    let broker = automatic("devices/%c").temporary_data().start().await.unwrap();
    let address = broker.mqtt_address().unwrap();
    broker.publish(at_least_once("devices/d", "kept").retained()).await.unwrap();
    let mut device = Device::resume(address, "d");
    let (_, body) = device.packet().unwrap();
    assert!(body.ends_with(b"kept"));
    device.acknowledge(&body);
    device.leave();
    broker.publish(at_least_once("devices/d", "missed")).await.unwrap();
    let mut device = Device::resume(address, "d");
    let (_, body) = device.packet().unwrap();
    assert!(body.ends_with(b"missed"), "and not the retained one again");
    device.acknowledge(&body);
    broker.publish(at_least_once("devices/d", "next")).await.unwrap();
    assert!(device.packet().unwrap().1.ends_with(b"next"), "once");
}

#[tokio::test]
async fn subscriptions_within_the_process_are_only_what_they_asked_for() {
    let broker = automatic("all").temporary_data().start().await.unwrap();
    let mut mine = broker.subscribe("mine").await.unwrap();
    broker.publish(at_least_once("all", "x")).await.unwrap();
    broker.publish(at_least_once("mine", "y")).await.unwrap();
    assert_eq!(mine.next().await.unwrap().message.topic, "mine");
}

fn is_taken<T>(outcome: &Result<T, SubscribeError>) -> bool {
    let reason = ReasonCode::QUOTA_EXCEEDED;
    matches!(outcome, Err(SubscribeError::Refused { reason: found, .. }) if *found == reason)
}

#[tokio::test]
async fn an_exclusive_filter_is_for_one_session_until_it_lets_go() {
    let broker = builder().temporary_data().start().await.unwrap();
    let mut first = broker.subscribe("$exclusive/meter/+").await.unwrap();
    assert!(is_taken(&broker.subscribe("$exclusive/meter/+").await));
    let mut device = Device::connect(broker.mqtt_address().unwrap(), "device");
    device.subscribe("$exclusive/meter/+", 1);
    let body = device.packet().unwrap().1;
    let words = b"filter 1: another session has the filter for itself";
    assert_eq!(body.last(), Some(&ReasonCode::QUOTA_EXCEEDED.0));
    assert!(body[..body.len() - 1].ends_with(words));
    // Others may listen; there is just one exclusive subscriber.
    let mut other = broker.subscribe("meter/+").await.unwrap();
    broker.publish(at_least_once("meter/1", "5 kWh")).await.unwrap();
    for subscription in [&mut first, &mut other] {
        assert_eq!(&subscription.next().await.unwrap().message.payload[..], b"5 kWh");
    }
    first.close().await;
    device.subscribe("$exclusive/meter/+", 2);
    assert_eq!(device.packet().unwrap().1, [0, 2, 0, 1]);
    device.unsubscribe("$exclusive/meter/+", 3);
    assert_eq!(device.packet().unwrap().1, [0, 3, 0, ReasonCode::SUCCESS.0]);
    assert!(broker.subscribe("$exclusive/meter/+").await.is_ok());
}

#[tokio::test]
async fn an_exclusive_filter_of_a_durable_session_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let start = || builder().data_folder(folder.path()).start();
    let broker = start().await.unwrap();
    let owner = broker.subscribe("$exclusive/meter").durable("owner", HOUR).await.unwrap();
    owner.close().await;
    assert!(is_taken(&broker.subscribe("$exclusive/meter").await), "away is not gone");
    broker.shutdown().await.unwrap();

    let broker = start().await.unwrap();
    assert!(is_taken(&broker.subscribe("$exclusive/meter").await));
    let owner = broker.subscribe("$exclusive/meter").durable("owner", HOUR).await.unwrap();
    assert!(owner.was_present());
    owner.close().await;
    // A session that ends at once ends its claim.
    let brief = broker.subscribe("other").durable("owner", Duration::ZERO).await.unwrap();
    brief.close().await;
    assert!(broker.subscribe("$exclusive/meter").await.is_ok());
}

#[tokio::test]
async fn only_a_plain_filter_can_be_exclusive_and_a_refused_one_is_nobodys() {
    let broker = builder().temporary_data().start().await.unwrap();
    let mut device = Device::connect(broker.mqtt_address().unwrap(), "device");
    let kinds = ["$share/g/a", "$queue/a", "$exclusive/a", "$s/earliest/a"];
    for (id, kind) in (1_u8..).zip(kinds) {
        device.subscribe(&format!("$exclusive/{kind}"), id.into());
        let body = device.packet().unwrap().1;
        let refused = ReasonCode::TOPIC_FILTER_INVALID.0;
        assert_eq!((body[1], body.last()), (id, Some(&refused)), "{kind}");
    }
    assert!(broker.subscribe("$exclusive/a").await.is_ok());
    assert!(broker.subscribe("$share/g/a").await.is_ok());
}

#[tokio::test]
async fn a_plain_subscription_in_the_place_of_an_exclusive_one_frees_the_filter() {
    let broker = builder().temporary_data().start().await.unwrap();
    let address = broker.mqtt_address().unwrap();
    for mut device in [Device::connect(address, "passing"), Device::resume(address, "durable")] {
        device.subscribe("$exclusive/meter", 1);
        assert_eq!(device.packet().unwrap().1, [0, 1, 0, 1]);
        assert!(is_taken(&broker.subscribe("$exclusive/meter").await));
        device.subscribe("meter", 2);
        assert_eq!(device.packet().unwrap().1, [0, 2, 0, 1]);
        broker.subscribe("$exclusive/meter").await.unwrap().close().await;
    }
}

#[tokio::test]
async fn a_session_that_is_to_end_with_its_connection_keeps_its_exclusive_filter_until_then() {
    let broker = builder().temporary_data().start().await.unwrap();
    let owner = broker.subscribe("$exclusive/meter").durable("owner", HOUR).await.unwrap();
    owner.close().await;
    let brief = broker.subscribe("other").durable("owner", Duration::ZERO).await.unwrap();
    assert!(brief.was_present());
    assert!(is_taken(&broker.subscribe("$exclusive/meter").await));
    brief.close().await;
    assert!(broker.subscribe("$exclusive/meter").await.is_ok());
}

#[tokio::test]
async fn a_session_that_begins_anew_frees_what_it_had() {
    let broker = builder().temporary_data().start().await.unwrap();
    let address = broker.mqtt_address().unwrap();
    let mut device = Device::resume(address, "device");
    device.subscribe("$exclusive/meter", 1);
    assert_eq!(device.packet().unwrap().1, [0, 1, 0, 1]);
    device.leave();
    let _anew = Device::connect(address, "device");
    assert!(broker.subscribe("$exclusive/meter").await.is_ok());
}

#[tokio::test]
async fn of_two_sessions_whose_rows_have_one_exclusive_filter_one_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let start = || builder().data_folder(folder.path()).start();
    let broker = start().await.unwrap();
    for name in ["a", "b"] {
        broker.subscribe("meter").durable(name, HOUR).await.unwrap().close().await;
    }
    broker.shutdown().await.unwrap();
    make_exclusive(folder.path(), &["$in-process/a", "$in-process/b"], "meter");

    let broker = start().await.unwrap();
    let mut got = Vec::new();
    for name in ["b", "a"] {
        let mut session = broker.subscribe(name).durable(name, HOUR).await.unwrap();
        assert!(session.was_present());
        broker.publish(at_least_once("meter", "x")).await.unwrap();
        broker.publish(at_least_once(name, "last")).await.unwrap();
        let first = session.next().await.unwrap().message.topic;
        got.extend((first == "meter").then_some(name));
        session.close().await;
    }
    assert_eq!(got.len(), 1, "{got:?}");
}

/// What a crash could leave behind.
fn make_exclusive(folder: &std::path::Path, client_ids: &[&str], filter: &str) {
    let disk = Arc::new(RealDisk::new(folder));
    let (store, _) = Store::open(disk, StoreOptions::default()).expect("nobody has it");
    let mut commit = Commit::default();
    for client_id in client_ids {
        let key = subscription::key(client_id, filter);
        let row =
            store.get(Table::Subscriptions, &key).expect("readable").expect("it is subscribed");
        let row = Subscription { is_exclusive: true, ..subscription::decode(&row).expect("whole") };
        let row = Some(subscription::encode(&row));
        commit.changes.push(TableChange::new(Table::Subscriptions, key, row));
    }
    store.commit(commit).expect("the disk takes it");
    store.shutdown().expect("closed");
}
