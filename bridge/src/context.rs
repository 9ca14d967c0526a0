//! What every handler of the Kafka port gets: the port's shared state, and the facts of one
//! request. Never a socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tidewire_store::{Commit, CommitError, Offsets, Store};

use crate::commits::{Commits, Pending};
use crate::coordinator::Coordinator;
use crate::limits::PortLimits;
use crate::names::Topics;
use crate::numbers::PortNumbers;

/// The id of the only node there is.
pub(crate) const NODE_ID: i32 = 1;

/// The epoch of every partition's leader, everywhere and always: there is one node, and what was
/// acknowledged is never taken back. Batches lie in the log with the same one.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// Shared by all connections, for as long as the port is open.
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) limits: PortLimits,
    pub(crate) numbers: PortNumbers,
    /// Where clients are told to connect to; without, where each came in.
    pub(crate) advertised: Option<(String, u16)>,
    pub(crate) cluster_id: String,
    pub(crate) commits: Arc<Commits>,
    /// Consumer groups.
    pub(crate) coordinator: Coordinator,
}

/// The facts of one request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) version: i16,
    pub(crate) correlation: i32,
    /// What the client calls itself.
    pub(crate) client_id: String,
    /// Where it came in.
    pub(crate) local: SocketAddr,
    /// Where it comes from.
    pub(crate) peer: SocketAddr,
}

impl Context {
    /// Where a client that made this call is to connect to.
    pub(crate) fn address(&self, call: &Call) -> (String, u16) {
        match &self.advertised {
            Some(address) => address.clone(),
            None => (call.local.ip().to_canonical().to_string(), call.local.port()),
        }
    }

    /// The streams, as topics.
    pub(crate) fn topics(&self) -> Topics {
        Topics::new(self.store.streams())
    }

    /// Hands a commit to the store at once; the answer can be waited for.
    pub(crate) fn submit(&self, commit: Commit) -> Pending {
        self.commits.submit(&self.store, commit)
    }

    #[expect(dead_code, reason = "the first API that writes comes next")]
    /// Hands a commit to the store and waits until it is durable.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<Offsets, CommitError> {
        self.submit(commit).outcome().await
    }
}

/// Milliseconds since 1970.
#[expect(dead_code, reason = "the first API that writes comes next")]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
