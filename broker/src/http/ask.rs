//! Questions to the cores, and their answers. Knows no route.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::problem::Problem;
use crate::broker::pipe::has_failed;
use crate::core::asked::Asked;
use crate::core::inbox::Event;
use crate::core::shared::Shared;

/// Asks one core, and waits for what it says.
pub(super) async fn ask<T>(
    shared: &Arc<Shared>,
    core: usize,
    question: impl FnOnce(oneshot::Sender<T>) -> Asked,
) -> Result<T, Problem> {
    let (answer, answered) = oneshot::channel();
    let inbox = shared.inboxes.get(core);
    let inbox = inbox.ok_or_else(|| Problem::invalid("the cursor names no core of this broker"))?;
    inbox.push(Event::Asked(question(answer)));
    await_core(shared, answered).await?.ok_or_else(stopping)
}

/// `None`: the core let go of it without an answer.
pub(super) async fn await_core<T>(
    shared: &Arc<Shared>,
    answered: oneshot::Receiver<T>,
) -> Result<Option<T>, Problem> {
    let mut failed = shared.failed.subscribe();
    tokio::select! {
        biased;
        answer = answered => Ok(answer.ok()),
        () = has_failed(&mut failed) => Err(stopping()),
    }
}

fn stopping() -> Problem {
    Problem::unavailable("the broker is stopping")
}
