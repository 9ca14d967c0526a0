//! A subscription that begins in the past: the session goes back in the log for it, and its other
//! subscriptions wait until it has come to where it was.

use tidewire_proto::mqtt::ReasonCode;
use tidewire_proto::replay::Start;
use tidewire_proto::session::cursor::Positions;
use tidewire_store::{ReadError, Store};

use crate::core::open::{ConnId, Phase, Seek};
use crate::core::state::{Core, Deferred};
use crate::core::turn::Waiting;
use crate::metrics::{CloseReason, DropReason, Quality};

/// Beginnings that one session may have looked up at a time.
const SEEKS_MAX: usize = 16;

impl Core {
    /// Whether earlier SUBSCRIBEs with replays are not answered, as many as may be.
    pub(crate) fn is_replaying(&mut self, id: ConnId) -> bool {
        self.open(id).is_some_and(|open| open.seeking >= SEEKS_MAX)
    }

    /// Looks up where a subscription begins. Nothing more is sent from the log until it is known.
    pub(crate) fn seek(&mut self, id: ConnId, filter: &str, start: Start, token: u32) {
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return };
        let Phase::Open(open) = &mut conn.phase else { return };
        open.cursor.fall_behind(&self.positions);
        open.seeking += 1;
        open.live_since = self.positions.clone();
        open.subscriptions.hold_live(filter);
        let seek = Seek { conn: id, filter: filter.into(), start, token };
        self.deferred.push(Deferred::Seek(seek));
        self.end_turn_soon();
    }

    pub(crate) fn on_sought(&mut self, seek: Seek, found: Result<Positions, ReadError>) {
        let Seek { conn: id, filter, token, .. } = seek;
        // Rows of all its filters may be more than one commit holds. Nobody else's goes with them,
        // and its cursor goes back in the last, when all its filters say from where they count.
        self.submit();
        let from = self.next_ticket;
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return };
        let Phase::Open(open) = &mut conn.phase else { return };
        if conn.serial != id.serial {
            return;
        }
        let start = match found {
            Ok(start) => start,
            Err(error) => {
                let filter = &*filter;
                tracing::error!(%error, filter, "where a subscription begins cannot be looked up");
                let reason = Some(ReasonCode::UNSPECIFIED_ERROR);
                return self.close(id, CloseReason::Limit, reason);
            }
        };
        // It may have been given up meanwhile.
        if open.subscriptions.contains(&filter) {
            let stood = open.cursor.rewind(&self.positions, &start);
            // A read that is under way was for another place, or for fewer subscriptions.
            open.last_read += 1;
            open.subscriptions.replay(&filter, start, &stood);
            let filters = open.subscriptions.iter().map(|(filter, _)| filter.into());
            let filters: Vec<Box<str>> = filters.collect();
            for filter in filters {
                self.write_subscription(id, &filter);
                if self.is_turn_large() {
                    self.commit();
                }
            }
            self.mark_changed(id, true);
        }
        self.turn.waiting.push(Waiting::Joining(id, token, from));
        self.end_turn_soon();
    }

    /// The session has come to where its core is: replays are over.
    pub(crate) fn on_caught_up(&mut self, id: ConnId) {
        let Some(open) = self.open(id) else { return };
        if !open.subscriptions.has_beginnings() {
            return;
        }
        let replayed = open.subscriptions.caught_up();
        let missed = std::mem::take(&mut open.left_to_log);
        if missed > 0 {
            // Live messages at QoS 0 that were to come from the log, and are not in it.
            let slow = (DropReason::Slow, Quality::AtMostOnce);
            self.counters.messages_dropped.add(slow, missed);
        }
        for filter in replayed {
            self.write_subscription(id, &filter);
        }
        self.end_turn_soon();
    }
}

/// Where the messages from `start` on begin, in every partition.
pub(crate) fn find_start(store: &Store, start: Start) -> Result<Positions, ReadError> {
    let mut positions = Positions::default();
    for stream in store.streams().iter() {
        for partition in stream.partitions.iter().copied() {
            let offset = match start {
                Start::Earliest => store.bounds(partition).map_or(0, |(first, _)| first),
                Start::At(time_ms) => store.offset_at(partition, time_ms)?,
            };
            positions.advance(partition, offset);
        }
    }
    Ok(positions)
}
