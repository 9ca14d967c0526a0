//! What reaches a core from other threads: in batches, one wake for many.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;
use tidewire_proto::record::Batch;
use tidewire_store::{Appended, Follower, Outcome, Reply};
use tokio::sync::{Notify, oneshot};

use crate::core::open::ConnId;

/// Something for a core to do.
pub(crate) enum Event {
    /// A new connection is yours.
    Accepted(TcpStream, SocketAddr),
    /// Commits of yours are durable, or failed.
    Outcomes(Vec<Outcome>),
    /// Somebody's commits are durable. Comes to every core, in commit order.
    Durable(Arc<[Appended]>),
    /// QoS 0 messages that another core took in.
    Live(Arc<[Batch]>),
    /// End the connection of this client; answer when its session can be taken up elsewhere.
    Release(Release),
    /// Look whether a stop is complete.
    Look,
    /// End all connections, then yourself.
    Stop(oneshot::Sender<()>),
}

/// A request to give up a session.
pub(crate) struct Release {
    pub(crate) client_id: Arc<str>,
    /// The connection that is meant.
    pub(crate) conn: ConnId,
    pub(crate) done: oneshot::Sender<()>,
}

/// The way to a core.
#[derive(Default)]
pub(crate) struct Inbox {
    events: Mutex<Vec<Event>>,
    wake: Notify,
}

impl Inbox {
    pub(crate) fn push(&self, event: Event) {
        let was_empty = {
            let mut events = self.events.lock();
            events.push(event);
            events.len() == 1
        };
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// Waits for events and takes them all, into a list that is used again and again.
    pub(crate) async fn take(&self, into: &mut Vec<Event>) {
        loop {
            std::mem::swap(&mut *self.events.lock(), into);
            if !into.is_empty() {
                return;
            }
            self.wake.notified().await;
        }
    }
}

impl Reply for Inbox {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        self.push(Event::Outcomes(std::mem::take(outcomes)));
    }
}

impl Follower for Inbox {
    fn durable(&self, batches: &Arc<[Appended]>) {
        self.push(Event::Durable(Arc::clone(batches)));
    }
}
