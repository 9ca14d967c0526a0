//! Collects outcomes per receiver, so that each is called once per group commit. Never decides
//! what an outcome is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::commit::{CommitError, Offsets, Outcome, Reply, ReplyTo};

/// Receivers whose lists are kept for the next time.
const KEPT_MAX: usize = 32;

/// What one commit's sender is told.
pub(crate) struct Answer {
    pub(crate) reply: ReplyTo,
    pub(crate) result: Result<Offsets, CommitError>,
    /// What became of the changes that stay.
    pub(crate) stayed: Result<(), CommitError>,
    /// Not before the frame is synced.
    pub(crate) waits: bool,
}

/// Outcomes that wait to be sent.
#[derive(Default)]
pub(crate) struct Replies {
    receivers: Vec<(Arc<dyn Reply>, Vec<Outcome>)>,
}

impl Replies {
    pub(crate) fn add(&mut self, answer: Answer) {
        let Answer { reply, result, stayed, .. } = answer;
        let Some((ticket, receiver)) = reply else { return };
        let outcome = Outcome { ticket, result, stayed };
        let mut newest_first = self.receivers.iter_mut().rev();
        match newest_first.find(|(known, _)| Arc::ptr_eq(known, &receiver)) {
            Some((_, outcomes)) => outcomes.push(outcome),
            None => self.receivers.push((receiver, vec![outcome])),
        }
    }

    /// Answers how many receivers panicked; the others have heard.
    pub(crate) fn send(&mut self) -> usize {
        let mut panics = 0;
        for (receiver, outcomes) in &mut self.receivers {
            if !outcomes.is_empty() {
                let heard = catch_unwind(AssertUnwindSafe(|| receiver.committed(outcomes)));
                panics += usize::from(heard.is_err());
                outcomes.clear();
            }
        }
        if self.receivers.len() > KEPT_MAX {
            self.receivers.clear();
        }
        panics
    }
}
