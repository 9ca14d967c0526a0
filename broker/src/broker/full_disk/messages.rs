//! Delayed messages and wills on a full disk: what is as good as a message is refused like one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidewire_proto::mqtt::{
    Connect, Packet, Properties, PropertiesBuilder, PropertyId, PropertyValue, ReasonCode, Will,
};
use tidewire_store::copy_at_rest;

use super::small_disk::{HOUR, builder, fill, large_is_refused, start};
use crate::broker::pipe::{Pipe, VERSION};
use crate::broker::{Broker, Message};
use crate::error::PublishError;
use crate::{Qos, Subscription};

const PATIENCE: Duration = Duration::from_secs(120);
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

/// The wills of one client, as they come.
async fn next_will(reader: &mut Subscription) -> String {
    let next = tokio::time::timeout(PATIENCE, reader.next()).await.expect("it is owed");
    let payload = next.expect("a message").message.payload;
    String::from_utf8(payload.into()).expect("text")
}

#[tokio::test]
async fn a_will_that_is_due_on_a_full_disk_is_sent_when_there_is_room_though_its_client_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let is_full = Arc::new(AtomicBool::new(false));
    let broker = start(builder(&folder), &is_full).await;
    let mut reader = broker.subscribe("gone").durable("reader", HOUR).await.expect("a session");
    let (pipe, _) = connect(&broker, "device", b"first").await;
    is_full.store(true, Ordering::Relaxed);
    fill(&broker).await;
    // It is lost; and again, when it is back.
    drop(pipe);
    for will in ["second", "third"] {
        let (_, answer) = connect(&broker, "device", will.as_bytes()).await;
        assert_eq!(answer, ReasonCode::SUCCESS);
    }
    let (_back, answer) = connect(&broker, "device", b"none of these").await;
    assert_eq!(answer, ReasonCode::SUCCESS);

    let after = tempfile::tempdir().expect("a folder");
    copy_at_rest(folder.path(), after.path()).expect("copied");
    is_full.store(false, Ordering::Relaxed);
    while large_is_refused(&broker).await {}
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(next_will(&mut reader).await);
    }
    seen.sort_unstable();
    assert_eq!(seen, ["first", "second", "third"]);

    // A crash in between makes no difference.
    let crashed = builder(&after).start().await.expect("it starts");
    let mut reader = crashed.subscribe("gone").durable("reader", HOUR).await.expect("a session");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(next_will(&mut reader).await);
    }
    seen.sort_unstable();
    assert_eq!(seen, ["first", "second", "third"]);
}
