//! Messages from elsewhere into our log: placed, with what is retained, in one commit with whatever
//! rows belong to them. Never commits itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidewire_proto::delayed;
use tidewire_proto::id::PartitionId;
use tidewire_proto::message::Published;
use tidewire_proto::record::BatchBuilder;
use tidewire_proto::routing::placement::Placement;
use tidewire_proto::topic::check_topic_name;
use tidewire_store::{Append, Commit, TableChange};

use crate::held::Kept;
use crate::retained::{RetainedLimit, Settle};

/// Whose messages they are, where a stream's key is the client id.
const CLIENT_PREFIX: &str = "$bridge/";

/// Why a message cannot be one of ours. Trying again does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPlace {
    #[error("it is no topic that can be published to")]
    Topic,
    #[error("topics under $SYS and $delayed are the broker's own")]
    Ours,
    #[error("the topic has more levels than mqtt.topic_levels_max")]
    Levels,
    #[error("there are as many retained messages as there may be")]
    Retained,
}

/// Gathers messages for one commit.
pub(crate) struct Inlet {
    client_id: String,
    placement: Placement,
    retained: Arc<dyn RetainedLimit>,
    batches: BTreeMap<PartitionId, BatchBuilder>,
    kept: Vec<(PartitionId, Kept)>,
    claims: Claims,
}

/// Retained messages that count from the commit on.
#[derive(Default)]
pub(crate) struct Claims(Vec<Settle>);

impl Claims {
    /// Says what became of the commit.
    pub(crate) fn settle(&mut self, is_durable: bool) {
        self.0.drain(..).for_each(|settle| settle(is_durable));
    }
}

impl Drop for Claims {
    /// What was never committed takes no room.
    fn drop(&mut self) {
        self.settle(false);
    }
}

impl Inlet {
    pub(crate) fn new(
        bridge: &str,
        placement: Placement,
        retained: Arc<dyn RetainedLimit>,
    ) -> Self {
        Self {
            client_id: format!("{CLIENT_PREFIX}{bridge}"),
            placement,
            retained,
            batches: BTreeMap::new(),
            kept: Vec::new(),
            claims: Claims::default(),
        }
    }

    /// Adds a message, behind those that are there.
    ///
    /// # Errors
    /// When it cannot be a message of ours: it is left out then.
    pub(crate) fn push(&mut self, message: &Published<'_>, now_ms: i64) -> Result<(), NoPlace> {
        let topic = message.topic;
        check_topic_name(topic).map_err(|_| NoPlace::Topic)?;
        if topic == "$SYS" || topic.starts_with("$SYS/") || topic.starts_with(delayed::PREFIX) {
            return Err(NoPlace::Ours);
        }
        self.push_own(message, now_ms)
    }

    /// Adds a message of the broker's own, whatever its topic.
    ///
    /// # Errors
    /// When there is no place for it.
    pub(crate) fn push_own(&mut self, message: &Published<'_>, now_ms: i64) -> Result<(), NoPlace> {
        let topic = message.topic;
        let placed = self.placement.place(topic, &self.client_id, message.properties);
        let partition = placed.ok_or(NoPlace::Levels)?.partition;
        let form = (message.retain && !message.payload.is_empty()).then(|| {
            let mut single = BatchBuilder::new();
            message.push_to(&mut single, now_ms);
            single.finish()
        });
        if message.retain {
            let settle =
                self.retained.claim_ahead(topic, form.as_ref()).ok_or(NoPlace::Retained)?;
            self.claims.0.push(settle);
        }
        let place = message.push_to(self.batches.entry(partition).or_default(), now_ms);
        if message.retain {
            let topic = topic.as_bytes().into();
            self.kept.push((partition, Kept { place, topic, form }));
        }
        Ok(())
    }

    /// Bytes that were gathered.
    pub(crate) fn bytes(&self) -> usize {
        let kept = self.kept.iter().filter_map(|(_, kept)| kept.form.as_ref());
        let kept: usize = kept.map(|form| form.bytes().len()).sum();
        let batches = self.batches.values().filter(|batch| !batch.is_empty());
        batches.map(BatchBuilder::bytes).sum::<usize>() + kept
    }

    /// Everything that was gathered, and these rows, as one commit. Whoever commits it settles the
    /// claims.
    pub(crate) fn commit(&mut self, changes: Vec<TableChange>) -> (Commit, Claims) {
        let mut commit = Commit { appends: Vec::new(), changes };
        let mut places = BTreeMap::new();
        for (partition, builder) in &mut self.batches {
            if !builder.is_empty() {
                places.insert(*partition, commit.appends.len());
                commit.appends.push(Append::new(*partition, builder.finish()));
            }
        }
        for (partition, kept) in self.kept.drain(..) {
            let append = places.get(&partition).copied().unwrap_or(usize::MAX);
            commit.changes.push(kept.row(partition, append));
        }
        (commit, std::mem::take(&mut self.claims))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::message::Published;
    use tidewire_proto::mqtt::Properties;
    use tidewire_proto::qos::Qos;
    use tidewire_proto::record::{Batch, KeyRule};
    use tidewire_proto::routing::placement::{Placement, Shelf};
    use tidewire_store::Table;

    use super::{Inlet, NoPlace};
    use crate::retained::{RetainedLimit, Settle};

    /// Has room for so many; notes what became of them.
    struct Room(Mutex<usize>, Arc<Mutex<Vec<bool>>>);

    impl RetainedLimit for Room {
        fn claim(&self, _: &str, _: Option<&Batch>) -> Option<Settle> {
            let mut left = self.0.lock();
            *left = left.checked_sub(1)?;
            let told = Arc::clone(&self.1);
            Some(Box::new(move |is_durable| told.lock().push(is_durable)))
        }
    }

    fn inlet(room: usize) -> (Inlet, Arc<Mutex<Vec<bool>>>) {
        let partitions = vec![PartitionId(4)];
        let (filters, key) = (Vec::new(), KeyRule::Topic);
        let shelf = Shelf { filters, partitions, log_qos0: true, names_publisher: false, key };
        let placement = Placement::new(vec![shelf], 3).expect("whole");
        let told = Arc::new(Mutex::new(Vec::new()));
        let retained = Arc::new(Room(Mutex::new(room), Arc::clone(&told)));
        (Inlet::new("edge", placement, retained), told)
    }

    fn message(topic: &str, retain: bool) -> Published<'_> {
        let (payload, qos) = (&b"x"[..], Qos::AtLeastOnce);
        Published { topic, payload, qos, retain, properties: Properties::EMPTY, origin: None }
    }

    #[test]
    fn messages_are_one_append_for_a_partition_and_what_is_retained_a_row_of_it() {
        let (mut inlet, told) = inlet(1);
        inlet.push(&message("a", false), 1).expect("a place");
        inlet.push(&message("b", true), 1).expect("a place");
        assert_eq!(inlet.push(&message("c", true), 1), Err(NoPlace::Retained));
        let (commit, mut claims) = inlet.commit(Vec::new());
        assert_eq!((commit.appends.len(), commit.appends[0].batch.record_count()), (1, 2));
        let row = &commit.changes[0];
        assert_eq!((row.table, &row.key[..]), (Table::Retained, &b"b"[..]));
        assert_eq!(row.offset_of.expect("named").append, 0);
        claims.settle(true);
        drop(claims);
        assert_eq!(*told.lock(), [true]);
        assert_eq!(inlet.bytes(), 0);
    }

    #[test]
    fn what_cannot_be_ours_is_refused_and_what_is_not_committed_takes_no_room() {
        let (mut inlet, told) = inlet(9);
        for (topic, why) in [
            ("a/+", NoPlace::Topic),
            ("$SYS/x", NoPlace::Ours),
            ("$delayed/1/a", NoPlace::Ours),
            ("a/b/c/d", NoPlace::Levels),
        ] {
            assert_eq!(inlet.push(&message(topic, true), 1), Err(why), "{topic}");
        }
        inlet.push(&message("a", true), 1).expect("a place");
        drop(inlet);
        assert_eq!(*told.lock(), [false]);
    }
}
