//! OffsetForLeaderEpoch: where the records of an epoch end. There is one epoch.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use tidewire_store::Stream;

use crate::context::{Call, Context, LEADER_EPOCH};
use crate::names;

/// Answers partition by partition.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let (topics, permit) = (context.topics(), context.permit(call));
    let answered = request.topics.iter().map(|topic| {
        let stream = topics.named(&topic.topic).map(|(stream, _)| stream);
        let stream = stream.map(|stream| permit.read(stream).map(|()| stream)).transpose();
        let partitions = topic.partitions.iter().map(|wanted| one(context, stream, wanted));
        OffsetForLeaderTopicResult::default()
            .with_topic(topic.topic.clone())
            .with_partitions(partitions.collect())
    });
    OffsetForLeaderEpochResponse::default().with_topics(answered.collect())
}

fn one(
    context: &Context,
    stream: Result<Option<&Stream>, ResponseError>,
    wanted: &OffsetForLeaderPartition,
) -> EpochEndOffset {
    let answer = EpochEndOffset::default().with_partition(wanted.partition);
    let stream = match stream {
        Ok(stream) => stream,
        Err(error) => return answer.with_error_code(error.code()),
    };
    let id = stream.and_then(|stream| names::partition(stream, wanted.partition));
    let Some((_, end)) = id.and_then(|id| context.store.bounds(id)) else {
        return answer.with_error_code(ResponseError::UnknownTopicOrPartition.code());
    };
    if wanted.current_leader_epoch > LEADER_EPOCH {
        return answer.with_error_code(ResponseError::UnknownLeaderEpoch.code());
    }
    if wanted.leader_epoch != LEADER_EPOCH {
        // An epoch that never was.
        return answer;
    }
    answer.with_leader_epoch(LEADER_EPOCH).with_end_offset(i64::try_from(end).unwrap_or(i64::MAX))
}
