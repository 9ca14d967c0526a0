//! The end of a turn: one commit for all that was gathered, one write per connection.

use std::sync::Arc;
use std::time::Instant;

use tidewire_proto::record::Batch;
use tidewire_proto::routing::grant::SessionKey;
use tidewire_store::rows::cursor;
use tidewire_store::{Reply, Table};

use crate::core::inbox::Event;
use crate::core::open::{ConnId, Open, Phase};
use crate::core::overflow::waiting;
use crate::core::state::{Core, Deferred, Handed};
use crate::core::turn::Waiting;
use crate::metrics::Direction;

impl Core {
    /// Commits what the turn gathered and writes what it has for its clients.
    pub(crate) fn end_turn(&mut self) {
        self.is_turn_due = false;
        self.is_clock_stale = true;
        self.writes_follow = true;
        self.feed_all_hungry();
        self.submit();
        self.send_letters();
        self.writes_follow = false;
        self.write_dirty();
    }

    fn send_letters(&mut self) {
        for (core, to_groups, to_members) in self.post.take() {
            let inbox = &self.shared.inboxes[core];
            if !to_groups.is_empty() {
                inbox.push(Event::ToGroups(to_groups));
            }
            if !to_members.is_empty() {
                inbox.push(Event::ToMembers(to_members));
            }
        }
    }

    /// Hands the commit to the store, and QoS 0 to other cores. Rows of very many sessions are more
    /// than one commit may hold: each goes with who waits for it, in as many commits as it takes.
    pub(crate) fn submit(&mut self) {
        self.write_groups();
        for id in std::mem::take(&mut self.urgent) {
            self.write_rows_of(id);
            if self.is_turn_large() {
                self.commit_part();
            }
        }
        self.commit();
    }

    /// Hands over what is gathered before all rows are. Who is told SUBACK or CONNACK by it has
    /// his row in it, and so has the group of who is told that he is in it.
    fn commit_part(&mut self) {
        for id in self.turn.joined() {
            self.write_group(id);
        }
        for id in self.turn.taken_up() {
            self.write_rows_of(id);
        }
        self.commit();
    }

    /// Puts the rows of changed groups into the commit, or some into commits of their own.
    fn write_groups(&mut self) {
        for id in std::mem::take(&mut self.groups.urgent) {
            self.write_group(id);
            if self.is_turn_large() {
                self.commit_part();
            }
        }
    }

    /// What is gathered, without the rows that the end of the turn adds.
    pub(crate) fn commit(&mut self) {
        let live = self.turn.take_live();
        let is_due = std::mem::take(&mut self.is_late_due) || self.stopping.is_some();
        let is_large = self.is_turn_large() || self.turn.is_late_large();
        let has_late = self.turn.has_late();
        if !self.turn.is_empty() || (has_late && (is_due || is_large)) {
            self.hand_to_store();
        } else if has_late && !std::mem::replace(&mut self.is_late_waiting, true) {
            self.deferred.push(Deferred::Late);
        }
        self.send_live(&live);
    }

    /// Messages that were handed out have waited for a commit to go with.
    pub(crate) fn on_late(&mut self) {
        self.is_late_waiting = false;
        self.is_late_due = true;
        self.end_turn_soon();
    }

    fn hand_to_store(&mut self) {
        let store = &self.shared.store;
        let (retained, core) = (&self.shared.retained, self.index);
        let is_full = |partition| store.is_full(partition);
        let (commit, waiting) = self.turn.finish(is_full, retained, core);
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.commits.push_back(Handed { ticket, waiting, at: Instant::now() });
        let reply: Arc<dyn Reply> = Arc::clone(&self.inbox) as Arc<dyn Reply>;
        store.submit(commit, Some((ticket, reply)));
    }

    /// Other cores hand out what was handed out here when it came.
    fn send_live(&self, live: &[Batch]) {
        if live.is_empty() || self.shared.inboxes.len() == 1 {
            return;
        }
        let batches: Arc<[_]> = live.into();
        for (index, inbox) in self.shared.inboxes.iter().enumerate() {
            if index != self.index {
                inbox.push(Event::Live(Arc::clone(&batches)));
            }
        }
    }

    pub(crate) fn write_rows_of(&mut self, id: ConnId) {
        let Some(conn) = self.conn(id) else { return };
        let Phase::Open(open) = &mut conn.phase else { return };
        open.is_urgent = false;
        let held = std::mem::take(&mut open.held);
        if !held.is_empty() {
            self.turn.waiting.push(Waiting::Send(id, held));
        }
        // Out of the slab for a moment: rows need the session and the turn at once.
        let Some(conn) = self.conn(id) else { return };
        if let Phase::Open(mut open) = std::mem::replace(&mut conn.phase, Phase::Closing) {
            self.write_rows(&mut open);
            if let Some(conn) = self.conn(id) {
                conn.phase = Phase::Open(open);
            }
        }
    }

    /// Puts the session's cursor and what it has in flight into this turn's commit.
    pub(crate) fn write_rows(&mut self, open: &mut Open) {
        if !std::mem::take(&mut open.is_changed) {
            return;
        }
        open.written_at = open.cursor.is_live().then_some(self.moves);
        let row = cursor::encode(&open.window, open.cursor.positions(&self.positions));
        let key = open.client_id.as_bytes().into();
        self.turn.put(Table::Cursors, key, Some(row));
    }

    /// Rows were refused. What they said was true of more than who waited for them: all go into
    /// the commit of the next tick, as they are then. Not those of a CONNECT that is not answered:
    /// the rows of before may be the ones that stay.
    pub(crate) fn write_all_rows_again(&mut self) {
        self.groups.mark_all_changed();
        let keys: Vec<usize> = self.conns.iter().map(|(key, _)| key).collect();
        for key in keys {
            let session = u32::try_from(key).ok().map(SessionKey);
            let Some(id) = session.and_then(|session| self.id_at(session)) else { continue };
            if self.open(id).is_some_and(|open| open.is_announced) {
                self.mark_changed(id, false);
            }
        }
    }

    pub(crate) fn write_dirty(&mut self) {
        self.unwritten = 0;
        for id in std::mem::take(&mut self.dirty) {
            if let Some(conn) = self.conn(id) {
                conn.is_dirty = false;
            }
            self.write_out(id);
        }
    }

    /// Writes what a connection has waiting; a drained one may have room for more.
    pub(crate) fn write_out(&mut self, id: ConnId) {
        let room = self.shared.limits.outbound_buffer_bytes_max as usize;
        let conn = self.conns.get_mut(id.key as usize).filter(|conn| conn.serial == id.serial);
        let Some(conn) = conn else { return };
        let before = waiting(conn);
        let written = match conn.out.is_empty() && !conn.socket.link.has_pending() {
            true => {
                // Reading may have handed on what waited.
                conn.socket.wants_write.set(false);
                Ok(0)
            }
            false => conn.socket.write(&mut conn.out, room),
        };
        self.scratch.outputs.take_back(&mut conn.out);
        let is_drained = conn.out.is_empty() && !conn.socket.link.has_pending();
        if is_drained && matches!(conn.phase, Phase::Closing) {
            conn.socket.close();
        }
        match written {
            Ok(count) => {
                self.counters.bytes.add(Direction::Out, count as u64);
                // What a link seals or frames is not with the client yet.
                let has_taken = self.conn(id).is_some_and(|conn| waiting(conn) < before);
                self.count_waiting(id, has_taken);
            }
            Err(_) => {
                conn.out = Vec::new();
                conn.waits.set(0);
                conn.socket.give_up();
                return;
            }
        }
        let waits = |open: &Open| {
            !open.cursor.is_live()
                || !open.feeds.is_empty()
                || !open.resends.is_empty()
                || !open.stalled.is_empty()
        };
        if is_drained && self.open(id).is_some_and(|open| waits(open)) {
            self.feed(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::record::KeyRule;
    use tidewire_proto::routing::placement::{Placement, Shelf};
    use tidewire_store::{Commit, Table, TableChange};
    use tokio::sync::oneshot;

    use crate::core::alone::Alone;
    use crate::core::open::ConnId;

    const CONNACK: u8 = 0x20;
    const SUBACK: u8 = 0x90;

    /// A SUBSCRIBE to one filter.
    const SUBSCRIBE: &[u8] = b"\x00\x01\x00\x00\x01a\x01";

    /// A PUBLISH at QoS 0 and one at QoS 1, to the same topic.
    const AT_QOS_0: &[u8] = b"\x00\x01a\x00nobody waits for this";
    const AT_QOS_1: &[u8] = b"\x00\x01a\x00\x01\x00somebody waits for this";

    /// How many messages the log has.
    fn logged(alone: &Alone) -> u64 {
        let partition = alone.store.streams()[0].partitions[0];
        alone.store.bounds(partition).expect("a partition").1
    }

    fn publisher(alone: &mut Alone) -> ConnId {
        let id = alone.connect("publisher");
        alone.settle();
        id
    }

    #[test]
    fn a_message_that_nobody_waits_for_goes_into_the_log_with_the_next_that_somebody_does() {
        let mut alone = Alone::new(|_| ());
        let id = publisher(&mut alone);
        alone.say(id, 0x30, AT_QOS_0);
        alone.settle();
        assert_eq!(logged(&alone), 0, "there is no commit for it alone");
        alone.say(id, 0x32, AT_QOS_1);
        alone.settle();
        let partition = alone.store.streams()[0].partitions[0];
        let slice = alone.store.read(partition, 0, 1 << 16).expect("readable");
        let bytes: Vec<u8> =
            slice.batches.iter().flat_map(|one| one.batch.bytes().to_vec()).collect();
        let place = |text: &[u8]| bytes.windows(text.len()).position(|window| window == text);
        let (first, then) = (place(b"nobody waits"), place(b"somebody waits"));
        assert!(first.is_some() && first < then, "{first:?} {then:?}");
    }

    #[test]
    fn a_message_that_nobody_waits_for_has_its_own_commit_when_it_has_waited_or_the_broker_stops() {
        let mut alone = Alone::new(|_| ());
        let id = publisher(&mut alone);
        alone.say(id, 0x30, AT_QOS_0);
        alone.settle();
        alone.core.on_late();
        alone.settle();
        assert_eq!(logged(&alone), 1, "it has waited");
        alone.say(id, 0x30, AT_QOS_0);
        alone.settle();
        assert_eq!(logged(&alone), 1);
        let (done, _over) = oneshot::channel();
        alone.core.stop(done);
        alone.settle();
        assert_eq!(logged(&alone), 2, "the broker stops");
    }

    #[test]
    fn a_message_that_is_handed_out_at_the_end_of_a_turn_needs_no_other_turn() {
        let mut alone = Alone::new(|_| ());
        let (id, reader) = (publisher(&mut alone), alone.connect("reader"));
        alone.say(reader, 0x82, SUBSCRIBE);
        alone.settle();
        alone.say(id, 0x30, AT_QOS_0);
        assert!(alone.core.is_turn_due);
        alone.core.end_turn();
        assert!(!alone.core.is_turn_due);
        let heard = alone.heard(reader);
        assert!(heard.windows(6).any(|window| window == b"nobody"), "{heard:?}");
    }

    #[test]
    fn messages_that_nobody_keeps_make_no_turn_a_large_one() {
        let mut alone = Alone::new(|_| ());
        let id = publisher(&mut alone);
        let partitions = alone.store.streams()[0].partitions.clone();
        let (filters, names_publisher, key) = (vec![], false, KeyRule::Topic);
        let shelf = Shelf { filters, partitions, log_qos0: false, names_publisher, key };
        alone.core.placement = Placement::new(vec![shelf], 9).expect("it has partitions");
        alone.cut_turns_at(10_000);
        for _ in 0..1_000 {
            alone.say(id, 0x30, AT_QOS_0);
        }
        alone.settle();
        assert!(!alone.core.is_turn_large(), "what is gone still counts");
    }

    fn has_row(alone: &Alone, client_id: &str) -> bool {
        alone.store.get(Table::Cursors, client_id.as_bytes()).expect("readable").is_some()
    }

    /// A crash may come behind any commit of a turn.
    #[test]
    fn who_is_told_of_his_session_by_a_part_of_a_turn_has_his_row_in_it() {
        let mut alone = Alone::new(|_| ());
        let before = alone.connect("before");
        alone.settle();
        assert_eq!(alone.heard(before).first(), Some(&CONNACK));
        let row = TableChange::new(Table::Cursors, b"before".as_slice().into(), None);
        alone.store.commit(Commit { appends: vec![], changes: vec![row] }).expect("committed");

        alone.say(before, 0x82, SUBSCRIBE);
        let (first, second) = (alone.connect("first"), alone.connect("second"));
        alone.core.write_rows_of(first);
        alone.core.commit_part();
        alone.store.turn();
        for client_id in ["before", "first", "second"] {
            assert!(has_row(&alone, client_id), "{client_id} is told, and has no row");
        }
        alone.settle();
        for (id, answer) in [(before, SUBACK), (first, CONNACK), (second, CONNACK)] {
            assert_eq!(alone.heard(id).first(), Some(&answer));
        }
    }

    #[test]
    fn a_turn_with_too_many_rows_is_cut_but_not_between_those_who_are_told() {
        let mut alone = Alone::new(|_| ());
        alone.cut_turns_at(1);
        let names = ["one", "two", "three"];
        let sessions = names.map(|name| alone.connect(name));
        alone.core.submit();
        assert_eq!(alone.core.commits.len(), 1, "all are told, by one commit with all rows");
        alone.settle();
        // Nobody is told of these.
        for id in sessions {
            alone.core.mark_changed(id, true);
        }
        alone.core.submit();
        assert_eq!(alone.core.commits.len(), 3, "each is a large turn by itself");
        alone.settle();
        assert!(alone.core.commits.is_empty());
    }
}
