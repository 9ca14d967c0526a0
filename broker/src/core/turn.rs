//! What a core gathers between two commits: batches per partition, row changes, and who waits.

use std::sync::Arc;

use tidewire_proto::id::{GroupId, PacketId, PartitionId};
use tidewire_proto::message::Published;
use tidewire_proto::qos::Qos;
use tidewire_proto::record::{Batch, BatchBuilder};
use tidewire_proto::routing::placement::Placed;
use tidewire_proto::session::window::Place;
use tidewire_store::rows::delayed::DelayedKey;
use tidewire_store::rows::retained;
use tidewire_store::{Append, Commit, OffsetOf, Table, TableChange};

use crate::core::denial::Denial;
use crate::core::open::{ConnId, Suback};
use crate::core::waiting_room::DelayedTaken;
use crate::exclusive::GivenUp;
use crate::payer::Payer;
use crate::retained::{Claims, Footprint, RetainedIndex};

/// Marks a batch whose messages were handed out when they came: all of them are QoS 0.
pub(crate) const HANDED_OUT: u8 = 1;

/// A PUBLISH that was not taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) packet_id: PacketId,
    pub(crate) qos: Qos,
    pub(crate) no: Denial,
}

/// The number of a commit of this core.
pub(crate) type Ticket = u64;

/// Who waits to be in a share group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) core: usize,
    pub(crate) conn: ConnId,
    /// Its SUBSCRIBE.
    pub(crate) token: u32,
}

/// What a session has of share groups until its rows are gone.
#[derive(Default)]
pub(crate) struct Left {
    /// The connection that unsubscribed; `None` when the session is over.
    pub(crate) by: Option<ConnId>,
    /// Its shared subscriptions.
    pub(crate) filters: Vec<Box<str>>,
    /// Messages at QoS 2 that only it can complete, also of groups that it left.
    pub(crate) held: Vec<(GroupId, Place)>,
}

/// What becomes of the rows of a session whose CONNECT is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfRefused {
    /// It is what it was: its last rows are written.
    Resumed,
    /// Of what was before, some may be deleted and some not: nobody is to take it up.
    Over,
    /// All were refused together: those of before stay.
    Untouched,
}

/// The answer to a CONNECT that was taken.
pub(crate) struct Connack {
    pub(crate) bytes: Vec<u8>,
    /// Its rows are in the commits from this one on.
    pub(crate) from: Ticket,
    /// What becomes of the session's rows if it is refused.
    pub(crate) if_refused: IfRefused,
    /// Its will is refused where messages are.
    pub(crate) has_large_will: bool,
}

/// Who is told when a commit is durable, and how.
pub(crate) enum Waiting {
    Puback(ConnId, PacketId),
    Pubrec(ConnId, PacketId),
    Pubcomp(ConnId, PacketId),
    /// PUBACK or PUBREC that says no, in its turn.
    Refused(ConnId, Box<Refusal>),
    /// Bytes that were held back until now.
    Send(ConnId, Vec<u8>),
    /// SUBACK, then the retained messages.
    Suback(ConnId, Box<Suback>),
    /// The rows of a SUBSCRIBE that others have a part in, from this commit on.
    Joining(ConnId, u32, Ticket),
    /// The row of a group that a SUBSCRIBE on some core waits for.
    Member(GroupId, Box<Member>),
    /// CONNACK; the session is open.
    Connack(ConnId, Box<Connack>),
    /// A session's last rows are written: it can be taken up elsewhere.
    /// With it the session may be over. They are in the commits from that one on.
    Ended(Arc<str>, ConnId, bool, Ticket),
    /// The will of a client that is away is published.
    Will(Arc<str>),
    /// The same when its client is back: it waits for room, if it is not published.
    LateWill(DelayedKey),
    /// Retained messages that were counted.
    Retained(Box<Claims>),
    /// The dead letter of a message of a share group.
    Letter(GroupId, Place),
    /// Filters that one session had for itself.
    Freed(Vec<GivenUp>),
    /// What a client has of share groups, and no longer where its rows are gone.
    Left(Arc<str>, Box<Left>),
    /// A message that is to be published later.
    DelayedTaken(Box<DelayedTaken>),
    /// It was published there, and takes so many bytes no longer.
    DelayedSent(DelayedKey, u64, Option<PartitionId>),
}

impl Waiting {
    /// Whether it asks for the messages of the commit: the rows that stay may be there without.
    pub(crate) fn needs_messages(&self) -> bool {
        match self {
            Self::Puback(..)
            | Self::Pubrec(..)
            | Self::Will(_)
            | Self::LateWill(_)
            | Self::Retained(_)
            | Self::Letter(..)
            | Self::DelayedTaken(_)
            | Self::DelayedSent(..) => true,
            Self::Connack(_, connack) => connack.has_large_will,
            Self::Pubcomp(..)
            | Self::Refused(..)
            | Self::Send(..)
            | Self::Suback(..)
            | Self::Joining(..)
            | Self::Member(..)
            | Self::Freed(_)
            | Self::Left(..)
            | Self::Ended(..) => false,
        }
    }
}

/// Most wait for a PUBACK: what others wait for is in a box, so that these stay small.
const _: () = assert!(std::mem::size_of::<Waiting>() <= 48, "a PUBACK takes as much");

/// The next commit gets room for so many who wait at once, at most.
const WAITING_AT_ONCE: usize = 1024;
/// So many bytes of messages that were handed out wait for a commit, at most.
const LATE_BYTES_MAX: usize = 256 << 10;

/// Who keeps a message, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct By {
    /// This core.
    pub(crate) core: usize,
    /// At this time.
    pub(crate) now_ms: i64,
    /// Whose part it takes.
    pub(crate) payer: Payer,
}

/// What a record or a row costs besides what its publisher gives.
const OVERHEAD_BYTES: usize = 128;

struct RetainedRow {
    topic: Box<str>,
    partition: PartitionId,
    /// Its index in the partition's batch, and the row; `None` clears.
    message: Option<(u32, Box<[u8]>)>,
}

/// The commit being gathered.
#[derive(Default)]
pub(crate) struct Turn {
    builders: Vec<BatchBuilder>,
    touched: Vec<PartitionId>,
    live: Vec<BatchBuilder>,
    live_touched: Vec<(PartitionId, bool)>,
    /// Handed out and not yet on their way to the log.
    late: Vec<Append>,
    late_bytes: usize,
    retained: Vec<RetainedRow>,
    single: BatchBuilder,
    /// The row of the message that was admitted last.
    row: Option<Box<[u8]>>,
    claims: Claims,
    changes: Vec<TableChange>,
    pub(crate) waiting: Vec<Waiting>,
    bytes: usize,
    /// How many of `changes` are in `bytes`.
    changes_counted: usize,
}

impl Turn {
    /// Finds out whether there is room for one more message to be kept; it is appended next, by
    /// the same core and at the same time.
    pub(crate) fn admit(
        &mut self,
        message: &Published<'_>,
        retained: &RetainedIndex,
        by: By,
    ) -> bool {
        let row = (!message.payload.is_empty()).then(|| self.row_of(message, by.now_ms));
        let footprint = row.as_ref().map(|row| Footprint::of_row(message, row, by.now_ms));
        let footprint = footprint.map(|footprint| footprint.paid_by(by.payer));
        let is_granted = retained.claim(&mut self.claims, message.topic, footprint, by.core);
        self.row = row.filter(|_| is_granted);
        is_granted
    }

    fn row_of(&mut self, message: &Published<'_>, now_ms: i64) -> Box<[u8]> {
        message.push_to(&mut self.single, now_ms);
        retained::encode_next(&mut self.single)
    }

    /// Takes a message at QoS 1 or 2, or one that is retained.
    pub(crate) fn append(&mut self, message: &Published<'_>, placed: Placed, now_ms: i64) {
        let index = builder_of(&mut self.builders, placed.partition, &mut |partition| {
            self.touched.push(partition);
        });
        let record = message.push_to(index, now_ms);
        self.bytes += bytes_of(message);
        if message.retain {
            self.bytes += bytes_of(message);
            self.retain(message, placed.partition, record, now_ms);
        }
    }

    /// Takes a message at QoS 0 that is not retained: it is handed out without waiting for this.
    pub(crate) fn append_live(&mut self, message: &Published<'_>, placed: Placed, now_ms: i64) {
        let builder = builder_of(&mut self.live, placed.partition, &mut |partition| {
            self.live_touched.push((partition, placed.log_qos0));
        });
        message.push_to(builder, now_ms);
        self.bytes += bytes_of(message);
    }

    fn retain(&mut self, message: &Published<'_>, partition: PartitionId, index: u32, now: i64) {
        let kept = if message.payload.is_empty() {
            None
        } else {
            let row = self.row.take().unwrap_or_else(|| self.row_of(message, now));
            Some((index, row))
        };
        self.retained.push(RetainedRow { topic: message.topic.into(), partition, message: kept });
    }

    /// A row set, or removed: kept also where messages of this commit are refused.
    pub(crate) fn put(&mut self, table: Table, key: Box<[u8]>, value: Option<Box<[u8]>>) {
        self.changes.push(TableChange::new(table, key, value).that_stays());
    }

    /// A row that belongs to the messages of this commit: refused with them.
    pub(crate) fn put_with_messages(
        &mut self,
        table: Table,
        key: Box<[u8]>,
        value: Option<Box<[u8]>>,
    ) {
        self.changes.push(TableChange::new(table, key, value));
    }

    /// All rows so far are refused where messages are.
    pub(crate) fn tie_rows(&mut self) {
        self.changes.iter_mut().for_each(|change| change.stays = false);
    }

    /// About how many bytes the commit has so far.
    pub(crate) fn bytes(&mut self) -> usize {
        for change in self.changes.iter().skip(self.changes_counted) {
            let value = change.value.as_ref().map_or(0, |value| value.len());
            self.bytes += change.key.len() + value + OVERHEAD_BYTES;
        }
        self.changes_counted = self.changes.len();
        self.bytes
    }

    /// Connections that are told of their session or of subscriptions when this is durable.
    pub(crate) fn taken_up(&self) -> Vec<ConnId> {
        let told = self.waiting.iter().filter_map(|one| match one {
            Waiting::Suback(id, _) | Waiting::Joining(id, ..) | Waiting::Connack(id, ..) => {
                Some(*id)
            }
            _ => None,
        });
        told.collect()
    }

    /// Share groups whose new members are told of it when this is durable.
    pub(crate) fn joined(&self) -> Vec<GroupId> {
        let joined = self.waiting.iter().filter_map(|one| match one {
            Waiting::Member(id, _) => Some(*id),
            _ => None,
        });
        joined.collect()
    }

    /// Whether there is nothing that somebody waits for.
    pub(crate) fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.changes.is_empty() && self.waiting.is_empty()
    }

    /// Whether messages that were handed out wait for a commit to go with.
    pub(crate) fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// Whether they are too many to wait.
    pub(crate) fn is_late_large(&self) -> bool {
        self.late_bytes > LATE_BYTES_MAX
    }

    /// The QoS 0 messages of this turn, which were handed out here. They go into the log with what
    /// somebody waits for, or when they have waited themselves: nobody is told that they are there.
    pub(crate) fn take_live(&mut self) -> Vec<Batch> {
        let mut live = Vec::with_capacity(self.live_touched.len());
        for (partition, is_logged) in self.live_touched.drain(..) {
            let batch = self.live[partition.0 as usize].finish();
            if is_logged {
                self.late_bytes += batch.bytes().len();
                self.late.push(Append::new(partition, batch.clone()).with_tag(HANDED_OUT));
            }
            live.push(batch);
        }
        if self.is_empty() {
            // What nobody keeps fills nothing.
            self.bytes = self.late_bytes;
        }
        live
    }

    /// All that is for the log, and who waits for it. What was handed out comes first: it was
    /// published before, and `is_full` says of which partition it is not kept.
    pub(crate) fn finish(
        &mut self,
        is_full: impl Fn(PartitionId) -> bool,
        retained: &RetainedIndex,
        core: usize,
    ) -> (Commit, Vec<Waiting>) {
        self.bytes = 0;
        self.changes_counted = 0;
        self.late_bytes = 0;
        let mut appends = std::mem::take(&mut self.late);
        appends.retain(|late| !is_full(late.partition));
        let first = appends.len();
        for partition in self.touched.drain(..) {
            let batch = self.builders[partition.0 as usize].finish();
            appends.push(Append::new(partition, batch));
        }
        let mut changes = std::mem::take(&mut self.changes);
        changes.reserve_exact(self.retained.len());
        for row in self.retained.drain(..) {
            changes.push(retained_change(row, &appends, first));
        }
        if !self.claims.is_empty() {
            // Before it is handed over: whose commit overlaps with it must be seen.
            retained.count(&mut self.claims, core);
            self.waiting.push(Waiting::Retained(Box::new(self.claims.take())));
        }
        // The next commit mostly has about as many who wait.
        let next = Vec::with_capacity(self.waiting.len().min(WAITING_AT_ONCE));
        (Commit { appends, changes }, std::mem::replace(&mut self.waiting, next))
    }
}

fn bytes_of(message: &Published<'_>) -> usize {
    let given = message.topic.len() + message.payload.len() + message.properties.raw().len();
    given + OVERHEAD_BYTES
}

fn builder_of<'a>(
    builders: &'a mut Vec<BatchBuilder>,
    partition: PartitionId,
    touch: &mut dyn FnMut(PartitionId),
) -> &'a mut BatchBuilder {
    let index = partition.0 as usize;
    if builders.len() <= index {
        builders.resize_with(index + 1, BatchBuilder::new);
    }
    let builder = &mut builders[index];
    if builder.is_empty() {
        touch(partition);
    }
    builder
}

/// `first` is that of the appends of this turn's builders.
fn retained_change(row: RetainedRow, appends: &[Append], first: usize) -> TableChange {
    let key = row.topic.into_boxed_bytes();
    let Some((index, mut value)) = row.message else {
        return TableChange::new(Table::Retained, key, None);
    };
    let mut places = appends.iter().enumerate().skip(first);
    let append = places.find(|(_, append)| append.partition == row.partition).map(|(at, _)| at);
    retained::put_place(&mut value, row.partition, index);
    let mut change = TableChange::new(Table::Retained, key, Some(value));
    change.offset_of = append.map(|append| OffsetOf { append, at: retained::OFFSET_AT });
    change
}
