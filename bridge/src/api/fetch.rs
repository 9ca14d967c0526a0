//! Fetch: stored batches as they lie. Waits at the end of the log; never looks into a record.

use std::collections::HashSet;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use tidewire_proto::id::PartitionId;
use tidewire_store::{ReadError, Slice};
use tokio::time::{Instant, timeout_at};

use crate::context::{Call, Context, LEADER_EPOCH};
use crate::names;
use crate::output::Output;
use crate::reads::{self, Got, Want};
use crate::wire::{Answer, Refusal};

/// No client waits longer, whatever it asks for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What becomes of one partition that is asked for.
enum Plan {
    Read(Want),
    Refuse(ResponseError),
}

/// Reads, and waits until there is enough, something is wrong, or the time is over.
pub(super) async fn answer(
    context: &Context,
    call: &Call,
    request: &FetchRequest,
) -> Result<Answer, Refusal> {
    // We never gave out a session: every Fetch is a full one.
    if request.session_id != 0 && request.session_epoch > 0 {
        return refused(call, ResponseError::FetchSessionIdNotFound);
    }
    let plans = plan(context, call, request);
    let is_wrong = plans.iter().any(|plan| matches!(plan, Plan::Refuse(_)));
    let wants: Vec<Want> = plans.iter().filter_map(Plan::want).collect();
    let got = match is_wrong {
        true => read(context, request, &wants).await,
        false => read_enough(context, request, &wants).await,
    };
    write(call, request, &plans, got)
}

async fn read_enough(context: &Context, request: &FetchRequest, wants: &[Want]) -> Vec<Got> {
    let wait = u64::try_from(request.max_wait_ms).map_or(Duration::ZERO, Duration::from_millis);
    let until = Instant::now() + wait.min(WAIT_MAX);
    let enough = usize::try_from(request.min_bytes).unwrap_or(0);
    let got = read(context, request, wants).await;
    if is_enough(&got, enough) || wait.is_zero() {
        return got;
    }
    let watch = context.tail.watch(wants.iter().map(|want| want.partition).collect());
    loop {
        let arrived = watch.arrived();
        let got = read(context, request, wants).await;
        let missing = enough.saturating_sub(bytes_of(&got)).max(1);
        if is_enough(&got, enough)
            || timeout_at(until, watch.until(arrived + missing)).await.is_err()
        {
            return got;
        }
    }
}

async fn read(context: &Context, request: &FetchRequest, wants: &[Want]) -> Vec<Got> {
    let asked = usize::try_from(request.max_bytes).unwrap_or(0);
    reads::gather(&context.store, wants, asked.min(context.limits().fetch_bytes_max)).await
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

fn plan(context: &Context, call: &Call, request: &FetchRequest) -> Vec<Plan> {
    let topics = context.topics();
    let (mut plans, mut seen) = (Vec::new(), HashSet::new());
    for topic in &request.topics {
        let found = match call.version {
            13.. => topics.with_id(topic.topic_id).ok_or(ResponseError::UnknownTopicId),
            _ => topics.named(&topic.topic).ok_or(ResponseError::UnknownTopicOrPartition),
        };
        for wanted in &topic.partitions {
            let partition = found.and_then(|(stream, _)| {
                let partition = names::partition(stream, wanted.partition);
                let partition = partition.ok_or(ResponseError::UnknownTopicOrPartition)?;
                // No client asks twice, and whoever does is not read for twice.
                seen.insert(partition).then_some(partition).ok_or(ResponseError::InvalidRequest)
            });
            plans.push(partition.map_or_else(Plan::Refuse, |partition| one(wanted, partition)));
        }
    }
    plans
}

fn one(wanted: &FetchPartition, partition: PartitionId) -> Plan {
    if wanted.current_leader_epoch > LEADER_EPOCH {
        return Plan::Refuse(ResponseError::UnknownLeaderEpoch);
    }
    let Ok(from) = u64::try_from(wanted.fetch_offset) else {
        return Plan::Refuse(ResponseError::OffsetOutOfRange);
    };
    let bytes_max = usize::try_from(wanted.partition_max_bytes).unwrap_or(0);
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

fn write(
    call: &Call,
    request: &FetchRequest,
    plans: &[Plan],
    got: Vec<Got>,
) -> Result<Answer, Refusal> {
    let mut output = begin(call, 0);
    output.count(request.topics.len());
    let (mut plans, mut got) = (plans.iter(), got.into_iter());
    for topic in &request.topics {
        write_name(&mut output, call, topic);
        output.count(topic.partitions.len());
        for wanted in &topic.partitions {
            let outcome = match plans.next() {
                Some(Plan::Read(_)) => got.next().unwrap_or(Err(ReadError::UnknownPartition)),
                Some(Plan::Refuse(error)) => {
                    write_error(&mut output, call, (wanted.partition, *error));
                    continue;
                }
                None => Err(ReadError::UnknownPartition),
            };
            match outcome {
                Ok(slice) => write_slice(&mut output, call, request, (wanted.partition, slice)),
                Err(error) => write_error(&mut output, call, (wanted.partition, meaning(&error))),
            }
        }
        output.no_tags();
    }
    output.no_tags();
    output.finish()
}

fn refused(call: &Call, error: ResponseError) -> Result<Answer, Refusal> {
    let mut output = begin(call, error.code());
    output.count(0);
    output.no_tags();
    output.finish()
}

fn begin(call: &Call, error: i16) -> Output {
    let mut output = Output::new(call.correlation, call.version >= 12);
    output.i32(0);
    if call.version >= 7 {
        output.i16(error);
        output.i32(0);
    }
    output
}

fn write_name(output: &mut Output, call: &Call, topic: &FetchTopic) {
    match call.version {
        13.. => output.raw(topic.topic_id.as_bytes()),
        _ => output.text(&topic.topic),
    }
}

fn write_slice(output: &mut Output, call: &Call, request: &FetchRequest, of: (i32, Slice)) {
    let (index, slice) = of;
    let offset = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
    let (start, end) = (offset(slice.start), offset(slice.end));
    let bytes = reads::bytes_of(&slice);
    // Nothing is ever taken back: who reads what is committed may read everything.
    let asks_for_aborted = request.isolation_level == 1;
    write_head(output, call, (index, 0), (end, start), asks_for_aborted);
    output.count(bytes);
    for stored in slice.batches {
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
