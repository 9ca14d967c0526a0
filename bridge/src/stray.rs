//! Clients of other protocols that came to the Kafka port: which one theirs is, and how often the
//! log tells of them. Closes nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Anybody may come at will: nobody would read more.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// When the log last told of one.
#[derive(Debug, Default)]
pub(crate) struct Strays(Mutex<Option<Instant>>);

impl Strays {
    /// Tells of a client whose first bytes are no request, if they are known to be something else.
    pub(crate) fn tell(&self, peer: SocketAddr, listener: &str, first: &[u8]) {
        let Some(protocol) = protocol_of(first) else { return };
        let (mut told, now) = (self.0.lock(), Instant::now());
        if told.is_some_and(|told| now.duration_since(told) < TOLD_EVERY) {
            return;
        }
        *told = Some(now);
        let words = format!("it speaks {protocol}, and this port Kafka");
        tracing::info!(%peer, listener, "connection refused: {words}");
    }
}

/// What begins so.
fn protocol_of(first: &[u8]) -> Option<&'static str> {
    const METHODS: [&[u8]; 5] = [b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI"];
    match first {
        [0x16, 0x03, ..] => Some("TLS"),
        [0x10, ..] => Some("MQTT"),
        _ => METHODS.iter().any(|method| first.starts_with(method)).then_some("HTTP"),
    }
}

#[cfg(test)]
mod tests {
    use super::protocol_of;

    #[test]
    fn other_protocols_are_known_by_their_first_bytes() {
        for (first, expected) in [
            (&b"\x16\x03\x01\x02"[..], Some("TLS")),
            (b"\x10\x0c\x00\x04", Some("MQTT")),
            (b"GET /", Some("HTTP")),
            (b"POST", Some("HTTP")),
            (b"\x00\x00\x00\x10", None),
            (b"", None),
        ] {
            assert_eq!(protocol_of(first), expected, "{first:?}");
        }
    }
}
