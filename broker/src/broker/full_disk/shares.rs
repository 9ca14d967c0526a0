//! Subscriptions on a full disk, shared or not: who was told success has one, also after a crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidewire_store::copy_at_rest;

use super::small_disk::{HOUR, builder, large_is_refused, start};
use crate::broker::{Broker, Message};
use crate::error::SubscribeError;
use crate::{Qos, ReasonCode, Subscription};

const PATIENCE: Duration = Duration::from_secs(120);
/// How long the filters of those that subscribe are, one after the other: together their rows are
/// more than the reserve.
const FILTER_BYTES: [usize; 10] =
    [20_000, 20_000, 20_000, 20_000, 20_000, 5_000, 5_000, 5_000, 500, 500];
/// How the filters of a share group begin, and those of sessions that read for themselves.
const KINDS: [&str; 2] = ["$share/group/", ""];

fn topic_of(number: usize) -> String {
    format!("work/{number}/{}", "x".repeat(FILTER_BYTES[number]))
}

async fn subscribe(
    broker: &Broker,
    kind: &str,
    number: usize,
) -> Result<Subscription, SubscribeError> {
    let filter = format!("{kind}{}", topic_of(number));
    let member = broker.subscribe(filter).qos(Qos::AtLeastOnce);
    let asked = member.durable(format!("member-{number}"), HOUR).into_future();
    tokio::time::timeout(PATIENCE, asked).await.expect("it is answered")
}

#[tokio::test]
async fn a_subscription_that_was_told_success_on_a_full_disk_is_there_after_a_crash() {
    for kind in KINDS {
        told_success_on_a_full_disk(kind).await;
    }
}

async fn told_success_on_a_full_disk(kind: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let is_full = Arc::new(AtomicBool::new(false));
    let broker = start(builder(&folder), &is_full).await;
    is_full.store(true, Ordering::Relaxed);
    while !large_is_refused(&broker).await {}
    let (mut promised, mut refused) = (Vec::new(), Vec::new());
    for number in 0..FILTER_BYTES.len() {
        match subscribe(&broker, kind, number).await {
            Ok(member) => promised.push((number, member)),
            Err(SubscribeError::Refused { reason, .. }) => {
                let no = [ReasonCode::UNSPECIFIED_ERROR, ReasonCode::QUOTA_EXCEEDED];
                assert!(no.contains(&reason), "{number}: {reason:?}");
                refused.push(number);
            }
            Err(error) => panic!("{number}: {error}"),
        }
    }
    assert!(!promised.is_empty() && !refused.is_empty(), "{promised:?}");

    let after = tempfile::tempdir().expect("a folder");
    copy_at_rest(folder.path(), after.path()).expect("copied");
    let crashed = builder(&after).start().await.expect("it starts");
    for (number, _) in &promised {
        let message = Message::new(topic_of(*number), "for it").qos(Qos::AtLeastOnce);
        crashed.publish(message).await.expect("there is room");
        let mut member = subscribe(&crashed, kind, *number).await.expect("it is a member");
        let next = tokio::time::timeout(PATIENCE, member.next()).await;
        let received = next.unwrap_or_else(|_| panic!("{number} is no member any more"));
        assert_eq!(received.expect("a message").message.topic, topic_of(*number));
    }
    // Who was refused is no member of anything, and can become one.
    is_full.store(false, Ordering::Relaxed);
    while large_is_refused(&broker).await {}
    for number in refused {
        let mut member = subscribe(&broker, kind, number).await.expect("there is room");
        let message = Message::new(topic_of(number), "later").qos(Qos::AtLeastOnce);
        broker.publish(message).await.expect("there is room");
        let next = tokio::time::timeout(PATIENCE, member.next()).await.expect("in time");
        assert_eq!(next.expect("a message").message.payload, b"later"[..]);
    }
}
