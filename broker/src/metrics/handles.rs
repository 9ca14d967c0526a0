//! The handles of all series, registered together. Counts nothing itself.

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram};

use crate::timed_disk::DiskNumbers;

use super::family::{CounterFamily, GaugeFamily, HistogramFamily};
use super::label::{
    Backend, CloseReason, Direction, DropReason, FilterFault, HookResult, PacketType, Quality,
    RefuseReason, ReloadResult, SessionState, SignInResult, SubscriptionKind, Throttled, TlsFile,
    TlsListener, TlsResult, TokenFault,
};
use super::series::{self, SERIES};

/// A handle for each series and each of its labels: nothing is looked up by name again.
///
/// All start at zero with `Metrics::register`, so that a dashboard shows them from the start.
pub struct Metrics {
    /// Connections whose CONNECT was accepted.
    pub connections_accepted: Counter,
    /// Connections turned away, before or with their CONNECT.
    pub connections_refused: CounterFamily<RefuseReason>,
    /// Accepted connections that ended.
    pub connections_closed: CounterFamily<CloseReason>,
    /// Accepted connections that are open now.
    pub connections_open: Gauge,
    /// Passwords and tokens that were looked at.
    pub sign_ins: Arc<CounterFamily<(Backend, SignInResult)>>,
    /// Tokens that were not taken.
    pub tokens_refused: Arc<CounterFamily<TokenFault>>,
    /// Questions to the HTTP hook.
    pub hook_questions: Arc<CounterFamily<HookResult>>,
    /// TLS handshakes.
    pub tls_handshakes: Arc<CounterFamily<TlsResult>>,
    /// Until when certificates and lists in use are good, in seconds of the Unix epoch.
    pub tls_expiry: GaugeFamily<(TlsListener, TlsFile)>,
    /// Times that certificates were read anew.
    pub tls_reloads: CounterFamily<ReloadResult>,
    /// MQTT packets.
    pub packets: CounterFamily<(PacketType, Direction)>,
    /// Bytes on MQTT sockets.
    pub bytes: CounterFamily<Direction>,
    /// Messages taken from publishers.
    pub messages_received: CounterFamily<Quality>,
    /// Messages sent to MQTT subscribers, repeats not counted.
    pub messages_delivered: CounterFamily<Quality>,
    /// Messages that a share group handed out again.
    pub messages_redelivered: Counter,
    /// Times that dead letters found no room.
    pub dead_letters_deferred: Counter,
    /// Messages that a reader did not get, or that were refused.
    pub messages_dropped: CounterFamily<(DropReason, Quality)>,
    /// Filters that were refused.
    pub filters_refused: CounterFamily<FilterFault>,
    /// Times that somebody was too fast.
    pub throttled: CounterFamily<Throttled>,
    /// From the hand-over of a message to its durability.
    pub publish_ack_seconds: HistogramFamily<Quality>,
    /// From the reception of a message to the sockets of its readers.
    pub delivery_seconds: Histogram,
    /// Writes into the write-ahead log.
    pub append_seconds: Histogram,
    /// Syncs of it.
    pub fsync_seconds: Histogram,
    /// What was written into it.
    pub written_bytes: Counter,
    /// Sessions that we hold.
    pub sessions: GaugeFamily<SessionState>,
    /// Subscriptions of all sessions.
    pub subscriptions: GaugeFamily<SubscriptionKind>,
    /// Topics with a retained message.
    pub retained: Gauge,
    /// What retained messages take.
    pub retained_bytes: Gauge,
    /// Sessions whose time was over.
    pub sessions_expired: Counter,
}

impl Metrics {
    /// Those of the disk.
    pub(crate) fn of_disk(&self) -> DiskNumbers {
        DiskNumbers {
            append_seconds: self.append_seconds.clone(),
            fsync_seconds: self.fsync_seconds.clone(),
            written_bytes: self.written_bytes.clone(),
        }
    }

    /// Describes and registers all series with the recorder in force; without one, the
    /// handles do nothing.
    #[must_use]
    pub fn register() -> Self {
        metrics::with_recorder(|to| {
            for series in SERIES {
                series.describe(to);
            }
            Self {
                connections_accepted: series::CONNECTIONS
                    .counter(to, &[("result", "accepted"), ("reason", "none")]),
                connections_refused: CounterFamily::register(
                    &series::CONNECTIONS,
                    &[("result", "refused")],
                    to,
                ),
                connections_closed: CounterFamily::register(&series::CLOSED, &[], to),
                connections_open: series::CLIENTS.gauge(to, &[("state", "connected")]),
                sign_ins: Arc::new(CounterFamily::register(&series::SIGN_INS, &[], to)),
                tokens_refused: Arc::new(CounterFamily::register(&series::TOKENS, &[], to)),
                hook_questions: Arc::new(CounterFamily::register(&series::HOOK, &[], to)),
                tls_handshakes: Arc::new(CounterFamily::register(&series::TLS_HANDSHAKES, &[], to)),
                tls_expiry: GaugeFamily::register(&series::TLS_EXPIRY, &[], to),
                tls_reloads: CounterFamily::register(&series::TLS_RELOADS, &[], to),
                packets: CounterFamily::register(&series::PACKETS, &[], to),
                bytes: CounterFamily::register(&series::BYTES, &[("proto", "mqtt")], to),
                messages_received: CounterFamily::register(&series::RECEIVED, &[], to),
                messages_delivered: CounterFamily::register(
                    &series::DELIVERED,
                    &[("path", "mqtt")],
                    to,
                ),
                messages_redelivered: series::REDELIVERED.counter(to, &[]),
                dead_letters_deferred: series::LETTERS_DEFERRED.counter(to, &[]),
                messages_dropped: CounterFamily::register(&series::DROPPED, &[], to),
                filters_refused: CounterFamily::register(&series::FILTERS_REFUSED, &[], to),
                throttled: CounterFamily::register(&series::THROTTLED, &[], to),
                publish_ack_seconds: HistogramFamily::register(&series::PUBLISH_ACK, &[], to),
                delivery_seconds: series::DELIVERY.histogram(to, &[]),
                append_seconds: series::APPEND_SECONDS.histogram(to, &[]),
                fsync_seconds: series::FSYNC_SECONDS.histogram(to, &[]),
                written_bytes: series::WRITTEN_BYTES.counter(to, &[]),
                sessions: GaugeFamily::register(&series::SESSIONS, &[], to),
                subscriptions: GaugeFamily::register(&series::SUBSCRIPTIONS, &[], to),
                retained: series::RETAINED.gauge(to, &[]),
                retained_bytes: series::RETAINED_BYTES.gauge(to, &[]),
                sessions_expired: series::EXPIRED.counter(to, &[]),
            }
        })
    }
}
