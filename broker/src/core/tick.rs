//! Twice a second: silent clients, rows that may lag, counters, the end.

use tidewire_proto::mqtt::ReasonCode;
use tidewire_proto::routing::grant::SessionKey;
use tokio::sync::oneshot;

use crate::core::open::{ConnId, Phase};
use crate::core::shared::wall_clock_ms;
use crate::core::state::Core;
use crate::metrics::{CloseReason, RefuseReason};

/// How often, in milliseconds.
pub(crate) const TICK_MS: u32 = 500;
/// Sessions whose rows are renewed with each tick.
const RENEWED_MAX: usize = 32;
/// After so many ticks the rows of all share groups are renewed.
const GROUP_TICKS: u32 = 120;
/// How long a client may take to read our last bytes.
const CLOSING_MS_MAX: i64 = 5_000;

impl Core {
    pub(crate) fn on_tick(&mut self) {
        self.now_ms = wall_clock_ms();
        self.uptime_ms = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.shared.clock.follow(self.now_ms);
        self.resume_paused();
        self.close_silent();
        self.close_stuck();
        self.on_due();
        for id in std::mem::take(&mut self.changed) {
            if let Some(open) = self.open(id) {
                open.is_listed = false;
            }
            self.urgent.push(id);
        }
        for id in std::mem::take(&mut self.groups.changed) {
            if let Some(group) = self.groups.of_id(id) {
                group.is_listed = false;
            }
            self.groups.urgent.push(id);
        }
        self.renew_rows();
        self.flush_counters();
        self.tellers.settle(self.uptime_ms / 1_000);
        if self.index == 0 {
            self.shared.settle_refusals();
        }
        self.end_turn_soon();
    }

    /// Positions of who has nothing to read are not written with messages. Now and then they are,
    /// or what they stand before would be held for ever. Only if they moved: on a full disk rows
    /// live on what is kept for them, and readers need it to make room.
    fn renew_rows(&mut self) {
        let next = self.conns.iter().map(|(key, _)| key).filter(|key| *key >= self.renew_from);
        let keys: Vec<usize> = next.take(RENEWED_MAX).collect();
        self.renew_from =
            keys.last().filter(|_| keys.len() == RENEWED_MAX).map_or(0, |key| key + 1);
        for key in keys {
            let session = u32::try_from(key).ok().map(SessionKey);
            let Some(id) = session.and_then(|session| self.id_at(session)) else { continue };
            let moves = self.moves;
            if self.open(id).is_some_and(|open| open.is_announced && open.has_moved(moves)) {
                self.mark_changed(id, true);
            }
        }
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(GROUP_TICKS) {
            self.groups.mark_moved(&self.positions);
            self.groups.trim();
        }
    }

    pub(crate) fn flush_counters(&mut self) {
        let metrics = &self.shared.metrics;
        self.shared.totals.gather(&self.counters);
        self.counters.flush(metrics);
        if self.index == 0 {
            let (messages, bytes) = self.shared.retained.totals();
            metrics.retained.set(messages as f64);
            metrics.retained_bytes.set(bytes as f64);
        }
    }

    fn close_silent(&mut self) {
        let (now_ms, wall_ms) = (self.uptime_ms, self.now_ms);
        let connect_ms_max =
            i64::try_from(self.shared.limits.connect_timeout.as_millis()).unwrap_or(i64::MAX);
        let late: Vec<ConnId> = self
            .conns
            .iter()
            .filter(|(_, conn)| {
                // What was heard since the last tick carries its time: never too early.
                let silent_ms = now_ms - conn.heard_ms - i64::from(TICK_MS);
                match conn.phase {
                    Phase::Open(_) if conn.until_ms <= wall_ms => true,
                    Phase::Closing => silent_ms >= CLOSING_MS_MAX,
                    // It is we who do not listen.
                    _ if conn.socket.is_unheard() => false,
                    Phase::Fresh | Phase::Authenticating(_) => silent_ms >= connect_ms_max,
                    Phase::Checking(_) | Phase::Claiming(_) => false,
                    Phase::Open(_) => conn.silence_ms_max > 0 && silent_ms >= conn.silence_ms_max,
                }
            })
            .filter_map(|(key, _)| self.id_at(SessionKey(u32::try_from(key).ok()?)))
            .collect();
        for id in late {
            self.close_late(id);
        }
    }

    fn close_late(&mut self, id: ConnId) {
        let (now_ms, wall_ms) = (self.uptime_ms, self.now_ms);
        let Some(conn) = self.conn(id) else { return };
        match conn.phase {
            Phase::Closing => {
                // It had its time: what it has not read is lost to it.
                conn.out = Vec::new();
                conn.socket.give_up();
            }
            Phase::Fresh | Phase::Authenticating(_) => {
                conn.heard_ms = now_ms;
                self.turn_away(id, RefuseReason::Timeout);
            }
            _ if conn.until_ms <= wall_ms => {
                self.close(id, CloseReason::Expired, Some(ReasonCode::MAXIMUM_CONNECT_TIME));
            }
            _ => {
                conn.heard_ms = now_ms;
                self.close(id, CloseReason::KeepAlive, Some(ReasonCode::KEEP_ALIVE_TIMEOUT));
            }
        }
    }

    /// The broker ends: clients are told, sessions keep what they have.
    pub(crate) fn stop(&mut self, done: oneshot::Sender<()>) {
        self.stopping = Some(done);
        let keys: Vec<usize> = self.conns.iter().map(|(key, _)| key).collect();
        for key in keys {
            let session = u32::try_from(key).ok().map(SessionKey);
            if let Some(id) = session.and_then(|session| self.id_at(session)) {
                self.close(id, CloseReason::Shutdown, Some(ReasonCode::SERVER_SHUTTING_DOWN));
            }
        }
        self.end_turn_soon();
    }

    /// Whether a core that stops has nothing left to do.
    pub(crate) fn is_over(&self) -> bool {
        self.stopping.is_some() && self.conns.is_empty() && self.ending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::ops::{Bound, ControlFlow};
    use std::sync::Arc;

    use tidewire_proto::session::cursor::Positions;
    use tidewire_store::Table;
    use tidewire_store::rows::cursor;
    use tidewire_store::rows::share::GroupRow;

    use super::{GROUP_TICKS, RENEWED_MAX};
    use crate::core::alone::Alone;
    use crate::core::open::ConnId;

    const SUBSCRIBE: &[u8] = b"\x00\x01\x00\x00\x01a\x01";
    const SUBSCRIBE_SHARED: &[u8] = b"\x00\x02\x00\x00\x0a$share/g/b\x01";
    const PUBLISH: &[u8] = b"\x00\x01c\x00\x01\x00payload";

    /// Sessions that stay, more than are looked at with one tick, and a share group.
    fn settled() -> (Alone, Vec<ConnId>) {
        let mut alone = Alone::new(|_| ());
        let inbox = Arc::clone(&alone.core.inbox);
        alone.store.follow(inbox as Arc<_>);
        let name = |number| format!("client {number}");
        let ids: Vec<ConnId> = (0..2 * RENEWED_MAX).map(|n| alone.connect(&name(n))).collect();
        alone.settle();
        alone.say(ids[0], 0x82, SUBSCRIBE);
        alone.say(ids[1], 0x82, SUBSCRIBE_SHARED);
        for _ in 0..4 {
            alone.core.end_turn();
            alone.settle();
        }
        (alone, ids)
    }

    fn tick(alone: &mut Alone, count: u32) {
        for _ in 0..count {
            alone.core.on_tick();
            alone.settle();
        }
    }

    #[test]
    fn an_idle_broker_with_durable_sessions_and_groups_makes_no_commits() {
        let (mut alone, _) = settled();
        tick(&mut alone, 2 * GROUP_TICKS);
        let before = alone.core.next_ticket;
        tick(&mut alone, 4 * GROUP_TICKS);
        assert_eq!(alone.core.next_ticket, before);
    }

    #[test]
    fn rows_of_who_has_nothing_to_read_follow_what_others_publish_once() {
        let (mut alone, ids) = settled();
        alone.say(ids[0], 0x32, PUBLISH);
        alone.settle();
        assert_ne!(alone.core.positions, Positions::default());
        let before = alone.core.next_ticket;
        tick(&mut alone, 2 * GROUP_TICKS);
        assert!(alone.core.next_ticket > before);
        for id in ids {
            let client_id = Arc::clone(&alone.core.open(id).expect("it is open").client_id);
            let row = alone.store.get(Table::Cursors, client_id.as_bytes()).expect("readable");
            let row = cursor::decode(&row.expect("it has a row")).expect("a good row");
            assert_eq!(row.positions, alone.core.positions, "{client_id}");
        }
        let mut groups = 0;
        let from = Bound::Unbounded;
        let visit = &mut |_: &[u8], row: &[u8]| {
            if let Ok(row) = GroupRow::decode(row) {
                groups += 1;
                assert_eq!(row.positions, alone.core.positions);
            }
            ControlFlow::Continue(())
        };
        alone.store.scan(Table::Shares, from, from, visit).expect("readable");
        assert_eq!(groups, 1);
        let after = alone.core.next_ticket;
        tick(&mut alone, 2 * GROUP_TICKS);
        assert_eq!(alone.core.next_ticket, after, "once is enough");
    }
}
