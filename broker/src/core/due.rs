//! What has its time: wills of clients that stayed away, sessions that expired, messages that
//! were published with a delay. Each is done and forgotten in one commit.

use std::sync::Arc;

use tidewire_proto::delivery::copy_properties;
use tidewire_proto::id::PartitionId;
use tidewire_proto::message::Message;
use tidewire_proto::mqtt::PropertiesBuilder;
use tidewire_proto::record::Batch;
use tidewire_store::rows::delayed::{DelayedKey, DelayedRow};
use tidewire_store::rows::session::SessionRow;
use tidewire_store::rows::will::WillState;
use tidewire_store::{ReadError, Table};

use crate::core::inbox::{EndAway, Event};
use crate::core::open::{ConnId, Will};
use crate::core::send::quality;
use crate::core::state::Core;
use crate::core::timers::Due;
use crate::core::turn::{By, Waiting};
use crate::core::waiting_room::DelayedTaken;
use crate::core::will::due_ms;
use crate::ledger::will_bytes;
use crate::metrics::{DropReason, Quality};
use crate::payer::Payer;
use crate::registry::Owner;
use crate::subscribed::Count;

/// So much is done before others get their turn.
const DUE_AT_A_TIME: usize = 256;
/// How long we wait when something could not be done.
const RETRY_MS: i64 = 5_000;
/// Stands for a connection that claims a client id and is none.
const NOBODY: u32 = u32::MAX;

impl Core {
    /// Does it when its time has come.
    pub(crate) fn wait_until_due(&mut self, due: Due) {
        self.timers.set(self.shared.clock.since_start(due.due_ms()), due);
    }

    /// Does what is due, some of it; the rest after others had their turn.
    pub(crate) fn on_due(&mut self) {
        if self.stopping.is_some() || self.is_behind() {
            return;
        }
        let elapsed_ms = self.shared.clock.elapsed_ms();
        for _ in 0..DUE_AT_A_TIME {
            match self.timers.pop(elapsed_ms) {
                None => return,
                Some((_, Due::Will(client_id, due_ms))) => self.visit(&client_id, Some(due_ms)),
                Some((at_ms, Due::Message(key))) => self.publish_delayed(at_ms, key),
                Some((_, Due::Letters(id))) => self.bury_again(id),
                Some((_, Due::Unread(id))) => self.read_group_again(id),
            }
            self.submit_if_large();
        }
        if self.timers.is_due(elapsed_ms) {
            self.inbox.push(Event::Due(Vec::new()));
        }
    }

    /// Looks after clients that are away and whose session may be over.
    pub(crate) fn visit_all(&mut self, client_ids: &[Arc<str>]) {
        for client_id in client_ids {
            self.visit(client_id, None);
            self.submit_if_large();
        }
    }

    pub(crate) fn submit_if_large(&mut self) {
        if self.is_turn_large() {
            self.submit();
        }
        self.end_turn_soon();
    }

    /// Tries again later what could not be written.
    pub(crate) fn visit_later(&mut self, client_id: Arc<str>) {
        let at_ms = self.shared.clock.elapsed_ms() + RETRY_MS;
        self.timers.set(at_ms, Due::Will(client_id, self.now_ms));
    }

    fn is_ending(&self, owner: &Owner) -> bool {
        owner.core == self.index && self.ending.contains_key(&owner.serial)
    }

    /// Does what is due for a client that is away. Its id is claimed meanwhile, so that it cannot
    /// come back in between; is it back, there is nothing to do.
    pub(crate) fn visit(&mut self, client_id: &Arc<str>, due_ms: Option<i64>) {
        self.look_after(client_id, due_ms, None);
    }

    /// Ends the session of a client that is away, as if its time were over. Who asked is told when
    /// that is done; his sender is dropped when the client is there, or on its way, or was there
    /// after the moment that the order names.
    pub(crate) fn end_away(&mut self, client_id: &Arc<str>, order: EndAway) {
        self.look_after(client_id, None, Some(order));
        self.submit_if_large();
    }

    fn look_after(&mut self, client_id: &Arc<str>, due_ms: Option<i64>, end: Option<EndAway>) {
        let id = ConnId { key: NOBODY, serial: self.shared.next_serial() };
        if !self.shared.registry.claim_if_free(client_id, self.owner(id)) {
            if self.shared.registry.is_owned_by(client_id, |owner| self.is_ending(owner)) {
                // What is due is not written yet.
                self.visit_later(Arc::clone(client_id));
            }
            return;
        }
        let from = self.next_ticket;
        let settled = self.settle(client_id, due_ms, end.as_ref());
        let is_changed = settled.unwrap_or_else(|error| {
            tracing::error!(%error, "the rows of a session cannot be read");
            self.visit_later(Arc::clone(client_id));
            false
        });
        if !is_changed {
            return self.shared.registry.release(client_id, self.owner(id));
        }
        let waiting = end.into_iter().map(|order| order.done).collect();
        self.ending.insert(id.serial, waiting);
        self.turn.waiting.push(Waiting::Ended(Arc::clone(client_id), id, false, from));
    }

    fn settle(
        &mut self,
        client_id: &Arc<str>,
        timer_ms: Option<i64>,
        end: Option<&EndAway>,
    ) -> Result<bool, ReadError> {
        let now_ms = self.now_ms;
        let row = self.shared.store.get(Table::Sessions, client_id.as_bytes())?;
        let session = row.and_then(|row| SessionRow::decode(&row).ok());
        let is_over = session.as_ref().is_none_or(|session| {
            session.is_expired(now_ms) || end.is_some_and(|order| order.means(session))
        });
        let mut is_changed = false;
        let will = self.will_row(client_id)?;
        // Nobody else writes its rows now: what is counted for it can be put right.
        let bytes = will.as_ref();
        let bytes = bytes.map(|will| will_bytes(client_id, &will.message));
        self.shared.wills.put(client_id.as_bytes(), bytes);
        let is_kept = session.is_some() && !is_over;
        self.shared.sessions.put(client_id.as_bytes(), is_kept.then_some(0));
        if !is_kept {
            self.shared.subscribed.put(client_id.as_bytes(), Count::default());
        }
        self.settle_claims(client_id)?;
        if let Some(will) = will {
            let by_broker = matches!(will.state, WillState::Waiting { by_broker: true, .. });
            let clock_ms = self.will_clock_ms(&will);
            let is_due = |due_ms: i64| {
                due_ms <= clock_ms || timer_ms == Some(due_ms) || (is_over && !by_broker)
            };
            match due_ms(&will, session.as_ref(), self.shared.started_ms) {
                Some(due_ms) if !is_due(due_ms) => {
                    self.wait_until_due(Due::Will(Arc::clone(client_id), due_ms));
                }
                _ => is_changed |= self.publish_will(&Will::of_row(will), client_id),
            }
        }
        match session {
            Some(_) if is_over => {
                self.delete_session(client_id)?;
                self.counters.sessions_expired += 1;
                is_changed = true;
            }
            // The end of its connection could not be written.
            Some(session) if session.ended_ms.is_none() => {
                let row = SessionRow { ended_ms: Some(now_ms), ..session };
                self.put_session_row(client_id, row);
                is_changed = true;
            }
            Some(_) => (),
            // What a commit that was refused left of it.
            None => is_changed |= self.delete_session(client_id)?,
        }
        Ok(is_changed)
    }

    fn publish_delayed(&mut self, at_ms: i64, key: DelayedKey) {
        let bytes = key.encode();
        let row = match self.shared.store.get(Table::Wills, &bytes) {
            Ok(Some(row)) => row,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "a delayed message cannot be read");
                return self.retry_delayed(key, None);
            }
        };
        let mut to = None;
        match DelayedRow::decode(&row) {
            Ok(delayed) => {
                to = self.kept_partition(&delayed.message, &delayed.client_id);
                if to.is_some_and(|to| !self.timers.may_go(at_ms, key, to)) {
                    return;
                }
                let now_ms = self.now_ms;
                let payer = self.shared.delayed.payer_of(key);
                let message = (&delayed.message, payer);
                if !self.publish_kept(message, &delayed.client_id, Some(now_ms)) {
                    return self.retry_delayed(key, to);
                }
            }
            Err(error) => tracing::error!(%error, "a delayed message is lost"),
        }
        self.turn.put_with_messages(Table::Wills, bytes, None);
        self.turn.waiting.push(Waiting::DelayedSent(key, row.len() as u64, to));
    }

    /// Tries again later what found no room there. All that are refused meanwhile are tried
    /// together, in their order, and before what comes due for the same place.
    pub(crate) fn retry_delayed(&mut self, key: DelayedKey, to: Option<PartitionId>) {
        let at_ms = (self.shared.clock.elapsed_ms() / RETRY_MS + 1) * RETRY_MS;
        self.timers.set_again(at_ms, key, to);
    }

    /// Where a message that is kept will lie; `None` if nowhere.
    pub(crate) fn kept_partition(&mut self, batch: &Batch, client_id: &str) -> Option<PartitionId> {
        let record = batch.records().next();
        let message = record.as_ref().and_then(Message::of)?;
        let mut properties = PropertiesBuilder::new();
        copy_properties(&mut properties, &message, message.received_ms).ok()?;
        let topic = self.rewriter.topic(message.topic);
        let placed = self.placement.place(topic, client_id, properties.as_properties())?;
        Some(placed.partition)
    }

    /// A delayed message is taken, or could not be.
    pub(crate) fn on_delayed_taken(&mut self, taken: &DelayedTaken, is_ok: bool) {
        match is_ok {
            true => self.shared.inboxes[taken.core].push(Event::Due(vec![Due::Message(taken.key)])),
            false => {
                self.shared.delayed.give_back(taken.key, taken.bytes);
                if taken.is_unasked {
                    let label = (DropReason::Store, Quality::AtMostOnce);
                    self.counters.messages_dropped.add(label, 1);
                }
            }
        }
    }

    /// A delayed message is published, or could not be.
    pub(crate) fn on_delayed_sent(
        &mut self,
        key: DelayedKey,
        bytes: u64,
        to: Option<PartitionId>,
        is_ok: bool,
    ) {
        match is_ok {
            true => self.shared.delayed.give_back(key, bytes),
            false => self.retry_delayed(key, to),
        }
    }

    /// Publishes a message that was kept until now. Its expiry counts from when it was received,
    /// as of `now_ms`, or begins anew. The answer is whether it is over: published, or never to be.
    #[must_use]
    pub(crate) fn publish_kept(
        &mut self,
        (batch, payer): (&Batch, Payer),
        client_id: &str,
        now_ms: Option<i64>,
    ) -> bool {
        let record = batch.records().next();
        let Some(message) = record.as_ref().and_then(Message::of) else {
            tracing::error!(client_id, "a message that was kept is damaged");
            return true;
        };
        let counted_ms = now_ms.unwrap_or(message.received_ms);
        if message.seconds_left(counted_ms) == Some(0) && now_ms.is_some() {
            let label = (DropReason::Expired, quality(message.qos));
            self.counters.messages_dropped.add(label, 1);
            return true;
        }
        let mut properties = PropertiesBuilder::new();
        if let Err(error) = copy_properties(&mut properties, &message, counted_ms) {
            tracing::error!(%error, client_id, "a message that was kept is damaged");
            return true;
        }
        let mut published = message.published(properties.as_properties());
        published.topic = self.rewriter.topic(message.topic);
        let placed = self.placement.place(published.topic, client_id, published.properties);
        let Some(placed) = placed else {
            tracing::warn!(client_id, "a message that was kept has too many levels now");
            return true;
        };
        if self.shared.store.is_full(placed.partition) {
            return false;
        }
        if placed.names_publisher {
            published.origin = Some(client_id);
        }
        // What cannot be kept is still worth saying.
        let by = By { core: self.index, now_ms: self.now_ms, payer };
        published.retain =
            published.retain && self.turn.admit(&published, &self.shared.retained, by);
        self.turn.append(&published, placed, self.now_ms);
        self.end_turn_soon();
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidewire_proto::id::PartitionId;
    use tidewire_proto::message::Published;
    use tidewire_proto::mqtt::Properties;
    use tidewire_proto::qos::Qos;
    use tidewire_proto::record::{Batch, BatchBuilder};
    use tidewire_store::rows::delayed::{DelayedKey, DelayedRow};
    use tidewire_store::rows::will::{WillRow, WillState};
    use tidewire_store::{Commit, Store, Table, TableChange};

    use crate::core::alone::Alone;
    use crate::core::open::ConnId;
    use crate::core::timers::Due;

    fn will(due_ms: i64) -> WillRow {
        let state = WillState::Waiting { due_ms, by_broker: false };
        WillRow { state, delay_s: 1, user: None, left_by: None, message: message("gone") }
    }

    fn message(topic: &str) -> Batch {
        let mut message = BatchBuilder::new();
        let published = Published {
            topic,
            payload: b"x",
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: Properties::EMPTY,
            origin: None,
        };
        published.push_to(&mut message, 0);
        message.finish()
    }

    /// A message that is due, and where it will lie.
    fn delayed(alone: &mut Alone, serial: u64, topic: &str) -> (DelayedKey, PartitionId) {
        let core = &mut alone.core;
        let due_ms = core.shared.started_ms - 1;
        let key = DelayedKey { due_ms, started_ms: 0, serial };
        let row = DelayedRow { client_id: "client".into(), message: message(topic) };
        let to = core.kept_partition(&row.message, &row.client_id).expect("it has a place");
        let row = row.encode();
        core.shared.delayed.add(row.len() as u64);
        let row = TableChange::new(Table::Wills, key.encode(), Some(row));
        alone.store.commit(Commit { appends: vec![], changes: vec![row] }).expect("committed");
        (key, to)
    }

    /// How many messages are in the log.
    fn published(store: &Store) -> u64 {
        let partitions = store.streams()[0].partitions.clone();
        let ends = partitions.iter().filter_map(|id| store.bounds(*id)).map(|(_, end)| end);
        ends.sum()
    }

    #[test]
    fn a_will_that_is_due_before_its_row_is_durable_is_sent_when_it_is() {
        let Alone { mut core, store, .. } = Alone::new(|_| ());
        let client_id: Arc<str> = "client".into();
        let id = ConnId { key: 3, serial: 7 };
        // Its connection has ended, and its last rows are on their way.
        let claimed = core.shared.registry.claim(&client_id, core.owner(id), None);
        assert_eq!(claimed, Ok(None));
        core.ending.insert(id.serial, Vec::new());
        let due_ms = core.now_ms - 1;
        core.wait_until_due(Due::Will(Arc::clone(&client_id), due_ms));
        core.on_due();
        core.submit();
        store.turn();
        assert_eq!(published(&store), 0, "others know nothing of it yet");
        // They are there, and the connection lets go.
        let key = client_id.as_bytes().into();
        let row = TableChange::new(Table::Wills, key, Some(will(due_ms).encode()));
        store.commit(Commit { appends: vec![], changes: vec![row] }).expect("committed");
        core.on_session_ended(&client_id, id);
        let Some((_, Due::Will(again, due_ms))) = core.timers.pop(i64::MAX) else {
            panic!("nobody looks after it any more");
        };
        core.visit(&again, Some(due_ms));
        core.submit();
        store.turn();
        assert_eq!(published(&store), 1);
        let row = store.get(Table::Wills, client_id.as_bytes()).expect("readable");
        assert_eq!(row, None, "sent once");
    }

    #[test]
    fn delayed_messages_keep_their_order_when_one_of_them_was_refused() {
        let mut alone = Alone::new(|_| ());
        let [(first, to), (second, _)] = [1, 2].map(|serial| delayed(&mut alone, serial, "a"));
        let other = (0..99).map(|number| number.to_string());
        let mut others = other.map(|topic| delayed(&mut alone, 3, &topic));
        let (elsewhere, _) = others.find(|(_, there)| *there != to).expect("many partitions");
        let core = &mut alone.core;
        core.on_delayed_sent(first, 0, Some(to), false);
        // There is room again when these come due.
        core.wait_until_due(Due::Message(second));
        core.wait_until_due(Due::Message(elsewhere));
        core.on_due();
        core.submit();
        alone.store.turn();
        assert_eq!(published(&alone.store), 1, "only what nothing waits before");
        let [one, two] = [(); 2].map(|()| alone.core.timers.pop(i64::MAX).expect("both wait"));
        assert_eq!((one.1, two.1), (Due::Message(first), Due::Message(second)));
        assert_eq!(one.0, two.0, "and are tried together");
        for (at_ms, key) in [(one.0, first), (two.0, second)] {
            alone.core.publish_delayed(at_ms, key);
        }
        alone.settle();
        assert_eq!(published(&alone.store), 3);
    }
}
