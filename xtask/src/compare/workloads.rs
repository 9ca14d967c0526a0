//! The loads that brokers are compared under. Runs none.

use std::time::Duration;

/// One of them.
#[derive(Debug)]
pub(crate) struct Load {
    pub(super) name: &'static str,
    /// What `tidewire bench` is told.
    pub(crate) words: &'static [&'static str],
    pub(super) way: Way,
    /// It is a number of messages that are counted from the first, so that the broker has to be
    /// warm before.
    pub(super) is_warmed: bool,
}

impl Load {
    /// How often a message comes, where each takes what a sync takes and little more: none waits
    /// for another.
    pub(super) fn single_syncs_every(&self) -> Option<Duration> {
        (self.words == LATENCY_1).then_some(LATENCY_EVERY)
    }
}

/// How brokers are put under a load, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// All, as they come.
    Plain,
    /// Over TLS, and beside this broker without it.
    Secure,
    /// This one with its cores awake, as it comes, and Mosquitto.
    Awake,
    /// This one alone, and again under the load of this name and these words.
    BesideItself(&'static str, &'static [&'static str]),
}

const fn load(name: &'static str, words: &'static [&'static str]) -> Load {
    Load { name, words, way: Way::Plain, is_warmed: false }
}

const fn secure(name: &'static str, words: &'static [&'static str]) -> Load {
    Load { way: Way::Secure, ..load(name, words) }
}

const fn warmed(name: &'static str, words: &'static [&'static str]) -> Load {
    Load { is_warmed: true, ..load(name, words) }
}

const fn awake(name: &'static str, words: &'static [&'static str]) -> Load {
    Load { way: Way::Awake, ..load(name, words) }
}

/// What makes a broker warm.
pub(super) const WARM_UP: &[&str] = &["fan-in", "--qos", "1", "--seconds", "1"];

/// Counted when what a broker does in its first seconds is over.
const LATENCY_0: &[&str] = &["fan-in", "--rate", "5000", "--qos", "0", "--warm-up", "4"];
/// 5,000 a second.
const LATENCY_EVERY: Duration = Duration::from_micros(200);
const LATENCY_1: &[&str] = &["fan-in", "--rate", "5000", "--qos", "1", "--warm-up", "4"];

/// For one session that is away.
const OFFLINE: &[&str] = &["offline", "--qos", "1"];
/// So many that it lasts long enough to compare with.
const OFFLINE_ONE: &[&str] = &["offline", "--qos", "1", "--messages", "1000000"];
const OFFLINE_MANY: &[&str] =
    &["offline", "--qos", "1", "--messages", "1000000", "--sessions", "1000"];

/// Each with 100 unacknowledged messages per publisher, if nothing else is said.
const LOADS: &[Load] = &[
    load("fan-in-0", &["fan-in", "--qos", "0"]),
    load("fan-in-1", &["fan-in", "--qos", "1"]),
    load("fan-in-2", &["fan-in", "--qos", "2"]),
    load("pairs-0", &["pairs", "--qos", "0", "--undelivered", "200"]),
    load("pairs-1", &["pairs", "--qos", "1", "--undelivered", "200"]),
    load("fan-out-0", &["fan-out", "--qos", "0", "--undelivered", "50"]),
    load("fan-out-1", &["fan-out", "--qos", "1", "--undelivered", "50"]),
    load("shared-0", &["shared", "--qos", "0"]),
    load("shared-1", &["shared", "--qos", "1"]),
    load("telemetry-0", &["fan-in", "--publishers", "1000", "--rate", "20000", "--qos", "0"]),
    load("telemetry-1", &["fan-in", "--publishers", "1000", "--rate", "20000", "--qos", "1"]),
    load("sync", &["fan-in", "--publishers", "200", "--inflight", "1", "--qos", "1"]),
    load("latency-0", LATENCY_0),
    load("latency-1", LATENCY_1),
    awake("latency-0-awake", LATENCY_0),
    awake("latency-1-awake", LATENCY_1),
    warmed("retained", &["retained", "--qos", "1"]),
    warmed("offline", OFFLINE),
    Load {
        way: Way::BesideItself("one session", OFFLINE_ONE),
        ..warmed("offline-many", OFFLINE_MANY)
    },
    load("connect", &["connect", "--subscribe"]),
    secure("tls-0", &["fan-in", "--qos", "0"]),
    secure("tls-1", &["fan-in", "--qos", "1"]),
    secure("tls-connect", &["connect", "--subscribe", "--connections", "2000"]),
];

/// Those that are named, or all.
pub(crate) fn chosen(names: &[&str]) -> Result<Vec<&'static Load>, String> {
    if names.is_empty() {
        return Ok(LOADS.iter().collect());
    }
    let known = || LOADS.iter().map(|load| load.name).collect::<Vec<_>>().join(", ");
    let find = |name: &&str| {
        let found = LOADS.iter().find(|load| load.name == *name);
        found.ok_or_else(|| format!("{name}: no such workload; there are {}", known()))
    };
    names.iter().map(find).collect()
}
