//! DeleteRecords: retention deletes records, and nobody else; what is gone already is.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use tidewire_store::Stream;

use crate::context::Context;
use crate::names;

/// Deletes none.
pub(super) fn answer(context: &Context, request: &DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = context.topics();
    let answered = request.topics.iter().map(|topic| {
        let stream = topics.named(&topic.name).map(|(stream, _)| stream);
        let partitions = topic.partitions.iter().map(|wanted| one(context, stream, wanted));
        DeleteRecordsTopicResult::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    DeleteRecordsResponse::default().with_topics(answered.collect())
}

fn one(
    context: &Context,
    stream: Option<&Stream>,
    wanted: &DeleteRecordsPartition,
) -> DeleteRecordsPartitionResult {
    let result =
        DeleteRecordsPartitionResult::default().with_partition_index(wanted.partition_index);
    let id = stream.and_then(|stream| names::partition(stream, wanted.partition_index));
    let Some((start, _)) = id.and_then(|id| context.store.bounds(id)) else {
        let error = ResponseError::UnknownTopicOrPartition;
        return result.with_low_watermark(-1).with_error_code(error.code());
    };
    let start = i64::try_from(start).unwrap_or(i64::MAX);
    if (0..=start).contains(&wanted.offset) {
        return result.with_low_watermark(start);
    }
    result.with_low_watermark(-1).with_error_code(ResponseError::PolicyViolation.code())
}
