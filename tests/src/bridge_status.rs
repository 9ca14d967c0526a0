//! What the HTTP port of a broker says of one of its bridges, awaited. Gives no orders.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::broker::Broker;
use crate::http::Http;
use crate::program::PATIENCE;

/// The states of a bridge that is tried again: it waits, or connects just now.
pub const TRIED_AGAIN: &[&str] = &["waiting", "connecting"];
/// The state of one that works.
pub const RUNNING: &[&str] = &["running"];
/// How often is looked.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until the bridge is so; the broker needs an HTTP port.
///
/// # Panics
/// When it is not in time.
pub fn await_bridge(broker: &Broker, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let (http, since) = (Http::new(broker.http_address()), Instant::now());
    loop {
        let status = http.get(&format!("/api/v1/bridges/{name}")).json();
        if is_so(&status) {
            return status;
        }
        assert!(since.elapsed() < PATIENCE, "{name} is not as it should be: {status}");
        thread::park_timeout(LOOK);
    }
}

/// Waits until the bridge is in one of these states, and says this of what went wrong last.
///
/// # Panics
/// When it is not in time.
pub fn await_words(broker: &Broker, name: &str, states: &[&str], words: &str) {
    let text = |status: &Value, key: &str| status[key].as_str().unwrap_or_default().to_owned();
    let _ = await_bridge(broker, name, |status| {
        let is_in = states.contains(&&*text(status, "state"));
        is_in && text(status, "last_error").contains(words)
    });
}
