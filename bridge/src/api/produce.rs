//! Produce: records become messages in the log. What is appended is appended before this waits, so
//! that the batches of a connection keep their order however many are on their way.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use tidewire_proto::id::PartitionId;
use tidewire_store::Stream;
use uuid::Uuid;

use crate::append::{self, Refused, Source};
use crate::context::{Call, Context};
use crate::names;
use crate::placed::{NOWHERE, Placed};
use crate::room::Room;
use crate::time::now_ms;
use crate::wire::{Answer, Refusal};

/// Records of one request after decompression, or in our form if that is larger; all its batches
/// together, unless the request is larger as it is. What is behind the first that is too much is
/// not looked at, and comes again.
const PLAIN_BYTES_MAX: usize = 32 << 20;

/// A request whose batches are on their way.
pub(crate) struct Begun {
    topics: Vec<(TopicName, Uuid, Vec<Part>)>,
    wants_answer: bool,
    at_ms: i64,
}

struct Part {
    index: i32,
    id: Option<PartitionId>,
    outcome: Result<Arc<Placed>, Refused>,
}

/// Hands everything that is right to the store, now.
pub(crate) fn begin(context: &Context, call: &Call, request: &ProduceRequest) -> Begun {
    let at_ms = now_ms();
    let permit = context.permit(call);
    let id = request.transactional_id.as_ref();
    let may_use = id.map_or(Ok(()), |id| permit.transaction(id));
    let transaction = id.filter(|_| may_use.is_ok()).map(|id| id.as_str());
    let whole = check(request).and(may_use);
    let mut room = Room::new(PLAIN_BYTES_MAX.max(bytes_of(request)));
    let streams = context.topics();
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for topic in &request.topic_data {
        let stream = match call.version {
            13.. => streams.with_id(topic.topic_id).ok_or(ResponseError::UnknownTopicId),
            _ => streams.named(&topic.name).ok_or(ResponseError::UnknownTopicOrPartition),
        };
        let stream = whole.and(stream).map(|(stream, _)| stream);
        let parts = topic.partition_data.iter().map(|data| {
            let found = stream.and_then(|stream| find(stream, data.index));
            let may = stream.and_then(|stream| permit.writes(stream));
            let records = data.records.as_ref();
            let outcome = found.and_then(|it| may.map(|()| it)).map_err(Refused::from);
            let outcome = outcome.and_then(|partition| {
                let stream = stream.map_or("", |it| &it.name);
                let from = Source { stream, permit: &permit, transaction };
                append::append_some(context, (partition, &from), (records, at_ms), &mut room)
            });
            let of = (found.ok(), transaction);
            let outcome = outcome.map_err(|refused| append::spoil(context, of, records, refused));
            Part { index: data.index, id: found.ok(), outcome }
        });
        topics.push((topic.name.clone(), topic.topic_id, parts.collect()));
    }
    Begun { topics, wants_answer: request.acks != 0, at_ms }
}

/// Bytes of all its batches.
fn bytes_of(request: &ProduceRequest) -> usize {
    let batches = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    batches.filter_map(|data| data.records.as_ref()).map(Bytes::len).sum()
}

/// Waits until all is durable or refused.
pub(crate) async fn finish(
    context: &Context,
    call: &Call,
    begun: Begun,
) -> Result<Answer, Refusal> {
    let mut responses = Vec::with_capacity(begun.topics.len());
    for (name, id, parts) in begun.topics {
        let mut answered = Vec::with_capacity(parts.len());
        for part in parts {
            answered.push(answer(context, call, part, begun.at_ms).await);
        }
        let topic = TopicProduceResponse::default().with_partition_responses(answered);
        responses.push(match call.version {
            13.. => topic.with_topic_id(id),
            _ => topic.with_name(name),
        });
    }
    if !begun.wants_answer {
        let mut parts = responses.iter().flat_map(|topic| &topic.partition_responses);
        // There is no other way to tell.
        return match parts.find(|part| part.error_code != 0) {
            Some(_) => Err(Refusal::NotTaken),
            None => Ok(Answer::default()),
        };
    }
    let response = ProduceResponse::default().with_responses(responses);
    Answer::of(&response, call.version, call.correlation)
}

/// What is wrong with all of it.
fn check(request: &ProduceRequest) -> Result<(), ResponseError> {
    if !(-1..=1).contains(&request.acks) {
        return Err(ResponseError::InvalidRequiredAcks);
    }
    // Who does not wait for answers does not know what his transaction holds.
    match request.transactional_id.is_some() && request.acks != -1 {
        true => Err(ResponseError::InvalidRequiredAcks),
        false => Ok(()),
    }
}

fn find(stream: &Stream, index: i32) -> Result<PartitionId, ResponseError> {
    names::partition(stream, index).ok_or(ResponseError::UnknownTopicOrPartition)
}

async fn answer(
    context: &Context,
    call: &Call,
    part: Part,
    at_ms: i64,
) -> PartitionProduceResponse {
    let outcome = match part.outcome {
        Ok(placed) => placed.outcome().await.map_err(|error| Refused::from(&error)),
        Err(refused) => Err(refused),
    };
    let answer = PartitionProduceResponse::default().with_index(part.index);
    match outcome {
        // It has its place when its transaction is committed.
        Ok(NOWHERE) => answer.with_base_offset(-1).with_log_append_time_ms(-1),
        Ok(base_offset) => {
            let bounds = part.id.and_then(|id| context.store.bounds(id));
            let signed = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
            let answer =
                answer.with_base_offset(signed(base_offset)).with_log_append_time_ms(at_ms);
            match call.version {
                5.. => answer.with_log_start_offset(bounds.map_or(-1, |(start, _)| signed(start))),
                _ => answer,
            }
        }
        Err(refused) => {
            let answer = answer.with_error_code(refused.error.code()).with_base_offset(-1);
            match call.version {
                8.. => explained(answer, refused),
                _ => answer,
            }
        }
    }
}

fn explained(answer: PartitionProduceResponse, refused: Refused) -> PartitionProduceResponse {
    let record = |(index, what): (i32, String)| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(index)
            .with_batch_index_error_message(Some(StrBytes::from_string(what)))
    };
    answer
        .with_record_errors(refused.records.into_iter().map(record).collect())
        .with_error_message(Some(StrBytes::from_string(refused.message)))
}
