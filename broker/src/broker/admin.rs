//! Orders to a running broker: who is sent away, who may not come back. Returns when they are
//! carried out.

use std::sync::Arc;

use tidewire_store::{Commit, TableChange};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::ban::{Ban, BanTarget, Expulsion};
use crate::core::inbox::Event;
use crate::core::shared::Shared;
use crate::error::AdminError;

/// Makes a ban durable, puts it in force, and sends away whom it means; says how many they were.
pub(super) async fn ban(
    shared: &Arc<Shared>,
    runtime: &Handle,
    ban: &Ban,
) -> Result<usize, AdminError> {
    // In force before it is durable: nobody slips in between.
    let change = shared.bans.add(ban);
    if let Err(error) = commit(shared, runtime, change).await {
        shared.bans.remove(&ban.target);
        return Err(error);
    }
    let words = match ban.reason.is_empty() {
        true => "banned".into(),
        false => format!("banned: {}", ban.reason),
    };
    expel(shared, ban.target.clone(), words).await
}

/// Lifts a ban; says whether there was one.
pub(super) async fn unban(
    shared: &Arc<Shared>,
    runtime: &Handle,
    target: &BanTarget,
) -> Result<bool, AdminError> {
    match shared.bans.remove(target) {
        Some(change) => commit(shared, runtime, change).await.map(|()| true),
        None => Ok(false),
    }
}

/// Ends the connections that are meant; says how many they were.
pub(super) async fn expel(
    shared: &Arc<Shared>,
    target: BanTarget,
    words: String,
) -> Result<usize, AdminError> {
    let order = Arc::new(Expulsion { target, words });
    let mut answers = Vec::new();
    for inbox in &shared.inboxes {
        let (done, answer) = oneshot::channel();
        inbox.push(Event::Expel(Arc::clone(&order), done));
        answers.push(answer);
    }
    let mut count = 0;
    for answer in answers {
        count += answer.await.map_err(|_| AdminError::Stopped)?;
    }
    Ok(count)
}

async fn commit(
    shared: &Arc<Shared>,
    runtime: &Handle,
    change: TableChange,
) -> Result<(), AdminError> {
    let store = shared.store.clone();
    let commit = Commit { appends: Vec::new(), changes: vec![change] };
    let committed = runtime.spawn_blocking(move || store.commit(commit)).await;
    committed.map_err(|_| AdminError::Stopped)??;
    Ok(())
}
