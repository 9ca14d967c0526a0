//! DescribeTopicPartitions: the streams as topics, in pages.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use tidewire_store::Stream;
use uuid::Uuid;

use crate::context::{Call, Context, LEADER_EPOCH, NODE_ID};
use crate::names::UNKNOWN_OPERATIONS;

/// Partitions of one page, however many a client would take.
const PAGE_MAX: usize = 2_000;

/// All streams, or those that are asked for, by name; from the cursor on.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let (topics, permit) = (context.topics(), context.permit(call));
    let mut names: BTreeSet<String> = match request.topics.is_empty() {
        true => {
            let seen = topics.iter().filter(|(stream, _)| permit.sees(stream));
            seen.map(|(stream, _)| stream.name.clone()).collect()
        }
        false => request.topics.iter().map(|topic| topic.name.to_string()).collect(),
    };
    let mut first = 0;
    if let Some(cursor) = &request.cursor {
        names.retain(|name| name.as_str() >= cursor.topic_name.as_str());
        first = usize::try_from(cursor.partition_index).unwrap_or(0);
    }
    let asked = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut room = asked.clamp(1, PAGE_MAX);
    let mut page = DescribeTopicPartitionsResponse::default();
    for name in names {
        let is_cursors = request.cursor.as_ref().is_some_and(|it| *it.topic_name == *name);
        let from = if is_cursors { first } else { 0 };
        if room == 0 {
            return page.with_next_cursor(Some(cursor(name, from)));
        }
        let found = topics.named(&name);
        let Some((stream, id)) = found.filter(|(stream, _)| permit.sees(stream)) else {
            let error = match found {
                Some(_) => ResponseError::TopicAuthorizationFailed,
                None => ResponseError::UnknownTopicOrPartition,
            };
            page.topics.push(refused(name, error));
            room -= 1;
            continue;
        };
        let behind = stream.partitions.len().min(from.saturating_add(room));
        page.topics.push(describe(stream, id, from..behind));
        room = room.saturating_sub(behind.saturating_sub(from));
        if behind < stream.partitions.len() {
            return page.with_next_cursor(Some(cursor(name, behind)));
        }
    }
    page
}

fn cursor(name: String, partition: usize) -> Cursor {
    Cursor::default()
        .with_topic_name(TopicName(StrBytes::from_string(name)))
        .with_partition_index(i32::try_from(partition).unwrap_or(i32::MAX))
}

fn refused(name: String, error: ResponseError) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(TopicName(StrBytes::from_string(name))))
        .with_topic_authorized_operations(UNKNOWN_OPERATIONS)
}

fn describe(
    stream: &Stream,
    id: Uuid,
    range: std::ops::Range<usize>,
) -> DescribeTopicPartitionsResponseTopic {
    let node = || vec![BrokerId(NODE_ID)];
    let partition = |index| {
        DescribeTopicPartitionsResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(NODE_ID))
            .with_leader_epoch(LEADER_EPOCH)
            .with_replica_nodes(node())
            .with_isr_nodes(node())
    };
    let indexes = range.filter_map(|index| i32::try_from(index).ok());
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(stream.name.clone()))))
        .with_topic_id(id)
        .with_partitions(indexes.map(partition).collect())
        .with_topic_authorized_operations(UNKNOWN_OPERATIONS)
}
