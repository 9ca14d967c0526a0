//! An order on its way to a bridge, and the answer on its way back.

use tokio::sync::oneshot;

use crate::bridges::order::{Order, OrderError};

/// What was done, in words.
pub(crate) type Done = Result<String, OrderError>;

/// An order, and who waits for its answer.
pub(crate) struct Asked {
    pub(crate) order: Order,
    pub(crate) answer: oneshot::Sender<Done>,
}

impl Asked {
    /// Tells what came of it. Whoever does not wait any more does not want to know.
    pub(crate) fn tell(self, done: Done) {
        let _ = self.answer.send(done);
    }
}
