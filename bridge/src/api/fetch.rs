//! Fetch: stored batches as they lie, all partitions or those of a session that have news. Waits at
//! the end of the log; never looks into a record.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::protocol::StrBytes;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::Compression;
use tidewire_store::{ReadError, Slice, StoredBatch};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::budget::{FREE_BYTES, Share};
use crate::context::{Call, Context, LEADER_EPOCH};
use crate::fetch_sessions::{Asked, Connection, Head, NoTurn, Place, Said, Topic, Turn};
use crate::names;
use crate::output::Output;
use crate::permit::Permit;
use crate::reads::{self, Got, Want};
use crate::wire::{Answer, Refusal};

/// No client waits longer, whatever it asks for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The first version whose clients know what zstd is.
const ZSTD_SINCE: i16 = 10;

/// So long a Fetch waits for its part of what all answers may take; then it brings little.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// What was read, and its part of what all answers may take.
type Taken = (Vec<Got>, Share);

/// What was read of a partition, or why nothing was.
type Outcome = Result<Slice, ResponseError>;

/// What becomes of one partition that is asked for.
enum Plan {
    Read(Want),
    Refuse(ResponseError),
}

/// What becomes of all of them, by what a client may do at one moment.
struct Judged {
    permit: Rc<Permit>,
    plans: Vec<Plan>,
    wants: Vec<Want>,
}

/// Reads, and waits until there is enough, something is wrong, or the time is over.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: &FetchRequest,
) -> Result<Answer, Refusal> {
    let turn = match turn(context, call, request) {
        Ok(turn) => turn,
        Err(NoTurn::Unknown) => return refused(call, ResponseError::FetchSessionIdNotFound),
        Err(NoTurn::Epoch) => return refused(call, ResponseError::InvalidFetchSessionEpoch),
        Err(NoTurn::Naming) => return refused(call, ResponseError::FetchSessionTopicIdError),
    };
    if request.session_epoch == 0 && turn.session == 0 && !turn.wanted.is_empty() {
        context.numbers().sessionless.increment(1);
    }
    let (plans, (got, share)) = read_enough(context, call, request, &turn).await;
    let told = told(call, &turn, &plans, got);
    if turn.session != 0 {
        let known = told.iter().filter_map(|(place, outcome)| {
            let slice = outcome.as_ref().ok()?;
            Some((*place, (slice.start, slice.end), !slice.batches.is_empty()))
        });
        let known: Vec<(&Place, Said, bool)> = known.collect();
        context.fetch_sessions.told(connection(call), turn.session, &known);
    }
    let slices = told.iter().filter_map(|(_, outcome)| outcome.as_ref().ok());
    let batches = slices.flat_map(|slice| &slice.batches);
    let records: u64 = batches.map(|stored| u64::from(stored.batch.record_count())).sum();
    context.numbers().records_out.increment(records);
    let answer = write(call, request, turn.session, told)?;
    Ok(Answer { share, ..answer })
}

/// What is wanted, from the request and what its session remembers.
fn turn(context: &Context, call: &Call, request: &FetchRequest) -> Result<Turn, NoTurn> {
    let asked = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|wanted| {
            let asked = Asked {
                offset: wanted.fetch_offset,
                bytes_max: wanted.partition_max_bytes,
                leader_epoch: wanted.current_leader_epoch,
            };
            (place(call, &topic.topic, topic.topic_id, wanted.partition), asked)
        })
    });
    let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
        topic.partitions.iter().map(|index| place(call, &topic.topic, topic.topic_id, *index))
    });
    let uses_ids = call.version >= 13;
    let head = Head { id: request.session_id, epoch: request.session_epoch, uses_ids };
    let forgotten: Vec<Place> = forgotten.collect();
    context.fetch_sessions.turn(connection(call), head, asked.collect(), &forgotten)
}

fn connection(call: &Call) -> Connection {
    (call.peer, call.local)
}

/// A name is copied: a session that remembers it would hold the whole request.
fn place(call: &Call, name: &str, id: Uuid, index: i32) -> Place {
    let topic = match call.version {
        13.. => Topic::Id(id),
        _ => Topic::Name(StrBytes::from_string(name.to_owned())),
    };
    Place { topic, index }
}

/// The rules may change while it waits: those of its end hold.
async fn read_enough(
    context: &Context,
    call: &Call,
    request: &FetchRequest,
    turn: &Turn,
) -> (Vec<Plan>, Taken) {
    let wait = u64::try_from(request.max_wait_ms).map_or(Duration::ZERO, Duration::from_millis);
    let until = Instant::now() + wait.min(WAIT_MAX);
    let enough = usize::try_from(request.min_bytes).unwrap_or(0);
    let read = async |wants: &[Want]| read(context, request, wants).await;
    let mut judged = Judged::new(context, call, turn);
    let taken = read(&judged.wants).await;
    if judged.is_wrong() || is_enough(&taken.0, enough) || wait.is_zero() {
        return (judged.plans, taken);
    }
    drop(taken);
    let watch = context.tail.watch(judged.wants.iter().map(|want| want.partition).collect());
    loop {
        let arrived = watch.arrived();
        let taken = read(&judged.wants).await;
        if is_enough(&taken.0, enough) {
            return (judged.plans, taken);
        }
        let missing = enough.saturating_sub(bytes_of(&taken.0)).max(1);
        // Who waits holds nothing, and brings what came meanwhile also when it is little.
        drop(taken);
        let is_over = timeout_at(until, watch.until(arrived + missing)).await.is_err();
        judged = judged.renewed(context, call, turn);
        if is_over || judged.is_wrong() {
            let taken = read(&judged.wants).await;
            return (judged.plans, taken);
        }
    }
}

async fn read(context: &Context, request: &FetchRequest, wants: &[Want]) -> Taken {
    let asked = usize::try_from(request.max_bytes).unwrap_or(0);
    let limits = context.limits();
    let most = asked.min(limits.fetch_bytes_max);
    // The first batch comes however little is asked for.
    let room = most.max(limits.request_bytes_max);
    let Some(share) = context.budget.take_within(room, ROOM_WAIT).await else {
        let (most, share) = (most.min(FREE_BYTES), Share::default());
        let (got, share) = reads::gather(&context.store, wants, most, share).await;
        let is_little = bytes_of(&got) <= FREE_BYTES;
        return (if is_little { got } else { reads::nothing(&context.store, wants) }, share);
    };
    let (got, mut share) = reads::gather(&context.store, wants, most, share).await;
    share.keep(bytes_of(&got));
    (got, share)
}

fn is_enough(got: &[Got], enough: usize) -> bool {
    let bytes = bytes_of(got);
    // What is left in the log does not fit into this answer: to wait would bring no more.
    let is_full = bytes > 0 && got.iter().flatten().any(|slice| slice.next < slice.end);
    got.is_empty() || got.iter().any(Result::is_err) || bytes >= enough || is_full
}

fn bytes_of(got: &[Got]) -> usize {
    got.iter().flatten().map(reads::bytes_of).sum()
}

impl Judged {
    fn new(context: &Context, call: &Call, turn: &Turn) -> Self {
        let permit = context.permit(call);
        let plans = plan(context, &permit, turn);
        let wants = plans.iter().filter_map(Plan::want).collect();
        Self { permit, plans, wants }
    }

    fn renewed(self, context: &Context, call: &Call, turn: &Turn) -> Self {
        match Rc::ptr_eq(&self.permit, &context.permit(call)) {
            true => self,
            false => Self::new(context, call, turn),
        }
    }

    fn is_wrong(&self) -> bool {
        self.plans.iter().any(|plan| matches!(plan, Plan::Refuse(_)))
    }
}

fn plan(context: &Context, permit: &Permit, turn: &Turn) -> Vec<Plan> {
    let topics = context.topics();
    let mut seen = HashSet::new();
    let plan = |(place, asked, _): &(Place, Asked, Option<Said>)| {
        let found = match &place.topic {
            Topic::Id(id) => topics.with_id(*id).ok_or(ResponseError::UnknownTopicId),
            Topic::Name(name) => topics.named(name).ok_or(ResponseError::UnknownTopicOrPartition),
        };
        let partition = found.and_then(|(stream, _)| {
            permit.read(stream)?;
            let partition = names::partition(stream, place.index);
            let partition = partition.ok_or(ResponseError::UnknownTopicOrPartition)?;
            // No client asks twice, and whoever does is not read for twice.
            seen.insert(partition).then_some(partition).ok_or(ResponseError::InvalidRequest)
        });
        partition.map_or_else(Plan::Refuse, |partition| one(*asked, partition))
    };
    turn.wanted.iter().map(plan).collect()
}

fn one(asked: Asked, partition: PartitionId) -> Plan {
    if asked.leader_epoch > LEADER_EPOCH {
        return Plan::Refuse(ResponseError::UnknownLeaderEpoch);
    }
    let Ok(from) = u64::try_from(asked.offset) else {
        return Plan::Refuse(ResponseError::OffsetOutOfRange);
    };
    let bytes_max = usize::try_from(asked.bytes_max).unwrap_or(0);
    Plan::Read(Want { partition, from, bytes_max })
}

impl Plan {
    fn want(&self) -> Option<Want> {
        match self {
            Self::Read(want) => Some(*want),
            Self::Refuse(_) => None,
        }
    }
}

/// What the client is told: everything, or what is news to its session.
fn told<'a>(
    call: &Call,
    turn: &'a Turn,
    plans: &[Plan],
    got: Vec<Got>,
) -> Vec<(&'a Place, Outcome)> {
    let mut got = got.into_iter();
    let outcomes = plans.iter().map(|plan| match plan {
        Plan::Read(_) => {
            let got = got.next().unwrap_or(Err(ReadError::UnknownPartition));
            got.map_err(|error| meaning(&error)).and_then(|slice| known_to(call, slice))
        }
        Plan::Refuse(error) => Err(*error),
    });
    let all = turn.wanted.iter().zip(outcomes);
    let is_news = |said: &Option<Said>, outcome: &Outcome| match outcome {
        Ok(slice) => !slice.batches.is_empty() || *said != Some((slice.start, slice.end)),
        Err(_) => true,
    };
    all.filter(|((_, _, said), outcome)| turn.is_full || is_news(said, outcome))
        .map(|((place, _, _), outcome)| (place, outcome))
        .collect()
}

/// Who asks in a version from before zstd cannot read it, and is told.
fn known_to(call: &Call, slice: Slice) -> Outcome {
    let is_new = |stored: &StoredBatch| stored.batch.compression() == Compression::Zstd;
    match call.version < ZSTD_SINCE && slice.batches.iter().any(is_new) {
        true => Err(ResponseError::UnsupportedCompressionType),
        false => Ok(slice),
    }
}

fn write(
    call: &Call,
    request: &FetchRequest,
    session: i32,
    mut told: Vec<(&Place, Outcome)>,
) -> Result<Answer, Refusal> {
    let mut output = begin(call, 0, session);
    let is_one_topic =
        |one: &(&Place, Outcome), next: &(&Place, Outcome)| one.0.topic == next.0.topic;
    output.count(told.chunk_by(is_one_topic).count());
    for topic in told.chunk_by_mut(is_one_topic) {
        if let Some((place, _)) = topic.first() {
            write_name(&mut output, &place.topic);
        }
        output.count(topic.len());
        for (place, outcome) in topic {
            match outcome {
                Ok(slice) => write_slice(&mut output, call, request, (place.index, slice)),
                Err(error) => write_error(&mut output, call, (place.index, *error)),
            }
        }
        output.no_tags();
    }
    output.no_tags();
    output.finish()
}

fn refused(call: &Call, error: ResponseError) -> Result<Answer, Refusal> {
    let mut output = begin(call, error.code(), 0);
    output.count(0);
    output.no_tags();
    output.finish()
}

fn begin(call: &Call, error: i16, session: i32) -> Output {
    let mut output = Output::new(call.correlation, call.version >= 12);
    output.i32(0);
    if call.version >= 7 {
        output.i16(error);
        output.i32(session);
    }
    output
}

fn write_name(output: &mut Output, topic: &Topic) {
    match topic {
        Topic::Id(id) => output.raw(id.as_bytes()),
        Topic::Name(name) => output.text(name),
    }
}

fn write_slice(output: &mut Output, call: &Call, request: &FetchRequest, of: (i32, &mut Slice)) {
    let (index, slice) = of;
    let offset = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
    let (start, end) = (offset(slice.start), offset(slice.end));
    let bytes = reads::bytes_of(slice);
    // What is not committed is not in the log: who reads what is committed may read everything.
    let asks_for_aborted = request.isolation_level == 1;
    write_head(output, call, (index, 0), (end, start), asks_for_aborted);
    output.count(bytes);
    for stored in std::mem::take(&mut slice.batches) {
        output.raw(&stored.batch.prefix(stored.base_offset));
        output.shared(stored.batch.tail());
    }
    output.no_tags();
}

fn write_error(output: &mut Output, call: &Call, (index, error): (i32, ResponseError)) {
    write_head(output, call, (index, error.code()), (-1, -1), false);
    output.count(0);
    output.no_tags();
}

fn write_head(
    output: &mut Output,
    call: &Call,
    (index, error): (i32, i16),
    (end, start): (i64, i64),
    asks_for_aborted: bool,
) {
    output.i32(index);
    output.i16(error);
    output.i64(end);
    output.i64(end);
    if call.version >= 5 {
        output.i64(start);
    }
    match (asks_for_aborted, call.version) {
        (true, _) => output.count(0),
        (false, 12..) => output.raw(&[0]),
        (false, _) => output.i32(-1),
    }
    if call.version >= 11 {
        // Nobody else has it.
        output.i32(-1);
    }
}

fn meaning(error: &ReadError) -> ResponseError {
    match error {
        ReadError::UnknownPartition => ResponseError::UnknownTopicOrPartition,
        ReadError::OutOfRange { .. } => ResponseError::OffsetOutOfRange,
        ReadError::Damaged { .. } => ResponseError::CorruptMessage,
        ReadError::Io(_) => ResponseError::KafkaStorageError,
    }
}
