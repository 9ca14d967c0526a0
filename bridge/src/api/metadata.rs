//! Metadata: the one node, and the streams as topics.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use tidewire_store::Stream;
use uuid::Uuid;

use crate::context::{Call, Context, LEADER_EPOCH, NODE_ID};
use crate::names::{Topics, UNKNOWN_OPERATIONS};
use crate::permit::Permit;

/// All streams, or those that are asked for.
pub(super) fn answer(
    context: &Context,
    call: &Call,
    request: &MetadataRequest,
) -> MetadataResponse {
    let (topics, permit) = (context.topics(), context.permit(call));
    let (host, port) = context.address(call);
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(NODE_ID))
        .with_host(StrBytes::from_string(host))
        .with_port(port.into());
    let wanted = request.topics.as_deref().filter(|wanted| call.version > 0 || !wanted.is_empty());
    let found = match wanted {
        None => {
            let seen = topics.iter().filter(|(stream, _)| permit.sees(stream));
            seen.map(|(stream, id)| describe(call, stream, id)).collect()
        }
        Some(wanted) => asked_for(call, (&topics, &permit), wanted),
    };
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(StrBytes::from_string(context.cluster_id.clone())))
        .with_controller_id(BrokerId(NODE_ID))
        .with_topics(found)
}

/// A topic that is asked for twice is answered once.
fn asked_for(
    call: &Call,
    known: (&Topics, &Permit),
    wanted: &[MetadataRequestTopic],
) -> Vec<MetadataResponseTopic> {
    let mut seen = BTreeSet::new();
    let name = |topic: &MetadataRequestTopic| (topic.name.clone(), topic.topic_id);
    let wanted = wanted.iter().filter(|topic| seen.insert(name(topic)));
    wanted.map(|topic| find(call, known, topic)).collect()
}

fn find(
    call: &Call,
    (topics, permit): (&Topics, &Permit),
    wanted: &MetadataRequestTopic,
) -> MetadataResponseTopic {
    let by_id = || topics.with_id(wanted.topic_id).ok_or(ResponseError::UnknownTopicId);
    let found = match &wanted.name {
        Some(name) => topics.named(name).ok_or(ResponseError::UnknownTopicOrPartition),
        None => by_id(),
    };
    let seen = found.and_then(|(stream, id)| match (permit.sees(stream), &wanted.name) {
        (true, _) => Ok((stream, id)),
        (false, Some(_)) => Err(ResponseError::TopicAuthorizationFailed),
        // Its name is not told to who brings an id.
        (false, None) => Err(ResponseError::UnknownTopicId),
    });
    match seen {
        Ok((stream, id)) => describe(call, stream, id),
        Err(error) => MetadataResponseTopic::default()
            .with_error_code(error.code())
            .with_topic_id(wanted.topic_id)
            .with_name(Some(wanted.name.clone().unwrap_or_default()))
            .with_topic_authorized_operations(UNKNOWN_OPERATIONS),
    }
}

fn describe(call: &Call, stream: &Stream, id: Uuid) -> MetadataResponseTopic {
    let partition = |index| {
        let partition = MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(NODE_ID))
            .with_replica_nodes(vec![BrokerId(NODE_ID)])
            .with_isr_nodes(vec![BrokerId(NODE_ID)]);
        match call.version {
            7.. => partition.with_leader_epoch(LEADER_EPOCH),
            _ => partition,
        }
    };
    let topic = MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(stream.name.clone()))))
        .with_partitions((0..).zip(&stream.partitions).map(|(index, _)| partition(index)).collect())
        .with_topic_authorized_operations(UNKNOWN_OPERATIONS);
    match call.version {
        10.. => topic.with_topic_id(id),
        _ => topic,
    }
}
