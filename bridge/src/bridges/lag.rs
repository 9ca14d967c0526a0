//! How far bridges are behind, looked at now and then. Reads the log on the pool of readers;
//! decides nothing.

use std::sync::Arc;

use tidewire_proto::id::PartitionId;
use tidewire_store::Store;

use crate::bridges::board::{Behind, Board};
use crate::bridges::holds::hold_name;
use crate::first::came_ms;
use crate::forecasts::Forecasts;
use crate::lag::Lag;
use crate::time::now_ms;

/// Looks at all of them.
pub(crate) async fn look(store: &Store, boards: &[Arc<Board>], forecasts: &Forecasts) {
    for board in boards {
        let (messages, came_ms) = match board.behind() {
            Some(Behind { messages, since_ms }) => (messages, since_ms),
            None => here(store, board).await,
        };
        let now_ms = now_ms();
        let waited_ms = came_ms.map_or(0, |came_ms| now_ms.saturating_sub(came_ms).max(0));
        let seconds = u64::try_from(waited_ms / 1000).unwrap_or(0);
        let loses_in_s = forecasts.of_reader(&hold_name(&board.name), now_ms);
        board.set_lag(Lag { messages, seconds, loses_in_s });
    }
}

/// How many records of our log, and when the first of them came.
async fn here(store: &Store, board: &Board) -> (u64, Option<i64>) {
    let (messages, unread) = behind(store, &board.positions());
    let came_ms = match unread.is_empty() {
        true => None,
        false => first_of(store, unread).await,
    };
    (messages, came_ms)
}

/// How many records, and the first of each partition.
pub(crate) fn behind(
    store: &Store,
    positions: &[(PartitionId, u64)],
) -> (u64, Vec<(PartitionId, u64)>) {
    let mut messages = 0;
    let mut unread = Vec::new();
    for (id, position) in positions {
        let Some((from, end)) = store.bounds(*id) else { continue };
        let first = from.max(*position);
        if first < end {
            messages += end - first;
            unread.push((*id, first));
        }
    }
    (messages, unread)
}

/// When the oldest of these records came, in milliseconds since 1970.
async fn first_of(store: &Store, unread: Vec<(PartitionId, u64)>) -> Option<i64> {
    let store = store.clone();
    let read = move || unread.into_iter().filter_map(|place| came_ms(&store, place)).min();
    tokio::task::spawn_blocking(read).await.ok().flatten()
}
