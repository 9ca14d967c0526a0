//! What a port without users, rules and limits is given.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidewire_proto::access::{Rules, Wide, parse_rules};
use tidewire_proto::record::Batch;
use tidewire_proto::scram::Users;

use crate::groups::Limits;
use crate::{
    Access, Gate, Login, Mechanism, OnVerdict, PortLimits, PortNumbers, PortOptions, RetainedLimit,
    Settle, Verdict,
};

struct NoLimit;

impl RetainedLimit for NoLimit {
    fn claim(&self, _: &str, _: Option<&Batch>) -> Option<Settle> {
        Some(Box::new(|_| ()))
    }
}

/// There are no users.
struct Nobody;

impl Gate for Nobody {
    fn mechanisms(&self) -> Vec<Mechanism> {
        Vec::new()
    }

    fn check(&self, _: Login, _: OnVerdict) -> Option<Verdict> {
        Some(Verdict::Wrong)
    }

    fn users(&self) -> Option<Arc<Users>> {
        None
    }

    fn may_try(&self, _: IpAddr, _: &str) -> bool {
        true
    }

    fn was_wrong(&self, _: IpAddr, _: &str) {}
}

/// Rules that can change; none at first.
pub(crate) type Changing = Arc<Mutex<Option<Arc<Rules>>>>;

/// These, and streams that take everything.
struct Ruled(Changing);

impl Access for Ruled {
    fn rules(&self) -> Option<Arc<Rules>> {
        self.0.lock().clone()
    }

    fn filters(&self, _: &str) -> &[String] {
        &[]
    }
}

/// These rules.
pub(super) fn rules(text: &str) -> Option<Arc<Rules>> {
    Some(Arc::new(Rules::new(vec![parse_rules(text).unwrap()], Wide::Refuse)))
}

/// What the port is to be.
pub(crate) fn options(rules: &Changing) -> PortOptions {
    let limits = PortLimits {
        connections_max: 10,
        connections_per_address_max: 0,
        request_bytes_max: 32 << 20,
        produce_bytes_max: 1 << 30,
        held_bytes_max: 1 << 30,
        fetch_bytes_max: 1 << 20,
        fetch_session_partitions_max: 10,
        topic_levels_max: 128,
        sign_in: Duration::from_secs(1),
        idle: Duration::from_secs(1),
        send: Duration::from_secs(1),
    };
    let (groups, retained) = (Limits::default(), Arc::new(NoLimit));
    let numbers = PortNumbers::register();
    let transactions = crate::transactions::Limits::default();
    PortOptions {
        limits,
        groups,
        transactions,
        numbers,
        retained,
        forecasts: Arc::default(),
        gate: Arc::new(Nobody),
        access: Arc::new(Ruled(Arc::clone(rules))),
    }
}
