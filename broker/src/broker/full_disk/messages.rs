//! Delayed messages and wills on a full disk: what is as good as a message is refused like one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidewire_proto::mqtt::{
    Connect, Packet, Properties, PropertiesBuilder, PropertyId, PropertyValue, ReasonCode, Will,
};

use super::small_disk::{HOUR, builder, fill, large_is_refused, start};
use crate::broker::pipe::{Pipe, VERSION};
use crate::broker::{Broker, Message};
use crate::error::PublishError;
use crate::Qos;

/// As many bytes as the messages that the full disk refuses.
const LARGE: usize = 20_000;
/// So many would be more than the reserve.
const TRIED: usize = 5;

#[tokio::test]
async fn a_delayed_message_on_a_full_disk_is_refused_and_takes_nothing_from_readers() {
    let folder = tempfile::tempdir().expect("a folder");
    let is_full = Arc::new(AtomicBool::new(false));
    let broker = start(builder(&folder), &is_full).await;
    is_full.store(true, Ordering::Relaxed);
    fill(&broker).await;
    for number in 0..TRIED {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let later = Message::new("$delayed/3600/later", vec![b'x'; LARGE]).qos(qos);
            let refused = broker.publish(later).await.expect_err("the disk is full");
            let is_said = matches!(refused, PublishError::Refused(ReasonCode::QUOTA_EXCEEDED));
            assert!(is_said, "{number}: {refused}");
        }
    }
    for number in 0..TRIED {
        let filter = format!("{number}/{}", "x".repeat(8_000));
        let reader = broker.subscribe(filter).durable(format!("reader-{number}"), HOUR);
        reader.await.expect("its rows are taken").close().await;
    }
}

/// A client that leaves a will, and what it is answered.
async fn connect(broker: &Broker, name: &str, will: &[u8]) -> (Pipe, ReasonCode) {
    let mut pipe = Pipe::open(&broker.door.shared, &broker.door.runtime).expect("a connection");
    let will = Will {
        topic: "gone",
        payload: will,
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: Properties::EMPTY,
    };
    let mut properties = PropertiesBuilder::new();
    properties.push(PropertyId::SessionExpiry, PropertyValue::FourByte(600)).expect("short");
    let connect = Connect {
        version: VERSION,
        clean_start: false,
        keep_alive_s: 0,
        client_id: name,
        will: Some(will),
        user_name: None,
        password: None,
        properties: properties.as_properties(),
    };
    pipe.put(&Packet::Connect(connect)).expect("it can be said");
    loop {
        match pipe.packet().expect("the connection holds until it is answered") {
            Some(Packet::ConnAck(ack)) => {
                let reason = ack.reason;
                return (pipe, reason);
            }
            Some(packet) => panic!("{packet:?}"),
            None => pipe.turn().await.expect("the connection holds until it is answered"),
        }
    }
}

#[tokio::test]
async fn a_large_will_on_a_full_disk_is_refused_with_its_client_and_a_small_one_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let is_full = Arc::new(AtomicBool::new(false));
    let broker = start(builder(&folder), &is_full).await;
    is_full.store(true, Ordering::Relaxed);
    fill(&broker).await;
    for number in 0..TRIED {
        let name = format!("device-{number}");
        let (_, answer) = connect(&broker, &name, &[b'x'; LARGE]).await;
        assert_eq!(answer, ReasonCode::QUOTA_EXCEEDED, "{number}");
        let (_, answer) = connect(&broker, &name, b"small").await;
        assert_eq!(answer, ReasonCode::SUCCESS, "{number}");
    }
    is_full.store(false, Ordering::Relaxed);
    while large_is_refused(&broker).await {}
    let (_, answer) = connect(&broker, "device-0", &[b'x'; LARGE]).await;
    assert_eq!(answer, ReasonCode::SUCCESS);
}
