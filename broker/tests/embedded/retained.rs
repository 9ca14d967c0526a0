//! How much may be retained, and what happens to what is too much.

use tidewire::{Broker, Builder, Message, PublishError, Qos, ReasonCode};

use crate::counts::Counts;
use crate::device::Device;

const LISTEN: &str = "127.0.0.1:0";

fn kept(topic: &str, payload: &'static str) -> Message {
    Message::new(topic, payload).qos(Qos::AtLeastOnce).retained()
}

fn at_most(messages: u64, bytes: u64) -> Builder {
    let builder = Broker::builder().listen_mqtt(LISTEN.parse().expect("an address"));
    builder.settings(move |config| {
        config.mqtt.retained_messages_max = messages;
        config.mqtt.retained_bytes_max = bytes;
    })
}

fn is_over_quota(published: &Result<(), PublishError>) -> bool {
    matches!(published, Err(PublishError::Refused(ReasonCode::QUOTA_EXCEEDED)))
}

#[tokio::test]
async fn one_message_too_many_is_refused_and_counted_and_clearing_makes_room() {
    let counts = Counts::default();
    let builder = at_most(2, 1 << 30).temporary_data().recorder(counts.clone());
    let broker = builder.start().await.unwrap();
    broker.publish(kept("a", "1")).await.unwrap();
    broker.publish(kept("b", "1")).await.unwrap();
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        assert!(is_over_quota(&broker.publish(kept("c", "1").qos(qos)).await));
    }
    broker.publish(kept("c", "1").qos(Qos::AtMostOnce)).await.unwrap();
    broker.publish(kept("a", "2")).await.unwrap();
    broker.publish(Message::new("c", "not kept").qos(Qos::AtLeastOnce)).await.unwrap();
    broker.publish(kept("b", "")).await.unwrap();
    broker.publish(kept("c", "3")).await.unwrap();
    let mut all = broker.subscribe("#").await.unwrap();
    for (topic, payload) in [("a", "2"), ("c", "3")] {
        let message = all.next().await.unwrap().message;
        assert_eq!((&*message.topic, &message.payload[..]), (topic, payload.as_bytes()));
    }
    broker.shutdown().await.unwrap();
    let of = |qos| counts.of("tidewire_messages_dropped_total", &["reason=retained_limit", qos]);
    assert_eq!((of("qos=0"), of("qos=1"), of("qos=2")), (1, 1, 1));
}

#[tokio::test]
async fn bytes_are_limited_too_and_counted_anew_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let start = |bytes| at_most(1000, bytes).data_folder(folder.path()).start();
    let big = |topic: &str| Message::new(topic, vec![b'x'; 1000]).qos(Qos::AtLeastOnce).retained();
    let broker = start(2500).await.unwrap();
    broker.publish(big("a")).await.unwrap();
    broker.publish(big("b")).await.unwrap();
    assert!(is_over_quota(&broker.publish(big("c")).await));
    broker.shutdown().await.unwrap();

    let broker = start(2500).await.unwrap();
    assert!(is_over_quota(&broker.publish(big("c")).await));
    broker.publish(big("a")).await.unwrap();
    broker.publish(kept("b", "smaller")).await.unwrap();
    broker.publish(big("c")).await.unwrap();
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_on_the_network_hears_why() {
    let broker = at_most(0, 0).temporary_data().start().await.unwrap();
    let mut device = Device::connect(broker.mqtt_address().unwrap(), "device");
    device.publish("state", "on", 7, true);
    let (first, body) = device.packet().unwrap();
    assert_eq!((first, &body[..3]), (0x40, &[0, 7, ReasonCode::QUOTA_EXCEEDED.0][..]));
    assert!(body.ends_with(b"there is no room for more retained messages"));
    device.publish("state", "on", 8, false);
    assert_eq!(device.packet().unwrap().0, 0x40, "the connection is still there");
}
