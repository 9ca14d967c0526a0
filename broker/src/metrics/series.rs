//! The table of series: name, kind, unit, help. A name stands here and nowhere else.

use metrics::{Counter, Gauge, Histogram, Key, Level, Metadata, Recorder, Unit};

/// One series, as it is declared.
#[derive(Debug)]
pub struct Series {
    /// Name in Prometheus' manner: unit in the name, counters end in `_total`.
    pub name: &'static str,
    /// What may be done with it.
    pub kind: Kind,
    /// What its numbers count.
    pub unit: Unit,
    /// One sentence for who sees the name for the first time.
    pub help: &'static str,
}

/// What may be done with a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// Every series, in the order of the docs.
pub const SERIES: &[&Series] = &[
    &CONNECTIONS,
    &CLOSED,
    &CLIENTS,
    &SIGN_INS,
    &TOKENS,
    &HOOK,
    &TLS_HANDSHAKES,
    &TLS_EXPIRY,
    &TLS_RELOADS,
    &PACKETS,
    &BYTES,
    &RECEIVED,
    &DELIVERED,
    &REDELIVERED,
    &LETTERS_DEFERRED,
    &DROPPED,
    &FILTERS_REFUSED,
    &THROTTLED,
    &PUBLISH_ACK,
    &DELIVERY,
    &APPEND_SECONDS,
    &FSYNC_SECONDS,
    &WRITTEN_BYTES,
    &SESSIONS,
    &SUBSCRIPTIONS,
    &RETAINED,
    &RETAINED_BYTES,
    &EXPIRED,
];

pub(super) const CONNECTIONS: Series = counter(
    "tidewire_connections_total",
    Unit::Count,
    "Connections by result, and why they were refused.",
);
pub(super) const CLOSED: Series = counter(
    "tidewire_connections_closed_total",
    Unit::Count,
    "Accepted connections that ended, by reason.",
);
pub(super) const CLIENTS: Series =
    gauge("tidewire_clients", Unit::Count, "Clients that are connected now.");
pub(super) const SIGN_INS: Series = counter(
    "tidewire_sign_ins_total",
    Unit::Count,
    "What clients brought as their passwords, by who was asked and what came of it.",
);
pub(super) const TOKENS: Series = counter(
    "tidewire_tokens_refused_total",
    Unit::Count,
    "Tokens (JWT) that were not taken, by reason.",
);
pub(super) const HOOK: Series = counter(
    "tidewire_auth_http_questions_total",
    Unit::Count,
    "Questions to the HTTP hook, by what came of them.",
);
pub(super) const TLS_HANDSHAKES: Series = counter(
    "tidewire_tls_handshakes_total",
    Unit::Count,
    "TLS handshakes by result: done, or why not.",
);
pub(super) const TLS_EXPIRY: Series = gauge(
    "tidewire_tls_expiry_timestamp_seconds",
    Unit::Seconds,
    "When the first of a listener's certificates or lists runs out, in seconds of the Unix epoch; \
     0: there is none.",
);
pub(super) const TLS_RELOADS: Series = counter(
    "tidewire_tls_reloads_total",
    Unit::Count,
    "Times that changed certificates were read: done, or kept those before.",
);
pub(super) const PACKETS: Series =
    counter("tidewire_mqtt_packets_total", Unit::Count, "MQTT packets by type and direction.");
pub(super) const BYTES: Series =
    counter("tidewire_bytes_total", Unit::Bytes, "Bytes on client sockets, by direction.");
pub(super) const RECEIVED: Series = counter(
    "tidewire_messages_received_total",
    Unit::Count,
    "Messages taken from publishers, by QoS.",
);
pub(super) const DELIVERED: Series = counter(
    "tidewire_messages_delivered_total",
    Unit::Count,
    "Messages sent to subscribers, by QoS; repeats are not counted.",
);
pub(super) const REDELIVERED: Series = counter(
    "tidewire_messages_redelivered_total",
    Unit::Count,
    "Messages that a share group handed out again, because a member did not finish.",
);
pub(super) const LETTERS_DEFERRED: Series = counter(
    "tidewire_dead_letters_deferred_total",
    Unit::Count,
    "Times that dead letters of a share group found no room, and wait with their group.",
);
pub(super) const DROPPED: Series = counter(
    "tidewire_messages_dropped_total",
    Unit::Count,
    "Messages that a reader did not get, or that were refused, by reason and QoS.",
);
pub(super) const FILTERS_REFUSED: Series = counter(
    "tidewire_subscriptions_refused_total",
    Unit::Count,
    "Filters of SUBSCRIBE that were refused, by reason.",
);
pub(super) const THROTTLED: Series = counter(
    "tidewire_throttled_total",
    Unit::Count,
    "Times that somebody was faster than allowed, by whose limit it was.",
);
pub(super) const PUBLISH_ACK: Series = histogram(
    "tidewire_publish_ack_seconds",
    Unit::Seconds,
    "From when a message was handed to the store until it was durable and could be acknowledged.",
);
pub(super) const DELIVERY: Series = histogram(
    "tidewire_delivery_seconds",
    Unit::Seconds,
    "From when a message was received until it was handed to the sockets of those who keep up.",
);
pub(super) const APPEND_SECONDS: Series = histogram(
    "tidewire_log_append_seconds",
    Unit::Seconds,
    "Time of a write into the write-ahead log.",
);
pub(super) const FSYNC_SECONDS: Series = histogram(
    "tidewire_log_fsync_seconds",
    Unit::Seconds,
    "Time of a sync of the write-ahead log.",
);
pub(super) const WRITTEN_BYTES: Series = counter(
    "tidewire_log_written_bytes_total",
    Unit::Bytes,
    "Bytes written into the write-ahead log.",
);
pub(super) const SESSIONS: Series =
    gauge("tidewire_sessions", Unit::Count, "Sessions held, by state.");
pub(super) const SUBSCRIPTIONS: Series =
    gauge("tidewire_subscriptions", Unit::Count, "Subscriptions of all sessions, by kind.");
pub(super) const RETAINED: Series =
    gauge("tidewire_retained_messages", Unit::Count, "Topics with a retained message.");
pub(super) const RETAINED_BYTES: Series =
    gauge("tidewire_retained_bytes", Unit::Bytes, "Topics and rows of retained messages.");

pub(super) const EXPIRED: Series = counter(
    "tidewire_sessions_expired_total",
    Unit::Count,
    "Sessions dropped because their client stayed away too long.",
);

const fn counter(name: &'static str, unit: Unit, help: &'static str) -> Series {
    Series { name, kind: Kind::Counter, unit, help }
}

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Series {
    Series { name, kind: Kind::Gauge, unit, help }
}

const fn histogram(name: &'static str, unit: Unit, help: &'static str) -> Series {
    Series { name, kind: Kind::Histogram, unit, help }
}

const METADATA: Metadata<'static> = Metadata::new("tidewire", Level::INFO, None);

/// Key and word of each label.
pub(super) type Pairs<'p> = &'p [(&'static str, &'static str)];

impl Series {
    pub(super) fn describe(&self, to: &dyn Recorder) {
        let (name, unit, help) = (self.name.into(), Some(self.unit), self.help.into());
        match self.kind {
            Kind::Counter => to.describe_counter(name, unit, help),
            Kind::Gauge => to.describe_gauge(name, unit, help),
            Kind::Histogram => to.describe_histogram(name, unit, help),
        }
    }

    pub(super) fn counter(&self, to: &dyn Recorder, labels: Pairs<'_>) -> Counter {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        to.register_counter(&self.key(labels), &METADATA)
    }

    pub(super) fn gauge(&self, to: &dyn Recorder, labels: Pairs<'_>) -> Gauge {
        debug_assert_eq!(self.kind, Kind::Gauge, "{}", self.name);
        to.register_gauge(&self.key(labels), &METADATA)
    }

    pub(super) fn histogram(&self, to: &dyn Recorder, labels: Pairs<'_>) -> Histogram {
        debug_assert_eq!(self.kind, Kind::Histogram, "{}", self.name);
        to.register_histogram(&self.key(labels), &METADATA)
    }

    fn key(&self, labels: Pairs<'_>) -> Key {
        let labels: Vec<metrics::Label> = labels.iter().map(metrics::Label::from).collect();
        Key::from_parts(self.name, labels)
    }
}
