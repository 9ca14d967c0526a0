//! Clients that are too fast, or too many.

use std::time::{Duration, Instant};

use tidewire::config::{AtRateLimit, Config, RateConfig};
use tidewire::{Broker, Message, Qos, ReasonCode};

use crate::counts::Counts;
use crate::device::Device;

async fn broker(counts: &Counts, change: impl FnOnce(&mut Config)) -> Broker {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let builder = Broker::builder().temporary_data().listen_mqtt(listen);
    builder.settings(change).recorder(counts.clone()).start().await.expect("it starts")
}

fn messages(per_s: u32, burst: u32) -> RateConfig {
    RateConfig { messages_per_s_max: per_s, messages_burst_max: burst, ..RateConfig::default() }
}

/// Publishes so many at QoS 1 at a time, and says what each was answered.
fn publish_all(device: &mut Device, count: u16) -> Vec<u8> {
    for id in 1..=count {
        device.publish("t", "x", id, false);
    }
    let answer = |id: u16| {
        let (first, body) = device.packet().expect("an answer");
        assert_eq!((first, &body[..2]), (0x40, &id.to_be_bytes()[..]));
        body.get(2).copied().unwrap_or(0)
    };
    (1..=count).map(answer).collect()
}

#[tokio::test]
async fn who_is_too_fast_is_read_more_slowly_and_loses_nothing() {
    let counts = Counts::default();
    let broker = broker(&counts, |config| config.mqtt.rate = messages(50, 10)).await;
    let mut device = Device::connect(broker.mqtt_address().unwrap(), "loud");
    let since = Instant::now();
    assert_eq!(publish_all(&mut device, 60), [0; 60]);
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(950), "50 beyond the burst in {took:?}");
    broker.shutdown().await.unwrap();
    assert!(counts.of("tidewire_throttled_total", &["limit=client"]) >= 5);
}

#[tokio::test]
async fn bytes_count_as_messages_do() {
    let counts = Counts::default();
    let rate = RateConfig { bytes_per_s_max: 20_000, ..RateConfig::default() };
    let broker = broker(&counts, |config| config.mqtt.rate = rate).await;
    let mut device = Device::connect(broker.mqtt_address().unwrap(), "fat");
    let since = Instant::now();
    let payload = "x".repeat(10_000);
    for id in 1..=4 {
        device.publish("t", &payload, id, false);
    }
    for _ in 1..=4 {
        assert_eq!(device.packet().unwrap().0, 0x40);
    }
    assert!(since.elapsed() >= Duration::from_millis(450), "{:?}", since.elapsed());
}

#[tokio::test]
async fn refused_messages_are_answered_and_those_within_the_rate_are_taken() {
    let counts = Counts::default();
    let change = |config: &mut Config| {
        config.mqtt.rate = messages(1, 5);
        config.mqtt.at_rate_limit = AtRateLimit::Refuse;
    };
    let broker = broker(&counts, change).await;
    let mut device = Device::connect(broker.mqtt_address().unwrap(), "loud");
    let answers = publish_all(&mut device, 12);
    assert_eq!(answers[..5], [0; 5]);
    let refused = answers.iter().filter(|code| **code == ReasonCode::QUOTA_EXCEEDED.0).count();
    assert!(refused >= 1, "{answers:?}");
    broker.shutdown().await.unwrap();
    let counted = counts.of("tidewire_messages_dropped_total", &["reason=rate_limit", "qos=1"]);
    assert_eq!(counted, refused as u64);
}

#[tokio::test]
async fn who_is_too_fast_can_be_disconnected_with_the_reason() {
    let counts = Counts::default();
    let change = |config: &mut Config| {
        config.mqtt.rate = messages(1, 2);
        config.mqtt.at_rate_limit = AtRateLimit::Disconnect;
    };
    let broker = broker(&counts, change).await;
    let mut device = Device::connect(broker.mqtt_address().unwrap(), "loud");
    for id in 1..=9 {
        device.publish("t", "x", id, false);
    }
    let told = loop {
        let (first, body) = device.packet().expect("the reason comes before the end");
        if first == 0xe0 {
            break body[0];
        }
    };
    assert_eq!(told, ReasonCode::MESSAGE_RATE_TOO_HIGH.0);
    assert_eq!(device.packet(), None);
}

#[tokio::test]
async fn clients_of_a_listener_share_its_rate_and_those_within_the_process_have_none() {
    let counts = Counts::default();
    let change = |config: &mut Config| {
        config.listener.mqtt.rate = messages(20, 10);
        config.mqtt.rate = messages(1000, 0);
    };
    let broker = broker(&counts, change).await;
    let address = broker.mqtt_address().unwrap();
    let (mut one, mut two) = (Device::connect(address, "one"), Device::connect(address, "two"));
    let since = Instant::now();
    publish_all(&mut one, 10);
    publish_all(&mut two, 20);
    assert!(since.elapsed() >= Duration::from_millis(950), "{:?}", since.elapsed());
    let since = Instant::now();
    // With the rate of the listener it would take a minute.
    for _ in 0..1_200 {
        broker.publish(Message::new("t", "x").qos(Qos::AtMostOnce)).await.unwrap();
    }
    assert!(since.elapsed() < Duration::from_secs(50), "{:?}", since.elapsed());
    broker.shutdown().await.unwrap();
    assert!(counts.of("tidewire_throttled_total", &["limit=listener"]) > 0);
}

#[tokio::test]
async fn an_address_has_so_many_connections_at_a_time() {
    let counts = Counts::default();
    let change = |config: &mut Config| config.listener.mqtt.connections_per_address_max = 2;
    let broker = broker(&counts, change).await;
    let address = broker.mqtt_address().unwrap();
    let (one, two) = (Device::connect(address, "one"), Device::connect(address, "two"));
    assert_eq!(Device::open(address, "three").packet(), None);
    one.leave();
    // The seat is free when the broker has seen the end of the socket.
    let since = Instant::now();
    while Device::open(address, "three").packet().is_none() {
        assert!(since.elapsed() < Duration::from_secs(60), "the seat is never free");
    }
    two.leave();
    broker.shutdown().await.unwrap();
    assert!(counts.of("tidewire_connections_total", &["reason=address"]) >= 1);
}

#[tokio::test]
async fn who_comes_too_often_from_one_address_is_closed_and_counted() {
    let counts = Counts::default();
    let change =
        |config: &mut Config| config.listener.mqtt.connections_per_address_per_minute_max = 1;
    let broker = broker(&counts, change).await;
    let address = broker.mqtt_address().unwrap();
    let _one = Device::connect(address, "one");
    assert_eq!(Device::open(address, "two").packet(), None);
    broker.shutdown().await.unwrap();
    assert!(counts.of("tidewire_connections_total", &["reason=address_rate"]) == 1);
}

#[tokio::test]
async fn new_connections_wait_for_their_rate() {
    let counts = Counts::default();
    let change = |config: &mut Config| {
        config.listener.mqtt.connections_per_s_max = 2;
        config.listener.mqtt.connections_burst_max = 1;
    };
    let broker = broker(&counts, change).await;
    let address = broker.mqtt_address().unwrap();
    let since = Instant::now();
    let devices: Vec<_> = (0..5).map(|n| Device::connect(address, &n.to_string())).collect();
    assert!(since.elapsed() >= Duration::from_millis(1_400), "{:?}", since.elapsed());
    drop(devices);
    assert!(counts.of("tidewire_throttled_total", &["limit=connections"]) >= 1);
}
