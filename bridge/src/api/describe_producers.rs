//! DescribeProducers: who wrote to a partition with numbers, and how far. Changes nothing.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};

use crate::context::{Call, Context};
use crate::names;
use crate::producers::Described;

/// Answers partition by partition; who is asked for twice is told of once.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &DescribeProducersRequest,
) -> DescribeProducersResponse {
    let (topics, permit) = (context.topics(), context.permit(call));
    let unknown = ResponseError::UnknownTopicOrPartition;
    let asked = request.topics.iter().map(|topic| {
        let stream = topics.named(&topic.name).map(|(stream, _)| stream).ok_or(unknown);
        let stream = stream.and_then(|stream| permit.read(stream).map(|()| stream));
        let id = |index: &i32| names::partition(stream?, *index).ok_or(unknown);
        topic.partition_indexes.iter().map(id).collect::<Vec<_>>()
    });
    let asked: Vec<Vec<_>> = asked.collect();
    let ids: BTreeSet<_> = asked.iter().flatten().filter_map(|id| id.ok()).collect();
    let mut known = context.producers.describe(&ids);
    let answered = request.topics.iter().zip(asked).map(|(topic, ids)| {
        let one = |(index, id): (&i32, Result<_, ResponseError>)| {
            let partition = PartitionResponse::default().with_partition_index(*index);
            let id = match id {
                Ok(id) => id,
                Err(error) => return partition.with_error_code(error.code()),
            };
            let producers = known.remove(&id).unwrap_or_default();
            partition.with_active_producers(producers.iter().map(tell).collect())
        };
        let partitions = topic.partition_indexes.iter().zip(ids).map(one);
        TopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    DescribeProducersResponse::default().with_topics(answered.collect())
}

/// Nothing of an open transaction is in the log: none begins at an offset.
fn tell(producer: &Described) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch.into())
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.used_ms)
        .with_coordinator_epoch(-1)
        .with_current_txn_start_offset(-1)
}
