//! What every handler of the Kafka port gets: the port's shared state, and the facts of one
//! request. Never a socket.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use parking_lot::Mutex;
use tidewire_proto::access::{Place, Subject};
use tidewire_store::{ReadError, Store};

use crate::budget::Budget;
use crate::caller::Caller;
use crate::commits::Commits;
use crate::coordinator::Coordinator;
use crate::door::Door;
use crate::fetch_sessions::FetchSessions;
use crate::limits::PortLimits;
use crate::names::Topics;
use crate::numbers::PortNumbers;
use crate::options::PortOptions;
use crate::permit::Permit;
use crate::producers::Producers;
use crate::stray::Strays;
use crate::tail::Tail;
use crate::transact::Transact;

/// The id of the only node there is.
pub(crate) const NODE_ID: i32 = 1;

/// The epoch of every partition's leader, everywhere and always: there is one node, and what was
/// acknowledged is never taken back. Batches lie in the log with the same one.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// Shared by all connections, for as long as the port is open.
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) options: PortOptions,
    pub(crate) doors: Vec<Door>,
    pub(crate) cluster_id: String,
    /// As they were when somebody asked last.
    known_topics: Mutex<Option<Topics>>,
    pub(crate) commits: Arc<Commits>,
    /// What requests and answers may take.
    pub(crate) budget: Budget,
    pub(crate) tail: Arc<Tail>,
    pub(crate) fetch_sessions: FetchSessions,
    /// Consumer groups.
    pub(crate) coordinator: Arc<Coordinator>,
    /// Transactions.
    pub(crate) transact: Transact,
    pub(crate) producers: Arc<Producers>,
    pub(crate) strays: Strays,
}

/// The facts of one request.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) version: i16,
    pub(crate) correlation: i32,
    /// What the client calls itself.
    pub(crate) client_id: String,
    /// Where it came in.
    pub(crate) local: SocketAddr,
    /// Where it comes from.
    pub(crate) peer: SocketAddr,
    /// The listener where it came in, by its place among them.
    pub(crate) door: usize,
    /// Who makes it.
    pub(crate) caller: Rc<Caller>,
}

impl Context {
    /// Follows the store from here on.
    pub(crate) fn new(
        store: Store,
        options: PortOptions,
        doors: Vec<Door>,
        cluster_id: String,
    ) -> Result<Self, ReadError> {
        let tail = Arc::new(Tail::default());
        let _ends = store.follow(Arc::clone(&tail) as Arc<_>);
        let producers = Arc::new(Producers::load(&store)?);
        let coordinator =
            Arc::new(Coordinator::open(&store, options.groups, Arc::clone(&options.forecasts))?);
        let (groups, known) = (Arc::clone(&coordinator), Arc::clone(&producers));
        let budget = Budget::new(options.limits.held_bytes_max);
        Ok(Self {
            strays: Strays::default(),
            transact: Transact::open(&store, options.transactions, groups, known)?,
            producers,
            fetch_sessions: FetchSessions::new(options.limits.fetch_session_partitions_max),
            coordinator,
            options,
            doors,
            cluster_id,
            known_topics: Mutex::default(),
            commits: Arc::default(),
            budget,
            tail,
            store,
        })
    }

    /// What clients may make us hold.
    pub(crate) fn limits(&self) -> &PortLimits {
        &self.options.limits
    }

    /// Where it is counted.
    pub(crate) fn numbers(&self) -> &PortNumbers {
        &self.options.numbers
    }

    /// Whether clients may come there that do not show who they are.
    pub(crate) fn takes_anonymous(&self, door: usize) -> bool {
        self.doors.get(door).is_some_and(|door| door.takes_anonymous)
    }

    /// The section of a listener.
    pub(crate) fn listener(&self, door: usize) -> Option<&'static str> {
        self.doors.get(door).map(|door| door.listener)
    }

    /// What the client that made this call may do, by the rules that hold now.
    pub(crate) fn permit(&self, call: &Call) -> Rc<Permit> {
        let access = &self.options.access;
        let rules = access.rules();
        let mut kept = call.caller.permit.borrow_mut();
        if let Some(permit) = kept.as_ref().filter(|it| it.is_of(rules.as_ref(), &call.client_id)) {
            return Rc::clone(permit);
        }
        let listener = self.listener(call.door);
        let address = Some(call.peer.ip());
        let subject = Subject {
            client_id: call.client_id.as_str().into(),
            user: call.caller.user.clone(),
            certificate: call.caller.certificate.clone(),
            place: listener.map(|listener| Place { address, listener }),
            ..Subject::default()
        };
        let vouched = call.caller.vouched.as_deref();
        Rc::clone(kept.insert(Rc::new(Permit::new(access, subject, vouched))))
    }

    /// Where a client that made this call is to connect to.
    pub(crate) fn address(&self, call: &Call) -> (String, u16) {
        match self.doors.get(call.door).and_then(|door| door.advertised.as_ref()) {
            Some(address) => address.clone(),
            None => (call.local.ip().to_canonical().to_string(), call.local.port()),
        }
    }

    /// The streams, as topics.
    pub(crate) fn topics(&self) -> Topics {
        let streams = self.store.streams();
        let mut kept = self.known_topics.lock();
        match &*kept {
            Some(topics) if topics.are(&streams) => topics.clone(),
            _ => kept.insert(Topics::new(streams)).clone(),
        }
    }

    /// Has groups and transactions do what is due, for as long as it is run.
    pub(crate) async fn run(&self) {
        tokio::join!(self.coordinator.run(), self.transact.run());
    }
}
