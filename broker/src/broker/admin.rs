//! Orders to a running broker: who is sent away, who may not come back. Returns when they are
//! carried out.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::ban::{Ban, BanTarget, Expulsion};
use crate::bans::Told;
use crate::broker::pipe::has_failed;
use crate::core::inbox::Event;
use crate::core::shared::Shared;
use crate::error::AdminError;

/// Makes a ban durable, puts it in force, and sends away whom it means; says how many they were.
pub(crate) async fn ban(shared: &Arc<Shared>, ban: &Ban) -> Result<usize, AdminError> {
    // In force before it is durable: nobody slips in between.
    done(shared.bans.ban(&shared.store, ban)).await?;
    let words = match ban.reason.is_empty() {
        true => "banned".into(),
        false => format!("banned: {}", ban.reason),
    };
    expel(shared, ban.target.clone(), words).await
}

/// Lifts a ban; says whether there was one.
pub(crate) async fn unban(shared: &Arc<Shared>, target: &BanTarget) -> Result<bool, AdminError> {
    match shared.bans.unban(&shared.store, target) {
        Some(told) => done(told).await.map(|()| true),
        None => Ok(false),
    }
}

/// Ends the connections that are meant; says how many they were.
pub(crate) async fn expel(
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
    let mut failed = shared.failed.subscribe();
    let mut count = 0;
    for answer in answers {
        count += tokio::select! {
            biased;
            answer = answer => answer.map_err(|_| AdminError::Stopped)?,
            () = has_failed(&mut failed) => return Err(AdminError::Stopped),
        };
    }
    Ok(count)
}

async fn done(told: Told) -> Result<(), AdminError> {
    told.await.map_err(|_| AdminError::Stopped)??;
    Ok(())
}
