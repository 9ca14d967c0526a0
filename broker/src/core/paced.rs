//! Clients that publish faster than they may: waited for, refused or closed, as the configuration
//! says. Never decides what is too fast.

use std::sync::Arc;
use std::time::Duration;

use tidewire_proto::mqtt::{PacketKind, ReasonCode};
use tidewire_proto::qos::Qos;

use crate::config::AtRateLimit;
use crate::core::open::{ConnId, Phase};
use crate::core::send::quality;
use crate::core::state::{Core, Deferred};
use crate::link::Peer;
use crate::metrics::{CloseReason, DropReason};
use crate::pace::{Allowance, Pace, Shared};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paced {
    /// It is handled now.
    Go,
    /// It is handled later; nothing is read until then.
    Rest,
    /// The connection is closed.
    Gone,
}

impl Core {
    /// How fast a new connection may publish. What is within the process is not limited.
    pub(crate) fn pace_of(&self, peer: Peer, listener: Option<Shared>) -> Option<Box<Pace>> {
        if peer == Peer::InProcess {
            return None;
        }
        let own = Allowance::of(&self.shared.limits.rate, self.shared.clock.elapsed_ms());
        Pace::of(own, listener)
    }

    /// A client is in: coming again is no way to a full bucket.
    pub(crate) fn resume_pace(&mut self, id: ConnId, client_id: &str) {
        let shared = Arc::clone(&self.shared);
        let Some(pace) = self.conn(id).and_then(|conn| conn.pace.as_mut()) else { return };
        if let Some(own) = shared.paces.take(client_id) {
            pace.go_on(own);
        }
    }

    /// A client goes.
    pub(crate) fn leave_pace(&mut self, id: ConnId, client_id: &Arc<str>) {
        let shared = Arc::clone(&self.shared);
        let Some(pace) = self.conn(id).and_then(|conn| conn.pace.as_mut()) else { return };
        if let Some(own) = pace.take_own() {
            shared.paces.leave(client_id, own, shared.clock.elapsed_ms());
        }
    }

    /// Asked for each whole packet before it is handled.
    pub(crate) fn pace(&mut self, id: ConnId, first_byte: u8, bytes: usize) -> Paced {
        let at_limit = self.shared.limits.at_rate_limit;
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return Paced::Gone };
        // Nearly always nothing is limited, and nobody asks for the time.
        let Some(pace) = &mut conn.pace else { return Paced::Go };
        let now_ms = self.shared.clock.elapsed_ms();
        pace.is_over = false;
        let is_publish = first_byte & 0xf0 == PacketKind::Publish.first_byte();
        if !is_publish || !matches!(conn.phase, Phase::Open(_)) {
            return Paced::Go;
        }
        let Err((wait_ms, whose)) = pace.admit(bytes as u64, now_ms) else { return Paced::Go };
        pace.is_over = at_limit == AtRateLimit::Refuse;
        if at_limit == AtRateLimit::Wait {
            conn.socket.rest(true);
        }
        self.counters.throttled.add(whose, 1);
        match at_limit {
            AtRateLimit::Refuse => Paced::Go,
            AtRateLimit::Wait => {
                let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
                self.deferred.push(Deferred::Rest(id, wait));
                self.end_turn_soon();
                Paced::Rest
            }
            AtRateLimit::Disconnect => {
                let qos = Qos::from_bits(first_byte >> 1 & 0b11).unwrap_or_default();
                self.counters.messages_dropped.add((DropReason::RateLimit, quality(qos)), 1);
                let reason = Some(ReasonCode::MESSAGE_RATE_TOO_HIGH);
                self.close(id, CloseReason::Limit, reason);
                Paced::Gone
            }
        }
    }

    /// The wait is over: on with what was read, then with what comes.
    pub(crate) fn on_rested(&mut self, id: ConnId) {
        let now_ms = self.uptime_ms;
        let Some(conn) = self.conn(id) else { return };
        // It could not be heard while it was not read.
        conn.heard_ms = now_ms;
        conn.socket.rest(false);
        if matches!(conn.phase, Phase::Open(_)) {
            self.on_waiting_bytes(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::RateConfig;
    use crate::core::alone::Alone;
    use crate::core::open::ConnId;
    use crate::metrics::{CloseReason, Throttled};
    use crate::pace::{Allowance, Pace};

    /// Far more than comes back while this runs.
    const LARGE: u64 = 1_000_000;

    fn publish(alone: &mut Alone, id: ConnId, bytes: u64) -> Result<(), Throttled> {
        let now_ms = alone.core.shared.clock.elapsed_ms();
        let pace = alone.core.conn(id).and_then(|conn| conn.pace.as_mut()).expect("a limit");
        pace.admit(bytes, now_ms).map_err(|(_, whose)| whose)
    }

    #[test]
    fn who_disconnects_or_is_taken_over_and_comes_again_has_no_more_for_it() {
        let mut alone = Alone::new(|_| ());
        let rate = RateConfig { bytes_per_s_max: 1, ..RateConfig::default() };
        let connect = |alone: &mut Alone, client_id: &str| {
            let id = alone.accept();
            let own = Allowance::of(&rate, alone.core.shared.clock.elapsed_ms());
            alone.core.conn(id).expect("it is there").pace = Pace::of(own, None);
            alone.hello(id, client_id);
            alone.rest();
            id
        };
        let id = connect(&mut alone, "greedy");
        assert_eq!(publish(&mut alone, id, LARGE), Ok(()));
        assert_eq!(publish(&mut alone, id, 1), Err(Throttled::Client));
        alone.core.close(id, CloseReason::Disconnect, None);
        alone.rest();
        let id = connect(&mut alone, "greedy");
        assert_eq!(publish(&mut alone, id, 1), Err(Throttled::Client));
        let next = connect(&mut alone, "greedy");
        assert!(alone.core.open(id).is_none(), "it is taken over");
        alone.core.on_claimed(next);
        alone.rest();
        assert!(alone.core.open(next).is_some());
        assert_eq!(publish(&mut alone, next, 1), Err(Throttled::Client));
        let id = connect(&mut alone, "other");
        assert_eq!(publish(&mut alone, id, 1), Ok(()));
    }
}
