//! OffsetForLeaderEpoch: where the records of an epoch end. There is one epoch.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use tidewire_store::Stream;

use crate::context::{Context, LEADER_EPOCH};
use crate::names;

/// Answers partition by partition.
pub(super) fn answer(
    context: &Context,
    request: &OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = context.topics();
    let answered = request.topics.iter().map(|topic| {
        let stream = topics.named(&topic.topic).map(|(stream, _)| stream);
        let partitions = topic.partitions.iter().map(|wanted| one(context, stream, wanted));
        OffsetForLeaderTopicResult::default()
            .with_topic(topic.topic.clone())
            .with_partitions(partitions.collect())
    });
    OffsetForLeaderEpochResponse::default().with_topics(answered.collect())
}

fn one(
    context: &Context,
    stream: Option<&Stream>,
    wanted: &OffsetForLeaderPartition,
) -> EpochEndOffset {
    let answer = EpochEndOffset::default().with_partition(wanted.partition);
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
