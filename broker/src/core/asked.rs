//! What others want to know of connections, page by page. Plain data.

use std::sync::Arc;

use tidewire_proto::mqtt::Version;
use tidewire_proto::session::subscription::Subscription;
use tokio::sync::oneshot;

use crate::lags::Lags;
use crate::link::Peer;

/// A question to a core.
pub(crate) enum Asked {
    /// Clients, from this place among its connections on.
    Clients(u32, Arc<str>, oneshot::Sender<Seen<Client>>),
    /// One client, if it is here.
    Client(Arc<str>, oneshot::Sender<Option<Client>>),
    /// How many there are, from this place on.
    Counts(u32, oneshot::Sender<Counts>),
    /// Whether anybody subscribes to what the broker says of itself.
    SystemReaders(oneshot::Sender<bool>),
    /// Subscriptions: from this place on, of that session those behind this filter.
    Subscriptions(u32, Box<str>, oneshot::Sender<Seen<Subscribed>>),
    /// Those of one client, if it is here: those behind this filter.
    SubscriptionsOf(Arc<str>, Box<str>, oneshot::Sender<Option<Seen<Subscribed>>>),
}

/// How many there are, of some connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Clients by version: 3.1, 3.1.1, 5.
    pub(crate) clients: [u64; 3],
    pub(crate) plain: u64,
    pub(crate) shared: u64,
    /// Clients that read the log behind what is published, and how far.
    pub(crate) behind: Lags,
    /// Messages that were not acknowledged.
    pub(crate) in_flight: u64,
    /// Where it goes on; `None`: it is over.
    pub(crate) next: Option<u32>,
}

impl Counts {
    /// More of them.
    pub(crate) fn add(&mut self, more: &Self) {
        for (count, more) in self.clients.iter_mut().zip(more.clients) {
            *count += more;
        }
        self.plain += more.plain;
        self.shared += more.shared;
        self.behind.merge(&more.behind);
        self.in_flight += more.in_flight;
    }
}

/// Some of a list.
pub(crate) struct Seen<T> {
    pub(crate) items: Vec<T>,
    /// Where it goes on; `None`: it is over.
    pub(crate) next: Option<(u32, Box<str>)>,
}

/// A client that is connected.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Its place among the connections of its core.
    pub(crate) place: u32,
    pub(crate) client_id: Arc<str>,
    pub(crate) user: Option<Box<str>>,
    /// How it has shown who it is.
    pub(crate) method: Option<&'static str>,
    pub(crate) version: Version,
    pub(crate) peer: Peer,
    pub(crate) listener: &'static str,
    /// When its CONNECT was answered, in milliseconds of the Unix epoch.
    pub(crate) since_ms: i64,
    pub(crate) silent_ms: i64,
    pub(crate) keep_alive_s: u16,
    pub(crate) expiry_s: u32,
    pub(crate) receive_max: u16,
    pub(crate) in_flight: usize,
    pub(crate) unsent_bytes: usize,
    pub(crate) subscriptions: usize,
    pub(crate) has_will: bool,
    /// Gets messages as they are published; otherwise it is behind, at these positions.
    pub(crate) positions: Option<tidewire_proto::session::cursor::Positions>,
}

/// A subscription of a client that is connected.
#[derive(Clone, Debug)]
pub(crate) struct Subscribed {
    pub(crate) place: u32,
    pub(crate) client_id: Arc<str>,
    pub(crate) filter: Box<str>,
    pub(crate) subscription: Subscription,
}
