//! Does a subscription that begins in the past get all of it, in order, once?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidewire_tests::broker::Broker;
use tidewire_tests::clients::Mosquitto;
use tidewire_tests::wire::{Publish, Version, Wire, kind, subscribe, unsubscribe};

fn publish(broker: &Broker, topic: &str, qos: u8, numbers: std::ops::Range<u16>) {
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for number in numbers {
        writer.publish_acknowledged(&Publish::new(topic, &number.to_string(), qos, number + 1));
    }
    // What came at QoS 0 is in the log before this one.
    writer.publish_acknowledged(&Publish::new("mark", "", 1, 9));
    writer.disconnect();
}

fn receive(wire: &mut Wire, numbers: std::ops::Range<u16>) {
    for number in numbers {
        wire.receive(&number.to_string());
    }
}

fn now_micros() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros()
}

#[test]
fn everything_from_the_earliest_message_on_comes_once_and_then_what_is_new() {
    for version in Version::ALL {
        for (qos, granted) in [(0, 0), (1, 0), (1, 1), (2, 2), (2, 1)] {
            let mut broker = Broker::start();
            publish(&broker, "plant/7", qos, 0..30);
            publish(&broker, "other", qos, 0..3);
            broker.kill9();
            broker.restart();
            publish(&broker, "plant/7", qos, 30..40);
            let mut reader = Wire::clean(broker.address(), version, "reader");
            reader.subscribe(1, &[("$s/earliest/plant/#", granted)]);
            receive(&mut reader, 0..40);
            publish(&broker, "plant/7", qos, 40..50);
            receive(&mut reader, 40..50);
        }
    }
}

#[test]
fn a_time_is_where_it_begins() {
    let broker = Broker::start();
    publish(&broker, "plant/7", 1, 0..5);
    let (between, at) = (now_micros(), SystemTime::now());
    while at.elapsed().expect("forwards") < Duration::from_millis(2) {
        std::hint::spin_loop();
    }
    publish(&broker, "plant/7", 1, 5..10);
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    reader.subscribe(1, &[(&format!("$s/{}/plant/+", between + 1_000), 1)]);
    receive(&mut reader, 5..10);
    let mut future = Wire::clean(broker.address(), Version::V5, "future");
    future.subscribe(1, &[(&format!("$s/{}/plant/+", now_micros() + 3_600_000_000), 1)]);
    future.nothing_else_on("plant/7");
}

#[test]
fn a_user_property_says_the_same() {
    let broker = Broker::start();
    publish(&broker, "plant/7", 1, 0..5);
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    // SUBSCRIBE with the user property from=earliest.
    let mut body = vec![0, 1, 17, 0x26, 0, 4];
    body.extend_from_slice(b"from");
    body.extend_from_slice(&[0, 8]);
    body.extend_from_slice(b"earliest");
    body.extend_from_slice(&[0, 7]);
    body.extend_from_slice(b"plant/7");
    body.push(1);
    reader.send(&tidewire_tests::wire::frame(0x82, &body));
    assert!(reader.packet_of(kind::SUBACK).body().ends_with(&[1]));
    receive(&mut reader, 0..5);
}

#[test]
fn the_position_survives_reconnects_and_a_kill() {
    for version in Version::ALL {
        let mut broker = Broker::start();
        publish(&broker, "plant/7", 1, 0..3000);
        let (mut reader, _) = Wire::resume(broker.address(), version, "reader");
        reader.subscribe(1, &[("$s/earliest/plant/7", 1)]);
        receive(&mut reader, 0..100);
        reader.vanish();
        let (mut reader, present) = Wire::resume(broker.address(), version, "reader");
        assert!(present);
        let next: u16 = resumed_at(&mut reader, 100);
        receive(&mut reader, next..1500);
        broker.kill9();
        broker.restart();
        let (mut reader, present) = Wire::resume(broker.address(), version, "reader");
        assert!(present);
        let next = resumed_at(&mut reader, 1500);
        receive(&mut reader, next..3000);
        publish(&broker, "plant/7", 1, 3000..3001);
        receive(&mut reader, 3000..3001);
    }
}

/// Where a resumed replay goes on: what was in flight comes again, nothing is left out.
fn resumed_at(reader: &mut Wire, expected: u16) -> u16 {
    let first = reader.packet_of(kind::PUBLISH);
    reader.acknowledge(kind::PUBACK, first.id());
    let number: u16 = first.payload_text().parse().expect("a number");
    assert!(number <= expected, "{expected} was next, {number} came");
    assert!(number == expected || first.is_dup() || expected - number <= 1000);
    number + 1
}

#[test]
fn other_subscriptions_see_nothing_twice_and_lose_nothing() {
    let broker = Broker::start();
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    reader.subscribe(1, &[("orders/#", 1)]);
    publish(&broker, "orders/1", 1, 0..3);
    publish(&broker, "plant/7", 1, 0..3);
    receive(&mut reader, 0..3);
    reader.subscribe(2, &[("$s/earliest/plant/#", 1)]);
    receive(&mut reader, 0..3);
    publish(&broker, "orders/1", 1, 3..5);
    for number in 3..5 {
        assert_eq!(reader.receive(&number.to_string()).topic(), "orders/1");
    }
}

#[test]
fn a_live_message_never_overtakes_the_replay_of_its_topic() {
    for qos in 0..=1 {
        let broker = Broker::start();
        publish(&broker, "plant/7", qos, 0..2000);
        let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
        let mut writer = Wire::clean(broker.address(), Version::V5, "second writer");
        reader.send(&subscribe(Version::V5, 1, &[("$s/earliest/plant/7", qos)]));
        for number in 2000..2500u16 {
            let payload = number.to_string();
            // The last one says that it is over: it is not to be what the change to live costs.
            let level = if number == 2499 { 1 } else { qos };
            let id = 1 + number % 1000;
            writer.publish_acknowledged(&Publish::new("plant/7", &payload, level, id));
        }
        assert_eq!(reader.packet_of(kind::SUBACK).id(), 1);
        let mut last = None;
        while last != Some(2499) {
            let message = reader.packet_of(kind::PUBLISH);
            if qos > 0 {
                reader.acknowledge(kind::PUBACK, message.id());
            }
            let number: u16 = message.payload_text().parse().expect("a number");
            // At QoS 0 the change to live may cost what was on its way; order it never costs.
            let expected = last.map_or(0, |last| last + 1);
            assert!(number == expected || (qos == 0 && number > expected), "{expected}: {number}");
            last = Some(number);
        }
    }
}

/// Many short topics, one long one behind them: each replay goes back while the long one is read
/// from the disk. What that read brings is no longer what the session wants next.
#[test]
fn a_replay_that_begins_while_the_log_is_read_loses_nothing() {
    const SHORT: u16 = 60;
    const LONG: u32 = 40_000;
    let config = "[[stream]]\nname = \"mqtt\"\nfilters = [\"#\"]\npartitions = 1\n\
         [store]\nrecent_bytes_max = 1048576\n";
    let broker = Broker::start_configured(config);
    for number in 0..SHORT {
        publish(&broker, &format!("short/{number}"), 1, 0..3);
    }
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for first in (0..LONG).step_by(500) {
        let some: Vec<String> = (first..first + 500).map(|n| format!("{n:-<80}")).collect();
        let ids = 1..=500;
        let packets = ids.clone().zip(&some).map(|(id, payload)| {
            tidewire_tests::wire::publish(Version::V5, &Publish::new("long", payload, 1, id))
        });
        writer.send(&packets.collect::<Vec<_>>().concat());
        ids.for_each(|id| writer.answered(kind::PUBACK, id));
    }
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    reader.send(&subscribe(Version::V5, 1, &[("$s/earliest/long", 0)]));
    let (mut of_long, mut of_short) = (0, vec![0; usize::from(SHORT)]);
    let (mut asked, mut granted) = (0, 0);
    while of_long < LONG || of_short.iter().any(|count| *count < 3) {
        let packet = reader.packet();
        if packet.kind() == kind::PUBLISH {
            let payload = packet.payload_text();
            let number: u32 = payload.trim_end_matches('-').parse().expect("a number");
            let expected = match packet.topic().strip_prefix("short/") {
                None => &mut of_long,
                Some(topic) => &mut of_short[topic.parse::<usize>().expect("a number")],
            };
            assert_eq!(number, *expected, "{packet}");
            *expected += 1;
            // Somewhere on the way, at another place each time.
            let is_due = of_long > u32::from(asked) * 300 + u32::from(asked) % 7;
            if !is_due || asked == SHORT || granted <= asked {
                continue;
            }
            let filter = format!("$s/earliest/short/{asked}");
            asked += 1;
            reader.send(&subscribe(Version::V5, 1 + asked, &[(&filter, 0)]));
        } else {
            assert_eq!(packet.kind(), kind::SUBACK, "{packet}");
            assert!(packet.body().ends_with(&[0]), "{packet}");
            granted += 1;
        }
    }
}

/// Each costs a look-up, and has all others of the session begin anew.
#[test]
fn no_more_than_sixteen_replays_begin_at_a_time() {
    let broker = Broker::start();
    publish(&broker, "plant/7", 1, 0..3);
    let filters: Vec<String> = (0..20).map(|number| format!("$s/earliest/{number}")).collect();
    let asked: Vec<(&str, u8)> = filters.iter().map(|filter| (&**filter, 1)).collect();
    let mut wire = Wire::clean(broker.address(), Version::V5, "reader");
    // In one packet, and in another that comes before the first is answered.
    let first = subscribe(Version::V5, 1, &asked);
    let second = subscribe(Version::V5, 2, &[("$s/earliest/plant/7", 1), ("plant/8", 1)]);
    wire.send(&[first, second].concat());
    let suback = wire.packet_of(kind::SUBACK);
    let codes = [vec![1; 16], vec![0x97; 4]].concat();
    // The second waits for nothing: its answer may come first.
    let (first, second) = match suback.id() {
        1 => (suback, wire.packet_of(kind::SUBACK)),
        _ => (wire.packet_of(kind::SUBACK), suback),
    };
    assert!(first.body().ends_with(&codes), "{first}");
    assert!(second.body().ends_with(&[0x97, 1]), "{second}");
    wire.subscribe(3, &[("$s/earliest/plant/7", 1)]);
    receive(&mut wire, 0..3);
}

#[test]
fn a_beginning_that_cannot_be_is_refused() {
    let broker = Broker::start();
    let mut wire = Wire::clean(broker.address(), Version::V5, "a");
    for filter in ["$s/late/a", "$s/earliest", "$share/g/$s/earliest/a", "$s/earliest/$share/g/a"] {
        wire.send(&subscribe(Version::V5, 1, &[(filter, 1)]));
        let suback = wire.packet_of(kind::SUBACK);
        let expected: u8 = if filter.starts_with("$share") { 1 } else { 0x8f };
        assert!(suback.body().ends_with(&[expected]), "{filter}: {suback}");
    }
    wire.send(&unsubscribe(Version::V5, 2, &["$s/earliest/never"]));
    assert!(wire.packet_of(kind::UNSUBACK).body().ends_with(&[0x11]));
}

#[test]
fn mosquitto_reads_the_past() {
    let broker = Broker::start();
    publish(&broker, "plant/7", 1, 0..5);
    for version in ["mqttv311", "mqttv5"] {
        let mosquitto = Mosquitto::new(broker.address(), version);
        let mut reader = mosquitto.subscribe("$s/earliest/plant/7", &["-q", "1", "-C", "5"]);
        let expected: Vec<String> = (0..5).map(|number| format!("1 0 plant/7 {number}")).collect();
        assert_eq!(reader.messages(), expected);
    }
}
