//! What reaches a core from other threads: in batches, one wake for many.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;
use tidewire_proto::record::Batch;
use tidewire_store::rows::session::SessionRow;
use tidewire_store::{Appended, Follower, Outcome, Reply};
use tokio::sync::{Notify, oneshot};

use crate::ban::Expulsion;
use crate::core::asked::Asked;
use crate::core::letters::{ToGroup, ToMember};
use crate::core::open::ConnId;
use crate::core::timers::Due;
use crate::link::Accepted;
use crate::passwords::Verdict;
use crate::system_topics::desk::Edition;

/// That a session is to end.
pub(crate) struct EndAway {
    /// Only if its client has been away since then or longer, in milliseconds of the Unix epoch.
    pub(crate) away_since_ms: Option<i64>,
    /// Told when that is done; dropped when the session is not meant.
    pub(crate) done: oneshot::Sender<()>,
}

impl EndAway {
    /// Whether this session of a client that is away is to end.
    pub(crate) fn means(&self, session: &SessionRow) -> bool {
        let is_long_away = |ms| session.ended_ms.is_some_and(|ended_ms| ended_ms <= ms);
        self.away_since_ms.is_none_or(is_long_away)
    }
}

/// Something for a core to do.
pub(crate) enum Event {
    /// A new connection is yours.
    Accepted(Accepted),
    /// Commits of yours are durable, or failed.
    Outcomes(Vec<Outcome>),
    /// Somebody's commits are durable. Comes to every core, in commit order.
    Durable(Arc<[Appended]>),
    /// QoS 0 messages that another core took in.
    Live(Arc<[Batch]>),
    /// End the connection of this client; answer when its session can be taken up elsewhere.
    Release(Release),
    /// From members of share groups of yours.
    ToGroups(Vec<ToGroup>),
    /// From share groups that sessions of yours are members of.
    ToMembers(Vec<ToMember>),
    /// Look after these; then do what is due.
    Due(Vec<Due>),
    /// These clients are away and their sessions may be over; say when they were looked at.
    Visit(Vec<Arc<str>>, mpsc::Sender<()>),
    /// End the connections that are meant; answer how many they were.
    Expel(Arc<Expulsion>, oneshot::Sender<usize>),
    /// End the session of a client that is away.
    EndAway(Arc<str>, EndAway),
    /// Somebody wants to know something.
    Asked(Asked),
    /// What the broker says of itself: for those who wait for it; then for all what is new since.
    System(Arc<Edition>, Option<Arc<[Batch]>>),
    /// Other access rules hold: for sessions from this number on.
    Rules(usize),
    /// A client's password was checked.
    Checked(ConnId, Verdict),
    /// Look whether a stop is complete.
    Look,
    /// Panic, to see what becomes of those that wait.
    #[cfg(test)]
    Panic,
    /// End all connections, then yourself.
    Stop(oneshot::Sender<()>),
}

impl Event {
    fn bytes(&self) -> usize {
        match self {
            Self::Durable(appended) => appended.iter().map(|one| one.batch.bytes().len()).sum(),
            Self::Live(batches) => batches.iter().map(|batch| batch.bytes().len()).sum(),
            Self::ToMembers(letters) => letters.iter().map(ToMember::bytes).sum(),
            _ => 0,
        }
    }
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
    /// Bytes of messages that wait here.
    bytes: AtomicUsize,
}

/// Bytes of messages that may wait for one core; beyond them no publisher is read, on any core.
const INBOX_BYTES_MAX: usize = 16 * 1024 * 1024;

impl Inbox {
    pub(crate) fn push(&self, event: Event) {
        self.bytes.fetch_add(event.bytes(), Ordering::Relaxed);
        let was_empty = {
            let mut events = self.events.lock();
            events.push(event);
            events.len() == 1
        };
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// Whether the core is so far behind that publishers must wait.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > INBOX_BYTES_MAX
    }

    /// Waits for events and takes them all, into a list that is used again and again.
    pub(crate) async fn take(&self, into: &mut Vec<Event>) {
        loop {
            std::mem::swap(&mut *self.events.lock(), into);
            if !into.is_empty() {
                let bytes = into.iter().map(Event::bytes).sum();
                self.bytes.fetch_sub(bytes, Ordering::Relaxed);
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
