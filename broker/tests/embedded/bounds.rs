//! How many sessions and wills are kept, and who is refused beyond that.

use std::sync::Arc;
use std::time::Duration;

use tidewire::{Broker, Builder, Message, PublishError, Qos, ReasonCode, SubscribeError};

use crate::counts::Counts;
use crate::device::Device;

const HOUR: Duration = Duration::from_secs(3600);
const QUOTA: u8 = ReasonCode::QUOTA_EXCEEDED.0;
const UNAVAILABLE_V4: u8 = 3;

fn at_most(sessions: u32, will_bytes: u64) -> Builder {
    let listen = "127.0.0.1:0".parse().expect("an address");
    Broker::builder().listen_mqtt(listen).settings(move |config| {
        config.mqtt.sessions_max = sessions;
        config.mqtt.wills_bytes_max = will_bytes;
    })
}

#[tokio::test]
async fn a_session_too_many_is_refused_and_counted_and_a_resume_always_works() {
    let counts = Counts::default();
    let builder = at_most(2, 1000).temporary_data().recorder(counts.clone());
    let broker = builder.start().await.unwrap();
    let address = broker.mqtt_address().unwrap();
    let one = Device::resume(address, "one");
    Device::resume(address, "two").leave();
    assert_eq!(Device::ask_to_resume(address, "three").refusal(), QUOTA);
    assert_eq!(Device::ask_to_resume_v4(address, "three").refusal(), UNAVAILABLE_V4);
    let inside = broker.subscribe("t").durable("three", HOUR).await;
    let Err(SubscribeError::Refused { reason, .. }) = inside else { panic!("{inside:?}") };
    assert_eq!(reason, ReasonCode::QUOTA_EXCEEDED);
    let _passing = Device::connect(address, "passing");
    one.leave();
    let _ = (Device::resume(address, "one"), Device::resume(address, "two"));
    broker.shutdown().await.unwrap();
    assert_eq!(counts.of("tidewire_connections_total", &["reason=sessions"]), 3);
}

#[tokio::test]
async fn a_session_that_ends_makes_room_for_another_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let start = || at_most(1, 1000).data_folder(folder.path()).start();
    let broker = start().await.unwrap();
    Device::resume(broker.mqtt_address().unwrap(), "one").leave();
    broker.shutdown().await.unwrap();

    let broker = start().await.unwrap();
    let address = broker.mqtt_address().unwrap();
    assert_eq!(Device::ask_to_resume(address, "two").refusal(), QUOTA, "counted at the start");
    // It begins anew, with a session that ends with its connection.
    Device::connect(address, "one").leave();
    Device::resume(address, "two").leave();
    assert_eq!(Device::ask_to_resume(address, "one").refusal(), QUOTA);
    let mut two = Device::resume(address, "two");
    two.send(0xe0, &[0, 5, 0x11, 0, 0, 0, 0]);
    assert_eq!(two.packet(), None);
    let _one = Device::resume(address, "one");
}

#[tokio::test]
async fn wills_take_no_more_bytes_than_they_may_and_make_room_when_they_go() {
    let counts = Counts::default();
    let builder = at_most(9, 1000).temporary_data().recorder(counts.clone());
    let broker = builder.start().await.unwrap();
    let address = broker.mqtt_address().unwrap();
    let one = Device::open_with_will(address, "one", 600).let_in();
    assert_eq!(Device::open_with_will(address, "two", 600).refusal(), QUOTA);
    let _small = Device::open_with_will(address, "small", 100).let_in();
    let _none = Device::connect(address, "none");
    // Taken over, its will is replaced by one of the same size.
    let again = Device::open_with_will(address, "one", 600).let_in();
    drop(one);
    again.leave();
    let _two = Device::open_with_will(address, "two", 600).let_in();
    broker.shutdown().await.unwrap();
    assert_eq!(counts.of("tidewire_connections_total", &["reason=wills"]), 1);
}

/// What a device hears of a message that it publishes at QoS 1.
fn answer(device: &mut Device, topic: &str, payload: &str, is_retained: bool) -> u8 {
    device.publish(topic, payload, 1, is_retained);
    let (first, body) = device.packet().expect("an answer");
    assert_eq!((first, &body[..2]), (0x40, &[0, 1][..]));
    body.get(2).copied().filter(|code| *code >= 0x80).unwrap_or(0)
}

#[tokio::test]
async fn one_who_has_as_much_as_one_may_have_leaves_the_rest_to_others() {
    let counts = Counts::default();
    let builder = at_most(100, 1000).settings(|config| {
        config.mqtt.sessions_per_user_max = 2;
        config.mqtt.retained_messages_per_user_max = 2;
        config.mqtt.delayed_messages_per_user_max = 2;
    });
    let broker = builder.temporary_data().recorder(counts.clone()).start().await.unwrap();
    let address = broker.mqtt_address().unwrap();
    // Nobody shows who it is: all that come from this machine are one.
    let mut one = Device::resume(address, "one");
    Device::resume(address, "two").leave();
    assert_eq!(Device::ask_to_resume(address, "three").refusal(), QUOTA);
    for (prefix, is_retained, after) in [("r/", true, 0), ("$delayed/3600/", false, QUOTA)] {
        let answers = ["a", "b", "c", "a"]
            .map(|topic| answer(&mut one, &format!("{prefix}{topic}"), "x", is_retained));
        assert_eq!(answers, [0, 0, QUOTA, after], "{prefix}");
    }
    // The program around the broker is not counted with them.
    let inside = broker.subscribe("t").durable("inside", HOUR).await;
    assert!(inside.is_ok(), "{inside:?}");
    for topic in ["r/c", "$delayed/3600/c"] {
        let message = Message::new(topic, "x").qos(Qos::AtLeastOnce).retained();
        broker.publish(message).await.unwrap();
    }
    // What is cleared makes room.
    assert_eq!(answer(&mut one, "r/a", "", true), 0);
    assert_eq!(answer(&mut one, "r/d", "x", true), 0);
    broker.shutdown().await.unwrap();
    assert_eq!(counts.of("tidewire_connections_total", &["reason=sessions"]), 1);
    for (reason, count) in [("reason=retained_limit", 1), ("reason=delayed_limit", 2)] {
        assert_eq!(counts.of("tidewire_messages_dropped_total", &[reason, "qos=1"]), count);
    }
}

/// Applies another size of packets.
async fn take_packets_of(broker: &Broker, bytes_max: u32) {
    let mut config = broker.config();
    config.mqtt.packet_bytes_max = bytes_max;
    let report = broker.reload(config).await.expect("good settings");
    let applied: Vec<_> = report.applied.iter().map(|change| &*change.setting).collect();
    assert_eq!(applied, ["mqtt.packet_bytes_max"], "{report}");
}

#[tokio::test]
async fn the_program_around_the_broker_publishes_by_the_limits_that_a_reload_brought() {
    let broker = Arc::new(at_most(9, 1000).temporary_data().start().await.unwrap());
    let large = || Message::new("t", vec![b'x'; 5 << 19]).qos(Qos::ExactlyOnce);
    let refusal = async |bytes: u32| {
        let answer = broker.publish(large()).await;
        let is_so =
            matches!(answer, Err(PublishError::TooLarge { bytes_max, .. }) if bytes_max == bytes);
        assert!(is_so, "{answer:?}");
    };
    refusal(2 << 20).await;
    // What is on its way meanwhile is answered all the same, and nothing comes twice.
    let mut heard = broker.subscribe("n").qos(Qos::ExactlyOnce).await.unwrap();
    let others: Vec<_> = (0..200)
        .map(|number: u32| {
            let broker = Arc::clone(&broker);
            let message = Message::new("n", number.to_string()).qos(Qos::ExactlyOnce);
            tokio::spawn(async move { broker.publish(message).await })
        })
        .collect();
    take_packets_of(&broker, 3 << 20).await;
    broker.publish(large()).await.unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    let mut numbers = Vec::new();
    while numbers.len() < 200 {
        let payload = heard.next().await.unwrap().message.payload;
        numbers.push(String::from_utf8(payload.to_vec()).unwrap().parse::<u32>().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    let least = broker.config().mqtt.connect_bytes_max;
    take_packets_of(&broker, least).await;
    refusal(least).await;
    broker.publish(Message::new("t", "small").qos(Qos::AtLeastOnce)).await.unwrap();
}
