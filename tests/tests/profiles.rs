//! Do the programs that people run against a broker get what they need? Each test is one of them:
//! how it starts, what it relies on, what made it fail elsewhere.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use tidewire_tests::broker::Broker;
use tidewire_tests::clients::{Mosquitto, mqtt_js, paho};
use tidewire_tests::places::built_program;
use tidewire_tests::program::{PATIENCE, Program};
use tidewire_tests::wire::{
    Publish, Version, Will, Wire, connect, frame, kind, publish, subscribe,
};

/// Publishes a kept message for each topic, and waits until all are on disk.
fn keep(broker: &Broker, topics: &[String], payload: &str) {
    let mut writer = Wire::clean(broker.address(), Version::V4, "keeper");
    for some in topics.chunks(500) {
        let ids = 1_u16..;
        let bytes: Vec<u8> = ids
            .clone()
            .zip(some)
            .flat_map(|(id, topic)| {
                publish(Version::V4, &Publish::new(topic, payload, 1, id).retained())
            })
            .collect();
        writer.send(&bytes);
        for (id, _) in ids.zip(some) {
            writer.answered(kind::PUBACK, id);
        }
    }
    writer.disconnect();
}

fn home() -> Vec<String> {
    let states = (0..5_000).map(|number| format!("device/{number}/state"));
    states.chain((0..5_000).map(|number| format!("homeassistant/sensor/{number}/config"))).collect()
}

/// Home Assistant waits ten seconds for SUBACK, whatever it has to read before.
#[test]
fn home_assistant_gets_suback_for_5000_filters_and_then_all_kept_states() {
    let broker = Broker::start();
    let topics = home();
    keep(&broker, &topics, "on");
    let mut filters: Vec<(&str, u8)> =
        topics[..4_999].iter().map(|topic| (topic.as_str(), 1)).collect();
    filters.push(("homeassistant/#", 1));
    for version in Version::ALL {
        let mut wire = Wire::clean(broker.address(), version, "ha");
        let since = Instant::now();
        wire.send(&subscribe(version, 1, &filters));
        let suback = wire.packet_of(kind::SUBACK);
        println!("SUBACK after {:?}", since.elapsed());
        assert!(suback.body().ends_with(&[1; 5_000]), "5,000 codes");
        let mut got = BTreeSet::new();
        while got.len() < 9_999 {
            let message = wire.packet_of(kind::PUBLISH);
            assert!(message.is_retained() && got.insert(message.topic()), "{}", message.topic());
            wire.acknowledge(kind::PUBACK, message.id());
        }
        wire.nothing_more();
    }
}

#[test]
fn home_assistant_starts_with_paho() {
    let broker = Broker::start();
    let mut topics = home();
    topics.remove(4_999);
    keep(&broker, &topics, "on");
    paho("paho_many_filters.py", broker.address(), &["5000", "9999"]);
}

/// What was kept waits for a reader that is busy starting: nothing is dropped for its sake.
#[test]
fn home_assistant_that_reads_late_misses_no_state() {
    let broker = Broker::start();
    let topics = home();
    let payload = "x".repeat(500);
    keep(&broker, &topics, &payload);
    let mut busy = Wire::clean(broker.address(), Version::V4, "busy");
    busy.send(&subscribe(Version::V4, 1, &[("#", 0)]));
    // Some 5 MB wait for it meanwhile; others are served.
    let mut other = Wire::clean(broker.address(), Version::V4, "other");
    other.subscribe(1, &[("live", 1)]);
    other.publish_acknowledged(&Publish::new("live", "yes", 0, 0));
    other.receive("yes");
    busy.packet_of(kind::SUBACK);
    let mut missing: BTreeSet<&str> = topics.iter().map(String::as_str).collect();
    while !missing.is_empty() {
        // What is live meanwhile may come in between.
        missing.remove(busy.packet_of(kind::PUBLISH).topic().as_str());
    }
}

/// It does not say DISCONNECT when it stops, so that its will is published.
#[test]
fn home_assistant_that_stops_is_marked_offline() {
    let broker = Broker::start();
    let will = Will { topic: "homeassistant/status", payload: "offline", qos: 1, retain: true };
    let mut home = Wire::open(broker.address(), Version::V4);
    home.send(&connect(Version::V4, "ha", true, 60, Some(&will)));
    home.connected();
    home.publish_acknowledged(&Publish::new("homeassistant/status", "online", 1, 1).retained());
    let mut watcher = Wire::clean(broker.address(), Version::V4, "watcher");
    watcher.subscribe(1, &[("homeassistant/status", 1)]);
    watcher.receive("online");
    home.vanish();
    watcher.receive("offline");
    let mut later = Wire::clean(broker.address(), Version::V4, "later");
    later.subscribe(1, &[("homeassistant/status", 1)]);
    assert!(later.receive("offline").is_retained());
}

/// Its list of devices is one message; 1 MiB is not enough for large networks.
#[test]
fn zigbee2mqtt_sees_its_own_kept_messages_at_once_also_the_largest() {
    let broker = Broker::start();
    mqtt_js("retained_burst.js", broker.address(), &["300", "1900000"]);
}

#[test]
fn what_is_too_large_is_told_with_the_setting_that_is_in_its_way() {
    let broker = Broker::start();
    let mut wire = Wire::clean(broker.address(), Version::V5, "zigbee2mqtt");
    let payload = "x".repeat(2_200_000);
    wire.send_if_open(&publish(Version::V5, &Publish::new("bridge/devices", &payload, 0, 0)));
    let told = wire.packet_of(kind::DISCONNECT);
    assert_eq!(told.reason(), 0x95, "{told}");
    broker.await_output("mqtt.packet_bytes_max");
    assert!(broker.output().contains("zigbee2mqtt"), "{}", broker.output());
}

/// Telegraf acknowledges when its output has written: late, and up to a thousand at a time.
#[test]
fn telegraf_may_hold_1000_messages_unacknowledged_and_gets_none_twice() {
    for qos in [1, 2] {
        let broker = Broker::start();
        let (mut telegraf, _) = Wire::resume(broker.address(), Version::V4, "telegraf");
        telegraf.subscribe(1, &[("metrics/#", qos)]);
        let topics: Vec<String> = (0..1_500).map(|number| format!("metrics/{number}")).collect();
        let mut writer = Wire::clean(broker.address(), Version::V4, "writer");
        for (id, topic) in (1..).zip(&topics) {
            writer.publish(&Publish::new(topic, "1", qos, id));
        }
        let held: Vec<_> = (0..1_000).map(|_| telegraf.packet_of(kind::PUBLISH)).collect();
        assert!(held.iter().all(|message| !message.is_dup()));
        // Nothing is sent again on a live connection, and nobody is closed for being slow.
        telegraf.silent_for(Duration::from_secs(3));
        telegraf.nothing_more();
        for message in &held {
            telegraf.acknowledge(if qos == 1 { kind::PUBACK } else { kind::PUBREC }, message.id());
        }
        let mut seen: BTreeSet<String> = held.iter().map(|message| message.topic()).collect();
        while seen.len() < topics.len() {
            let packet = telegraf.packet();
            match packet.kind() {
                kind::PUBREL => telegraf.acknowledge(kind::PUBCOMP, packet.id()),
                kind::PUBLISH => {
                    assert!(seen.insert(packet.topic()), "{packet} came twice");
                    let answer = if qos == 1 { kind::PUBACK } else { kind::PUBREC };
                    telegraf.acknowledge(answer, packet.id());
                }
                other => panic!("a packet of kind {other} is not due: {packet}"),
            }
        }
    }
}

#[tokio::test]
async fn telegraf_goes_on_where_it_was_with_rumqttc() {
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
    let broker = Broker::start();
    let address = broker.address();
    let options = || {
        let mut options = MqttOptions::new("telegraf", address.ip().to_string(), address.port());
        options.set_clean_session(false).set_manual_acks(true).set_inflight(1_000);
        options
    };
    let (client, mut events) = AsyncClient::new(options(), 1_000);
    client.subscribe("metrics/#", QoS::AtLeastOnce).await.expect("room in its queue");
    while !matches!(events.poll().await.expect("it holds"), Event::Incoming(Packet::SubAck(_))) {}
    let mut writer = Wire::clean(address, Version::V4, "writer");
    for id in 1..=1_000 {
        writer.publish(&Publish::new("metrics/a", &id.to_string(), 1, id));
    }
    for id in 1..=1_000 {
        writer.answered(kind::PUBACK, id);
    }
    // It has them all, and dies before its output wrote the second half.
    let (mut received, mut acknowledged) = (0, 0);
    while received < 1_000 || acknowledged < 500 {
        match events.poll().await.expect("it holds") {
            Event::Incoming(Packet::Publish(message)) => {
                received += 1;
                if received <= 500 {
                    client.ack(&message).await.expect("room");
                }
            }
            Event::Outgoing(rumqttc::Outgoing::PubAck(_)) => acknowledged += 1,
            _ => (),
        }
    }
    drop((client, events));
    let (_client, mut events) = AsyncClient::new(options(), 10);
    let mut again = Vec::new();
    while again.len() < 500 {
        if let Event::Incoming(Packet::Publish(message)) = events.poll().await.expect("it holds") {
            again.push(String::from_utf8_lossy(&message.payload).into_owned());
        }
    }
    let expected: Vec<String> = (501..=1_000).map(|number: u32| number.to_string()).collect();
    assert_eq!(again, expected);
}

/// esp-mqtt sends a message again after one second without an answer, on the same connection.
#[test]
fn an_esp_device_that_repeats_itself_is_stored_once_at_qos_2() {
    let broker = Broker::start();
    let mut reader = Wire::clean(broker.address(), Version::V4, "reader");
    reader.subscribe(1, &[("esp/#", 2)]);
    let mut device = Wire::clean(broker.address(), Version::V4, "esp");
    for id in 1..=50 {
        let message = Publish::new("esp/state", "once", 2, id);
        let mut bytes = publish(Version::V4, &message);
        bytes.extend(publish(Version::V4, &message.again()));
        device.send(&bytes);
        device.answered(kind::PUBREC, id);
        // One more, now that it is stored: the same answer, and no second message.
        device.publish(&message.again());
        device.answered(kind::PUBREC, id);
        device.acknowledge(kind::PUBREL, id);
        let mut answer = device.packet();
        while answer.kind() == kind::PUBREC {
            answer = device.packet();
        }
        assert_eq!((answer.kind(), answer.id()), (kind::PUBCOMP, id), "{answer}");
    }
    for _ in 1..=50 {
        reader.receive("once");
    }
    reader.nothing_else_on("esp/end");
}

/// Programs that make up a client id each time and leave a session behind.
#[test]
fn sessions_of_clients_that_never_come_back_go_when_their_time_is_over() {
    let mut broker = Broker::start_configured("[mqtt]\nsession_expiry_s_max = 1\n");
    for number in 0..500 {
        let name = format!("grafana_{number:08x}");
        let (mut leaking, _) = Wire::resume(broker.address(), Version::V4, &name);
        leaking.send(&subscribe(Version::V4, 1, &[("plant/#", 0), ("plant/+/x", 1)]));
        leaking.vanish();
    }
    let deadline = Instant::now() + 2 * PATIENCE;
    // The last one came last: when it is gone, all are.
    loop {
        let (wire, present) = Wire::resume(broker.address(), Version::V4, "grafana_000001f3");
        wire.vanish();
        if !present {
            break;
        }
        assert!(Instant::now() < deadline, "the session stays");
        let mut other = Wire::clean(broker.address(), Version::V4, "");
        other.silent_for(Duration::from_millis(1_500));
    }
    // What is over is looked for now and then, and at each start.
    loop {
        broker.stop();
        let mut stats = Command::new(built_program("tidewire"));
        stats.args(["log", "stats", "--json", "--data"]).arg(broker.data());
        let told = Program::start(&mut stats).succeeds().concat();
        let rows = rows_of(&told, "subscriptions");
        if rows < 20 {
            return;
        }
        assert!(Instant::now() < deadline, "{rows} subscriptions of 1,000 are left\n{told}");
        broker.restart();
        let mut other = Wire::clean(broker.address(), Version::V4, "");
        other.silent_for(Duration::from_millis(1_500));
    }
}

/// How many rows a table has, in the words of `log stats --json`.
fn rows_of(told: &str, table: &str) -> u64 {
    let mark = format!(",\"table\":\"{table}\"");
    let (before, _) = told.split_once(&mark).unwrap_or_else(|| panic!("no {table} in {told}"));
    let (_, rows) = before.rsplit_once(':').expect("rows stand before the name");
    rows.parse().expect("a number")
}

/// `PubSubClient` has a buffer of 256 bytes; in MQTT 5 a device can say so.
#[test]
fn a_device_of_256_bytes_gets_what_fits_and_keeps_its_connection() {
    let broker = Broker::start();
    let large = "x".repeat(25_000);
    keep(&broker, &["home/large".into(), "home/small".into()], &large);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    writer.publish_acknowledged(&Publish::new("home/small", "kept", 1, 1).retained());
    let mut device = Wire::open(broker.address(), Version::V5);
    let mut hello = vec![0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 15, 5, 0x27, 0, 0, 1, 0];
    hello.extend_from_slice(&[0, 3, b'p', b's', b'c']);
    device.send(&frame(0x10, &hello));
    device.connected();
    device.subscribe(1, &[("home/#", 1)]);
    device.receive("kept");
    writer.publish_acknowledged(&Publish::new("home/live", &large, 1, 2));
    writer.publish_acknowledged(&Publish::new("home/live", "fits", 1, 3));
    device.receive("fits");
    device.nothing_more();
}

/// A question and its answer, as a service that is asked over MQTT sees it.
#[test]
fn mosquitto_rr_gets_its_answer() {
    let broker = Broker::start();
    let mut service = Wire::clean(broker.address(), Version::V4, "service");
    service.subscribe(1, &[("ask/time", 1)]);
    for version in Mosquitto::VERSIONS {
        let client = Mosquitto::new(broker.address(), version);
        let mut asking = client.request("ask/time", "answer/rr", "when?");
        let asked = service.receive("when?");
        assert_eq!(asked.topic(), "ask/time");
        service.publish_acknowledged(&Publish::new("answer/rr", "now", 1, 9));
        assert_eq!(asking.succeeds(), ["now"], "{version}");
    }
}
