//! What the HTTP port counts: every series is declared once, its handles are made once.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

const CONNECTIONS: &str = "tidewire_http_connections";
const REQUESTS: &str = "tidewire_http_requests_total";
const REFUSED: &str = "tidewire_http_refused_total";

/// Why a connection or a request was turned away before its route was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many connections as may be are open.
    Connections,
    /// A TLS handshake failed.
    Tls,
    /// No token, or a wrong one.
    Token,
    /// Its role may not do it.
    Role,
    /// It came by a web page, or a name, from elsewhere.
    Foreign,
    /// Its body was too large.
    TooLarge,
    /// It took too long.
    Timeout,
}

impl Refused {
    const ALL: [Self; 7] = [
        Self::Connections,
        Self::Tls,
        Self::Token,
        Self::Role,
        Self::Foreign,
        Self::TooLarge,
        Self::Timeout,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Tls => "tls",
            Self::Token => "token",
            Self::Role => "role",
            Self::Foreign => "foreign",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
        }
    }
}

/// The classes of answers, as labels.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// The handles of all series of the HTTP port.
pub(crate) struct HttpNumbers {
    pub(super) connections: Gauge,
    requests: [Counter; 4],
    refused: [Counter; 7],
}

impl HttpNumbers {
    /// Describes and registers all series with the recorder in force; without one, the handles do
    /// nothing.
    pub(crate) fn register() -> Self {
        describe_gauge!(CONNECTIONS, "Open connections of the HTTP port.");
        describe_counter!(REQUESTS, "Requests to the HTTP port that were answered, by class.");
        describe_counter!(REFUSED, "What the HTTP port turned away, by reason.");
        Self {
            connections: gauge!(CONNECTIONS),
            requests: CLASSES.map(|class| counter!(REQUESTS, "code" => class)),
            refused: Refused::ALL.map(|why| counter!(REFUSED, "reason" => why.word())),
        }
    }

    /// Something was turned away.
    pub(super) fn refuse(&self, why: Refused) {
        if let Some(counter) = self.refused.get(why as usize) {
            counter.increment(1);
        }
    }

    /// A request was answered with this status.
    pub(super) fn answered(&self, status: u16) {
        let class = usize::from(status / 100).saturating_sub(2);
        if let Some(counter) = self.requests.get(class) {
            counter.increment(1);
        }
    }
}
