//! One batch of a producer: judged as a whole, written anew, handed to the store. Either all of its
//! records are appended or none.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{Batch, BatchBuilder};
use tidewire_store::{Append, Commit, CommitError, TableChange};

use crate::context::Context;
use crate::foreign::{Claimed, Foreign, ForeignError, Sender};
use crate::held::{self, HeldBatch, Kept};
use crate::permit::Permit;
use crate::placed::{NOWHERE, Placed};
use crate::producers::Verdict;
use crate::retained::Settle;
use crate::room::{NoRoom, Room};
use crate::transactions;
use crate::written::Written;

/// Wrong records that are told one by one.
const TOLD_MAX: usize = 20;
/// What a message that is to be kept takes besides its topic and itself.
const KEPT_BYTES: usize = 128;

/// Why a batch was not appended.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: ResponseError,
    pub(crate) message: String,
    /// Which records are wrong, and why.
    pub(crate) records: Vec<(i32, String)>,
}

impl Refused {
    fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self { error, message: message.into(), records: Vec::new() }
    }
}

impl Refused {
    /// Whether clients do not send the batch again, as it is.
    fn is_final(&self) -> bool {
        !matches!(
            self.error,
            ResponseError::CorruptMessage
                | ResponseError::KafkaStorageError
                | ResponseError::OutOfOrderSequenceNumber
                | ResponseError::UnknownTopicId
                | ResponseError::UnknownTopicOrPartition
        )
    }
}

impl From<ResponseError> for Refused {
    fn from(error: ResponseError) -> Self {
        Self::new(error, error.to_string())
    }
}

impl From<ForeignError> for Refused {
    fn from(error: ForeignError) -> Self {
        let code = match error {
            ForeignError::Batch(_) => ResponseError::CorruptMessage,
            ForeignError::Count | ForeignError::Control => ResponseError::InvalidRecord,
            ForeignError::Room => ResponseError::MessageTooLarge,
        };
        Self::new(code, error.to_string())
    }
}

impl From<NoRoom> for Refused {
    fn from(NoRoom: NoRoom) -> Self {
        ForeignError::Room.into()
    }
}

impl From<transactions::Refusal> for Refused {
    fn from(why: transactions::Refusal) -> Self {
        Self::new(why.to_produce(), why.to_string())
    }
}

impl From<&CommitError> for Refused {
    fn from(error: &CommitError) -> Self {
        let code = match error {
            CommitError::TooLarge { .. } => ResponseError::MessageTooLarge,
            CommitError::UnknownPartition(_) => ResponseError::UnknownTopicOrPartition,
            // Passes, or passes with the next start: the producer tries again.
            _ => ResponseError::KafkaStorageError,
        };
        Self::new(code, error.to_string())
    }
}

/// What a batch is held to besides its form.
pub(crate) struct Source<'a> {
    /// The stream that it is for.
    pub(crate) stream: &'a str,
    /// What its producer may do.
    pub(crate) permit: &'a Permit,
    /// The transactional id that the request names, and may use.
    pub(crate) transaction: Option<&'a str>,
}

/// The same as [`append`], of one batch of many: if there is no room because of those before it, it
/// may come again, and its sequence numbers are not used.
pub(crate) fn append_some(
    context: &Context,
    to: (PartitionId, &Source<'_>),
    (records, at_ms): (Option<&Bytes>, i64),
    room: &mut Room,
) -> Result<Arc<Placed>, Refused> {
    if records.is_some_and(|it| it.len() > context.limits().request_bytes_max) {
        return Err(NoRoom.into());
    }
    let is_first = room.is_whole();
    let not_now = |refused: Refused| match refused.error {
        ResponseError::MessageTooLarge if !is_first => {
            let message = "the batches before it in the request were as much as is looked at";
            Refused::new(ResponseError::KafkaStorageError, message)
        }
        _ => refused,
    };
    append(context, to, (records, at_ms), room).map_err(not_now)
}

/// Appends the batch; where it is, is known when it is durable. `room` is what is left for records
/// of this request.
fn append(
    context: &Context,
    (partition, source): (PartitionId, &Source<'_>),
    (records, at_ms): (Option<&Bytes>, i64),
    room: &mut Room,
) -> Result<Arc<Placed>, Refused> {
    let foreign = Foreign::open(records.unwrap_or(&Bytes::new()), room)?;
    let mut rewriting = Rewriting { is_held: foreign.is_transactional, ..Rewriting::default() };
    rewriting.all(context, (&foreign.batch, source), at_ms, room)?;
    let transaction = match foreign.is_transactional {
        // Its number alone says nothing: others can know it.
        true => Some(source.transaction.ok_or(ResponseError::TransactionalIdAuthorizationFailed)?),
        false => None,
    };
    match (foreign.sender, transaction) {
        (Some(sender), Some(id)) => context.transact.expects(id, sender, partition)?,
        (Some(sender), None) => context.transact.leaves_alone(sender)?,
        (None, Some(_)) => return Err(ResponseError::InvalidTxnState.into()),
        (None, None) => (),
    }
    let Some(sender) = foreign.sender else {
        let placed = Arc::new(Placed::default());
        rewriting.retain(context, at_ms, room)?;
        context.numbers().records_in.increment(foreign.batch.record_count().into());
        submit(context, (partition, None), rewriting, (Arc::clone(&placed), Vec::new()));
        return Ok(placed);
    };
    let count = foreign.batch.record_count();
    let (placed, changes) = match context.producers.judge(sender, partition, count, at_ms) {
        Verdict::Append(placed, changes) => (placed, changes),
        Verdict::Repeat(placed) => return Ok(placed),
        // Clients abort then, and take the next epoch.
        Verdict::Behind if transaction.is_some() => {
            return Err(ResponseError::UnknownProducerId.into());
        }
        Verdict::Behind => return Err(ResponseError::OutOfOrderSequenceNumber.into()),
        Verdict::Refuse(error) => return Err(error.into()),
    };
    forget_oldest(context);
    let bytes = rewriting.held_bytes();
    let admitted = match transaction {
        Some(id) => context.transact.admits(id, sender, bytes).map_err(Refused::from),
        None => Ok(()),
    };
    let ready = admitted.and_then(|()| rewriting.retain(context, at_ms, room));
    ready.inspect_err(|_| context.producers.forget(sender.id, partition, &placed))?;
    context.numbers().records_in.increment(count.into());
    if let Some(id) = transaction {
        let held = rewriting.held((sender.id, partition), (Arc::clone(&placed), changes));
        context.transact.hold(id, sender, held, bytes);
        placed.tell(Ok(NOWHERE));
    } else {
        submit(context, (partition, Some(sender)), rewriting, (Arc::clone(&placed), changes));
    }
    Ok(placed)
}

/// What is known of producers is bounded: the rows of what is not go in a commit of their own.
fn forget_oldest(context: &Context) {
    let changes = context.producers.take_gone();
    if !changes.is_empty() {
        context.numbers().producers_forgotten.increment(1);
        context.store.submit(Commit { appends: Vec::new(), changes }, None);
    }
}

/// What becomes of a transaction one of whose batches was refused: if the batch does not come
/// again, nothing of the transaction may be there. Clients count on behind what they do not send
/// again. Nothing becomes of that of another transactional id than the request may use.
pub(crate) fn spoil(
    context: &Context,
    (partition, transaction): (Option<PartitionId>, Option<&str>),
    records: Option<&Bytes>,
    mut refused: Refused,
) -> Refused {
    let claimed = records.filter(|_| refused.is_final()).and_then(Claimed::of);
    let (Some(partition), Some(id), Some(claimed)) = (partition, transaction, claimed) else {
        return refused;
    };
    // Smaller pieces would not help: the first refusal was the last word.
    if refused.error == ResponseError::MessageTooLarge {
        refused.error = ResponseError::RecordListTooLarge;
    }
    if context.transact.doom(id, claimed.sender, partition, refused.error) {
        context.producers.use_up(claimed.sender, partition, claimed.records);
    }
    refused
}

fn submit(
    context: &Context,
    (partition, sender): (PartitionId, Option<Sender>),
    rewriting: Rewriting<'_>,
    (placed, changes): (Arc<Placed>, Vec<TableChange>),
) {
    let Rewriting { mut builder, forms, claims, .. } = rewriting;
    let appends = vec![Append::new(partition, builder.finish())];
    let rows = forms.iter().map(|kept| kept.row(partition, 0));
    let changes = changes.into_iter().chain(rows).collect();
    let producers = Arc::clone(&context.producers);
    let then = move |answer: Result<tidewire_store::Offsets, CommitError>| {
        let outcome = answer.map(|offsets| offsets.first().unwrap_or_default());
        claims.into_iter().for_each(|settle| settle(outcome.is_ok()));
        if let (Err(_), Some(sender)) = (&outcome, sender) {
            producers.forget(sender.id, partition, &placed);
        }
        placed.tell(outcome);
    };
    let commit = Commit { appends, changes };
    context.commits.submit(&context.store, commit, Box::new(then));
}

impl Source<'_> {
    fn admits(&self, written: &Written<'_>) -> bool {
        self.permit.write(self.stream, written.topic, written.is_retained)
    }
}

/// A batch on its way into our form.
#[derive(Default)]
struct Rewriting<'a> {
    builder: BatchBuilder,
    /// Records that are to be kept, with their place in the batch.
    kept: Vec<(u32, Written<'a>)>,
    forms: Vec<Kept>,
    claims: Vec<Settle>,
    /// It is committed with its transaction, who knows when.
    is_held: bool,
}

impl<'a> Rewriting<'a> {
    fn all(
        &mut self,
        context: &Context,
        (batch, source): (&'a Batch, &Source<'_>),
        at_ms: i64,
        room: &mut Room,
    ) -> Result<(), Refused> {
        let (mut wrong, mut denied) = (Vec::new(), Vec::new());
        // What was read is paid for; what is written may come to more.
        let mut paid = batch.bytes().len().max(batch.records_bytes());
        for (index, record) in (0..).zip(batch.records()) {
            match Written::of(&record, context.limits().topic_levels_max) {
                Ok(written) if !source.admits(&written) => {
                    if denied.len() >= TOLD_MAX {
                        break;
                    }
                    denied.push((index, format!("{:?} may not be written", written.topic)));
                }
                Ok(written) => {
                    let place = written.push_to(&mut self.builder, at_ms);
                    let more = self.builder.bytes().saturating_sub(paid);
                    let kept = KEPT_BYTES + written.topic.len() + written.held_bytes();
                    room.take(more + if written.is_retained { kept } else { 0 })?;
                    paid += more;
                    if written.is_retained {
                        self.kept.push((place, written));
                    }
                }
                Err(error) if wrong.len() < TOLD_MAX => wrong.push((index, error.to_string())),
                Err(_) => break,
            }
        }
        if !denied.is_empty() {
            let message = "a record may not be written to its MQTT topic";
            let error = ResponseError::TopicAuthorizationFailed;
            return Err(Refused { records: denied, ..Refused::new(error, message) });
        }
        if wrong.is_empty() && !self.builder.is_empty() {
            return Ok(());
        }
        let message = "a record is no MQTT message";
        Err(Refused { records: wrong, ..Refused::new(ResponseError::InvalidRecord, message) })
    }

    /// What it comes to while its transaction is open.
    fn held_bytes(&self) -> usize {
        let kept = self.kept.iter().map(|(_, it)| (it.topic, it.bytes()));
        held::bytes_of(self.builder.bytes(), kept)
    }

    /// It waits for the commit of its transaction.
    fn held(
        mut self,
        (producer, partition): (i64, PartitionId),
        (placed, changes): (Arc<Placed>, Vec<TableChange>),
    ) -> HeldBatch {
        let batch = self.builder.finish();
        let (kept, claims) = (self.forms, self.claims);
        HeldBatch { producer, placed, partition, batch, changes, kept, claims }
    }

    /// The forms of what is to be kept for later subscribers.
    fn retain(&mut self, context: &Context, at_ms: i64, room: &mut Room) -> Result<(), Refused> {
        let mut single = BatchBuilder::new();
        for (place, written) in std::mem::take(&mut self.kept) {
            let form = (!written.is_empty()).then(|| {
                written.push_to(&mut single, at_ms);
                single.finish()
            });
            // The form is held twice: in its row too.
            let bytes = form.as_ref().map_or(0, |form| 2 * form.bytes().len());
            if let Err(NoRoom) = room.take(bytes) {
                self.claims.drain(..).for_each(|settle| settle(false));
                return Err(NoRoom.into());
            }
            let (retained, topic) = (&context.options.retained, written.topic);
            let claimed = match self.is_held {
                true => retained.claim_ahead(topic, form.as_ref()),
                false => retained.claim(topic, form.as_ref()),
            };
            let Some(settle) = claimed else {
                self.claims.drain(..).for_each(|settle| settle(false));
                let message = "there are as many retained messages as there may be";
                return Err(Refused::new(ResponseError::PolicyViolation, message));
            };
            self.claims.push(settle);
            self.forms.push(Kept { place, topic: written.topic.as_bytes().into(), form });
        }
        Ok(())
    }
}
