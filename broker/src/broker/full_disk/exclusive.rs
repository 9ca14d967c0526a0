//! Filters that one session has for itself, while rows are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::small_disk::{HOUR, builder, large_is_refused, start, use_up};
use crate::ReasonCode;
use crate::broker::Broker;
use crate::error::SubscribeError;

/// Times that another session asks for the filter: what is freed too early is free by then.
const ASKED: usize = 50;

async fn is_taken(broker: &Broker, filter: &str) -> bool {
    match broker.subscribe(filter).await {
        Ok(_) => false,
        Err(SubscribeError::Refused { reason: ReasonCode::QUOTA_EXCEEDED, .. }) => true,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn an_exclusive_filter_whose_row_a_full_disk_kept_is_not_free() {
    let folder = tempfile::tempdir().expect("a folder");
    let is_full = Arc::new(AtomicBool::new(false));
    let broker = start(builder(&folder), &is_full).await;
    // Its row takes more room than what the disk still has.
    let filter = format!("$exclusive/{}", "x".repeat(4_000));
    let owner = || broker.subscribe(&filter);
    owner().durable("owner", HOUR).await.expect("it is free").close().await;
    is_full.store(true, Ordering::Relaxed);
    use_up(&broker).await;
    // It is to end with this connection, and is not: its rows cannot be deleted.
    owner().durable("owner", Duration::ZERO).await.expect_err("there is no room");
    for _ in 0..ASKED {
        assert!(is_taken(&broker, &filter).await);
    }
    is_full.store(false, Ordering::Relaxed);
    while large_is_refused(&broker).await {}
    assert!(is_taken(&broker, &filter).await);
    let back = owner().durable("owner", HOUR).await.expect("it is still its own");
    assert!(back.was_present());
    back.close().await;
    owner().durable("owner", Duration::ZERO).await.expect("there is room").close().await;
    assert!(!is_taken(&broker, &filter).await, "its session is over");
}
