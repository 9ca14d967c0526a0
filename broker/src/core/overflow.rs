//! When all clients together have too much waiting: who does not read gets little more, who takes
//! nothing at all is closed, and so is who sends half a packet without an end. Who keeps up notices
//! nothing.

use tidewire_proto::mqtt::ReasonCode;
use tidewire_proto::routing::grant::SessionKey;

use crate::core::open::{Conn, ConnId, Phase};
use crate::core::shared::Shared;
use crate::core::state::Core;
use crate::metrics::CloseReason;

/// What may wait for a client that has not taken what it was sent, while there is too much.
const LITTLE_BYTES: usize = 16 * 1024;
/// What may be kept of its packet.
const PART_BYTES: usize = 64 * 1024;
/// How long it may take nothing, or send no more of its packet.
const STUCK_MS: i64 = 10_000;
/// Of what all may have waiting, what a core gathers before it is written: the part of a quarter.
const PARTS: usize = 4;

/// How many bytes may wait for a client before it gets no more messages, with so many that were
/// made for all of them and are not written yet.
pub(crate) fn room_of(conn: &Conn, shared: &Shared, unwritten: usize) -> usize {
    let room = shared.limits.outbound_buffer_bytes_max as usize;
    // Who takes what it is sent has all of it taken at the end of each turn. What leaves when rows
    // are durable cannot be taken before, and is in the log.
    let waits = match &conn.phase {
        Phase::Open(open) => !open.held.is_empty() || conn.socket.wants_write.get(),
        _ => false,
    };
    match waits && shared.outbound.is_over(unwritten) {
        true => room.min(LITTLE_BYTES),
        false => room,
    }
}

/// What lies ready for a client.
pub(crate) fn put_by(conn: &Conn) -> usize {
    let held = match &conn.phase {
        Phase::Open(open) => open.held.len(),
        _ => 0,
    };
    conn.out.len() + held
}

/// What waits for a client's socket, also sealed and in frames already.
pub(crate) fn waiting(conn: &Conn) -> usize {
    conn.out.len() + conn.socket.link.pending_bytes()
}

impl Core {
    /// In the middle of a turn that makes very much for clients, lets those who read have it: what
    /// then is left is that of those who do not.
    pub(crate) fn write_if_much(&mut self) {
        let cores = self.shared.inboxes.len().max(1);
        if self.unwritten > self.shared.outbound.max() / PARTS / cores {
            self.write_dirty();
        }
    }

    /// Counts what waits for a client, after it was written to.
    pub(crate) fn count_waiting(&mut self, id: ConnId, has_taken: bool) {
        let now_ms = self.uptime_ms;
        let Some(conn) = self.conn(id) else { return };
        let waiting = waiting(conn);
        conn.waits.set(waiting);
        if has_taken || waiting == 0 {
            conn.taken_ms = now_ms;
        }
    }

    /// Counts what came of a packet; closes who would have more kept than may be.
    pub(crate) fn count_coming(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        let bytes = match conn.phase {
            Phase::Open(_) => conn.partial.len(),
            // They have limits of their own.
            _ => 0,
        };
        conn.comes.set(bytes);
        if bytes > PART_BYTES && self.shared.inbound.is_over(0) {
            if let Some(conn) = self.conn(id) {
                conn.partial = Vec::new();
                conn.comes.set(0);
            }
            self.close(id, CloseReason::Limit, Some(ReasonCode::QUOTA_EXCEEDED));
        }
    }

    /// Closes those who hold much and have not moved for long, while there is too much of it.
    pub(crate) fn close_stuck(&mut self) {
        let (waiting, coming) = (self.shared.outbound.is_over(0), self.shared.inbound.is_over(0));
        if !waiting && !coming {
            return;
        }
        let now_ms = self.uptime_ms;
        let is_stuck = |conn: &Conn| {
            let takes_nothing =
                waiting && conn.waits.bytes() > LITTLE_BYTES && now_ms - conn.taken_ms >= STUCK_MS;
            let sends_nothing = coming
                && conn.comes.bytes() > PART_BYTES
                && !conn.socket.is_unheard()
                && now_ms - conn.heard_ms >= STUCK_MS;
            matches!(conn.phase, Phase::Open(_)) && (takes_nothing || sends_nothing)
        };
        let stuck = self.conns.iter().filter(|(_, conn)| is_stuck(conn));
        let keys: Vec<u32> = stuck.filter_map(|(key, _)| u32::try_from(key).ok()).collect();
        for key in keys {
            let Some(id) = self.id_at(SessionKey(key)) else { continue };
            // It would not read why, and what it has not read is what takes the room.
            if let Some(conn) = self.conn(id) {
                conn.out = Vec::new();
                conn.partial = Vec::new();
                conn.comes.set(0);
            }
            self.close(id, CloseReason::Slow, None);
            if let Some(conn) = self.conn(id) {
                conn.socket.give_up();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{LITTLE_BYTES, PART_BYTES, STUCK_MS};
    use crate::core::alone::Alone;
    use crate::core::open::ConnId;

    const SUBSCRIBE_A: &[u8] = b"\x00\x01\x00\x00\x01a\x00";
    /// What all may have waiting.
    const ALL: usize = 64 * 1024;

    fn alone() -> Alone {
        Alone::new(|config| {
            config.mqtt.outbound_all_bytes_max = ALL as u64;
            config.mqtt.inbound_all_bytes_max = ALL as u64;
        })
    }

    /// Clients that subscribe to `a` at QoS 0.
    fn readers(alone: &mut Alone, count: usize) -> Vec<ConnId> {
        let ids: Vec<_> = (0..count).map(|n| alone.connect(&format!("reader {n}"))).collect();
        alone.settle();
        for id in &ids {
            alone.say(*id, 0x82, SUBSCRIBE_A);
        }
        alone.rest();
        for id in &ids {
            alone.heard(*id);
            alone.core.count_waiting(*id, true);
        }
        ids
    }

    fn waiting(alone: &mut Alone, id: ConnId) -> usize {
        alone.core.conn(id).expect("it is connected").out.len()
    }

    #[test]
    fn those_who_read_nothing_have_little_waiting_once_there_is_too_much_and_who_reads_has_all() {
        let mut alone = alone();
        let ids = readers(&mut alone, 9);
        let publisher = alone.connect("publisher");
        alone.settle();
        let message = [b"\x00\x01a\x00".as_slice(), &[b'x'; 1000]].concat();
        for _ in 0..200 {
            alone.say(publisher, 0x30, &message);
            alone.core.end_turn();
            // The first one reads: its socket took all of it.
            let heard = alone.heard(ids[0]);
            assert!(heard.len() >= 1000, "{}", heard.len());
            let conn = alone.core.conn(ids[0]).expect("it is connected");
            conn.socket.wants_write.set(false);
            alone.core.count_waiting(ids[0], true);
            for id in &ids[1..] {
                alone.core.conn(*id).expect("it is connected").socket.wants_write.set(true);
            }
        }
        let each: Vec<_> = ids[1..].iter().map(|id| waiting(&mut alone, *id)).collect();
        let bound = ALL / 8 + LITTLE_BYTES + 2 * message.len();
        assert!(each.iter().all(|bytes| *bytes <= bound), "{each:?}");
    }

    #[test]
    fn who_takes_nothing_for_long_is_closed_only_while_there_is_too_much() {
        let mut alone = alone();
        let ids = readers(&mut alone, 3);
        for (id, bytes) in ids.iter().zip([LITTLE_BYTES + 1, LITTLE_BYTES, ALL]) {
            alone.core.conn(*id).expect("it is connected").out = vec![0; bytes];
            alone.core.count_waiting(*id, false);
        }
        alone.core.uptime_ms += STUCK_MS - 1;
        alone.core.close_stuck();
        let is_open = |alone: &mut Alone| [0, 1, 2].map(|at| alone.core.open(ids[at]).is_some());
        assert_eq!(is_open(&mut alone), [true; 3], "not so long yet");
        // The last one takes something.
        alone.core.count_waiting(ids[2], true);
        alone.core.uptime_ms += 1;
        alone.core.close_stuck();
        assert_eq!(is_open(&mut alone), [false, true, true], "it has little, and it moves");
        alone.core.conn(ids[2]).expect("it is connected").out = vec![0; LITTLE_BYTES + 1];
        alone.core.count_waiting(ids[2], false);
        alone.core.uptime_ms += 2 * STUCK_MS;
        alone.core.close_stuck();
        assert_eq!(is_open(&mut alone), [false, true, true], "there is room");
    }

    #[test]
    fn what_waits_in_frames_is_counted_and_goes_with_who_takes_nothing() {
        let mut alone = alone();
        let id = alone.accept_web();
        alone.hello(id, "deaf");
        alone.settle();
        alone.core.conn(id).expect("it is connected").out = vec![0; ALL / 2];
        alone.core.uptime_ms += STUCK_MS;
        alone.core.write_out(id);
        let conn = alone.core.conn(id).expect("it is connected");
        assert!(conn.out.is_empty(), "its link took all of it");
        assert!(conn.waits.bytes() >= ALL / 2, "{}", conn.waits.bytes());
        assert!(conn.taken_ms < STUCK_MS, "it has taken nothing");
        let socket = Rc::clone(&conn.socket);
        conn.out = vec![0; ALL];
        alone.core.write_out(id);
        alone.core.close_stuck();
        assert!(alone.core.open(id).is_none(), "there is too much");
        assert!(!socket.is_to_be_written(), "what it did not take is waited for");
    }

    #[test]
    fn who_sends_half_a_packet_has_little_kept_of_it_once_there_is_too_much() {
        let mut alone = alone();
        let ids = readers(&mut alone, 3);
        let send = |alone: &mut Alone, id: ConnId, bytes: usize| {
            if let Some(conn) = alone.core.conn(id) {
                conn.partial = vec![0; bytes];
                alone.core.count_coming(id);
            }
            alone.core.open(id).is_some()
        };
        assert!(send(&mut alone, ids[0], ALL), "as much as may be");
        assert!(send(&mut alone, ids[1], PART_BYTES));
        assert!(!send(&mut alone, ids[2], PART_BYTES + 1));
        assert!(alone.core.open(ids[0]).is_some(), "who has it already keeps it");
        alone.core.uptime_ms += STUCK_MS;
        assert!(!send(&mut alone, ids[0], ALL + 1), "no more of it");
    }
}
