//! Counters of one core: plain numbers, no atomics, no look-up. The core's tick flushes them.

use super::family::{Tally, flush};
use super::handles::Metrics;
use super::label::{
    CloseReason, Direction, DropReason, FilterFault, PacketType, Quality, RefuseReason, Throttled,
};

/// What one core counted since its last flush.
#[derive(Clone, Debug, Default)]
pub struct CoreCounters {
    /// Connections whose CONNECT was accepted.
    pub connections_accepted: u64,
    /// Connections turned away.
    pub connections_refused: Tally<RefuseReason, 20>,
    /// Accepted connections that ended.
    pub connections_closed: Tally<CloseReason, 10>,
    /// MQTT packets.
    pub packets: Tally<(PacketType, Direction), 30>,
    /// Bytes on MQTT sockets.
    pub bytes: Tally<Direction, 2>,
    /// Bytes of payloads of messages that came, and that were sent.
    pub payload_bytes: Tally<Direction, 2>,
    /// Messages taken from publishers.
    pub messages_received: Tally<Quality, 3>,
    /// Messages sent to MQTT subscribers, repeats not counted.
    pub messages_delivered: Tally<Quality, 3>,
    /// Messages that a share group handed out again.
    pub messages_redelivered: u64,
    /// Times that dead letters found no room.
    pub dead_letters_deferred: u64,
    /// Messages that a reader did not get, or that were refused.
    pub messages_dropped: Tally<(DropReason, Quality), 42>,
    /// Sessions whose time was over.
    pub sessions_expired: u64,
    /// Filters of SUBSCRIBE that were refused.
    pub filters_refused: Tally<FilterFault, 12>,
    /// Times that somebody was too fast.
    pub throttled: Tally<Throttled, 3>,
}

impl CoreCounters {
    /// Hands everything over to the shared counters and starts from zero.
    pub fn flush(&mut self, to: &Metrics) {
        // Named one by one: a field that is added and not flushed does not compile.
        let Self {
            connections_accepted,
            connections_refused,
            connections_closed,
            packets,
            bytes,
            payload_bytes,
            messages_received,
            messages_delivered,
            messages_redelivered,
            dead_letters_deferred,
            messages_dropped,
            sessions_expired,
            filters_refused,
            throttled,
        } = self;
        // The totals have them alone.
        *payload_bytes = Tally::default();
        flush(connections_accepted, &to.connections_accepted);
        connections_refused.flush(&to.connections_refused);
        connections_closed.flush(&to.connections_closed);
        packets.flush(&to.packets);
        bytes.flush(&to.bytes);
        messages_received.flush(&to.messages_received);
        messages_delivered.flush(&to.messages_delivered);
        flush(messages_redelivered, &to.messages_redelivered);
        flush(dead_letters_deferred, &to.dead_letters_deferred);
        messages_dropped.flush(&to.messages_dropped);
        filters_refused.flush(&to.filters_refused);
        throttled.flush(&to.throttled);
        flush(sessions_expired, &to.sessions_expired);
    }

    /// Counts in what another core did.
    pub(super) fn gather(&mut self, more: &Self) {
        let Self {
            connections_accepted,
            connections_refused,
            connections_closed,
            packets,
            bytes,
            payload_bytes,
            messages_received,
            messages_delivered,
            messages_redelivered,
            dead_letters_deferred,
            messages_dropped,
            sessions_expired,
            filters_refused,
            throttled,
        } = more;
        self.connections_accepted += connections_accepted;
        self.connections_refused.gather(connections_refused);
        self.connections_closed.gather(connections_closed);
        self.packets.gather(packets);
        self.bytes.gather(bytes);
        self.payload_bytes.gather(payload_bytes);
        self.messages_received.gather(messages_received);
        self.messages_delivered.gather(messages_delivered);
        self.messages_redelivered += messages_redelivered;
        self.dead_letters_deferred += dead_letters_deferred;
        self.messages_dropped.gather(messages_dropped);
        self.filters_refused.gather(filters_refused);
        self.throttled.gather(throttled);
        self.sessions_expired += sessions_expired;
    }
}
