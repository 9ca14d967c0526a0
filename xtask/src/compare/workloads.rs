//! The loads that brokers are compared under. Runs none.

/// One of them.
#[derive(Debug)]
pub(crate) struct Load {
    pub(super) name: &'static str,
    /// What `tidewire bench` is told.
    pub(crate) words: &'static [&'static str],
    /// Over TLS, and beside this broker without it.
    pub(super) is_secure: bool,
    /// It is a number of messages that are counted from the first, so that the broker has to be
    /// warm before.
    pub(super) is_counted: bool,
}

const fn load(name: &'static str, words: &'static [&'static str]) -> Load {
    Load { name, words, is_secure: false, is_counted: false }
}

const fn secure(name: &'static str, words: &'static [&'static str]) -> Load {
    Load { is_secure: true, ..load(name, words) }
}

const fn counted(name: &'static str, words: &'static [&'static str]) -> Load {
    Load { is_counted: true, ..load(name, words) }
}

/// What makes a broker warm for a load that is counted from its first message.
pub(super) const WARM_UP: &[&str] = &["fan-in", "--qos", "1", "--seconds", "1"];

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
    load("latency-0", &["fan-in", "--rate", "5000", "--qos", "0"]),
    load("latency-1", &["fan-in", "--rate", "5000", "--qos", "1"]),
    counted("retained", &["retained", "--qos", "1"]),
    counted("offline", &["offline", "--qos", "1"]),
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
