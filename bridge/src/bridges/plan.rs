//! A bridge that is to be, and changes to which there are. Runs nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use parking_lot::RwLock;
use tokio::sync::mpsc;

use crate::bridges::asked::Asked;
use crate::bridges::backoff::Retry;
use crate::bridges::board::Board;
use crate::bridges::work::Work;

/// A bridge that is to be.
pub struct Plan {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) work: Arc<dyn Work>,
}

impl Plan {
    /// Its name, and what it is.
    #[must_use]
    pub fn name_and_kind(&self) -> (String, &'static str) {
        (self.name.clone(), self.kind)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {:?}", self.kind, self.name)
    }
}

/// Other bridges than there are.
#[derive(Debug)]
pub struct Change {
    /// Names of those that end: those that are to be no more, and those that are to be different.
    pub gone: Vec<String>,
    /// Those that begin. One that has the name of one that ends waits for its end, and goes on
    /// where that one was.
    pub plans: Vec<Plan>,
    /// How long those wait that fail.
    pub retry: Retry,
    /// All names, in the order in which they are shown.
    pub order: Vec<String>,
}

/// A change, and who waits until it is known of.
pub(crate) type Asking = (Change, Sender<()>);

/// What is known of a bridge from outside of the thread, and the way to it.
pub(crate) struct Known {
    pub(crate) board: Arc<Board>,
    pub(crate) orders: mpsc::Sender<Asked>,
}

/// Of all of them. Who is no more in it is given no orders, and ends.
pub(crate) type AllKnown = Arc<RwLock<Vec<Known>>>;
