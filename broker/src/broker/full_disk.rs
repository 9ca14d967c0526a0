//! A broker whose disk is full: what it can still promise, it does. Nothing here is for use.

mod bridges;
mod dead_letters;
mod exclusive;
mod messages;
mod shares;
mod small_disk;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use self::small_disk::{builder, large_is_refused, start};
use super::{Broker, Message};
use crate::Qos;

const HOUR: Duration = Duration::from_secs(3600);
/// Sessions that come while the disk is full.
const COMING: usize = 20;
/// Programs that publish meanwhile.
const PUBLISHERS: usize = 16;

async fn publish(broker: &Broker, payload: impl Into<String>) {
    let message = Message::new("kept", payload.into()).qos(Qos::AtLeastOnce);
    broker.publish(message).await.expect("there is room");
}

/// What comes while others publish what is refused: sessions, subscriptions, acknowledgements.
async fn come_and_read(broker: &Broker) {
    let reader = broker.subscribe("kept").qos(Qos::AtLeastOnce).durable("reader", HOUR);
    let mut reader = reader.manual_acknowledgement().await.expect("its session is taken up");
    for number in 0..COMING {
        let received = reader.next().await.expect("it was kept");
        assert_eq!(received.message.payload, number.to_string().as_bytes());
        reader.acknowledge(&received);
        let name = format!("coming-{number}");
        let other = broker.subscribe("kept").qos(Qos::AtLeastOnce).durable(name, HOUR);
        other.await.expect("its session is new").close().await;
    }
    reader.close().await;
}

#[tokio::test]
async fn a_full_disk_refuses_messages_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let is_full = Arc::new(AtomicBool::new(false));
    let broker = start(builder(&folder), &is_full).await;
    let reader = broker.subscribe("kept").qos(Qos::AtLeastOnce).durable("reader", HOUR);
    reader.await.expect("a session").close().await;
    for number in 0..COMING {
        publish(&broker, number.to_string()).await;
    }
    is_full.store(true, Ordering::Relaxed);
    while !large_is_refused(&broker).await {}
    let broker = Arc::new(broker);
    let mut noise = JoinSet::new();
    for _ in 0..PUBLISHERS {
        let broker = Arc::clone(&broker);
        noise.spawn(async move { while large_is_refused(&broker).await {} });
    }
    come_and_read(&broker).await;
    assert!(noise.try_join_next().is_none(), "the disk is full until here");
    is_full.store(false, Ordering::Relaxed);
    while let Some(ended) = noise.join_next().await {
        ended.expect("there is room again");
    }
    let broker = Arc::into_inner(broker).expect("nobody else has it");
    broker.shutdown().await.expect("a clean end");

    let broker = builder(&folder).start().await.expect("it starts");
    publish(&broker, "after").await;
    let reader = broker.subscribe("kept").qos(Qos::AtLeastOnce).durable("reader", HOUR);
    let mut reader = reader.await.expect("its session");
    let received = reader.next().await.expect("it was kept");
    assert_eq!(received.message.payload, b"after"[..], "the others were acknowledged");
    for number in 0..COMING {
        let name = format!("coming-{number}");
        let other = broker.subscribe("kept").qos(Qos::AtLeastOnce).durable(name, HOUR);
        assert!(other.await.expect("its session").was_present(), "{number}");
    }
}
