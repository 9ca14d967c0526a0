//! DeleteRecords: what lies before an offset is gone for every reader, and stays gone. Where newer
//! records replace older ones, nobody deletes.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use tidewire_proto::id::PartitionId;
use tidewire_store::{Store, Stream};

use crate::context::Context;
use crate::names;

/// Stands for the end.
const ALL: i64 = -1;

/// Answers when all of it is on disk; one commit, whatever the number of partitions.
pub(super) async fn answer(
    context: &Context,
    request: &DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let topics = context.topics();
    let mut offsets: BTreeMap<PartitionId, u64> = BTreeMap::new();
    let mut judged = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let stream = topics.named(&topic.name).map(|(stream, _)| stream);
        let judge = |wanted| {
            let place = place(&context.store, stream, wanted)?;
            let offset = offsets.entry(place.0).or_default();
            *offset = place.1.max(*offset);
            Ok(place.0)
        };
        judged.push(topic.partitions.iter().map(judge).collect::<Vec<_>>());
    }
    let deleted = delete(context, offsets).await;
    let answered = request.topics.iter().zip(judged).map(|(topic, judged)| {
        let results = topic.partitions.iter().zip(judged).map(|(wanted, id)| {
            let start = id.and_then(|id| deleted.and(start_of(&context.store, id)));
            describe(wanted.partition_index, start)
        });
        DeleteRecordsTopicResult::default()
            .with_name(topic.name.clone())
            .with_partitions(results.collect())
    });
    DeleteRecordsResponse::default().with_topics(answered.collect())
}

/// Which partition, and before which offset.
fn place(
    store: &Store,
    stream: Option<&Stream>,
    wanted: &DeleteRecordsPartition,
) -> Result<(PartitionId, u64), ResponseError> {
    let unknown = ResponseError::UnknownTopicOrPartition;
    let stream = stream.ok_or(unknown)?;
    let id = names::partition(stream, wanted.partition_index).ok_or(unknown)?;
    if stream.config.compact {
        return Err(ResponseError::PolicyViolation);
    }
    let (_, end) = store.bounds(id).ok_or(unknown)?;
    let offset = match wanted.offset {
        ALL => Some(end),
        offset => u64::try_from(offset).ok().filter(|offset| *offset <= end),
    };
    Ok((id, offset.ok_or(ResponseError::OffsetOutOfRange)?))
}

async fn delete(
    context: &Context,
    offsets: BTreeMap<PartitionId, u64>,
) -> Result<(), ResponseError> {
    let store = context.store.clone();
    let offsets: Vec<(PartitionId, u64)> = offsets.into_iter().collect();
    let deleting = tokio::task::spawn_blocking(move || store.delete_below(&offsets));
    let deleted = deleting.await.map_err(|_| ResponseError::UnknownServerError)?;
    deleted.map_err(|error| {
        tracing::warn!(%error, "records that a Kafka client wants deleted are not");
        ResponseError::KafkaStorageError
    })
}

/// Where it begins now.
fn start_of(store: &Store, id: PartitionId) -> Result<i64, ResponseError> {
    let (start, _) = store.bounds(id).ok_or(ResponseError::UnknownTopicOrPartition)?;
    Ok(i64::try_from(start).unwrap_or(i64::MAX))
}

fn describe(index: i32, start: Result<i64, ResponseError>) -> DeleteRecordsPartitionResult {
    let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
    match start {
        Ok(start) => result.with_low_watermark(start),
        Err(error) => result.with_low_watermark(-1).with_error_code(error.code()),
    }
}
